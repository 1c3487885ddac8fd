//! A manifest and its packs → a directory on disk, whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::fd::AsFd as _;
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chownat, linkat, mkdirat, openat,
    symlinkat, utimensat,
};

use super::manifest::{Content, Manifest, MountEntry, Node, Pack, Xattr};
use super::scan::{ChangeTime, Check};
use crate::digest::ContentSum;
use crate::layer::{Inside, Metadata};
use crate::tree::Xattrs;

/// Packs under way at once.
const THREADS: usize = 4;
const BUFFER: usize = 1 << 17;

/// Gives the compressed bytes of a pack to a reader that judges them.
pub(super) type OpenPack<'a> =
    &'a (dyn Fn(&Pack, &mut dyn FnMut(&mut dyn Read) -> io::Result<()>) -> io::Result<()> + Sync);

/// Makes all that `manifest` names in `directory`, which is empty and nobody else's. Every content is
/// checked. What is left there after an error is good for nothing. Returns when the last inode changed.
pub(super) fn unpack(
    manifest: &Manifest,
    directory: &Path,
    open: OpenPack<'_>,
    check: Check<'_>,
) -> io::Result<ChangeTime> {
    let mut inside = Inside::new(directory)?;
    let (needed, free) = (manifest.files.size(), inside.free()?);
    if needed > free {
        let text = format!("{needed} bytes are needed where {free} are free");
        return Err(io::Error::new(io::ErrorKind::StorageFull, text));
    }
    let owners = rustix::process::geteuid().is_root();
    let entries = &manifest.files.entries;
    for entry in entries.iter().filter(|e| e.node == Node::Directory && !e.path.is_empty()) {
        let (parent, name) = inside.parent(&entry.path)?;
        mkdirat(parent, name, Mode::RWXU)?;
    }
    let mut files: BTreeMap<usize, Vec<&MountEntry>> = BTreeMap::new();
    for entry in entries {
        if let Node::File(content) = entry.node {
            files.entry(content).or_default().push(entry);
        }
    }
    let first = |content: usize| files.get(&content).map(|entries| entries[0]);
    let one = |pack: usize| {
        let mut inside = Inside::new(directory)?;
        let contents = manifest.contents_of(pack);
        open(&manifest.packs[pack], &mut |bytes| {
            let mut plain = Plain { bytes: zstd::Decoder::new(bytes)?, position: 0 };
            for content in &contents {
                check()?;
                let Some(entry) = first(*content) else { continue };
                plain.skip_to(manifest.places[*content].1)?;
                let mut file = create(&mut inside, &entry.path)?;
                plain.copy(manifest.files.contents[*content], &mut file)?;
                apply(entry, &file, owners)?;
            }
            Ok(())
        })
    };
    in_parallel(manifest.packs.len(), &one)?;
    for (content, entries) in &files {
        // An empty one is in no pack.
        let made = usize::from(manifest.files.contents[*content].size > 0);
        for entry in &entries[made..] {
            let mut file = create(&mut inside, &entry.path)?;
            if made > 0 {
                let source = inside.open(&entries[0].path, OFlags::RDONLY)?;
                // As a stream: to copy it in the kernel, as files are, waits for a small file's disk.
                io::copy(&mut (&mut File::from(source) as &mut dyn Read), &mut file)?;
            }
            apply(entry, &file, owners)?;
        }
    }
    for entry in entries {
        check()?;
        match &entry.node {
            Node::HardLink(to) => {
                let (parent, name) = inside.parent(&entries[*to].path)?;
                let from = parent.try_clone_to_owned()?;
                let (parent, new) = inside.parent(&entry.path)?;
                linkat(from, name, parent, new, AtFlags::empty())?;
            }
            Node::Symlink(target) => symlink(&mut inside, entry, target, owners)?,
            Node::File(_) | Node::Directory => {}
        }
    }
    // What comes into a directory changes its time, so the deepest are done first, and all at last.
    for entry in entries.iter().rev().filter(|entry| entry.node == Node::Directory) {
        let opened = inside.open(&entry.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        apply(entry, &File::from(opened), owners)?;
    }
    Ok(ChangeTime::of(&rustix::fs::fstat(inside.root())?))
}

/// Calls `work` with each number below `count`; the first error.
fn in_parallel(count: usize, work: &(dyn Fn(usize) -> io::Result<()> + Sync)) -> io::Result<()> {
    let next = AtomicUsize::new(0);
    let take = || loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok(());
        }
        work(number).inspect_err(|_| next.store(count, Ordering::Relaxed))?;
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count.min(THREADS)).map(|_| scope.spawn(take)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

/// The unpacked bytes of a pack.
struct Plain<R> {
    bytes: R,
    position: u64,
}

impl<R: Read> Plain<R> {
    fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        let skip = offset.checked_sub(self.position).ok_or_else(not_as_told)?;
        let skipped = io::copy(&mut self.bytes.by_ref().take(skip), &mut io::sink())?;
        self.position += skipped;
        if skipped == skip { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn copy(&mut self, content: Content, file: &mut File) -> io::Result<()> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = [0; BUFFER];
        let mut left = content.size;
        while left > 0 {
            let wanted = BUFFER.min(usize::try_from(left).unwrap_or(BUFFER));
            let read = self.bytes.read(&mut buffer[..wanted])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.update(&buffer[..read]);
            file.write_all(&buffer[..read])?;
            left -= read as u64;
        }
        self.position += content.size;
        if ContentSum::from(&hasher) == content.sum { Ok(()) } else { Err(not_as_told()) }
    }
}

fn not_as_told() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it does not hold what its manifest says")
}

fn create(inside: &mut Inside, path: &[u8]) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (parent, name) = inside.parent(path)?;
    Ok(openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

fn mtime(entry: &MountEntry) -> Timespec {
    Timespec { tv_sec: entry.mtime.0, tv_nsec: entry.mtime.1.into() }
}

fn apply(entry: &MountEntry, file: &File, owners: bool) -> io::Result<()> {
    let MountEntry { mode, uid, gid, .. } = *entry;
    let xattrs = entry.xattrs.iter().map(|Xattr(name, value)| (name[..].into(), value[..].into()));
    let xattrs: Xattrs = xattrs.collect();
    let metadata = Metadata { mode, uid, gid, mtime: mtime(entry), xattrs: &xattrs };
    Ok(metadata.apply(file.as_fd(), owners)?)
}

fn symlink(inside: &mut Inside, entry: &MountEntry, target: &[u8], owners: bool) -> io::Result<()> {
    let (parent, name) = inside.parent(&entry.path)?;
    symlinkat(target, parent, name)?;
    if owners {
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    let times = Timestamps { last_access: mtime(entry), last_modification: mtime(entry) };
    Ok(utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
