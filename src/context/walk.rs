//! From a directory to a tree, without ever following a link.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};

use super::dir::ContextError;
use crate::ignore::{Matched, Patterns};
use crate::tree::{Entry, FileInfo, Kind, Tree, TreePath, Xattrs};

/// Who owns the files of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Root, whoever it is on disk: a build context (L-134).
    Root,
    /// As on disk: an unpacked root file system.
    Keep,
    /// Root, and for all what the user may: a checkout of git, which knows no more of modes.
    Git,
}

/// The most that a list of names or a value can take; in bytes (xattr(7)).
pub(super) const XATTR_MAX: usize = 64 << 10;
const DIRECTORY_BUFFER: usize = 32 << 10;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// All of `root` that is not ignored; files have no digests and no attributes yet.
pub(super) fn walk(
    root: BorrowedFd<'_>,
    ignore: &Patterns,
    ownership: Ownership,
) -> Result<Tree, ContextError> {
    let mut walker = Walker {
        ignore,
        ownership,
        tree: Tree::new(),
        names: HashMap::new(),
        ignored_parents: Vec::new(),
        directory_buffer: vec![MaybeUninit::uninit(); DIRECTORY_BUFFER],
        xattr_buffer: vec![0; XATTR_MAX],
    };
    let stat = rustix::fs::fstat(root).map_err(|error| ContextError::entry(b"", error))?;
    let mut entry = walker.entry(Kind::Directory, &stat);
    entry.xattrs = xattrs(root, &mut walker.xattr_buffer);
    walker.tree.insert(&b""[..].into(), entry);
    let root = rustix::fs::openat(root, c".", DIRECTORY, Mode::empty())
        .map_err(|error| ContextError::entry(b"", error))?;
    walker.directory(&root, b"", &Matched::default())?;
    Ok(walker.finish())
}

struct Walker<'p> {
    ignore: &'p Patterns,
    ownership: Ownership,
    tree: Tree,
    /// The names found so far of each file with several, by device and inode.
    names: HashMap<(u64, u64), Vec<TreePath>>,
    /// Directories on the way that are ignored, unless something below them is not.
    ignored_parents: Vec<(TreePath, Entry)>,
    directory_buffer: Vec<MaybeUninit<u8>>,
    xattr_buffer: Vec<u8>,
}

