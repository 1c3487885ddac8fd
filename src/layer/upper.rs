//! What a RUN left in the upper directory of its overlay → the changes of its layer.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{self, Read};
use std::path::Path;

use blake3::Hasher;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat, major, minor, statat};
use rustix::io::Errno;

use super::contents::{is_overlay_xattr, join, number_links};
use super::error::{LayerError, Result, shown};
use super::inside::Inside;
use super::pieces::Pieces;
use super::tar::MAX_PATH;
use crate::digest::ContentSum;
use crate::tree::{Change, Changes, Entry, FileInfo, Kind, Tree, TreePath, Xattrs};

/// Opens a file of the parent, where its sum is not known.
pub type OpenLower<'a> = dyn FnMut(&TreePath) -> io::Result<Box<dyn Read + Send>> + 'a;

/// Device and inode of what was put into the upper directory for the sake of a mount.
pub type Stubs = HashSet<(u64, u64)>;

/// What the upper directory at `directory` changes in `parent`, the merged tree below it: an unchanged
/// directory or file that was only copied up is no change; an opaque directory becomes whiteouts
/// of just what it hides; times count in whole seconds. `stubs` are left out, unless something
/// was put in them. The directory must not change meanwhile.
pub fn scan_upper(
    directory: &Path,
    parent: &Tree,
    stubs: &Stubs,
    lower: &mut OpenLower,
) -> Result<Changes> {
    let upper = Inside::new(directory).map_err(|source| LayerError::At {
        action: "open",
        path: directory.display().to_string(),
        source,
    })?;
    let mut scan = Scan { upper, parent, stubs, lower, names: HashMap::new(), found: Vec::new() };
    scan.walk()?;
    Ok(scan.finish())
}

struct Scan<'a> {
    upper: Inside,
    parent: &'a Tree,
    stubs: &'a Stubs,
    lower: &'a mut OpenLower<'a>,
    /// How many names in the upper directory a file with several has, by inode.
    names: HashMap<u64, usize>,
    found: Vec<(TreePath, Found)>,
}

enum Found {
    Change(Change),
    /// Counts only if something below it does.
    Stub(Entry),
    /// A file with other names, that is as the parent has it.
    Same(Entry),
}

/// A directory still to be read, and whether nothing of the parent shines through it.
type Pending = (TreePath, bool);

