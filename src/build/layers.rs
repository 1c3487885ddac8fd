//! Layers while a build has to do with them: a table of contents, a directory and a blob, each made
//! when somebody asks for it, and at most once.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use super::images::{BaseImage, Images, Origin};
use super::session::Session;
use super::slot::Slot;
use crate::cache::{Record, RecordLayer, StoredBlob};
use crate::digest::{DiffId, Digest};
use crate::error::Error;
use crate::image::Descriptor;
use crate::layer;
use crate::plan::ImageId;
use crate::tree::{Changes, TreePath};

/// What is known of a layer when its last byte has been compressed.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub(super) diff_id: DiffId,
    /// Of the compressed blob.
    pub(super) descriptor: Descriptor,
}

/// Opens the content of the change at a position of a layer's list.
pub(super) type Open = dyn Fn(usize) -> io::Result<Box<dyn Read + Send>> + Send + Sync;

/// A layer of a stage; cheap to clone.
#[derive(Clone)]
pub(super) struct StageLayer(Arc<Inner>);

struct Inner {
    source: Source,
    /// Seconds since 1970; `None` for a layer of a base image.
    created: Option<i64>,
    finished: Slot<Finished>,
    contents: OnceLock<Arc<Changes>>,
    directory: Mutex<Option<PathBuf>>,
}

enum Source {
    /// A layer of an image that the plan names.
    Base(ImageId),
    /// The blob is in the local store.
    Stored,
    /// Made by this build: where each change's bytes are.
    Built(Arc<Open>),
}

impl std::fmt::Debug for StageLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StageLayer").field("finished", &self.0.finished).finish_non_exhaustive()
    }
}

impl StageLayer {
    fn known(source: Source, finished: Finished, created: Option<i64>) -> Self {
        Self(Arc::new(Inner {
            source,
            created,
            finished: Slot::of(finished),
            contents: OnceLock::new(),
            directory: Mutex::new(None),
        }))
    }

    /// A layer that has just been made: `changes`, and where their bytes are. `directory` is the
    /// upper directory of a RUN.
    pub(super) fn built(
        changes: Arc<Changes>,
        open: Arc<Open>,
        directory: Option<PathBuf>,
        created: i64,
    ) -> Self {
        Self(Arc::new(Inner {
            source: Source::Built(open),
            created: Some(created),
            finished: Slot::empty(),
            contents: OnceLock::from(changes),
            directory: Mutex::new(directory),
        }))
    }

    /// Waits until the layer is compressed.
    pub(super) fn finished(&self) -> Result<Finished, Error> {
        self.0.finished.wait()
    }

    pub(super) fn finish(&self, result: Result<Finished, Error>) {
        self.0.finished.set(result);
    }

    /// What a layer of this build consists of.
    pub(super) fn made(&self) -> Option<(Arc<Changes>, Arc<Open>)> {
        match (&self.0.source, self.0.contents.get()) {
            (Source::Built(open), Some(contents)) => Some((Arc::clone(contents), Arc::clone(open))),
            _ => None,
        }
    }

    pub(super) fn created(&self) -> Option<i64> {
        self.0.created
    }

    /// The image that the layer comes from.
    pub(super) fn base(&self) -> Option<ImageId> {
        match self.0.source {
            Source::Base(image) => Some(image),
            Source::Stored | Source::Built(_) => None,
        }
    }
}

/// The layers of an image, none of which is fetched.
pub(super) fn of_image(images: &Images, id: ImageId) -> Vec<StageLayer> {
    let image = &images[id.0];
    let pairs = image.manifest.layers.iter().zip(&image.config.rootfs.diff_ids);
    pairs
        .map(|(descriptor, diff_id)| {
            let finished = Finished { diff_id: *diff_id, descriptor: descriptor.clone() };
            StageLayer::known(Source::Base(id), finished, None)
        })
        .collect()
}

/// The layers of a record. `None` where one of them can't be had any more: the record is a miss.
pub(super) fn of_record(
    session: &Session<'_>,
    images: &Images,
    record: &Record,
) -> Option<Vec<StageLayer>> {
    let layer = |layer: &RecordLayer| {
        let finished = Finished { diff_id: layer.diff_id, descriptor: layer.descriptor.clone() };
        let digest = layer.descriptor.digest;
        let base = images
            .iter()
            .position(|image| image.manifest.layers.iter().any(|d| d.digest == digest));
        let source = match base {
            Some(image) if layer.created.is_none() => Source::Base(ImageId(image)),
            _ => {
                session.blob(&digest).filter(|b| b.size == layer.descriptor.size)?;
                Source::Stored
            }
        };
        Some(StageLayer::known(source, finished, layer.created))
    };
    record.layers.iter().map(layer).collect()
}

