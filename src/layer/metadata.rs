//! What a file or directory is besides its content.

use rustix::fd::BorrowedFd;
use rustix::fs::{
    Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown, fsetxattr, futimens,
};
use rustix::io::Errno;

use crate::tree::Xattrs;

/// As an archive or a list has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metadata<'a> {
    /// At most 0o7777.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Timespec,
    pub(crate) xattrs: &'a Xattrs,
}

impl Metadata<'_> {
    /// Gives it to an open file, whose owner is set only with `owners`. Owner first, since a change of
    /// it clears the setuid bits and capabilities that follow.
    pub(crate) fn apply(&self, file: BorrowedFd<'_>, owners: bool) -> Result<(), Errno> {
        if owners {
            fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        }
        fchmod(file, Mode::from_raw_mode(self.mode))?;
        for (name, value) in self.xattrs {
            match fsetxattr(file, &**name, value, XattrFlags::empty()) {
                // What this file system or user can't have, but nothing a program relies on.
                Err(Errno::OPNOTSUPP | Errno::PERM)
                    if !owners || **name != *b"security.capability" => {}
                set => set?,
            }
        }
        futimens(file, &Timestamps { last_access: self.mtime, last_modification: self.mtime })
    }
}
