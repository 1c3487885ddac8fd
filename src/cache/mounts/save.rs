//! Saving what a cache mount holds: nothing where nothing changed, else a manifest, and a pack with
//! what no earlier one has.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::super::backend::{EntryContent, EntryKey};
use super::super::place::Place;
use super::fetch::{RestoredMount, newest};
use super::lock_of;
use super::manifest::{Content, Files, InPack, MAX_PACKS, Manifest, MountName, Node, Pack};
use super::pack::PackWriter;
use super::scan::{Check, Known, ScanError, scan};
use crate::digest::Digest;
use crate::figures::human;
use crate::image::Descriptor;

const PACK_TYPE: &str = "application/vnd.plimsoll.mount.pack.v1+zstd";

/// A folder that a RUN had, and may have changed.
#[derive(Debug)]
pub struct MountToSave {
    /// As the Dockerfile has it.
    pub id: String,
    pub name: MountName,
    pub path: PathBuf,
    /// What it was when the build began, if that came from a cache.
    pub restored: Option<RestoredMount>,
    /// Seconds since 1970: the build's start.
    pub now: i64,
    /// Threads for compression.
    pub threads: usize,
    /// Where packs are made; may be gone when the build is.
    pub work: PathBuf,
}

/// What was done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedMount {
    pub id: String,
    pub outcome: MountOutcome,
    pub took: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountOutcome {
    /// It is as it was.
    Unchanged,
    /// Compressed bytes that went to all places.
    Saved(u64),
    /// The next build begins with an empty one, for the reason given.
    Dropped(String),
    /// The next build has what the last one saved, for the reason given.
    NotSaved(String),
}

/// How many bytes of files may be kept.
#[derive(Debug)]
pub struct MountBudget {
    /// Of one cache mount.
    each: u64,
    /// Of all that are still to come.
    left: Mutex<u64>,
}

impl MountBudget {
    /// So many bytes for each cache mount, and for all together.
    #[must_use]
    pub fn new(each: u64, all: u64) -> Self {
        Self { each, left: Mutex::new(all) }
    }

    fn left(&self) -> u64 {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limit(&self) -> u64 {
        self.each.min(self.left())
    }

    /// Whether there is room.
    fn take(&self, bytes: u64) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = bytes <= self.each && bytes <= *left;
        *left -= if enough { bytes } else { 0 };
        enough
    }

    fn exceeded(&self) -> String {
        let (each, left) = (human(self.each), human(self.left()));
        if self.limit() == self.each {
            format!("it holds more than {each} unpacked, the budget of one cache mount")
        } else {
            format!("it holds more than {left} unpacked, what is left of the budget of all")
        }
    }
}

/// Puts an entry into a place, and says whether it is there.
pub(in super::super) type Put<'a> =
    &'a dyn Fn(&Place, &EntryKey, EntryContent<'_>, &[Descriptor]) -> bool;

/// Saves a mount in `places`. `None` where there is nothing to tell: another build has the folder and
/// will save it, `check` said to stop, or a place has failed, which tells so itself.
pub(in super::super) fn save(
    mount: &MountToSave,
    places: &[&Place],
    budget: &MountBudget,
    put: Put<'_>,
    check: Check<'_>,
) -> Option<MountOutcome> {
    // What it is now, and nobody changes it while it is read.
    let lock = lock_of(&mount.path).ok()?;
    lock.try_lock_shared().ok()?;
    let known = mount.restored.as_ref();
    let known = known.map(|known| Known { files: &known.manifest.files, since: known.since });
    let files = match scan(&mount.path, known, budget.limit(), check) {
        Ok(files) if budget.take(files.size()) => files,
        Ok(_) | Err(ScanError::TooLarge) => {
            return drop_from(mount, places, budget.exceeded(), put);
        }
        Err(error @ ScanError::TooMany) => return drop_from(mount, places, error.to_string(), put),
        Err(ScanError::Io(error)) => return not_saved(&error, check),
    };
    let mut packs = Packs { mount, files: &files, made: Vec::new() };
    let mut entries = Vec::new();
    for place in places {
        let base = base(mount, place);
        let was = base.as_ref().map(|base| &base.files);
        let unchanged = was.is_some_and(|was| was.is_as_good_as(&files))
            || files.is_empty() && was.is_none_or(Files::is_empty);
        if !unchanged {
            match packs.manifest(place, base.as_ref(), check) {
                Ok(entry) => entries.push((place, entry)),
                Err(error) => return not_saved(&error, check),
            }
        }
    }
    drop(lock);
    if entries.is_empty() {
        return Some(MountOutcome::Unchanged);
    }
    let mut bytes = 0;
    for (place, (manifest, new)) in entries {
        if let Some(Made { pack, file, .. }) = new.map(|new| &packs.made[new]) {
            let content = EntryContent::File(file.path(), pack.size);
            if !put(place, &pack.key(), content, &[descriptor(pack)]) {
                continue;
            }
            bytes += pack.size;
        }
        bytes += put_manifest(mount, place, &manifest, put)?;
    }
    (bytes > 0).then_some(MountOutcome::Saved(bytes))
}

