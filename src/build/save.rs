//! What of a build is worth keeping elsewhere, and handing it to those who keep it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};

use super::compress::StepResult;
use super::keys::StageKeys;
use super::result::{NotSaved, Written, WrittenKind};
use super::session::{RecordPlace, Session};
use crate::cache::github::GithubCache;
use crate::cache::{
    LocalFolder, MountBudget, MountOutcome, MountToSave, Place, Record, RecordKey, RegistryCache,
    ResolvedTag, SavedMount, StepToCopy, StepToSave, Target, Uploads, bytes_apart,
};
use crate::digest::Digest;
use crate::error::Error;
use crate::http::Clients;
use crate::image::Descriptor;
use crate::plan::{ContentKey, History, Plan, StageId};
use crate::registry::{Registry, parse_reference};
use crate::request::{BuildRequest, CachePlace, CacheTarget, OutputKind};

/// How fast what is saved is taken to come back; bytes in a second.
const FETCH_RATE: f64 = 100e6;
/// What asking for an entry costs.
const ROUND_TRIP: Duration = Duration::from_millis(600);
/// How long a build that has ended waits for what is still being saved.
const LAST_WAIT: Duration = Duration::from_secs(60);
const CONTENTS_TYPE: &str = "application/vnd.plimsoll.contents.v1";

/// Saves what the steps make in the places that `--cache-to` names.
#[derive(Debug)]
pub(super) struct Saver {
    uploads: Uploads,
    /// All places, also those that are only read.
    places: Vec<Arc<Place>>,
    prefix: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By stage: what the steps since the last saved one cost to make.
    unsaved: BTreeMap<StageId, Duration>,
    saved: BTreeSet<Digest>,
    /// By stage: up to which step it is not worth saving.
    skipped: BTreeMap<StageId, NotSaved>,
}

/// The places to read from and to save in. One that is both is one.
pub(super) fn places<'r>(
    request: &'r BuildRequest,
    registry: &Registry,
    clients: &Arc<Clients>,
    runtime: &Handle,
) -> Result<(Vec<Arc<Place>>, Vec<Target>), Error> {
    let mut known: Vec<(&CachePlace, Arc<Place>)> = Vec::new();
    let mut open = |spec: &'r CachePlace| {
        if let Some((_, place)) = known.iter().find(|(known, _)| *known == spec) {
            return Ok(Arc::clone(place));
        }
        let place = match spec {
            CachePlace::Local(folder) => Place::new(Box::new(LocalFolder::new(folder.clone()))),
            CachePlace::Registry(name) => {
                let name = parse_reference(name)?;
                Place::new(Box::new(RegistryCache::new(registry, runtime.clone(), name)))
            }
            CachePlace::Github { settings, scope } => {
                let clients = Arc::clone(clients);
                let cache = GithubCache::new(settings.clone(), clients, runtime.clone());
                Place::with_scope(Box::new(cache), scope.as_deref())
            }
        };
        known.push((spec, Arc::clone(&place)));
        Ok(place)
    };
    let sources = request.cache_from.iter().map(&mut open).collect::<Result<_, Error>>()?;
    let target = |target: &'r CacheTarget| {
        Ok(Target { place: open(&target.place)?, only_image: target.only_result })
    };
    let targets = request.cache_to.iter().map(target).collect::<Result<_, Error>>()?;
    Ok((sources, targets))
}

impl Saver {
    /// Threads that still save when the build has ended need `runtime`.
    pub(super) fn new(
        mut places: Vec<Arc<Place>>,
        targets: Vec<Target>,
        prefix: String,
        runtime: Arc<Runtime>,
    ) -> Self {
        for target in &targets {
            if !places.iter().any(|place| Arc::ptr_eq(place, &target.place)) {
                places.push(Arc::clone(&target.place));
            }
        }
        Self { uploads: Uploads::new(targets, runtime), places, prefix, state: Mutex::default() }
    }

