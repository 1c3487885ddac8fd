//! Saving in the places that `--cache-to` names, behind the build: a result as soon as it is there,
//! with what it refers to before it, so that what a canceled job had finished is there for the next.

use std::any::Any;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bundle::Bundle;
use super::mounts::{MountBudget, MountToSave, SavedMount};
use super::place::Place;
use super::record::{Record, RecordKey};
use super::remote::RemoteCache;
use crate::digest::Digest;
use crate::image::Descriptor;
use crate::plan::History;

mod jobs;

pub use jobs::bytes_apart;

/// Results under way at once.
const THREADS: usize = 6;
/// What an index takes over from the one before; bytes.
const OLDER_RECORDS: usize = 2 << 20;

/// A step's result to save.
#[derive(Clone, Debug)]
pub struct StepToSave {
    pub key: RecordKey,
    pub record: Record,
    /// Blobs that the record refers to, and the files that have them.
    pub blobs: Vec<(Descriptor, PathBuf)>,
    /// Only in the build's index: it is quickly made again.
    pub only_in_index: bool,
    /// The image consists of it; some targets want nothing else.
    pub in_image: bool,
}

/// A result that a cache has, for those that lack it.
#[derive(Clone, Debug)]
pub struct StepToCopy {
    pub key: RecordKey,
    pub record: Record,
    pub in_image: bool,
    pub from: Arc<RemoteCache>,
    /// For blobs on their way.
    pub folder: PathBuf,
}

/// A place to save in.
#[derive(Clone, Debug)]
pub struct Target {
    pub place: Arc<Place>,
    /// Results of stages that are left behind are not wanted.
    pub only_image: bool,
}

/// The threads that save, and their queue.
#[derive(Debug)]
pub struct Uploads(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    targets: Vec<Target>,
    _keeps: Arc<dyn Any + Send + Sync>,
    queue: Mutex<Queue>,
    /// The queue has changed.
    changed: Condvar,
    blobs: Mutex<HashMap<(usize, Digest), Upload>>,
    /// A blob is saved, or can't be.
    settled: Condvar,
    /// What is saved of this build.
    index: Mutex<Bundle>,
    /// Of new entries, in all places.
    bytes: Mutex<u64>,
    mounts: Mutex<Vec<SavedMount>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Job>,
    running: usize,
    /// Results whose blobs are not there yet, so that they are not in the index either.
    gathering: usize,
    /// To save as soon as nothing is gathered any more.
    index: Option<Index>,
    threads: usize,
    /// Nothing more is begun.
    ended: bool,
}

impl Queue {
    fn left(&self) -> usize {
        self.waiting.len() + self.running + usize::from(self.index.is_some())
    }

    fn next(&mut self) -> Option<Job> {
        let index = if self.gathering == 0 { self.index.take() } else { None };
        index.map(Job::Index).or_else(|| self.waiting.pop_front())
    }
}

#[derive(Debug)]
enum Job {
    Step(Box<StepToSave>),
    Record(Box<RecordToSave>),
    Copy(Box<StepToCopy>),
    Mount(Box<MountToSave>, Arc<MountBudget>),
    /// An entry that refers to no blob, and its key, where no scope has a part in it.
    Entry(String, Vec<u8>),
    Index(Index),
}

/// A record whose blobs are there.
#[derive(Debug)]
struct RecordToSave {
    place: Arc<Place>,
    key: RecordKey,
    entry: Arc<[u8]>,
    blobs: Vec<Descriptor>,
}

/// What to save of a whole build.
#[derive(Debug)]
struct Index {
    /// How its key begins, where no scope has a part in it.
    prefix: String,
    older: Arc<RemoteCache>,
    history: History,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    UnderWay,
    Ended { saved: bool },
}

impl Uploads {
    /// What the back ends need for as long as a thread may use them is in `keeps`.
    #[must_use]
    pub fn new(targets: Vec<Target>, keeps: Arc<dyn Any + Send + Sync>) -> Self {
        Self(Arc::new(Shared {
            targets,
            _keeps: keeps,
            queue: Mutex::default(),
            changed: Condvar::new(),
            blobs: Mutex::default(),
            settled: Condvar::new(),
            index: Mutex::default(),
            bytes: Mutex::default(),
            mounts: Mutex::default(),
        }))
    }

