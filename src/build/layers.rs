//! Layers while a build has to do with them: a table of contents, a directory and a blob, each made
//! when somebody asks for it, and at most once.

mod bytes;
mod unpack;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use super::images::Images;
use super::session::{RecordPlace, Session};
use super::slot::Slot;
use crate::cache::{Record, RecordLayer};
use crate::digest::DiffId;
use crate::error::Error;
use crate::image::Descriptor;
use crate::layer;
use crate::plan::{ContentKey, ImageId};
use crate::tree::{Changes, TreePath};

use bytes::fetch_contents;
pub(super) use bytes::{Extent, blob, expected, lost, naming_base, read_tar};
use unpack::unpack;

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
    from_run: bool,
    finished: Slot<Finished>,
    contents: OnceLock<Arc<Changes>>,
    written: OnceLock<Arc<Changes>>,
    directory: Mutex<Option<PathBuf>>,
}

enum Source {
    /// A layer of an image that the plan names.
    Base(ImageId),
    /// Of a record: the blob is in the local store, or can be had from elsewhere.
    Recorded(Box<RecordLayer>),
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
            from_run: false,
            finished: Slot::of(finished),
            contents: OnceLock::new(),
            written: OnceLock::new(),
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
            from_run: directory.is_some(),
            finished: Slot::empty(),
            contents: OnceLock::from(changes),
            written: OnceLock::new(),
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

    /// Keeps the contents of a layer of this build with what writing it has added: the sums of its
    /// files.
    pub(super) fn keep_written(&self, contents: Changes) {
        self.0.written.get_or_init(|| Arc::new(contents));
    }

    /// What was kept, if it was.
    pub(super) fn written(&self) -> Option<Arc<Changes>> {
        self.0.written.get().map(Arc::clone)
    }

    /// What a record has on the layer.
    pub(super) fn recorded(&self) -> Result<RecordLayer, Error> {
        if let Source::Recorded(layer) = &self.0.source {
            return Ok((**layer).clone());
        }
        let Finished { diff_id, descriptor } = self.finished()?;
        let unpacked_size = self.0.contents.get().map(|contents| contents.unpacked_size());
        let (created, contents, pushed_to) = (self.created(), None, None);
        Ok(RecordLayer { diff_id, descriptor, created, unpacked_size, contents, pushed_to })
    }

    /// The upper directory of a RUN of this build is this layer.
    pub(super) fn is_from_run(&self) -> bool {
        matches!(self.0.source, Source::Built(_)) && self.0.from_run
    }

    pub(super) fn created(&self) -> Option<i64> {
        self.0.created
    }

