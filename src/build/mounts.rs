//! The cache mounts of a build: brought back when the first RUN asks for one, saved when the last one
//! has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::demand::Demand;
use super::result::{CacheMountResult, MountSaved, RestoredFrom};
use super::session::Session;
use crate::cache::{
    CacheMount, Filled, MountBudget, MountLease, MountName, MountOutcome, MountToSave,
    RestoredMount, SavedMount,
};
use crate::error::Error;
use crate::plan::{MountKind, Op, Plan, RunOp};
use crate::platform::Platform;
use crate::request::{CacheMountOptions, KeptMounts};
use crate::ui::Stream;

/// Which of them outlive the machine, and how far each is.
#[derive(Debug)]
pub(super) struct CacheMounts {
    budget: Arc<MountBudget>,
    /// By id, as the Dockerfile has it.
    uses: Mutex<BTreeMap<String, Uses>>,
    restored: Mutex<BTreeMap<String, RestoredFrom>>,
}

#[derive(Debug, Default)]
struct Uses {
    /// RUNs that are still to come.
    left: usize,
    /// Those that a RUN of this build has had.
    folders: BTreeMap<PathBuf, Folder>,
}

#[derive(Debug)]
struct Folder {
    name: MountName,
    restored: Option<RestoredMount>,
    /// A RUN had it and could write to it.
    written: bool,
}

/// A cache mount of a RUN.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// As the Dockerfile has it.
    pub(super) id: &'a str,
    pub(super) folder: CacheMount<'a>,
    pub(super) platform: &'a Platform,
    pub(super) readonly: bool,
}

impl CacheMounts {
    pub(super) fn new(request: &CacheMountOptions) -> Self {
        let budget = Arc::new(MountBudget::new(request.each, request.all));
        Self { budget, uses: Mutex::default(), restored: Mutex::default() }
    }

    fn uses(&self) -> MutexGuard<'_, BTreeMap<String, Uses>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what is to come, before an attempt of the build.
    pub(super) fn expect(&self, plan: &Plan, demands: &[Option<Demand>]) {
        let mut uses = self.uses();
        uses.values_mut().for_each(|uses| uses.left = 0);
        for (stage, demand) in plan.stages.iter().zip(demands) {
            let Some(demand) = demand else { continue };
            for step in &stage.steps[demand.first..] {
                let Op::Run(op) = &step.op else { continue };
                ids(op).for_each(|id| uses.entry(id.to_owned()).or_default().left += 1);
            }
        }
    }

