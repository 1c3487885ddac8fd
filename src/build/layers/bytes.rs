//! The bytes of a layer: from the local store, where its base comes from, or where an earlier build
//! has left them.

use std::fs::File;
use std::io::{self, Read};
use std::sync::PoisonError;

use super::super::images::{BaseImage, Images, Origin};
use super::super::session::Session;
use super::{Finished, Source, StageLayer};
use crate::cache::{RecordLayer, StoredBlob};
use crate::digest::Digest;
use crate::error::Error;
use crate::image::Descriptor;
use crate::layer;
use crate::registry::parse_reference;
use crate::tree::Changes;

/// The layer as a blob file in the local store.
pub(in crate::build) fn blob(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
) -> Result<StoredBlob, Error> {
    let finished = layer.finished()?;
    if let Some(blob) = session.blob(&finished.descriptor.digest) {
        return Ok(blob);
    }
    match &layer.0.source {
        Source::Base(image) => fetch(session, &images[image.0], &finished.descriptor)
            .map_err(|error| naming_base(session, images, layer, error)),
        Source::Recorded(record) => fetch_recorded(session, record),
        Source::Built(_) => Err(lost(&finished.descriptor.digest)),
    }
}

/// A layer that this build has made, and that is nowhere.
pub(in crate::build) fn lost(digest: &Digest) -> Error {
    Error::build(format!("the local store has lost the layer {digest}"))
        .hinted("Build again; if it happens again, run `plimsoll cache prune`.")
}

/// How much of a layer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::build) enum Extent {
    /// To its end, so that digest, size and diff ID are verified.
    Whole,
    /// Until the reader has what it wants.
    AsNeeded,
}

/// Gives `work` the uncompressed tar of a layer.
pub(in crate::build) fn read_tar<T>(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
    extent: Extent,
    work: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
) -> Result<T, Error> {
    let finished = layer.finished()?;
    let raw = open_blob(session, images, layer, &finished.descriptor)?;
    let mut tar = layer::VerifiedLayer::new(raw, expected(&finished))?;
    let result = work(&mut tar).and_then(|result| {
        if extent == Extent::Whole {
            // A tar may end before its stream does; what is behind it belongs to the digests too.
            io::copy(&mut tar, &mut io::sink()).map_err(Error::build)?;
        }
        Ok(result)
    });
    result.map_err(|error| naming_base(session, images, layer, error))
}

/// An error with a layer, of which the user knows no more than the image and its FROM.
pub(in crate::build) fn naming_base(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
    error: Error,
) -> Error {
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

pub(in crate::build) fn expected(finished: &Finished) -> layer::Expected {
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
    session.stopping(file).map_err(Error::build)
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
            session.stopping(file).map_err(Error::build)
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

/// Brings a blob that was saved by an earlier build into the store: from the image that has it too,
/// else from a cache. Where it can't be had, the error ends this attempt of the build, and the next
/// makes the layer anew.
fn fetch_recorded(session: &Session<'_>, record: &RecordLayer) -> Result<StoredBlob, Error> {
    let descriptor = &record.descriptor;
    let fetching = session.fetching(&descriptor.digest);
    let _one_at_a_time = fetching.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(blob) = session.blob(&descriptor.digest) {
        return Ok(blob);
    }
    let mut stored = None;
    let mut take = |bytes: &mut dyn Read| {
        let spool = session.store.spool().map_err(io::Error::other)?;
        let bytes = session.cancel.stops(bytes);
        let mut blob = layer::Verify::blob(bytes, Some(descriptor.digest), Some(descriptor.size));
        io::copy(&mut blob, &mut spool.file())?;
        let kept = session.store.keep_blob(spool, &descriptor.digest);
        stored = Some(kept.map_err(io::Error::other)?);
        Ok(())
    };
    let pushed_to = record.pushed_to.as_deref().and_then(|name| parse_reference(name).ok());
    let from_image = pushed_to.is_some_and(|image| {
        let runtime = session.runtime.handle();
        let stop = session.canceled();
        take(&mut session.registry.blob_reader(runtime, &image, descriptor, stop)).is_ok()
    });
    if !from_image {
        session.cache.read_blob(descriptor, &mut take);
    }
    stored.ok_or_else(|| {
        Error::build(format!("the layer {} can't be had any more", descriptor.digest))
    })
}

/// A table of contents that was saved with a record.
pub(super) fn fetch_contents(session: &Session<'_>, layer: &StageLayer) -> Option<Changes> {
    let diff_id = layer.finished().ok()?.diff_id;
    let own = match &layer.0.source {
        Source::Recorded(record) => record.contents.clone(),
        Source::Base(_) | Source::Built(_) => None,
    };
    let blob = own.or_else(|| session.cache.contents(&diff_id))?;
    let mut contents = None;
    session.cache.read_blob(&blob, &mut |bytes| {
        let mut encoded = Vec::new();
        layer::Verify::blob(bytes, Some(blob.digest), Some(blob.size)).read_to_end(&mut encoded)?;
        contents = Some(layer::decode(&encoded).map_err(io::Error::other)?);
        Ok(())
    });
    let contents = contents?;
    // Whoever can't keep it reads it again.
    let _ = session.store.keep_tree(&diff_id, &contents);
    Some(contents)
}