impl Scan<'_> {
    fn walk(&mut self) -> Result<()> {
        let root = TreePath::from(&b""[..]);
        // What the root itself is belongs to whoever made the directory, as BuildKit has it.
        let Attributes { opaque, .. } = attributes(&root, self.upper.root())?;
        let mut pending: Vec<Pending> = vec![(root, opaque)];
        while let Some((path, hides)) = pending.pop() {
            self.read_directory(&path, hides, &mut pending)?;
        }
        Ok(())
    }

    fn read_directory(
        &mut self,
        path: &TreePath,
        hides: bool,
        pending: &mut Vec<Pending>,
    ) -> Result<()> {
        let fail = |source: io::Error| at("read", path, source);
        let directory = self.upper.open(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(fail)?;
        let mut present = BTreeSet::new();
        for entry in Dir::read_from(&directory).map_err(|e| fail(e.into()))? {
            let entry = entry.map_err(|e| fail(e.into()))?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let child = join(path, name);
            if child.len() > MAX_PATH {
                let reason = "is longer than a layer may have it";
                return Err(LayerError::BadPath { path: shown(&child), reason });
            }
            self.entry(&directory, name, &child, hides, pending)?;
            if hides {
                present.insert(child);
            }
        }
        if hides {
            let hidden = self.parent.children(path).map(|(child, _)| child);
            let hidden = hidden.filter(|child| !present.contains(*child));
            let removed = hidden.map(|child| (child.clone(), Found::Change(Change::Remove)));
            self.found.extend(removed);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &[u8],
        path: &TreePath,
        hides: bool,
        pending: &mut Vec<Pending>,
    ) -> Result<()> {
        let fail = |source: Errno| at("read", path, source.into());
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
        let open = |flags| {
            let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(directory, name, flags, rustix::fs::Mode::empty()).map_err(fail)
        };
        let device = || (major(stat.st_rdev), minor(stat.st_rdev));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let opened = open(OFlags::DIRECTORY)?;
                let Attributes { kept, opaque } = attributes(path, opened.as_fd())?;
                let entry = entry_of(Kind::Directory, &stat, kept);
                let parent = self.parent.get(path);
                let same = parent.is_some_and(|parent| same_metadata(&entry, parent));
                if self.stubs.contains(&(stat.st_dev, stat.st_ino)) {
                    self.found.push((path.clone(), Found::Stub(entry)));
                } else if !same {
                    self.found.push((path.clone(), Found::Change(Change::Set(entry))));
                }
                pending.push((path.clone(), hides || opaque));
                return Ok(());
            }
            _ if self.stubs.contains(&(stat.st_dev, stat.st_ino)) => return Ok(()),
            // A whiteout. A socket hides just as well: nothing listens once the command has ended,
            // and no tar has a type for it.
            kind if kind == FileType::Socket
                || (kind == FileType::CharacterDevice && stat.st_rdev == 0) =>
            {
                if self.parent.get(path).is_some() {
                    self.found.push((path.clone(), Found::Change(Change::Remove)));
                }
                return Ok(());
            }
            FileType::RegularFile => {
                let opened = open(OFlags::NONBLOCK)?;
                return self.file(path, &stat, opened);
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new()).map_err(fail)?;
                Kind::Symlink(target.as_bytes().into())
            }
            FileType::CharacterDevice => {
                let (major, minor) = device();
                Kind::CharDevice { major, minor }
            }
            FileType::BlockDevice => {
                let (major, minor) = device();
                Kind::BlockDevice { major, minor }
            }
            _ => Kind::Fifo,
        };
        let entry = entry_of(kind, &stat, Xattrs::new());
        let same = |parent: &Entry| {
            let mode = matches!(entry.kind, Kind::Symlink(_)) || parent.mode == entry.mode;
            mode && parent.kind == entry.kind
                && same_owner(&entry, parent)
                && same_time(&entry, parent)
        };
        if !self.parent.get(path).is_some_and(same) {
            self.found.push((path.clone(), Found::Change(Change::Set(entry))));
        }
        Ok(())
    }

    fn file(&mut self, path: &TreePath, stat: &Stat, file: OwnedFd) -> Result<()> {
        let Attributes { kept, .. } = attributes(path, file.as_fd())?;
        let shared = stat.st_nlink > 1;
        let size = stat.st_size.cast_unsigned();
        let info = FileInfo { size, digest: None, link: shared.then_some(stat.st_ino) };
        let entry = entry_of(Kind::File(info), stat, kept);
        if shared {
            *self.names.entry(stat.st_ino).or_default() += 1;
        }
        let found = if self.is_same_file(path, &entry, file)? {
            if !shared {
                return Ok(());
            }
            Found::Same(entry)
        } else {
            Found::Change(Change::Set(entry))
        };
        self.found.push((path.clone(), found));
        Ok(())
    }

    /// Whether a file was only copied up: metadata first, content only if that is equal.
    fn is_same_file(&mut self, path: &TreePath, entry: &Entry, file: OwnedFd) -> Result<bool> {
        let Some(parent) = self.parent.get(path) else { return Ok(false) };
        let (Kind::File(ours), Kind::File(theirs)) = (&entry.kind, &parent.kind) else {
            return Ok(false);
        };
        if ours.size != theirs.size || !same_metadata(entry, parent) || !same_time(entry, parent) {
            return Ok(false);
        }
        let fail = |source| at("read", path, source);
        let theirs = match theirs.digest {
            Some(sum) => sum,
            None => sum((self.lower)(path).map_err(fail)?).map_err(fail)?,
        };
        Ok(sum(std::fs::File::from(file)).map_err(fail)? == theirs)
    }

    fn finish(self) -> Changes {
        let Self { mut found, names, .. } = self;
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        // From the end, so that what is below a stub is known before it.
        let mut changes: Vec<(TreePath, Change)> = Vec::with_capacity(found.len());
        for (path, found) in found.into_iter().rev() {
            let change = match found {
                Found::Change(change) => change,
                Found::Stub(entry) => {
                    let below = [&*path, b"/"].concat();
                    // Sorted, what is below comes first after what has the stub's name as a start.
                    let used = changes
                        .iter()
                        .rev()
                        .take_while(|(later, _)| later.starts_with(&path))
                        .any(|(later, _)| later.starts_with(&below));
                    if !used {
                        continue;
                    }
                    Change::Set(entry)
                }
                Found::Same(entry) => match &entry.kind {
                    // A new name for an old file: the layer has to have the file for the link.
                    Kind::File(FileInfo { link: Some(inode), .. })
                        if names.get(inode).is_some_and(|names| *names > 1) =>
                    {
                        Change::Set(entry)
                    }
                    _ => continue,
                },
            };
            changes.push((path, change));
        }
        changes.reverse();
        number_links(&mut changes);
        Changes { changes }
    }
}