/// The table of contents of a layer. A base's is kept in the local store; the first time it is read
/// off the stream, which is not written anywhere unless `keep_blobs` says so.
pub(super) fn contents(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
) -> Result<Arc<Changes>, Error> {
    if let Some(contents) = layer.0.contents.get() {
        return Ok(Arc::clone(contents));
    }
    // The lock is also the one under which the directory is made, which yields the contents too.
    let _making = layer.0.directory.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(contents) = layer.0.contents.get() {
        return Ok(Arc::clone(contents));
    }
    let finished = layer.finished()?;
    let contents = match session.tree(&finished.diff_id) {
        Some(contents) => contents,
        None => {
            let contents = read_through(session, images, layer, |tar| Ok(layer::scan_layer(tar)?))?;
            session.store.keep_tree(&finished.diff_id, &contents).map_err(Error::build)?;
            contents
        }
    };
    Ok(Arc::clone(layer.0.contents.get_or_init(|| Arc::new(contents))))
}

/// The layer as a directory for overlayfs.
pub(super) fn directory(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
) -> Result<PathBuf, Error> {
    let mut directory = layer.0.directory.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = &*directory {
        return Ok(path.clone());
    }
    let path = match &layer.0.source {
        Source::Built(open) => {
            let target = session.scratch_directory()?;
            let changes = layer.0.contents.get().map_or_else(Arc::default, Arc::clone);
            unpack_built(&changes, &**open, &target)?;
            target
        }
        Source::Base(_) | Source::Stored => {
            let finished = layer.finished()?;
            match session.store.unpacked(&finished.diff_id) {
                Some(path) => path,
                None => {
                    let target = session.scratch_directory()?;
                    let contents = read_through(session, images, layer, |tar| {
                        Ok(layer::unpack(tar, &target, &layer::UnpackOptions::default())?)
                    })?;
                    session.store.keep_tree(&finished.diff_id, &contents).map_err(Error::build)?;
                    layer.0.contents.get_or_init(|| Arc::new(contents));
                    session.store.keep_unpacked(&target, &finished.diff_id).map_err(Error::build)?
                }
            }
        }
    };
    *directory = Some(path.clone());
    Ok(path)
}

/// Directories of all `layers`, the lowest first, made in parallel: each is independent.
pub(super) fn directories(
    session: &Session<'_>,
    images: &Images,
    layers: &[StageLayer],
) -> Result<Vec<PathBuf>, Error> {
    super::in_parallel(session.request.threads, layers, |layer| directory(session, images, layer))
}

/// The layer as a blob file in the local store.
pub(super) fn blob(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
) -> Result<StoredBlob, Error> {
    let finished = layer.finished()?;
    if let Some(blob) = session.blob(&finished.descriptor.digest) {
        return Ok(blob);
    }
    let Source::Base(image) = layer.0.source else {
        return Err(lost(&finished.descriptor.digest));
    };
    fetch(session, &images[image.0], &finished.descriptor)
        .map_err(|error| naming_base(session, images, layer, error))
}

/// A layer that this or another build has made, and that is nowhere.
pub(super) fn lost(digest: &Digest) -> Error {
    Error::build(format!("the local store has lost the layer {digest}"))
        .hinted("Build again; if it happens again, run `plimsoll cache prune`.")
}

/// How files of a layer are opened without fetching anything.
#[derive(Clone, Debug)]
pub(super) enum AtHand {
    Built(StageLayer),
    Directory(PathBuf),
}

impl AtHand {
    pub(super) fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Directory(directory) => Ok(Box::new(layer::open_inside(directory, path)?)),
            Self::Built(built) => {
                let (Source::Built(open), Some(contents)) =
                    (&built.0.source, built.0.contents.get())
                else {
                    return Err(io::Error::other("a layer that this build has not made"));
                };
                contents
                    .changes
                    .binary_search_by(|(p, _)| p.cmp(path))
                    .map_err(|_| io::ErrorKind::NotFound.into())
                    .and_then(|position| open(position))
            }
        }
    }
}

/// How files of `layer` can be opened now, if they can.
pub(super) fn at_hand(session: &Session<'_>, layer: &StageLayer) -> Option<AtHand> {
    if let Source::Built(_) = &layer.0.source {
        return Some(AtHand::Built(layer.clone()));
    }
    let known = layer.0.directory.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let directory = known.or_else(|| session.store.unpacked(&layer.finished().ok()?.diff_id))?;
    Some(AtHand::Directory(directory))
}

/// A way to open every file of `layer`.
pub(super) fn all_files(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
) -> Result<AtHand, Error> {
    if let Some(at_hand) = at_hand(session, layer) {
        return Ok(at_hand);
    }
    Ok(AtHand::Directory(directory(session, images, layer)?))
}

/// Unpacks `paths` of a layer, and no more, into `target`.
pub(super) fn extract(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
    paths: &BTreeSet<TreePath>,
    target: &Path,
) -> Result<(), Error> {
    let contents = contents(session, images, layer)?;
    stop_early(session, images, layer, |tar| {
        let only = Some(layer::Selection::new(&contents, paths));
        let options = layer::UnpackOptions { only, ..layer::UnpackOptions::default() };
        layer::unpack(tar, target, &options)?;
        Ok(())
    })
}