    /// The folder of a cache mount. A new one is filled with what a cache has of it; `seed` fills it
    /// where none has.
    pub(super) fn lease(
        &self,
        session: &Session<'_>,
        wanted: Wanted<'_>,
        seed: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<MountLease, Error> {
        let name = MountName::new(wanted.folder.id, wanted.platform);
        let mut restored = None;
        let lease = session.store.cache_mount(&wanted.folder, |directory| {
            restored = self.restore(session, wanted.id, &name, directory)?;
            if restored.is_some() {
                return Ok(Filled::Restored);
            }
            seed(directory).map(|()| Filled::New)
        })?;
        if !lease.is_spare {
            let mut uses = self.uses();
            let folders = &mut uses.entry(wanted.id.to_owned()).or_default().folders;
            let new = Folder { name, restored: None, written: false };
            let folder = folders.entry(lease.path.clone()).or_insert(new);
            folder.written |= !wanted.readonly;
            folder.restored = restored.or(folder.restored.take());
        }
        Ok(lease)
    }

    /// A RUN has ended, or need not run. What no other wants is saved while the build goes on.
    pub(super) fn ended(&self, session: &Session<'_>, op: &RunOp) {
        for id in ids(op) {
            let mut all = self.uses();
            let Some(uses) = all.get_mut(id) else { continue };
            uses.left = uses.left.saturating_sub(1);
            // Another platform may want it, too.
            if uses.left == 0 && !session.request.has_several_platforms() {
                let folders = std::mem::take(&mut uses.folders);
                drop(all);
                self.save(session, id, folders);
            }
        }
    }

    /// Saves what RUNs have had that another one failed to have: the next build begins where this one
    /// got to. `saved` is what another platform had as well.
    pub(super) fn save_rest(&self, session: &Session<'_>, saved: &mut BTreeSet<PathBuf>) {
        for (id, mut uses) in std::mem::take(&mut *self.uses()) {
            uses.folders.retain(|path, folder| !folder.written || saved.insert(path.clone()));
            self.save(session, &id, uses.folders);
        }
    }

    fn save(&self, session: &Session<'_>, id: &str, folders: BTreeMap<PathBuf, Folder>) {
        if !session.request.cache_mounts.kept.contains(id) {
            return;
        }
        for (path, Folder { name, restored, .. }) in folders.into_iter().filter(|(_, f)| f.written)
        {
            let mount = MountToSave {
                id: id.to_owned(),
                name,
                path,
                restored,
                now: session.request.now,
                threads: session.request.threads,
                work: session.store.work().path().to_owned(),
            };
            session.saver.mount(mount, &self.budget);
        }
    }

    fn restore(
        &self,
        session: &Session<'_>,
        id: &str,
        name: &MountName,
        directory: &Path,
    ) -> Result<Option<RestoredMount>, Error> {
        if session.request.cache_from.is_empty() || !session.request.cache_mounts.kept.contains(id)
        {
            return Ok(None);
        }
        session.progress.step(format!("restore cache mount {id}"), |running| {
            let check = || session.cancel.check();
            let restored = session.cache.restore_mount(name, directory, &check);
            let restored = restored.map_err(|error| {
                Error::build(format!(
                    "can't use {} for a cache mount: {error}",
                    directory.display()
                ))
            })?;
            if let Some(restored) = &restored {
                let from = RestoredFrom {
                    place: restored.from(),
                    unpacked_bytes: restored.unpacked(),
                    compressed_bytes: restored.compressed(),
                    took: restored.took,
                };
                running.output(Stream::Stdout, format!("{from}\n").into_bytes());
                self.restored_so_far().insert(id.to_owned(), from);
            }
            Ok(restored)
        })
    }

    fn restored_so_far(&self) -> MutexGuard<'_, BTreeMap<String, RestoredFrom>> {
        self.restored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of each, by id.
    pub(super) fn results(&self, session: &Session<'_>) -> Vec<CacheMountResult> {
        let mut results: BTreeMap<String, CacheMountResult> = BTreeMap::new();
        let of = |id: &String| CacheMountResult { id: id.clone(), restored: None, saved: None };
        for (id, from) in &*self.restored_so_far() {
            results.entry(id.clone()).or_insert_with(|| of(id)).restored = Some(from.clone());
        }
        for SavedMount { id, outcome, took } in session.saver.mounts() {
            let saved = match outcome {
                MountOutcome::Unchanged => MountSaved::Unchanged,
                MountOutcome::Saved(bytes) => MountSaved::Saved { bytes, took },
                MountOutcome::Dropped(why) => MountSaved::Dropped { why },
                MountOutcome::NotSaved(why) => MountSaved::NotSaved { why },
            };
            results.entry(id.clone()).or_insert_with(|| of(&id)).saved = Some(saved);
        }
        results.into_values().collect()
    }
}

/// The ids of the cache mounts of a RUN, each once.
fn ids(op: &RunOp) -> impl Iterator<Item = &str> {
    let ids = op.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Cache { id, .. } => Some(id.as_str()),
        _ => None,
    });
    ids.collect::<BTreeSet<_>>().into_iter()
}

/// Tells of ids that `--cache-mounts` names and no RUN has, of those that the target needs.
pub(super) fn tell_unknown(session: &Session<'_>, plan: &Plan) {
    let KeptMounts::Ids(kept) = &session.request.cache_mounts.kept else { return };
    let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    let runs = steps.filter_map(|step| match &step.op {
        Op::Run(op) => Some(op),
        _ => None,
    });
    let known: BTreeSet<&str> = runs.flat_map(ids).collect();
    for id in kept.iter().filter(|id| !known.contains(id.as_str())) {
        session.notice(format!("--cache-mounts {id}: no RUN has a cache mount with this id"));
    }
}