impl Walker<'_> {
    fn directory(
        &mut self,
        directory: &OwnedFd,
        path: &[u8],
        matched: &Matched,
    ) -> Result<(), ContextError> {
        let names = self.list(directory).map_err(|error| ContextError::entry(path, error))?;
        for name in names {
            let path = child(path, name.to_bytes());
            let matched = self.ignore.step(matched, &path);
            if matched.matched && !self.ignore.may_take_back_below(&path) {
                continue;
            }
            let stat = match rustix::fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Gone since the directory was read.
                Err(rustix::io::Errno::NOENT) => continue,
                Err(error) => return Err(ContextError::entry(&path, error)),
            };
            let file_type = FileType::from_raw_mode(stat.st_mode);
            if file_type == FileType::Directory {
                self.enter(directory, &name, path, &stat, &matched)?;
            } else if !matched.matched {
                let kind = kind(directory.as_fd(), &name, file_type, &stat)
                    .map_err(|error| ContextError::entry(&path, error))?;
                let entry = self.entry(kind, &stat);
                if file_type == FileType::RegularFile && stat.st_nlink > 1 {
                    let names = self.names.entry((stat.st_dev, stat.st_ino));
                    names.or_default().push(path.clone());
                }
                self.insert(&path, entry);
            }
        }
        Ok(())
    }

    fn enter(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        path: TreePath,
        stat: &Stat,
        matched: &Matched,
    ) -> Result<(), ContextError> {
        let directory = match rustix::fs::openat(parent, name, DIRECTORY, Mode::empty()) {
            Ok(directory) => directory,
            // What is ignored need not be readable.
            Err(rustix::io::Errno::ACCESS) if matched.matched => return Ok(()),
            Err(error) => return Err(ContextError::entry(&path, error)),
        };
        let mut entry = self.entry(Kind::Directory, stat);
        entry.xattrs = xattrs(directory.as_fd(), &mut self.xattr_buffer);
        if !matched.matched {
            self.insert(&path, entry);
            return self.directory(&directory, &path, matched);
        }
        self.ignored_parents.push((path.clone(), entry));
        let result = self.directory(&directory, &path, matched);
        self.ignored_parents.pop_if(|(last, _)| *last == path);
        result
    }

    fn insert(&mut self, path: &TreePath, entry: Entry) {
        for (path, entry) in self.ignored_parents.drain(..) {
            self.tree.insert(&path, entry);
        }
        self.tree.insert(path, entry);
    }

    fn list(&mut self, directory: &OwnedFd) -> io::Result<Vec<CString>> {
        let mut names = Vec::new();
        let mut entries = RawDir::new(directory, &mut self.directory_buffer);
        while let Some(entry) = entries.next() {
            let name = entry?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn entry(&self, kind: Kind, stat: &Stat) -> Entry {
        let mode = stat.st_mode & 0o7777;
        let (uid, gid, mode) = match self.ownership {
            Ownership::Root => (0, 0, mode),
            Ownership::Keep => (stat.st_uid, stat.st_gid, mode),
            Ownership::Git if matches!(kind, Kind::Symlink(_)) => (0, 0, mode),
            Ownership::Git => (0, 0, for_all(mode)),
        };
        Entry { kind, mode, uid, gid, mtime: stat.st_mtime, xattrs: Xattrs::new(), layer: 0 }
    }

    fn finish(mut self) -> Tree {
        let groups = self.names.into_values().filter(|names| names.len() > 1);
        // By the first name, so that the numbers do not depend on the disk.
        let mut groups: Vec<_> = groups.collect();
        groups.sort_unstable();
        for (number, names) in (1..).zip(groups) {
            for name in names {
                if let Some(Entry { kind: Kind::File(file), .. }) = self.tree.get_mut(&name) {
                    file.link = Some(number);
                }
            }
        }
        self.tree
    }
}

/// What a checkout under the usual umask gives: as the user has it, but only she may write.
fn for_all(mode: u32) -> u32 {
    let user = mode & 0o700;
    user | (user >> 3 | user >> 6) & 0o055
}

fn kind(
    directory: BorrowedFd<'_>,
    name: &CStr,
    file_type: FileType,
    stat: &Stat,
) -> io::Result<Kind> {
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    Ok(match file_type {
        FileType::RegularFile => {
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            Kind::File(FileInfo { size, digest: None, link: None })
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
            Kind::Symlink(target.into_bytes().into())
        }
        FileType::CharacterDevice => Kind::CharDevice { major, minor },
        FileType::BlockDevice => Kind::BlockDevice { major, minor },
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::Directory | FileType::Unknown => {
            return Err(io::Error::other("the type of the file is not known"));
        }
    })
}

/// Those that belong into an image: capabilities, as with BuildKit. What a desktop or a browser
/// noted on a file of the context is nobody's business. Best effort: a file system without any has
/// none.
pub(super) fn xattrs(file: BorrowedFd<'_>, buffer: &mut [u8]) -> Xattrs {
    // The kernel allocates as much as is offered, which for every file would cost more than reading
    // it; most have no attributes at all.
    let mut few = [0; 256];
    let names = match rustix::fs::flistxattr(file, &mut few) {
        Ok(0) => return Xattrs::new(),
        Ok(length) => few[..length].to_vec(),
        Err(_) => match rustix::fs::flistxattr(file, &mut *buffer) {
            Ok(length) => buffer[..length].to_vec(),
            Err(_) => return Xattrs::new(),
        },
    };
    names
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        .filter(|name| name.to_bytes() == b"security.capability")
        .filter_map(|name| {
            let length = rustix::fs::fgetxattr(file, name, &mut *buffer).ok()?;
            Some((name.to_bytes().into(), buffer[..length].into()))
        })
        .collect()
}

fn child(parent: &[u8], name: &[u8]) -> TreePath {
    if parent.is_empty() { name.into() } else { [parent, b"/", name].concat().into() }
}