    /// Whether anything can be saved.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.0.targets.iter().any(|target| target.place.is_writable())
    }

    /// Saves a result, some time.
    pub fn save(&self, result: StepToSave) {
        self.push(Job::Step(Box::new(result)));
    }

    /// Saves a cache mount, some time, as far as `budget` allows.
    pub fn save_mount(&self, mount: MountToSave, budget: &Arc<MountBudget>) {
        self.push(Job::Mount(Box::new(mount), Arc::clone(budget)));
    }

    /// What was done with the cache mounts so far.
    #[must_use]
    pub fn saved_mounts(&self) -> Vec<SavedMount> {
        lock(&self.0.mounts).clone()
    }

    /// Saves an entry of the scope of each place, some time.
    pub fn save_entry(&self, key: String, entry: Vec<u8>) {
        self.push(Job::Entry(key, entry));
    }

    fn push(&self, job: Job) {
        self.0.add(|queue| {
            queue.gathering += usize::from(matches!(job, Job::Step(_)));
            queue.waiting.push_back(job);
        });
    }

    /// Saves a result that a cache has, some time, where it is not known to be.
    pub fn copy(&self, result: StepToCopy) {
        let lacks = |target: &Target| result.wanted_by(target);
        if self.0.targets.iter().any(lacks) {
            self.push(Job::Copy(Box::new(result)));
        }
    }

    /// Adds a record that was had from `cache` to the build's index.
    pub fn add_to_index(&self, key: RecordKey, record: &Record, cache: &RemoteCache) {
        let excerpt = cache.excerpt(key, record);
        lock(&self.0.index).merge(excerpt);
    }

    /// Adds a small document that the next build will ask for to the build's index.
    pub fn add_document(&self, bytes: &[u8]) {
        lock(&self.0.index).insert_blob(Digest::of(bytes), bytes);
    }

    /// Takes what needs these blobs out of the build's index.
    pub fn forget(&self, lost: &BTreeSet<Digest>) {
        lock(&self.0.index).forget(lost);
    }

    /// Saves the build's index as soon as the results are in it that were handed over, with what fits
    /// of the one that `older` has read; its key begins with `prefix`.
    pub fn save_index(&self, prefix: String, older: &Arc<RemoteCache>, history: History) {
        let older = Arc::clone(older);
        self.0.add(|queue| queue.index = Some(Index { prefix, older, history }));
    }

    /// Waits until all is saved, at most for `limit`, and ends. Returns how much was left.
    pub fn finish(&self, limit: Duration) -> usize {
        let busy = |queue: &mut Queue| queue.left() > 0;
        let waited = self.0.changed.wait_timeout_while(lock(&self.0.queue), limit, busy);
        let left = waited.unwrap_or_else(PoisonError::into_inner).0.left();
        self.end();
        left
    }

    /// Begins nothing more.
    pub fn end(&self) {
        let mut queue = lock(&self.0.queue);
        queue.ended = true;
        queue.waiting.clear();
        queue.index = None;
        self.0.changed.notify_all();
    }

    /// Bytes of the entries that this build has saved, in all places.
    #[must_use]
    pub fn saved_bytes(&self) -> u64 {
        *lock(&self.0.bytes)
    }

    /// The names of the places.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.targets.iter().map(|target| target.place.name()).collect()
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// Changes the queue, and sees to it that there are threads for what is in it.
    fn add(self: &Arc<Self>, change: impl FnOnce(&mut Queue)) {
        let mut queue = lock(&self.queue);
        if queue.ended {
            return;
        }
        change(&mut queue);
        if queue.threads < THREADS.min(queue.left()) {
            queue.threads += 1;
            let shared = Arc::clone(self);
            // Not joined: a request that hangs must not keep a build that has ended.
            std::thread::spawn(move || shared.work());
        }
        self.changed.notify_all();
    }

    fn work(self: Arc<Self>) {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.next() {
                queue.running += 1;
                drop(queue);
                let gathered = usize::from(matches!(job, Job::Step(_)));
                match job {
                    Job::Step(result) => self.step(&result),
                    Job::Record(record) => self.record(&record),
                    Job::Copy(result) => self.copy(&result),
                    Job::Mount(mount, budget) => self.mount(&mount, &budget),
                    Job::Entry(key, entry) => {
                        let targets = self.targets.iter();
                        targets.for_each(|target| self.scoped_entry(&target.place, &key, &entry));
                    }
                    Job::Index(index) => self.index(index),
                }
                queue = lock(&self.queue);
                queue.running -= 1;
                queue.gathering -= gathered;
                self.changed.notify_all();
            } else if queue.ended {
                return;
            } else {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
