//! The files of a stage or an image: its layers, their merged tree, and how content is opened
//! without unpacking what nobody reads.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;

use super::images::Images;
use super::layers::{self, AtHand, StageLayer};
use super::session::Session;
use crate::error::Error;
use crate::layer::{LayerError, Origin};
use crate::plan::ImageId;
use crate::tree::{Change, Changes, Entry, Kind, Tree, TreePath};

/// Layers, the lowest first, and what they make together.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) layers: Vec<StageLayer>,
    pub(super) tree: Tree,
    /// What is a hard link to a file of a lower layer, the layer of the link, and where its file
    /// stands; also links that a higher layer covers.
    links: BTreeMap<TreePath, (u32, Origin)>,
}

impl Files {
    pub(super) fn empty() -> Self {
        Self { layers: Vec::new(), tree: Tree::new(), links: BTreeMap::new() }
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
            files
                .push(layer.clone(), &changes)
                .map_err(|error| layers::naming_base(session, images, &layer, error))?;
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
    ///
    /// # Errors
    /// When a hard link of it leads nowhere.
    pub(super) fn push(&mut self, layer: StageLayer, changes: &Changes) -> Result<(), Error> {
        let position = u32::try_from(self.layers.len()).unwrap_or(u32::MAX);
        let mut links = Vec::new();
        for (path, target) in changes.lower_links() {
            let Some((origin, entry)) = self.tree.link_target(target) else {
                return Err(LayerError::lower_link_target(path, target).into());
            };
            let origin = self.origin(&origin).cloned().unwrap_or_else(|| own(origin, entry));
            links.push((path.clone(), (position, origin)));
        }
        self.tree.apply(changes, position);
        self.links.extend(links);
        self.layers.push(layer);
        Ok(())
    }

    /// Where the file at `path` stands, if it is a hard link to one of a lower layer.
    pub(super) fn origin(&self, path: &[u8]) -> Option<&Origin> {
        let (layer, origin) = self.links.get(path)?;
        (self.tree.get(path)?.layer == *layer).then_some(origin)
    }

    /// All that [`Files::origin`] knows.
    fn lower_links(&self) -> impl Iterator<Item = &TreePath> {
        self.links.keys().filter(|path| self.origin(path).is_some())
    }

    /// Makes ready to open `paths`. What is in a directory or was made by this build is opened where
    /// it is; of other layers just these paths are unpacked.
    pub(super) fn reader<'p>(
        &self,
        session: &Session<'_>,
        images: &Images,
        paths: impl Iterator<Item = &'p TreePath>,
    ) -> Result<FilesReader, Error> {
        let mut wanted: BTreeMap<u32, BTreeMap<TreePath, TreePath>> = BTreeMap::new();
        for path in paths {
            if let Some(entry) = self.tree.get(path)
                && matches!(entry.kind, Kind::File(_))
            {
                let origin = self.origin(path).cloned();
                let Origin { layer, path: origin, .. } =
                    origin.unwrap_or_else(|| own(path.clone(), entry));
                wanted.entry(layer).or_default().insert(path.clone(), origin);
            }
        }
        let mut places = BTreeMap::new();
        for (position, paths) in wanted {
            let layer = &self.layers[position as usize];
            let at_hand = match layers::at_hand(session, layer) {
                Some(at_hand) => at_hand,
                None => {
                    let target = session.scratch_directory()?;
                    let origins = paths.values().cloned().collect();
                    layers::extract(session, images, layer, &origins, &target)?;
                    AtHand::Directory(target)
                }
            };
            let placed = |(path, origin)| (path, (at_hand.clone(), origin));
            places.extend(paths.into_iter().map(placed));
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

    /// Writes into `target` what no layer shows when it is unpacked on its own, as it is in the
    /// merged tree: to be the topmost lower directory of a mount. Whether there is anything.
    pub(super) fn write_top(
        &self,
        session: &Session<'_>,
        images: &Images,
        target: &Path,
    ) -> Result<bool, Error> {
        let mut top = self.unlisted_directories(session, images)?;
        top.extend(self.lower_links().cloned());
        let set = |path: &TreePath| Some((path.clone(), Change::Set(self.tree.get(path)?.clone())));
        let changes: Vec<_> = top.iter().filter_map(set).collect();
        if changes.is_empty() {
            return Ok(false);
        }
        let reader = self.reader(session, images, self.lower_links())?;
        let paths: Vec<TreePath> = changes.iter().map(|(path, _)| path.clone()).collect();
        let open = move |position: usize| reader.open(&paths[position]);
        layers::unpack_changes(&Changes { changes }, &open, target)?;
        Ok(true)
    }

    /// Directories that a layer of this list changes something in without listing them. Such a
    /// layer, unpacked on its own, has them with no particular mode and owner, and the topmost
    /// directory is the one that overlayfs shows. With them those above hard links to lower files.
    fn unlisted_directories(
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
                for above in above(path).filter(|above| !listed.contains(above)) {
                    if !unlisted.insert(TreePath::from(above)) {
                        break;
                    }
                }
            }
            for path in listed {
                unlisted.remove(path);
            }
        }
        for path in self.lower_links() {
            unlisted.extend(above(path).map(TreePath::from));
        }
        unlisted.retain(|path| self.tree.get(path).is_some_and(|e| e.kind == Kind::Directory));
        Ok(unlisted)
    }
}

/// Opens files of layers; see [`Files::reader`].
#[derive(Clone, Debug)]
pub(super) struct FilesReader {
    /// Each with its own path there.
    places: BTreeMap<TreePath, (AtHand, TreePath)>,
}

impl FilesReader {
    pub(super) fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + Send>> {
        match self.places.get(path) {
            Some((place, origin)) => place.open(origin),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "this file was not asked for when the reader was made",
            )),
        }
    }
}

/// Of a file that its layer has itself.
fn own(path: TreePath, entry: &Entry) -> Origin {
    let link = if let Kind::File(file) = &entry.kind { file.link } else { None };
    Origin { layer: entry.layer, path, link }
}

/// The directories above `path` but for the root, the nearest first.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(end, _)| &path[..end])
}