/// Gives `work` the uncompressed tar of a layer, verified to its end: digest, size and diff ID.
fn read_through<T>(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
    work: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
) -> Result<T, Error> {
    let finished = layer.finished()?;
    let raw = open_blob(session, images, layer, &finished.descriptor)?;
    let mut tar = layer::VerifiedLayer::new(raw, expected(&finished))?;
    let result = work(&mut tar).and_then(|result| {
        // A tar may end before its stream does; what is behind it belongs to the digests too.
        io::copy(&mut tar, &mut io::sink()).map_err(Error::build)?;
        Ok(result)
    });
    result.map_err(|error| naming_base(session, images, layer, error))
}

/// An error with a layer, of which the user knows no more than the image and its FROM.
fn naming_base(session: &Session<'_>, images: &Images, layer: &StageLayer, error: Error) -> Error {
    if let Err(canceled) = session.check_canceled() {
        return canceled;
    }
    match (layer.base().map(|id| &images[id.0]), layer.finished()) {
        (Some(image), Ok(Finished { descriptor, .. })) => error
            .about(format!("{}: layer {}", image.name, descriptor.digest))
            .at(image.lines.into()),
        _ => error,
    }
}

/// Like [`read_through`] for a reader that stops as soon as it has what it wants.
fn stop_early(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
    work: impl FnOnce(&mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let finished = layer.finished()?;
    let raw = open_blob(session, images, layer, &finished.descriptor)?;
    let mut tar = layer::VerifiedLayer::new(raw, expected(&finished))?;
    work(&mut tar).map_err(|error| naming_base(session, images, layer, error))
}

pub(super) fn expected(finished: &Finished) -> layer::Expected {
    layer::Expected {
        digest: Some(finished.descriptor.digest),
        size: Some(finished.descriptor.size),
        diff_id: Some(finished.diff_id),
    }
}

/// The compressed bytes: from the store, or straight from where the base comes from.
fn open_blob(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
    descriptor: &Descriptor,
) -> Result<Box<dyn Read + Send>, Error> {
    let stored = session.blob(&descriptor.digest).is_some();
    if let (Source::Base(image), false) = (&layer.0.source, stored || session.keeps_base_blobs()) {
        return open_origin(session, &images[image.0], descriptor);
    }
    let path = blob(session, images, layer)?.path;
    let file = File::open(&path)
        .map_err(|e| Error::build(format!("can't read {}: {e}", path.display())))?;
    Ok(Box::new(file))
}

fn open_origin(
    session: &Session<'_>,
    image: &BaseImage,
    descriptor: &Descriptor,
) -> Result<Box<dyn Read + Send>, Error> {
    match &image.origin {
        Origin::Registry(reference) => {
            let runtime = session.runtime.handle();
            let stop = session.canceled();
            Ok(Box::new(session.registry.blob_reader(runtime, reference, descriptor, stop)))
        }
        Origin::Layout(layout) => {
            let path = layout.blob_path(&descriptor.digest);
            let file = File::open(&path)
                .map_err(|e| Error::build(format!("can't read {}: {e}", path.display())))?;
            Ok(Box::new(file))
        }
    }
}

/// Brings a blob of a base image into the store.
fn fetch(
    session: &Session<'_>,
    image: &BaseImage,
    descriptor: &Descriptor,
) -> Result<StoredBlob, Error> {
    let fetching = session.fetching(&descriptor.digest);
    let _one_at_a_time = fetching.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(blob) = session.blob(&descriptor.digest) {
        return Ok(blob);
    }
    let spool = session.store.spool().map_err(Error::build)?;
    let raw = open_origin(session, image, descriptor)?;
    let mut blob = layer::Verify::blob(raw, Some(descriptor.digest), Some(descriptor.size));
    io::copy(&mut blob, &mut spool.file()).map_err(Error::build)?;
    session.store.keep_blob(spool, &descriptor.digest).map_err(Error::build)
}

/// Writes changes without content, such as directories, into a directory.
pub(super) fn unpack_changes(changes: &Changes, target: &Path) -> Result<(), Error> {
    unpack_built(changes, &|_| Ok(Box::new(io::empty())), target)
}

/// Writes a layer of this build into a directory that may hold other things.
pub(super) fn unpack_into(layer: &StageLayer, target: &Path) -> Result<(), Error> {
    let (changes, open) =
        layer.made().ok_or_else(|| Error::build("a layer that this build has not made"))?;
    unpack_built(&changes, &*open, target)
}

/// Writes a layer that this build made into a directory, by way of its tar: one code path decides
/// what a layer means.
fn unpack_built(changes: &Changes, open: &Open, target: &Path) -> Result<(), Error> {
    let (reader, mut writer) = io::pipe().map_err(Error::build)?;
    thread::scope(|scope| {
        let unpacking = scope.spawn(move || {
            let mut reader = reader;
            let result = layer::unpack(&mut reader, target, &layer::UnpackOptions::default());
            // The writer must not be left without a reader before it has ended.
            let _ = io::copy(&mut reader, &mut io::sink());
            result
        });
        let options = layer::WriteOptions::default();
        let written = layer::write_layer(changes, &mut |i| open(i), &options, &mut writer);
        drop(writer);
        super::join(unpacking)?;
        written?;
        Ok(())
    })
}
