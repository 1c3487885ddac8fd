//! A layer → a directory for overlayfs, or some of its files → a directory to read them from.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fsetxattr, linkat, makedev, mkdirat, mknodat, openat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::contents::{Contents, Dialect, Node, Slot};
use super::decompress::decompress;
use super::error::{LayerError, Result, shown};
use super::inside::Inside;
use super::metadata::Metadata;
use super::scan::{self, Content, Destination};
use crate::digest::ContentSum;
use crate::tree::{Change, Changes, Entry, FileInfo, Kind, TreePath};

/// Files smaller than this are written without a look at the free space first.
const LARGE: u64 = 64 << 20;

#[derive(Clone, Debug, Default)]
pub struct UnpackOptions {
    /// Write just these files, and stop when they are there.
    pub only: Option<Selection>,
    pub marks: Marks,
}

/// How overlayfs is told what a layer hides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Marks {
    /// `trusted.overlay.*`, which needs `CAP_SYS_ADMIN`.
    #[default]
    Trusted,
    /// `user.overlay.*`, for a mount with `userxattr`.
    User,
}

/// Files of one layer, with the sums that prove that they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    files: BTreeMap<TreePath, ContentSum>,
}

impl Selection {
    /// The regular files among `paths` that `contents`, the layer's table, has. Other names of the
    /// same files come along: only one of them carries the content, and which one the table does
    /// not say.
    #[must_use]
    pub fn new(contents: &Changes, paths: &BTreeSet<TreePath>) -> Self {
        let files = || {
            contents.changes.iter().filter_map(|(path, change)| match change {
                Change::Set(Entry { kind: Kind::File(file), .. }) => Some((path, file)),
                _ => None,
            })
        };
        let links: HashSet<u64> =
            files().filter(|(path, _)| paths.contains(*path)).filter_map(|(_, f)| f.link).collect();
        let wanted = |path: &TreePath, file: &FileInfo| {
            paths.contains(path) || file.link.is_some_and(|link| links.contains(&link))
        };
        let files = files().filter(|(path, file)| wanted(path, file));
        Self { files: files.filter_map(|(path, f)| Some((path.clone(), f.digest?))).collect() }
    }
}

/// Unpacks the uncompressed tar of one layer into `directory`, which is empty and nobody else's,
/// and gives its table of contents. Whiteouts become what overlayfs takes for them, directories
/// that the layer has no entry for 0755 0:0, hard links to lower files whiteouts. Owners are set by root only; devices where the system
/// allows them. With [`UnpackOptions::only`], see [`unpack_archive`] for what is written, and the
/// table is as far as the tar was read.
pub fn unpack(tar: impl Read, directory: &Path, options: &UnpackOptions) -> Result<Changes> {
    let inside = open_directory(directory)?;
    if let Some(Selection { files }) = &options.only {
        let mut files = Files { inside, missing: Some(files.clone()) };
        if files.is_complete() {
            return Ok(Changes::default());
        }
        let contents = scan::read(tar, Dialect::Layer, &mut files)?;
        if let Some(path) = files.missing.and_then(|missing| missing.into_keys().next()) {
            return Err(LayerError::NotInLayer { path: shown(&path) });
        }
        return Ok(contents.finish());
    }
    let owners = rustix::process::geteuid().is_root();
    let mut rootfs = Rootfs { inside, owners };
    let contents = scan::read(tar, Dialect::Layer, &mut rootfs)?;
    rootfs.finish(&contents, options.marks)?;
    Ok(contents.finish())
}

/// Unpacks an archive of any encoding that `ADD` takes (L-144) into `directory`: just the content
/// of its regular files, private to this user, at their paths. All else is in the table given.
pub fn unpack_archive(archive: impl Read + Send, directory: &Path) -> Result<Changes> {
    let mut files = Files { inside: open_directory(directory)?, missing: None };
    let tar = decompress(archive)?;
    Ok(scan::read(tar, Dialect::Archive, &mut files)?.finish())
}

fn open_directory(directory: &Path) -> Result<Inside> {
    Inside::new(directory).map_err(|source| LayerError::At {
        action: "open",
        path: directory.display().to_string(),
        source,
    })
}

/// A whole layer, with all that the kernel keeps of it.
struct Rootfs {
    inside: Inside,
    owners: bool,
}

impl Destination for Rootfs {
    fn implied(&mut self, path: &TreePath) -> Result<()> {
        make_directory(&mut self.inside, path)
    }

    fn clear(&mut self, path: &TreePath) -> Result<()> {
        clear(&mut self.inside, path)
    }

