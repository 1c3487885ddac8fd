//! Reading a layer or archive once: its table of contents, and where its entries go meanwhile.

use std::io::{self, Read};

use blake3::Hasher;

use super::contents::{Contents, Dialect, Member, with_digest};
use super::error::Result;
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
    /// Bytes of the tar that were taken from the source already and lie from here on: the content
    /// starts this many bytes before the source's position.
    pub ahead: u64,
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
            let ahead = content.ahead;
            (self.0)(path, entry, Shown { ahead, content })?;
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
    /// See [`Shown::ahead`].
    ahead: u64,
}

impl Content<'_> {
    /// Reads what is left, and gives the sum of all.
    pub(super) fn sum(&mut self) -> io::Result<ContentSum> {
        let mut buffer = [0; 1 << 15];
        while self.read(&mut buffer)? > 0 {}
        Ok((&self.hasher).into())
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.body.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    let read = read?;
                    self.hasher.update(&buffer[..read]);
                    return Ok(read);
                }
            }
        }
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
    while let Some(entry) = tar.next()? {
        match contents.member(entry)? {
            Member::Ignored => {}
            Member::Set(path, entry) => {
                imply_parents(&mut contents, &path, destination)?;
                let directory = entry.kind == Kind::Directory;
                make_room(&mut contents, &path, directory, destination)?;
                let ahead = tar.ahead();
                let mut content = Content { body: &mut tar.body(), hasher: Hasher::new(), ahead };
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