fn not_saved(error: &io::Error, check: Check<'_>) -> Option<MountOutcome> {
    check().ok()?;
    Some(MountOutcome::NotSaved(error.to_string()))
}

/// What a place has of the mount already, if all of it is there.
fn base(mount: &MountToSave, place: &Place) -> Option<Manifest> {
    if let Some(restored) = &mount.restored
        && std::ptr::eq(&*restored.place, place)
    {
        return Some(restored.manifest.clone());
    }
    let manifest = newest(place, &mount.name)?;
    let is_there = |pack: &Pack| {
        let key = pack.key();
        !place.has_lost(&key) && place.ask(|backend| backend.find(&[key])).flatten().is_some()
    };
    manifest.packs.iter().all(is_there).then_some(manifest)
}

/// The next build begins with an empty folder, rather than with what grew too large long ago.
fn drop_from(
    mount: &MountToSave,
    places: &[&Place],
    reason: String,
    put: Put<'_>,
) -> Option<MountOutcome> {
    for place in places {
        if let Some(base) = newest(place, &mount.name).filter(|base| !base.files.is_empty()) {
            let (files, packs, places) = (Files::default(), Vec::new(), Vec::new());
            let saved = mount.now.max(base.saved + 1);
            let manifest = Manifest { name: mount.name.clone(), saved, files, packs, places };
            put_manifest(mount, place, &manifest, put)?;
        }
    }
    Some(MountOutcome::Dropped(reason))
}

/// Bytes of the entry; none where the place has not taken it.
fn put_manifest(
    mount: &MountToSave,
    place: &Place,
    manifest: &Manifest,
    put: Put<'_>,
) -> Option<u64> {
    let entry = manifest.encode().ok()?;
    let own = &Digest::of(&entry).hex()[..8];
    let key = EntryKey(format!("{}{}-{own}", mount.name.prefix(), manifest.saved));
    let packs: Vec<Descriptor> = manifest.packs.iter().map(descriptor).collect();
    let is_there = put(place, &key, EntryContent::Bytes(&entry), &packs);
    Some(if is_there { entry.len() as u64 } else { 0 })
}

fn descriptor(pack: &Pack) -> Descriptor {
    Descriptor::new(PACK_TYPE, pack.digest, pack.size)
}

/// Packs of this mount: places that lack the same contents get the same one.
struct Packs<'a> {
    mount: &'a MountToSave,
    files: &'a Files,
    made: Vec<Made>,
}

struct Made {
    /// What is in it, in its order.
    contents: Vec<usize>,
    pack: Pack,
    places: Vec<u64>,
    file: NamedTempFile,
}

