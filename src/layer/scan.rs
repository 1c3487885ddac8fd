//! Reading a layer or archive once: its table of contents, and where its entries go meanwhile.

use std::io::{self, BufRead, Read};
use std::ops::Range;

use blake3::Hasher;

use super::contents::{Contents, Dialect, Member, with_digest};
use super::error::Result;
use super::pieces::Pieces;
use super::tar::TarReader;
use crate::digest::ContentSum;
use crate::tree::{Changes, Entry, Kind, TreePath};

/// The table of contents of a layer with the sums of its files, from its uncompressed tar. Reads
/// to the end of `tar`; memory grows with the number of entries, not with their size.
pub fn scan_layer(tar: impl Read) -> Result<Changes> {
    Ok(read(tar, Dialect::Layer, &mut Nowhere)?.finish())
}

/// What is shown of a file while its layer is read.
pub struct Shown<'a> {
    /// Where in the tar the content starts.
    pub start: u64,
    /// May be read as far as wanted.
    pub content: &'a mut dyn Read,
}

/// As [`scan_layer`], and `look` sees every file on the way.
pub fn scan_layer_with(
    tar: impl Read,
    look: &mut dyn FnMut(&TreePath, &Entry, Shown) -> io::Result<()>,
) -> Result<Changes> {
    Ok(read(tar, Dialect::Layer, &mut Looking(look))?.finish())
}

struct Looking<'a>(&'a mut dyn FnMut(&TreePath, &Entry, Shown) -> io::Result<()>);

impl Destination for Looking<'_> {
    fn implied(&mut self, _: &TreePath) -> Result<()> {
        Ok(())
    }

    fn clear(&mut self, _: &TreePath) -> Result<()> {
        Ok(())
    }

    fn entry(&mut self, path: &TreePath, entry: &Entry, content: &mut Content) -> Result<()> {
        if matches!(entry.kind, Kind::File(_)) {
            (self.0)(path, entry, Shown { start: content.start, content })?;
        }
        Ok(())
    }

    fn hard_link(&mut self, _: &TreePath, _: &TreePath, _: &Entry) -> Result<()> {
        Ok(())
    }
}

/// Where the entries of an archive go while it is read. Paths are resolved: nothing above one is a
/// link, and all above it was given before.
pub(super) trait Destination {
    /// A directory that the archive has no entry for.
    fn implied(&mut self, path: &TreePath) -> Result<()>;
    /// What was at `path` makes room for something of another kind, with all below it.
    fn clear(&mut self, path: &TreePath) -> Result<()>;
    fn entry(&mut self, path: &TreePath, entry: &Entry, content: &mut Content) -> Result<()>;
    fn hard_link(&mut self, path: &TreePath, target: &TreePath, entry: &Entry) -> Result<()>;
    /// Whether the rest of the archive can be left unread.
    fn is_complete(&self) -> bool {
        false
    }
}

/// The content of one file, summed as it is read.
pub(super) struct Content<'a> {
    body: &'a mut dyn Read,
    hasher: Hasher,
    pieces: &'a mut Pieces,
    /// Of the current piece, what was not read yet.
    unread: Range<usize>,
    /// See [`Shown::start`].
    start: u64,
}

impl Content<'_> {
    /// Reads what is left, and gives the sum of all.
    pub(super) fn sum(&mut self) -> io::Result<ContentSum> {
        loop {
            let left = self.fill_buf()?.len();
            if left == 0 {
                return Ok((&self.hasher).into());
            }
            self.consume(left);
        }
    }
}

impl BufRead for Content<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.unread.is_empty() {
            let piece = self.pieces.next(self.body)?;
            self.hasher.update(piece);
            self.unread = 0..piece.len();
        }
        Ok(self.pieces.get(self.unread.clone()))
    }

    fn consume(&mut self, bytes: usize) {
        self.unread.start += bytes;
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// Reads the archive into `destination`, to the end of its bytes unless that is complete before.
pub(super) fn read(
    tar: impl Read,
    dialect: Dialect,
    destination: &mut dyn Destination,
) -> Result<Contents> {
    let mut tar = TarReader::new(tar);
    let mut contents = Contents::new(dialect);
    let mut pieces = Pieces::new();
    while let Some(entry) = tar.next()? {
        match contents.member(entry)? {
            Member::Ignored => {}
            Member::Set(path, entry) => {
                imply_parents(&mut contents, &path, destination)?;
                let directory = entry.kind == Kind::Directory;
                make_room(&mut contents, &path, directory, destination)?;
                let mut content = Content {
                    start: tar.position(),
                    body: &mut tar.body(),
                    hasher: Hasher::new(),
                    pieces: &mut pieces,
                    unread: 0..0,
                };
                destination.entry(&path, &entry, &mut content)?;
                let entry = match entry.kind {
                    Kind::File(_) => with_digest(entry, content.sum()?),
                    _ => entry,
                };
                contents.set(path, entry);
            }
            Member::HardLink { path, target } => {
                imply_parents(&mut contents, &path, destination)?;
                let Some(entry) = contents.entry(&target).cloned() else { continue };
                make_room(&mut contents, &path, false, destination)?;
                destination.hard_link(&path, &target, &entry)?;
                contents.link(path, &target);
            }
            Member::LowerLink { path, target } => {
                imply_parents(&mut contents, &path, destination)?;
                make_room(&mut contents, &path, false, destination)?;
                contents.link_lower(&path, target);
            }
            Member::Remove(path) => {
                imply_parents(&mut contents, &path, destination)?;
                contents.remove(&path);
            }
            Member::Opaque(path) => {
                imply_parents(&mut contents, &path, destination)?;
                if contents.is_directory(&path).is_none() {
                    contents.imply(&path);
                    destination.implied(&path)?;
                }
                contents.make_opaque(&path);
            }
        }
        if destination.is_complete() {
            return Ok(contents);
        }
    }
    tar.drain()?;
    Ok(contents)
}

fn imply_parents(
    contents: &mut Contents,
    path: &TreePath,
    destination: &mut dyn Destination,
) -> Result<()> {
    contents.imply_parents(path).iter().try_for_each(|parent| destination.implied(parent))
}

/// The later of two entries of one path counts; only a directory over a directory keeps what is in.
fn make_room(
    contents: &mut Contents,
    path: &TreePath,
    directory: bool,
    destination: &mut dyn Destination,
) -> Result<()> {
    match contents.is_directory(path) {
        None => Ok(()),
        Some(true) if directory => Ok(()),
        Some(_) => {
            contents.forget(path);
            destination.clear(path)
        }
    }
}

/// Keeps nothing but the table of contents.
struct Nowhere;

impl Destination for Nowhere {
    fn implied(&mut self, _: &TreePath) -> Result<()> {
        Ok(())
    }

    fn clear(&mut self, _: &TreePath) -> Result<()> {
        Ok(())
    }

    fn entry(&mut self, _: &TreePath, _: &Entry, _: &mut Content) -> Result<()> {
        Ok(())
    }

    fn hard_link(&mut self, _: &TreePath, _: &TreePath, _: &Entry) -> Result<()> {
        Ok(())
    }
}
