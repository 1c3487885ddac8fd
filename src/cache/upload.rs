//! Saving in the places that `--cache-to` names, behind the build: a result as soon as it is there,
//! with what it refers to before it, so that what a canceled job had finished is there for the next.

use std::any::Any;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::backend::{EntryContent, EntryKey};
use super::bundle::{Bundle, INLINE_ALL, INLINE_BLOB, blob_entry, record_entry};
use super::mounts::{MountBudget, MountToSave, SavedMount, save};
use super::place::Place;
use super::record::{Record, RecordKey};
use super::remote::RemoteCache;
use crate::digest::Digest;
use crate::image::Descriptor;
use crate::layer::Verify;
use crate::plan::History;

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
#[derive(Debug)]
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

    fn step(self: &Arc<Self>, result: &StepToSave) {
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
        let entry: Arc<[u8]> = entry.into();
        let mut somewhere = false;
        for (number, Target { place, only_image }) in self.targets.iter().enumerate() {
            if *only_image && !result.in_image {
                continue;
            }
            let whole = apart.iter().all(|(blob, path)| self.blob(number, blob, path));
            if !whole || !place.is_writable() {
                continue;
            }
            somewhere = true;
            if !result.only_in_index {
                let (place, entry) = (Arc::clone(place), Arc::clone(&entry));
                let record = RecordToSave { place, key: result.key, entry, blobs: blobs.clone() };
                self.add(|queue| queue.waiting.push_back(Job::Record(Box::new(record))));
            }
        }
        if somewhere {
            // What this build has made comes before what an index had of the same step.
            let mut index = lock(&self.index);
            bundle.merge(std::mem::take(&mut *index));
            *index = bundle;
        }
    }

    fn record(&self, RecordToSave { place, key, entry, blobs }: &RecordToSave) {
        let key = place.current(&record_entry(key));
        self.entry(place, &key, EntryContent::Bytes(entry), blobs);
    }

    fn index(&self, Index { prefix, older, history }: Index) {
        let mut index = lock(&self.index).clone();
        index.history = Some(history);
        let places = self.targets.iter().map(|target| &target.place);
        let lacking: Vec<_> = places.filter(|place| !older.is_indexed(place, &index)).collect();
        if index.is_empty() || lacking.is_empty() {
            return;
        }
        index.merge_within(&older.index(), OLDER_RECORDS);
        let Ok(entry) = index.encode() else { return };
        let key = format!("{prefix}{}", &Digest::of(&entry).hex()[..8]);
        lacking.into_iter().for_each(|place| self.scoped_entry(place, &key, &entry));
    }

    /// Saves an entry of the scope of the place that refers to no blob.
    fn scoped_entry(&self, place: &Place, key: &str, entry: &[u8]) {
        let key = EntryKey(place.scoped(key));
        self.entry(place, &key, EntryContent::Bytes(entry), &[]);
    }

    fn copy(&self, result: &StepToCopy) {
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

    fn mount(&self, mount: &MountToSave, budget: &MountBudget) {
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

    fn entry(
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
            if saved == super::Saved::New {
                *lock(&self.bytes) += size;
            }
            Ok(saved)
        })
    }
}