impl Packs<'_> {
    /// The manifest of the files now, on top of what `base` has, and which of the packs is new in it.
    fn manifest(
        &mut self,
        place: &Place,
        base: Option<&Manifest>,
        check: Check<'_>,
    ) -> io::Result<(Manifest, Option<usize>)> {
        let had = base.map(|base| Had::of(base, self.files)).filter(Had::is_worth_keeping);
        let Had { mut packs, mut places, .. } = had.unwrap_or_else(|| Had::nothing(self.files));
        let missing: Vec<usize> = (0..places.len()).filter(|at| places[*at].is_none()).collect();
        let new = match &missing[..] {
            [] => None,
            missing => Some(self.pack(missing, place, check)?),
        };
        if let Some(made) = new.map(|new| &self.made[new]) {
            for (content, offset) in std::iter::zip(&made.contents, &made.places) {
                places[*content] = Some(InPack(packs.len(), *offset));
            }
            packs.push(made.pack.clone());
        }
        let places = places.into_iter().map(Option::unwrap_or_default).collect();
        let (name, files) = (self.mount.name.clone(), self.files.clone());
        let saved = base.map_or(self.mount.now, |base| self.mount.now.max(base.saved + 1));
        Ok((Manifest { name, saved, files, packs, places }, new))
    }

    /// The number of the pack with these contents. A damaged entry keeps its key for ever, so where a
    /// place has one, the pack begins with bytes that nobody needs and so has another.
    fn pack(&mut self, contents: &[usize], place: &Place, check: Check<'_>) -> io::Result<usize> {
        let usable = |made: &Made| made.contents == contents && !place.has_lost(&made.pack.key());
        if let Some(known) = self.made.iter().position(usable) {
            return Ok(known);
        }
        let mut paths: Vec<&[u8]> = vec![b""; self.files.contents.len()];
        for entry in self.files.entries.iter().rev() {
            if let Node::File(content) = entry.node {
                paths[content] = &entry.path;
            }
        }
        let listed: Vec<(&[u8], Content)> =
            contents.iter().map(|at| (paths[*at], self.files.contents[*at])).collect();
        let mut head = Vec::new();
        loop {
            let file = NamedTempFile::new_in(&self.mount.work)?;
            let writer = PackWriter::new(&head, file.reopen()?, self.mount.threads)?;
            let (pack, places) = writer.pack(&self.mount.path, &listed, check)?;
            if !place.has_lost(&pack.key()) {
                self.made.push(Made { contents: contents.to_vec(), pack, places, file });
                return Ok(self.made.len() - 1);
            }
            head = self.mount.now.to_le_bytes().to_vec();
        }
    }
}

/// What earlier packs have of the files now.
struct Had {
    packs: Vec<Pack>,
    /// Of each content; none for one that is new.
    places: Vec<Option<InPack>>,
    /// Bytes of the files now.
    live: u64,
    /// Bytes that are new.
    new: u64,
}

impl Had {
    fn nothing(files: &Files) -> Self {
        // An empty content needs no pack.
        let place = |content: &Content| (content.size == 0).then(InPack::default);
        let (places, live) = (files.contents.iter().map(place).collect(), files.size());
        Self { packs: Vec::new(), places, live, new: live }
    }

    fn of(base: &Manifest, files: &Files) -> Self {
        let Self { mut places, live, .. } = Self::nothing(files);
        let had: HashMap<Content, InPack> =
            std::iter::zip(base.files.contents.iter().copied(), base.places.iter().copied())
                .collect();
        let mut numbers = vec![None; base.packs.len()];
        let mut packs = Vec::new();
        let mut new = 0;
        for (place, content) in std::iter::zip(&mut places, &files.contents) {
            if place.is_some() {
                continue;
            }
            let Some(InPack(pack, offset)) = had.get(content) else {
                new += content.size;
                continue;
            };
            let number = *numbers[*pack].get_or_insert_with(|| {
                packs.push(base.packs[*pack].clone());
                packs.len() - 1
            });
            *place = Some(InPack(number, *offset));
        }
        Self { packs, places, live, new }
    }

    /// Packs that hold mostly what nobody needs, or too many of them, are left behind.
    fn is_worth_keeping(&self) -> bool {
        let kept: u64 = self.packs.iter().map(|pack| pack.unpacked).sum();
        let packs = self.packs.len() + usize::from(self.new > 0);
        packs <= MAX_PACKS && (kept + self.new) <= 2 * self.live
    }
}
