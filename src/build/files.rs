//! The files of a stage or an image: its layers, their merged tree, and how content is opened
//! without unpacking what nobody reads.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::images::Images;
use super::layers::{self, AtHand, StageLayer};
use super::session::Session;
use crate::error::Error;
use crate::plan::ImageId;
use crate::tree::{Changes, Kind, Tree, TreePath};

/// Layers, the lowest first, and what they make together.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) layers: Vec<StageLayer>,
    pub(super) tree: Tree,
}

impl Files {
    pub(super) fn empty() -> Self {
        Self { layers: Vec::new(), tree: Tree::new() }
    }

    /// Merges the tables of contents of `layers`; fetches none of their content.
    pub(super) fn of(
        session: &Session<'_>,
        images: &Images,
        layers: Vec<StageLayer>,
    ) -> Result<Self, Error> {
        let contents = super::in_parallel(session.request.threads, &layers, |layer| {
            layers::contents(session, images, layer)
        })?;
        let mut files = Self::empty();
        for (layer, changes) in layers.into_iter().zip(contents) {
            files.push(layer, &changes);
        }
        Ok(files)
    }

    pub(super) fn of_image(
        session: &Session<'_>,
        images: &Images,
        image: ImageId,
    ) -> Result<Self, Error> {
        Self::of(session, images, layers::of_image(images, image))
    }

    /// Lays a layer on top.
    pub(super) fn push(&mut self, layer: StageLayer, changes: &Changes) {
        let position = u32::try_from(self.layers.len()).unwrap_or(u32::MAX);
        self.tree.apply(changes, position);
        self.layers.push(layer);
    }

    /// Makes ready to open `paths`. What is in a directory or was made by this build is opened where
    /// it is; of other layers just these paths are unpacked.
    pub(super) fn reader<'p>(
        &self,
        session: &Session<'_>,
        images: &Images,
        paths: impl Iterator<Item = &'p TreePath>,
    ) -> Result<FilesReader, Error> {
        let mut wanted: BTreeMap<u32, BTreeSet<TreePath>> = BTreeMap::new();
        for path in paths {
            if let Some(entry) = self.tree.get(path)
                && matches!(entry.kind, Kind::File(_))
            {
                wanted.entry(entry.layer).or_default().insert(path.clone());
            }
        }
        let mut places = BTreeMap::new();
        for (position, paths) in wanted {
            let layer = &self.layers[position as usize];
            let at_hand = match layers::at_hand(session, layer) {
                Some(at_hand) => at_hand,
                None => {
                    let target = session.scratch_directory()?;
                    layers::extract(session, images, layer, &paths, &target)?;
                    AtHand::Directory(target)
                }
            };
            places.extend(paths.into_iter().map(|path| (path, at_hand.clone())));
        }
        Ok(FilesReader { places })
    }

    /// The content of a small file such as `/etc/passwd`, links followed; empty where there is none.
    pub(super) fn small_file(
        &self,
        session: &Session<'_>,
        images: &Images,
        path: &str,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let Ok(path) = self.tree.resolve(path.as_bytes(), true) else { return Ok(Vec::new()) };
        match self.tree.get(&path) {
            Some(entry) if matches!(entry.kind, Kind::File(_)) => {}
            _ => return Ok(Vec::new()),
        }
        let reader = self.reader(session, images, std::iter::once(&path))?;
        let mut bytes = Vec::new();
        reader
            .open(&path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|e| Error::build(format!("/{}: {e}", String::from_utf8_lossy(&path))))?;
        Ok(bytes)
    }

    /// Directories that a layer of this list changes something in without listing them. Such a
    /// layer, unpacked on its own, has them with no particular mode and owner, and the topmost
    /// directory is the one that overlayfs shows.
    pub(super) fn unlisted_directories(
        &self,
        session: &Session<'_>,
        images: &Images,
    ) -> Result<BTreeSet<TreePath>, Error> {
        let mut unlisted = BTreeSet::new();
        for layer in &self.layers {
            let contents = layers::contents(session, images, layer)?;
            let listed: BTreeSet<&[u8]> =
                contents.changes.iter().map(|(p, _)| p.as_ref()).collect();
            for (path, _) in &contents.changes {
                let mut rest: &[u8] = path;
                while let Some(end) = rest.iter().rposition(|b| *b == b'/') {
                    rest = &rest[..end];
                    if !listed.contains(rest) && !unlisted.insert(TreePath::from(rest)) {
                        break;
                    }
                }
            }
            for path in listed {
                unlisted.remove(path);
            }
        }
        unlisted.retain(|path| self.tree.get(path).is_some_and(|e| e.kind == Kind::Directory));
        Ok(unlisted)
    }
}

/// Opens files of layers; see [`Files::reader`].
#[derive(Clone, Debug)]
pub(super) struct FilesReader {
    places: BTreeMap<TreePath, AtHand>,
}

impl FilesReader {
    pub(super) fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + Send>> {
        match self.places.get(path) {
            Some(place) => place.open(path),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "this file was not asked for when the reader was made",
            )),
        }
    }
}

/// A directory with nothing but `unlisted` directories, with the modes and owners that they have in
/// the merged tree: the topmost lower directory of a mount.
pub(super) fn write_directories(
    files: &Files,
    unlisted: &BTreeSet<TreePath>,
    target: &std::path::Path,
) -> Result<(), Error> {
    let changes = unlisted
        .iter()
        .filter_map(|path| {
            Some((path.clone(), crate::tree::Change::Set(files.tree.get(path)?.clone())))
        })
        .collect();
    layers::unpack_changes(&Changes { changes }, target)
}
