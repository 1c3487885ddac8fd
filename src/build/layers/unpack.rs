//! A whole layer as files: in memory where the machine ends with the build, else in the local store.

use std::io::Read as _;
use std::path::PathBuf;

use super::super::images::Images;
use super::super::session::Session;
use super::{Extent, Finished, StageLayer, read_tar};
use crate::error::Error;
use crate::layer;
use crate::tree::Changes;

/// What a layer is taken to unpack to, of its compressed bytes. Bases have two to four times as much.
const EXPANSION: u64 = 5;
/// Very small ones expand more; bytes.
const SMALL_LAYER: u64 = 16 << 20;
/// What an entry takes besides its content: its inode, and the rest of its last page; bytes.
const ENTRY: u64 = 5 << 10;

/// Unpacks a layer; the folder that it is in, and its table of contents.
pub(super) fn unpack(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
    finished: &Finished,
) -> Result<(PathBuf, Changes), Error> {
    match in_memory(session, images, layer, finished) {
        Some(unpacked) => Ok(unpacked),
        None => on_disk(session, images, layer, finished),
    }
}

/// Unpacks a layer for this build alone. What goes wrong shows on the disk again.
fn in_memory(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
    finished: &Finished,
) -> Option<(PathBuf, Changes)> {
    let memory = session.memory.as_ref()?;
    let most = finished.descriptor.size.saturating_mul(EXPANSION).saturating_add(SMALL_LAYER);
    memory.make(&finished.diff_id.hex(), most, |target| {
        read_tar(session, images, layer, Extent::Whole, |tar| {
            let mut tar = tar.take(most);
            let contents = layer::unpack(&mut tar, target, &layer::UnpackOptions::default())?;
            if tar.limit() == 0 {
                return Err(Error::build(format!("the layer has more than {most} bytes")));
            }
            let used = contents.unpacked_size() + ENTRY * contents.changes.len() as u64;
            Ok((contents, used))
        })
    })
}

/// Unpacks a layer for this build and others.
fn on_disk(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
    finished: &Finished,
) -> Result<(PathBuf, Changes), Error> {
    let target = session.scratch_directory()?;
    let contents = read_tar(session, images, layer, Extent::Whole, |tar| {
        Ok(layer::unpack(tar, &target, &layer::UnpackOptions::default())?)
    })?;
    let kept = session.store.keep_unpacked(&target, &finished.diff_id).map_err(Error::build)?;
    Ok((kept, contents))
}
