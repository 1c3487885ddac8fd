//! A list of changes → the tar of a layer.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use blake3::Hasher;

use super::contents::{file_of, is_reserved, opaque, whiteout};
use super::error::{Found, LayerError, Result, shown};
use super::pieces::Pieces;
use super::tar::{TarEntry, TarKind, TarWriter};
use crate::digest::ContentSum;
use crate::tree::{Change, Changes, Entry, FileInfo, Kind, TreePath, Xattrs};

/// The content of `changes[i]`, opened when its turn comes.
pub type Open<'a> = dyn FnMut(usize) -> io::Result<Box<dyn Read + Send>> + 'a;

/// A piece of a file's content on its way into a layer.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Where in the content it starts.
    pub start: u64,
    pub bytes: &'a [u8],
}

/// Sees the content of files, one after another, each from its start to its end. The first piece has
/// many bytes unless the file is small, and a file without any is not seen.
pub type Look<'a> = dyn FnMut(&TreePath, &Entry, Piece) + 'a;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// No time is later than this, in seconds since 1970 (`rewrite-timestamp`, L-056).
    pub latest_mtime: Option<i64>,
}

/// Writes the tar of `changes`, which are sorted, and gives them back as written: with the sums of
/// the files, the times clamped, and without sockets, which no layer can hold. Of a group of hard
/// links only the first is opened. A file that is not what its entry states is an error.
pub fn write_layer(
    changes: &Changes,
    open: &mut Open,
    options: &WriteOptions,
    out: &mut dyn Write,
) -> Result<Changes> {
    write_layer_with(changes, open, options, &mut |_, _, _| {}, out)
}

/// As [`write_layer`], and `look` sees what is read anyway.
pub fn write_layer_with(
    changes: &Changes,
    open: &mut Open,
    options: &WriteOptions,
    look: &mut Look,
    out: &mut dyn Write,
) -> Result<Changes> {
    let mut tar = TarWriter::new(out);
    let mut written = Vec::with_capacity(changes.changes.len());
    let mut links: HashMap<u64, (TreePath, ContentSum)> = HashMap::new();
    let mut last: Option<(&TreePath, u8)> = None;
    let mut pieces = Pieces::new();
    for (index, (path, change)) in changes.changes.iter().enumerate() {
        let place = (path, rank(change));
        if last.is_some_and(|last| last >= place) {
            return Err(LayerError::Unsorted { path: shown(path) });
        }
        last = Some(place);
        let mut change = change.clone();
        match &mut change {
            Change::Remove => tar.entry(&mark(whiteout(path)))?,
            Change::Opaque => tar.entry(&mark(opaque(path)))?,
            Change::Set(Entry { kind: Kind::Socket, .. }) => continue,
            Change::Set(_) if is_reserved(path) => {
                return Err(LayerError::ReservedName { path: shown(path) });
            }
            Change::Link(_) => return Err(LayerError::LowerLink { path: shown(path) }),
            Change::Set(entry) => {
                if let Some(latest) = options.latest_mtime {
                    entry.mtime = entry.mtime.min(latest);
                }
                let group = match &entry.kind {
                    Kind::File(FileInfo { link: Some(link), .. }) => Some(*link),
                    _ => None,
                };
                let first = group.and_then(|group| links.get(&group));
                tar.entry(&header(path, entry, first.map(|(target, _)| target)))?;
                let sum = match (&entry.kind, first) {
                    (_, Some((_, sum))) => Some(*sum),
                    (Kind::File(file), None) => {
                        let content = open(index).map_err(|source| at("open", path, source))?;
                        let look = &mut |piece: Piece| look(path, entry, piece);
                        let sum = copy(path, file, content, &mut pieces, look, tar.body())?;
                        tar.end_body()?;
                        Some(sum)
                    }
                    _ => None,
                };
                if let (Some(group), Some(sum)) = (group, sum) {
                    links.entry(group).or_insert((path.clone(), sum));
                }
                if let (Some(file), Some(sum)) = (file_of(&mut change), sum) {
                    file.digest = Some(sum);
                }
            }
        }
        written.push((path.clone(), change));
    }
    tar.finish()?;
    Ok(Changes { changes: written })
}

/// Order of the changes of one path.
pub(super) fn rank(change: &Change) -> u8 {
    match change {
        Change::Remove => 0,
        Change::Set(_) | Change::Link(_) => 1,
        Change::Opaque => 2,
    }
}

fn at(action: &'static str, path: &[u8], source: io::Error) -> LayerError {
    LayerError::At { action, path: shown(path), source }
}

/// An empty file whose name is all that counts.
fn mark(path: Vec<u8>) -> TarEntry {
    let kind = TarKind::File { size: 0 };
    let path = path.into();
    TarEntry { path, kind, mode: 0, uid: 0, gid: 0, mtime: 0, xattrs: Xattrs::new() }
}

/// The header of an entry, as a hard link if `target` is given.
pub(super) fn header(path: &[u8], entry: &Entry, target: Option<&TreePath>) -> TarEntry {
    let kind = match (&entry.kind, target) {
        (_, Some(target)) => TarKind::HardLink((**target).into()),
        (Kind::File(file), None) => TarKind::File { size: file.size },
        (Kind::Symlink(target), None) => TarKind::Symlink(target.clone()),
        (Kind::Directory, None) => TarKind::Directory,
        (Kind::CharDevice { major, minor }, None) => {
            TarKind::CharDevice { major: *major, minor: *minor }
        }
        (Kind::BlockDevice { major, minor }, None) => {
            TarKind::BlockDevice { major: *major, minor: *minor }
        }
        (Kind::Fifo | Kind::Socket, None) => TarKind::Fifo,
    };
    let path = match (&kind, path) {
        (TarKind::Directory, b"") => b"./".to_vec(),
        (TarKind::Directory, path) => [path, b"/"].concat(),
        (_, path) => path.to_vec(),
    };
    // Those of the file it is linked to are its own.
    let xattrs = if target.is_some() { Xattrs::new() } else { entry.xattrs.clone() };
    let Entry { mode, uid, gid, mtime, .. } = *entry;
    TarEntry { path: path.into(), kind, mode, uid, gid, mtime, xattrs }
}

/// Copies the content of one file, which must be as long as `file` states and, where that is
/// known, have its sum.
pub(super) fn copy(
    path: &[u8],
    file: &FileInfo,
    mut content: impl Read,
    pieces: &mut Pieces,
    look: &mut dyn FnMut(Piece),
    out: &mut dyn Write,
) -> Result<ContentSum> {
    let mut hasher = Hasher::new();
    let mut copied = 0;
    let changed = |found| LayerError::FileChanged { path: shown(path), stated: file.size, found };
    loop {
        let piece = pieces.next(&mut content).map_err(|error| at("read", path, error))?;
        if piece.is_empty() {
            break;
        }
        copied += piece.len() as u64;
        if copied > file.size {
            return Err(changed(Found::More));
        }
        look(Piece { start: copied - piece.len() as u64, bytes: piece });
        hasher.update(piece);
        out.write_all(piece)?;
    }
    if copied < file.size {
        return Err(changed(Found::Exactly(copied)));
    }
    let sum = ContentSum::from(&hasher);
    match file.digest {
        Some(expected) if expected != sum => {
            Err(LayerError::ContentChanged { path: shown(path), expected, found: sum })
        }
        _ => Ok(sum),
    }
}
