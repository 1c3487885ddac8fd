//! What the threads do: one job each.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Instant;

use super::{Shared, StepToCopy, StepToSave, Target, Upload, lock};
use crate::cache::Saved;
use crate::cache::backend::{EntryContent, EntryKey};
use crate::cache::bundle::{Bundle, INLINE_ALL, INLINE_BLOB, blob_entry, record_entry};
use crate::cache::mounts::{MountBudget, MountToSave, SavedMount, save};
use crate::cache::place::Place;
use crate::digest::Digest;
use crate::image::Descriptor;
use crate::layer::Verify;

impl Shared {
    pub(super) fn step(&self, result: &StepToSave) {
        let (inline, apart) = split(&result.blobs);
        let mut bundle = Bundle::default();
        for (blob, path) in inline {
            // A file that went away meanwhile: the record would miss a blob.
            let Ok(bytes) = std::fs::read(path) else { return };
            bundle.insert_blob(blob.digest, &bytes);
        }
        bundle.insert(result.key, result.record.clone());
        let blobs: Vec<Descriptor> = apart.iter().map(|(blob, _)| blob.clone()).collect();
        let Ok(entry) = bundle.encode() else { return };
        let mut somewhere = false;
        for (number, Target { place, only_image }) in self.targets.iter().enumerate() {
            if *only_image && !result.in_image {
                continue;
            }
            let whole = apart.iter().all(|(blob, path)| self.blob(number, blob, path));
            let key = place.current(&record_entry(&result.key));
            somewhere |= whole
                && (result.only_in_index && place.is_writable()
                    || self.entry(place, &key, EntryContent::Bytes(&entry), &blobs));
        }
        if somewhere {
            // What this build has made comes before what an index had of the same step.
            let mut index = lock(&self.index);
            bundle.merge(std::mem::take(&mut *index));
            *index = bundle;
        }
    }

    pub(super) fn copy(&self, result: &StepToCopy) {
        let bundle = result.from.excerpt(result.key, &result.record);
        let Ok(entry) = bundle.encode() else { return };
        let apart = result.record.cached_blobs().filter(|blob| !bundle.has_blob(&blob.digest));
        let apart: Vec<Descriptor> = apart.cloned().collect();
        for (number, target) in self.targets.iter().enumerate() {
            let place = &target.place;
            if !result.wanted_by(target) || !place.is_writable() {
                continue;
            }
            let key = place.current(&record_entry(&result.key));
            if place.has(&key) {
                continue;
            }
            if apart.iter().all(|blob| self.copy_blob(number, blob, result)) {
                self.entry(place, &key, EntryContent::Bytes(&entry), &apart);
            }
        }
    }

    fn copy_blob(&self, target: usize, blob: &Descriptor, result: &StepToCopy) -> bool {
        self.once(target, &blob.digest, || {
            let Target { place, .. } = &self.targets[target];
            let key = place.current(&blob_entry(&blob.digest));
            if place.has(&key) {
                return true;
            }
            let Ok(mut spool) = tempfile::NamedTempFile::new_in(&result.folder) else {
                return false;
            };
            let had = result.from.take_blob(blob, &mut |bytes| {
                spool.as_file_mut().set_len(0)?;
                io::Seek::rewind(spool.as_file_mut())?;
                let mut whole = Verify::blob(bytes, Some(blob.digest), Some(blob.size));
                io::copy(&mut whole, spool.as_file_mut()).map(drop)
            });
            let content = EntryContent::File(spool.path(), blob.size);
            had && self.entry(place, &key, content, std::slice::from_ref(blob))
        })
    }

    fn blob(&self, target: usize, blob: &Descriptor, path: &Path) -> bool {
        self.once(target, &blob.digest, || {
            let Target { place, .. } = &self.targets[target];
            let key = place.current(&blob_entry(&blob.digest));
            let content = EntryContent::File(path, blob.size);
            self.entry(place, &key, content, std::slice::from_ref(blob))
        })
    }

    pub(super) fn mount(&self, mount: &MountToSave, budget: &MountBudget) {
        let begun = Instant::now();
        let targets = self.targets.iter().filter(|t| !t.only_image && t.place.is_writable());
        let places: Vec<&Place> = targets.map(|target| &*target.place).collect();
        let check = || match lock(&self.queue).ended {
            true => Err(io::Error::other("the build has ended")),
            false => Ok(()),
        };
        let put =
            |place: &Place, key: &EntryKey, content: EntryContent<'_>, blobs: &[Descriptor]| {
                self.entry(place, key, content, blobs)
            };
        if places.is_empty() {
            return;
        }
        if let Some(outcome) = save::save(mount, &places, budget, &put, &check) {
            let (id, took) = (mount.id.clone(), begun.elapsed());
            lock(&self.mounts).push(SavedMount { id, outcome, took });
        }
    }

    /// Saves a blob in a place, once; whoever comes later waits for the first.
    fn once(&self, target: usize, digest: &Digest, save: impl FnOnce() -> bool) -> bool {
        let name = (target, *digest);
        let mut blobs = lock(&self.blobs);
        loop {
            match blobs.get(&name) {
                Some(Upload::Ended { saved }) => return *saved,
                Some(Upload::UnderWay) => {
                    blobs = self.settled.wait(blobs).unwrap_or_else(PoisonError::into_inner);
                }
                None => break,
            }
        }
        blobs.insert(name, Upload::UnderWay);
        drop(blobs);
        let saved = save();
        lock(&self.blobs).insert(name, Upload::Ended { saved });
        self.settled.notify_all();
        saved
    }

    pub(super) fn entry(
        &self,
        place: &Place,
        key: &EntryKey,
        content: EntryContent<'_>,
        blobs: &[Descriptor],
    ) -> bool {
        let size = match content {
            EntryContent::Bytes(bytes) => bytes.len() as u64,
            EntryContent::File(_, size) => size,
        };
        place.save(|backend| {
            let saved = backend.save(key, content, blobs)?;
            if saved == Saved::New {
                *lock(&self.bytes) += size;
            }
            Ok(saved)
        })
    }
}

impl StepToCopy {
    /// Whether `target` takes such results and has not told of this one itself.
    pub(super) fn wanted_by(&self, target: &Target) -> bool {
        (self.in_image || !target.only_image) && !self.from.is_from(&target.place, &self.key)
    }
}

/// The blobs that travel with the record, and those that are entries of their own.
fn split(
    blobs: &[(Descriptor, PathBuf)],
) -> (Vec<&(Descriptor, PathBuf)>, Vec<&(Descriptor, PathBuf)>) {
    let mut room = INLINE_ALL;
    blobs.iter().partition(|(blob, _)| {
        let fits = blob.size <= INLINE_BLOB.min(room);
        room -= if fits { blob.size } else { 0 };
        fits
    })
}

/// Bytes of `blobs` that are entries of their own, when they are saved with their record.
#[must_use]
pub fn bytes_apart(blobs: &[(Descriptor, PathBuf)]) -> u64 {
    split(blobs).1.iter().map(|(blob, _)| blob.size).sum()
}