impl StepToCopy {
    /// Whether `target` takes such results and has not told of this one itself.
    fn wanted_by(&self, target: &Target) -> bool {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::place::tests::{Fake, Mood};
    use super::super::record::tests::record;
    use super::*;
    use crate::digest::Sha256Sum;

    const LONG: Duration = Duration::from_secs(20);

    fn uploads(fake: &Fake) -> Uploads {
        Uploads::new(vec![target(Place::new(Box::new(fake.clone())))], Arc::new(()))
    }

    fn nothing_older() -> Arc<RemoteCache> {
        Arc::new(RemoteCache::open(Vec::new(), String::new()))
    }

    fn target(place: Arc<Place>) -> Target {
        Target { place, only_image: false }
    }

    /// A result with one blob of its own, of `size` bytes.
    fn result(folder: &Path, name: &str, size: usize) -> StepToSave {
        let bytes = name.as_bytes().repeat(size / name.len());
        let mut record = record(name);
        record.layers[0].descriptor = Descriptor::new("", Digest::of(&bytes), bytes.len() as u64);
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        StepToSave {
            key: RecordKey(Sha256Sum::of(name.as_bytes())),
            blobs: vec![(record.layers[0].descriptor.clone(), path)],
            record,
            only_in_index: false,
            in_image: false,
        }
    }

    #[test]
    fn blobs_come_before_their_record_and_small_ones_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let fake = Fake::new(Mood::Well);
        let uploads = uploads(&fake);
        let large = result(dir.path(), "large", 1_000_000);
        for _ in 0..3 {
            uploads.save(large.clone());
        }
        uploads.save(result(dir.path(), "small", 1000));
        uploads.save_index("i-1-".to_owned(), &nothing_older(), History::default());
        assert_eq!(uploads.finish(LONG), 0);
        let requests = fake.requests.lock().unwrap().clone();
        assert_eq!(fake.count("save b-"), 1, "{requests:?}");
        assert_eq!(fake.count("save r-"), 4, "{requests:?}");
        assert_eq!(fake.count("save i-1-"), 1, "{requests:?}");
        let position = |what: &str| {
            requests.iter().position(|request| request.starts_with(&format!("save {what}")))
        };
        let blob = position(&blob_entry(&large.record.layers[0].descriptor.digest).0);
        assert!(blob < position(&record_entry(&large.key).0) && blob < position("i-1-"));
    }

    #[test]
    fn after_a_denial_nothing_more_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        let fake = Fake::new(Mood::ReadOnly);
        let uploads = uploads(&fake);
        uploads.save(result(dir.path(), "first", 1_000_000));
        while uploads.is_possible() {
            std::thread::yield_now();
        }
        uploads.save(result(dir.path(), "second", 1_000_000));
        uploads.save_index("i-1-".to_owned(), &nothing_older(), History::default());
        assert_eq!(uploads.finish(LONG), 0);
        assert_eq!(fake.count("save"), 1);
    }

    #[test]
    fn an_index_takes_over_what_the_last_one_had_and_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let fake = Fake::new(Mood::Well);
        let place = Place::new(Box::new(fake.clone()));
        let build = |number: u32, names: &[&str]| {
            let from = RemoteCache::open(vec![Arc::clone(&place)], "i-".to_owned());
            let from = Arc::new(from);
            let uploads = Uploads::new(vec![target(Arc::clone(&place))], Arc::new(()));
            for name in names {
                let only_in_index = true;
                uploads.save(StepToSave { only_in_index, ..result(dir.path(), name, 10) });
            }
            uploads.save_index(format!("i-{number}-"), &from, History::default());
            uploads.finish(LONG);
            from
        };
        build(1, &["aa"]);
        build(2, &["bb"]);
        let read = build(3, &["aa"]);
        let keys = ["aa", "bb"].map(|name| RecordKey(Sha256Sum::of(name.as_bytes())));
        for key in keys {
            assert!(read.first(&[key]).is_some());
        }
        assert_eq!(fake.entries.lock().unwrap().len(), 2, "nothing new the third time");
    }

    #[test]
    fn a_request_that_hangs_is_left_behind() {
        #[derive(Debug)]
        struct Hanging;
        impl crate::cache::CacheBackend for Hanging {
            fn name(&self) -> String {
                "hanging".to_owned()
            }
            fn find(
                &self,
                _: &[EntryKey],
            ) -> Result<Option<crate::cache::FoundEntry>, crate::cache::CacheFault> {
                Ok(None)
            }
            fn newest(
                &self,
                _: &str,
            ) -> Result<Option<crate::cache::FoundEntry>, crate::cache::CacheFault> {
                Ok(None)
            }
            fn open(
                &self,
                _: &crate::cache::FoundEntry,
            ) -> Result<Box<dyn io::Read + Send>, crate::cache::CacheFault> {
                Ok(Box::new(io::empty()))
            }
            fn save(
                &self,
                _: &EntryKey,
                _: EntryContent<'_>,
                _: &[Descriptor],
            ) -> Result<crate::cache::Saved, crate::cache::CacheFault> {
                loop {
                    std::thread::park();
                }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(vec![target(Place::new(Box::new(Hanging)))], Arc::new(()));
        uploads.save(result(dir.path(), "a", 10));
        assert_eq!(uploads.finish(Duration::from_millis(50)), 1);
    }
}
