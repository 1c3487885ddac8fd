//! A directory on disk → what is in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat, readlinkat, statat};

use super::manifest::{Content, Files, MountEntry, Node, Xattr};
use crate::digest::ContentSum;
use crate::layer::{Inside, attributes};

/// Files of one mount; a tool that makes more has made no cache.
const MAX_ENTRIES: usize = 1_000_000;
const BUFFER: usize = 1 << 17;

/// Called now and then; an error ends the work.
pub type Check<'a> = &'a (dyn Fn() -> io::Result<()> + Sync);

/// What a directory held at some moment: a file that has not changed since need not be read again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) files: &'a Files,
    pub(super) since: ChangeTime,
}

/// When the kernel saw an inode change last, which no program can set: seconds and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangeTime(i64, i64);

impl ChangeTime {
    pub(super) fn of(stat: &Stat) -> Self {
        Self(stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(i64::MAX))
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    #[error("it holds more bytes than may be kept")]
    TooLarge,
    #[error("it holds more than {MAX_ENTRIES} files")]
    TooMany,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What `directory` holds: directories, files, links. Devices, pipes and sockets are nothing to keep.
/// Ends early where that is more than `limit` bytes.
pub(super) fn scan(
    directory: &Path,
    known: Option<Known<'_>>,
    limit: u64,
    check: Check<'_>,
) -> Result<Files, ScanError> {
    let inside = Inside::new(directory)?;
    let mut found = Vec::new();
    let mut size = 0;
    let mut links = HashMap::new();
    walk(&inside, &mut found, &mut |found| {
        check()?;
        if found.is_file()
            && (found.stat.st_nlink < 2 || links.insert(found.stat.st_ino, 0).is_none())
        {
            size += found.size();
        }
        Ok(size <= limit)
    })?;
    if size > limit {
        return Err(ScanError::TooLarge);
    }
    if found.len() > MAX_ENTRIES {
        return Err(ScanError::TooMany);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    read(&inside, found, known, check).map_err(ScanError::Io)
}

struct Found {
    path: Vec<u8>,
    stat: Stat,
    /// Of a symbolic link.
    target: Vec<u8>,
}

impl Found {
    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    fn is_file(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    fn size(&self) -> u64 {
        self.stat.st_size.cast_unsigned()
    }

    fn mtime(&self) -> (i64, u32) {
        (self.stat.st_mtime, u32::try_from(self.stat.st_mtime_nsec).unwrap_or_default())
    }
}

/// Collects all until `more` says that it is enough.
fn walk(
    inside: &Inside,
    all: &mut Vec<Found>,
    more: &mut dyn FnMut(&Found) -> io::Result<bool>,
) -> io::Result<()> {
    let root = rustix::fs::fstat(inside.root())?;
    all.push(Found { path: Vec::new(), stat: root, target: Vec::new() });
    let mut pending = vec![Vec::new()];
    while let Some(parent) = pending.pop() {
        let directory = inside.open(&parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let mut path = parent.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            let mut found = Found { path, stat, target: Vec::new() };
            match found.kind() {
                FileType::Directory => pending.push(found.path.clone()),
                FileType::Symlink => {
                    found.target = readlinkat(&directory, name, Vec::new())?.into_bytes();
                }
                FileType::RegularFile => {}
                _ => continue,
            }
            let go_on = more(&found)?;
            all.push(found);
            if !go_on || all.len() > MAX_ENTRIES {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Reads what is not known of the files found, which are sorted.
fn read(
    inside: &Inside,
    found: Vec<Found>,
    known: Option<Known<'_>>,
    check: Check<'_>,
) -> io::Result<Files> {
    let mut files = Files::default();
    let mut positions: HashMap<Content, usize> = HashMap::new();
    // By inode: the first name of a file with several.
    let mut names: HashMap<u64, usize> = HashMap::new();
    for found in found {
        check()?;
        let position = files.entries.len();
        let first = (found.stat.st_nlink > 1 && found.is_file())
            .then(|| *names.entry(found.stat.st_ino).or_insert(position))
            .filter(|first| *first < position);
        let open = || inside.open(&found.path, OFlags::RDONLY | OFlags::NONBLOCK);
        let (node, xattrs) = match (found.kind(), first) {
            (_, Some(first)) => (Node::HardLink(first), Vec::new()),
            (FileType::Symlink, None) => (Node::Symlink(found.target.clone()), Vec::new()),
            (FileType::Directory, None) => (Node::Directory, xattrs(&found.path, &open()?)?),
            (_, None) => {
                let (content, xattrs) = match known.and_then(|known| known.unchanged(&found)) {
                    Some((content, xattrs)) => (content, xattrs),
                    None => {
                        let file = open()?;
                        let xattrs = xattrs(&found.path, &file)?;
                        (sum(File::from(file), found.size(), check)?, xattrs)
                    }
                };
                let next = files.contents.len();
                let content_position = *positions.entry(content).or_insert(next);
                if content_position == next {
                    files.contents.push(content);
                }
                (Node::File(content_position), xattrs)
            }
        };
        files.entries.push(MountEntry {
            node,
            mode: found.stat.st_mode & 0o7777,
            uid: found.stat.st_uid,
            gid: found.stat.st_gid,
            mtime: found.mtime(),
            xattrs,
            path: found.path,
        });
    }
    Ok(files)
}

impl Known<'_> {
    /// The content and attributes of a file that has not changed.
    fn unchanged(&self, found: &Found) -> Option<(Content, Vec<Xattr>)> {
        // A clock tick is long: what changed at this very time may have changed afterwards.
        if ChangeTime::of(&found.stat) >= self.since {
            return None;
        }
        let entries = &self.files.entries;
        let position = entries.binary_search_by(|entry| entry.path.cmp(&found.path)).ok()?;
        let mut entry = &entries[position];
        let xattrs = entry.xattrs.clone();
        if let Node::HardLink(to) = entry.node {
            entry = &entries[to];
        }
        let Node::File(content) = entry.node else { return None };
        let content = self.files.contents[content];
        (entry.mtime == found.mtime() && content.size == found.size()).then_some((content, xattrs))
    }
}

fn xattrs(path: &[u8], file: &OwnedFd) -> io::Result<Vec<Xattr>> {
    let attributes = attributes(path, file.as_fd()).map_err(io::Error::other)?;
    Ok(attributes.kept.into_iter().map(|(name, value)| Xattr(name.into(), value.into())).collect())
}

fn sum(mut file: impl Read, size: u64, check: Check<'_>) -> io::Result<Content> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER];
    let mut left = size;
    while left > 0 {
        check()?;
        let read = file.read(&mut buffer[..BUFFER.min(usize::try_from(left).unwrap_or(BUFFER))])?;
        if read == 0 {
            return Err(changed());
        }
        hasher.update(&buffer[..read]);
        left -= read as u64;
    }
    Ok(Content { sum: ContentSum::from(&hasher), size })
}

/// Another build writes to a shared mount.
pub(super) fn changed() -> io::Error {
    io::Error::other("a file changed while it was read")
}