    fn entry(&mut self, path: &TreePath, entry: &Entry, content: &mut Content) -> Result<()> {
        match &entry.kind {
            // What a directory is gets set when all is in it.
            Kind::Directory => make_directory(&mut self.inside, path),
            Kind::File(file) => {
                let created = create(&mut self.inside, path, file, content)?;
                self.apply(path, entry, created.as_fd())
            }
            _ => self.special(path, entry),
        }
    }

    fn hard_link(&mut self, path: &TreePath, target: &TreePath, _: &Entry) -> Result<()> {
        hard_link(&mut self.inside, path, target)
    }
}

impl Rootfs {
    fn special(&mut self, path: &TreePath, entry: &Entry) -> Result<()> {
        let owners = self.owners;
        let mut make = || -> Result<(), Errno> {
            let (parent, name) = self.inside.parent(path).map_err(errno)?;
            let mode = Mode::from_raw_mode(entry.mode);
            let node = |kind, device| match mknodat(parent, name, kind, mode, device) {
                // An ordinary user, or a user namespace: the table of contents has it still.
                Err(Errno::PERM) => Ok(false),
                made => made.map(|()| true),
            };
            let made = match &entry.kind {
                Kind::Symlink(target) => symlinkat(&**target, parent, name).map(|()| true),
                Kind::CharDevice { major, minor } => {
                    node(FileType::CharacterDevice, makedev(*major, *minor))
                }
                Kind::BlockDevice { major, minor } => {
                    node(FileType::BlockDevice, makedev(*major, *minor))
                }
                _ => node(FileType::Fifo, 0),
            }?;
            if !made {
                return Ok(());
            }
            if owners {
                let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
                chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            if !matches!(entry.kind, Kind::Symlink(_)) {
                // The name was made just now, in a directory of ours, and is no link.
                rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?;
            }
            utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
        };
        make().map_err(|source| self.inside.error("create", path, source))
    }

    fn apply(&self, path: &[u8], entry: &Entry, file: BorrowedFd<'_>) -> Result<()> {
        let Entry { mode, uid, gid, mtime, xattrs, .. } = entry;
        let mtime = Timespec { tv_sec: *mtime, tv_nsec: 0 };
        Metadata { mode: *mode, uid: *uid, gid: *gid, mtime, xattrs }
            .apply(file, self.owners)
            .map_err(|source| self.inside.error("set the metadata of", path, source))
    }

    /// Marks what the layer hides, then gives directories, the deepest first, what they are.
    fn finish(&mut self, contents: &Contents, marks: Marks) -> Result<()> {
        for (path, slot) in contents.slots() {
            self.mark(path, slot, marks)?;
        }
        for (path, slot) in contents.slots().rev() {
            // A directory that the layer goes through without an entry for it.
            let implied = Entry::directory(0);
            let entry = match &slot.node {
                Some(Node::Implied) => &implied,
                Some(Node::Entry(entry)) if entry.kind == Kind::Directory => entry,
                _ => continue,
            };
            let directory = self
                .inside
                .open(path, OFlags::RDONLY | OFlags::DIRECTORY)
                .map_err(|source| self.inside.error("open", path, source))?;
            self.apply(path, entry, directory.as_fd())?;
        }
        Ok(())
    }

    fn mark(&mut self, path: &TreePath, slot: &Slot, marks: Marks) -> Result<()> {
        let is_directory = match &slot.node {
            Some(Node::Implied) => true,
            Some(Node::Entry(entry)) => entry.kind == Kind::Directory,
            None if !slot.removed => return Ok(()),
            // What a hard link to a lower file is shows over all layers; here it hides what is below.
            None | Some(Node::LowerLink(_)) => {
                let made = self.inside.parent(path).and_then(|(parent, name)| {
                    Ok(mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)?)
                });
                return made.map_err(|source| self.inside.error("whiteout", path, source));
            }
        };
        if !is_directory || !(slot.removed || slot.opaque) {
            return Ok(());
        }
        let name = match marks {
            Marks::Trusted => "trusted.overlay.opaque",
            Marks::User => "user.overlay.opaque",
        };
        let open = self.inside.open(path, OFlags::RDONLY | OFlags::DIRECTORY);
        open.and_then(|directory| Ok(fsetxattr(directory, name, b"y", XattrFlags::empty())?))
            .map_err(|source| self.inside.error("make opaque", path, source))
    }
}

/// The content of files, and nothing of what they are.
struct Files {
    inside: Inside,
    /// What is still to come; `None` for all that comes.
    missing: Option<BTreeMap<TreePath, ContentSum>>,
}