    /// The image that the layer comes from.
    pub(super) fn base(&self) -> Option<ImageId> {
        match self.0.source {
            Source::Base(image) => Some(image),
            Source::Recorded(_) | Source::Built(_) => None,
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
    place: RecordPlace,
) -> Option<Vec<StageLayer>> {
    let layer = |layer: &RecordLayer| {
        let finished = Finished { diff_id: layer.diff_id, descriptor: layer.descriptor.clone() };
        if layer.created.is_none()
            && let Some(base) = base_layer(images, &layer.diff_id)
        {
            return Some(base);
        }
        let Descriptor { digest, size, .. } = layer.descriptor;
        let is_here = session.blob(&digest).is_some_and(|blob| blob.size == size);
        let may_come = place == RecordPlace::Remote && !session.cache.is_lost(&digest);
        let source = Source::Recorded(Box::new(layer.clone()));
        (is_here || may_come).then(|| StageLayer::known(source, finished, layer.created))
    };
    record.layers.iter().map(layer).collect()
}

/// A layer of one of the plan's images, which may be compressed otherwise than it was.
fn base_layer(images: &Images, diff_id: &DiffId) -> Option<StageLayer> {
    images.iter().enumerate().find_map(|(index, image)| {
        let position = image.config.rootfs.diff_ids.iter().position(|known| known == diff_id)?;
        let descriptor = image.manifest.layers.get(position)?.clone();
        let finished = Finished { diff_id: *diff_id, descriptor };
        Some(StageLayer::known(Source::Base(ImageId(index)), finished, None))
    })
}

/// The one layer that a content key stands for, as the local store or an index knows it.
pub(super) fn known_layer(
    session: &Session<'_>,
    images: &Images,
    key: ContentKey,
) -> Option<StageLayer> {
    let here = session.record(key).map(|record| (record, RecordPlace::Store));
    let there = || Some((session.cache.known_record(&key.into())?, RecordPlace::Remote));
    let (record, place) = here.or_else(there)?;
    of_record(session, images, &record, place)?.pop()
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
    let reading = session.reading(&finished.diff_id);
    let _alone = reading.lock().unwrap_or_else(PoisonError::into_inner);
    let contents = match known_contents(session, layer)? {
        Some(contents) => contents,
        None => {
            let (contents, facts) = read_tar(session, images, layer, Extent::Whole, |tar| {
                super::weigh::scan(session, tar)
            })?;
            if let Some(facts) = facts {
                session.store.keep_facts(&finished.diff_id, &facts)?;
            }
            session.store.keep_tree(&finished.diff_id, &contents).map_err(Error::build)?;
            contents
        }
    };
    Ok(Arc::clone(layer.0.contents.get_or_init(|| Arc::new(contents))))
}

/// The table of contents where it need not be read off the layer.
fn known_contents(session: &Session<'_>, layer: &StageLayer) -> Result<Option<Changes>, Error> {
    let here = session.tree(&layer.finished()?.diff_id);
    Ok(here.or_else(|| fetch_contents(session, layer)))
}

/// Unpacks those of `layers`, on which a RUN will stand, that have to be read for their table of
/// contents anyway: one reading is enough.
pub(super) fn unpack_unread(
    session: &Session<'_>,
    images: &Images,
    layers: &[StageLayer],
) -> Result<(), Error> {
    super::in_parallel(session.request.threads, layers, |layer| {
        let known = layer.0.contents.get().is_some();
        if !known {
            match known_contents(session, layer)? {
                Some(contents) => drop(layer.0.contents.set(Arc::new(contents))),
                None => drop(directory(session, images, layer)?),
            }
        }
        Ok(())
    })?;
    Ok(())
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
            let (cancel, open) = (session.cancel.clone(), Arc::clone(open));
            let open = move |i: usize| Ok(Box::new(cancel.stops(open(i)?)) as _);
            unpack_changes(&changes, &open, &target)?;
            target
        }
        Source::Base(_) | Source::Recorded(_) => {
            let finished = layer.finished()?;
            let reading = session.reading(&finished.diff_id);
            let _alone = reading.lock().unwrap_or_else(PoisonError::into_inner);
            match session.unpacked(&finished.diff_id) {
                Some(path) => path,
                None => {
                    let (path, contents) = unpack(session, images, layer, &finished)?;
                    session.store.keep_tree(&finished.diff_id, &contents).map_err(Error::build)?;
                    layer.0.contents.get_or_init(|| Arc::new(contents));
                    path
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
    let directory = known.or_else(|| session.unpacked(&layer.finished().ok()?.diff_id))?;
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
    read_tar(session, images, layer, Extent::AsNeeded, |tar| {
        let only = Some(layer::Selection::new(&contents, paths));
        let options = layer::UnpackOptions { only, ..layer::UnpackOptions::default() };
        layer::unpack(tar, target, &options)?;
        Ok(())
    })
}

/// Writes a layer of this build into a directory that may hold other things.
pub(super) fn unpack_into(layer: &StageLayer, target: &Path) -> Result<(), Error> {
    let (changes, open) =
        layer.made().ok_or_else(|| Error::build("a layer that this build has not made"))?;
    unpack_changes(&changes, &*open, target)
}

/// Writes changes into a directory, by way of their tar: one code path decides what a layer means.
pub(super) fn unpack_changes(changes: &Changes, open: &Open, target: &Path) -> Result<(), Error> {
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