    /// Saves the result of a step that has just been recorded, if it is cheaper to fetch than to
    /// make again.
    pub(super) fn step(
        &self,
        session: &Session<'_>,
        step: &StepResult,
        layer_key: Option<ContentKey>,
        record: &Record,
    ) {
        if !self.uploads.is_possible() {
            return;
        }
        let mut record = record.clone();
        let blobs = self.blobs(session, step.in_image, &mut record);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let unsaved: Vec<_> =
            blobs.iter().filter(|(b, _)| !state.saved.contains(&b.digest)).cloned().collect();
        let bytes = bytes_apart(&unsaved);
        let cost = state.unsaved.entry(step.stage).or_default();
        *cost += step.cost;
        let cost = *cost;
        let worth_an_entry = cost > 2 * fetch_time(bytes);
        if bytes > 0 && !worth_an_entry {
            let (title, seconds) = (step.title.clone(), cost.as_secs_f64());
            state.skipped.insert(step.stage, NotSaved { title, bytes, seconds });
            return;
        }
        if worth_an_entry {
            state.unsaved.remove(&step.stage);
            state.skipped.remove(&step.stage);
        }
        state.saved.extend(blobs.iter().map(|(blob, _)| blob.digest));
        drop(state);
        if let Some(key) = layer_key {
            let own = record.last_layer();
            let refers = |digest: &Digest| own.blobs().any(|blob| blob.digest == *digest);
            let blobs = blobs.iter().filter(|(blob, _)| refers(&blob.digest)).cloned().collect();
            self.uploads.save(StepToSave {
                key: key.into(),
                record: own,
                blobs,
                only_in_index: true,
                in_image: step.in_image,
            });
        }
        self.uploads.save(StepToSave {
            key: step.key.into(),
            record,
            blobs,
            only_in_index: !worth_an_entry,
            in_image: step.in_image,
        });
    }

    /// A stage was had from a record: what came from the local store is saved, what came from a cache
    /// stays in the index.
    pub(super) fn had(
        &self,
        session: &Session<'_>,
        key: RecordKey,
        record: &Record,
        place: RecordPlace,
        in_image: bool,
    ) {
        if !self.uploads.is_possible() {
            return;
        }
        let mut record = record.clone();
        if place == RecordPlace::Remote {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.saved.extend(record.blobs().map(|blob| blob.digest));
            self.uploads.add_to_index(key, &record, &session.cache);
            return;
        }
        let blobs = self.blobs(session, in_image, &mut record);
        let worth = Duration::from_millis(record.made_millis) > 2 * fetch_time(bytes_apart(&blobs));
        if worth || bytes_apart(&blobs) == 0 {
            self.uploads.save(StepToSave { key, record, blobs, only_in_index: !worth, in_image });
        }
    }

    /// Brings what a cache knows of this build to the other places, by the same rule: whoever moves to
    /// another cache has it whole.
    pub(super) fn copy(&self, session: &Session<'_>, plan: &Plan, keys: &[StageKeys]) {
        if !self.uploads.is_possible() {
            return;
        }
        let lineage = plan.lineage(plan.target);
        for (index, stage) in keys.iter().enumerate() {
            let mut steps = stage.steps.clone();
            // A step that changes the configuration only has the key of the one before.
            steps.dedup();
            for key in steps.into_iter().map(RecordKey::from) {
                let Some(record) = session.cache.known_record(&key) else { continue };
                let bytes = session.cache.bytes_apart(key, &record);
                if Duration::from_millis(record.made_millis) > 2 * fetch_time(bytes) {
                    self.uploads.copy(StepToCopy {
                        key,
                        record,
                        in_image: lineage.contains(&StageId(index)),
                        from: Arc::clone(&session.cache),
                        folder: session.store.work().path().to_owned(),
                    });
                }
            }
        }
    }

    /// What needs these blobs is of no use, and whoever makes them again has them to save.
    pub(super) fn forget(&self, lost: &BTreeSet<Digest>) {
        self.uploads.forget(lost);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.saved.retain(|digest| !lost.contains(digest));
    }