pub(crate) struct Attributes {
    pub(crate) kept: Xattrs,
    opaque: bool,
}

/// The extended attributes that go into a layer; what overlayfs and the host's security modules
/// keep for themselves does not.
pub(crate) fn attributes(path: &[u8], file: BorrowedFd<'_>) -> Result<Attributes> {
    let fail = |source: Errno| at("read the attributes of", path, source.into());
    let mut attributes = Attributes { kept: Xattrs::new(), opaque: false };
    let names = match whole(|buffer| rustix::fs::flistxattr(file, buffer)) {
        Err(Errno::OPNOTSUPP) => return Ok(attributes),
        names => names.map_err(fail)?,
    };
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let value = || whole(|buffer| rustix::fs::fgetxattr(file, name, buffer)).map_err(fail);
        if is_overlay_xattr(name) {
            match name.split(|byte| *byte == b'.').nth(2) {
                Some(b"opaque") if value()? == b"y" => attributes.opaque = true,
                Some(b"redirect" | b"metacopy" | b"opaque") => {
                    let (path, name) = (shown(path), shown(name));
                    return Err(LayerError::OverlayFeature { path, name });
                }
                _ => {}
            }
        } else if name == b"security.capability"
            || name.starts_with(b"user.")
            || name.starts_with(b"system.posix_acl_")
        {
            attributes.kept.insert(name.into(), value()?.into());
        }
    }
    Ok(attributes)
}

/// Calls `read` with a buffer that grows until the answer fits.
fn whole(mut read: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer[..]) {
            // The kernel's own limit is 64 KiB.
            Err(Errno::RANGE) if buffer.len() < 1 << 17 => buffer.resize(buffer.len() * 4, 0),
            read => {
                buffer.truncate(read?);
                return Ok(buffer);
            }
        }
    }
}

fn entry_of(kind: Kind, stat: &Stat, xattrs: Xattrs) -> Entry {
    Entry {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: stat.st_mtime,
        xattrs,
        layer: 0,
    }
}

/// All but times and, of a file, its content; times of directories change with what is in them.
fn same_metadata(ours: &Entry, parent: &Entry) -> bool {
    let kinds = std::mem::discriminant(&ours.kind) == std::mem::discriminant(&parent.kind);
    kinds && ours.mode == parent.mode && same_owner(ours, parent) && ours.xattrs == parent.xattrs
}

fn same_owner(ours: &Entry, parent: &Entry) -> bool {
    (ours.uid, ours.gid) == (parent.uid, parent.gid)
}

fn same_time(ours: &Entry, parent: &Entry) -> bool {
    ours.mtime == parent.mtime
}

fn sum(mut content: impl Read) -> io::Result<ContentSum> {
    let mut hasher = Hasher::new();
    let mut pieces = Pieces::new();
    loop {
        match pieces.next(&mut content)? {
            [] => return Ok((&hasher).into()),
            piece => _ = hasher.update(piece),
        }
    }
}

fn at(action: &'static str, path: &[u8], source: io::Error) -> LayerError {
    LayerError::At { action, path: shown(path), source }
}