impl Files {
    fn wants(&self, path: &TreePath) -> bool {
        self.missing.as_ref().is_none_or(|missing| missing.contains_key(path))
    }

    /// A file that is not the one wanted stays: a later entry of its path takes its place.
    fn found(&mut self, path: &TreePath, sum: Option<ContentSum>) {
        if let Some(missing) = &mut self.missing
            && missing.get(path).copied() == sum
        {
            missing.remove(path);
        }
    }

    fn make_parents(&mut self, path: &[u8]) -> Result<()> {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        slashes.map(|(at, _)| at).try_for_each(|at| make_directory(&mut self.inside, &path[..at]))
    }
}

impl Destination for Files {
    fn implied(&mut self, _: &TreePath) -> Result<()> {
        Ok(())
    }

    fn clear(&mut self, path: &TreePath) -> Result<()> {
        clear(&mut self.inside, path)
    }

    fn entry(&mut self, path: &TreePath, entry: &Entry, content: &mut Content) -> Result<()> {
        let Kind::File(file) = &entry.kind else { return Ok(()) };
        if !self.wants(path) {
            return Ok(());
        }
        self.make_parents(path)?;
        create(&mut self.inside, path, file, content)?;
        let sum = content.sum()?;
        self.found(path, Some(sum));
        Ok(())
    }

    fn hard_link(&mut self, path: &TreePath, target: &TreePath, entry: &Entry) -> Result<()> {
        let Kind::File(file) = &entry.kind else { return Ok(()) };
        if self.wants(path) {
            self.make_parents(path)?;
            hard_link(&mut self.inside, path, target)?;
            self.found(path, file.digest);
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.missing.as_ref().is_some_and(BTreeMap::is_empty)
    }
}

fn make_directory(inside: &mut Inside, path: &[u8]) -> Result<()> {
    if path.is_empty() {
        return Ok(());
    }
    let made =
        inside.parent(path).and_then(|(parent, name)| match mkdirat(parent, name, Mode::RWXU) {
            // Nothing but a directory can be there, else it would have been cleared away.
            Err(Errno::EXIST) => Ok(()),
            made => Ok(made?),
        });
    made.map_err(|source| inside.error("create", path, source))
}

fn create(
    inside: &mut Inside,
    path: &[u8],
    file: &FileInfo,
    content: &mut dyn BufRead,
) -> Result<File> {
    if file.size >= LARGE {
        let free = inside.free()?;
        if free < file.size {
            let (path, directory, needed) = (shown(path), inside.shown(), file.size);
            return Err(LayerError::TooLargeForDisk { path, directory, needed, free });
        }
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = inside
        .parent(path)
        .and_then(|(parent, name)| Ok(openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?));
    let mut created = File::from(opened.map_err(|source| inside.error("create", path, source))?);
    loop {
        // Whatever goes wrong here is the archive's, not this file's.
        let piece = content.fill_buf()?;
        if piece.is_empty() {
            return Ok(created);
        }
        created.write_all(piece).map_err(|source| inside.error("write", path, source))?;
        let written = piece.len();
        content.consume(written);
    }
}

fn hard_link(inside: &mut Inside, path: &[u8], target: &[u8]) -> Result<()> {
    let mut link = || -> io::Result<()> {
        let (parent, name) = inside.parent(target)?;
        let from = parent.try_clone_to_owned()?;
        let (parent, new) = inside.parent(path)?;
        // Without AT_SYMLINK_FOLLOW a link to a symbolic link is just that.
        Ok(linkat(from, name, parent, new, AtFlags::empty())?)
    };
    link().map_err(|source| inside.error("link", path, source))
}

/// Removes `path` and all below it, which this unpacking made, or left out with its directory.
fn clear(inside: &mut Inside, path: &[u8]) -> Result<()> {
    inside.forget();
    let removed = inside.parent(path).and_then(|(parent, name)| remove(parent, name));
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| inside.error("replace", path, source)),
    }
}

fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match unlinkat(parent, name, AtFlags::empty()) {
        // Linux says EISDIR, POSIX EPERM.
        Err(Errno::ISDIR | Errno::PERM) => {}
        // What only the table of contents has, such as a device, or a file not wanted.
        Err(Errno::NOENT) => return Ok(()),
        removed => return Ok(removed?),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(parent, name, flags, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            remove(directory.as_fd(), name)?;
        }
    }
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// A time to set: whole seconds, the time of access alike, so that nothing of this moment stays.
pub(super) fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