    /// The blobs of a record that are here and nowhere else, and their files. Says in the record where
    /// the others are.
    fn blobs(
        &self,
        session: &Session<'_>,
        in_image: bool,
        record: &mut Record,
    ) -> Vec<(Descriptor, PathBuf)> {
        let pushed_to = pushed_as_is(session.request).filter(|_| in_image);
        let mut blobs = Vec::new();
        for layer in &mut record.layers {
            let contents = session.store.tree_path(&layer.diff_id);
            if let Ok(bytes) = std::fs::read(&contents) {
                let size = bytes.len() as u64;
                let blob = Descriptor::new(CONTENTS_TYPE, Digest::of(&bytes), size);
                layer.contents = Some(blob.clone());
                blobs.push((blob, contents));
            }
            if layer.created.is_none() {
                continue;
            }
            if let Some(name) = &pushed_to {
                layer.pushed_to = Some(name.clone());
            } else if layer.pushed_to.is_none()
                && let Some(blob) = session.blob(&layer.descriptor.digest)
            {
                blobs.push((layer.descriptor.clone(), blob.path));
            }
        }
        blobs
    }

    /// No more results come: the index of the build is saved, while the image is written.
    pub(super) fn save_index(&self, session: &Session<'_>, history: &History) {
        let prefix = format!("{}{}-", self.prefix, session.request.now);
        self.uploads.save_index(prefix, &session.cache, history.clone());
    }

    /// Saves a cache mount, some time.
    pub(super) fn mount(&self, mount: MountToSave, budget: &Arc<MountBudget>) {
        if self.uploads.is_possible() {
            self.uploads.save_mount(mount, budget);
        }
    }

    /// What was done with the cache mounts.
    pub(super) fn mounts(&self) -> Vec<SavedMount> {
        self.uploads.saved_mounts()
    }

    /// Keeps the documents of a base for the next build, which then need not be asked for.
    pub(super) fn base(&self, documents: &ResolvedTag) {
        if self.uploads.is_possible() {
            documents.documents().for_each(|document| self.uploads.add_document(document));
        }
    }

    /// Saves an entry that no record refers to.
    pub(super) fn entry(&self, key: String, entry: Vec<u8>) {
        self.uploads.save_entry(key, entry);
    }

    /// Waits for what is still being saved, within limits; `wanted` is false where nobody waits.
    pub(super) fn finish(&self, session: &Session<'_>, wanted: bool) {
        if wanted {
            let left = self.uploads.finish(LAST_WAIT);
            if left > 0 {
                session.notice(format!(
                    "{left} results were not saved: the cache took longer than {} s",
                    LAST_WAIT.as_secs()
                ));
            }
        } else {
            self.uploads.end();
        }
        for SavedMount { id, outcome, .. } in self.mounts() {
            match outcome {
                MountOutcome::Unchanged | MountOutcome::Saved(_) => {}
                MountOutcome::Dropped(why) => session.notice(format!(
                    "the cache mount {id} is dropped: {why}; the next build begins with an empty one"
                )),
                MountOutcome::NotSaved(why) => session.notice(format!(
                    "the cache mount {id} is not saved: {why}; the next build has what was saved before"
                )),
            }
        }
        self.tell(session);
    }

    /// Tells what the places have to say.
    pub(super) fn tell(&self, session: &Session<'_>) {
        self.places.iter().flat_map(|place| place.notices()).for_each(|text| session.notice(text));
    }

    /// The names of the places.
    pub(super) fn places(&self) -> Vec<String> {
        self.places.iter().map(|place| place.name()).collect()
    }

    /// What was not worth saving.
    pub(super) fn skipped(&self) -> Vec<NotSaved> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.skipped.values().cloned().collect()
    }

    /// What was saved, if anything was.
    pub(super) fn written(&self) -> Option<Written> {
        let transferred_bytes = self.uploads.saved_bytes();
        let place = self.uploads.names().join(", ");
        let written =
            Written { kind: WrittenKind::Cache, place, transferred_bytes, skipped_bytes: 0 };
        (transferred_bytes > 0).then_some(written)
    }
}

fn fetch_time(bytes: u64) -> Duration {
    // A size is far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    let transfer = Duration::from_secs_f64(bytes as f64 / FETCH_RATE);
    ROUND_TRIP + transfer
}

/// The name under which the layers of the image get into a registry as they are.
fn pushed_as_is(request: &BuildRequest) -> Option<String> {
    let as_it_is = |output: &&crate::request::Output| {
        !output.rewrite_timestamp
            && Some(output.compression) == request.outputs.first().map(|o| o.compression)
    };
    request.outputs.iter().filter(as_it_is).find_map(|output| match &output.kind {
        OutputKind::Registry { names } => names.first().or(request.tags.first()).cloned(),
        _ => None,
    })
}
