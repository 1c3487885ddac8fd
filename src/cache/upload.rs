//! Saving in the places that `--cache-to` names, behind the build: a result as soon as it is there,
//! with what it refers to before it, so that what a canceled job had finished is there for the next.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::backend::{EntryContent, EntryKey};
use super::bundle::{Bundle, INLINE_ALL, INLINE_BLOB, blob_entry, record_entry};
use super::place::Place;
use super::record::{Record, RecordKey};
use super::remote::RemoteCache;
use crate::digest::Digest;
use crate::image::Descriptor;
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
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Job>,
    running: usize,
    threads: usize,
    /// Nothing more is begun.
    ended: bool,
}

impl Queue {
    fn left(&self) -> usize {
        self.waiting.len() + self.running
    }
}

#[derive(Debug)]
enum Job {
    Step(Box<StepToSave>),
    /// Its key, where no scope has a part in it.
    Index(String, Vec<u8>),
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

    fn push(&self, job: Job) {
        let mut queue = lock(&self.0.queue);
        if queue.ended {
            return;
        }
        queue.waiting.push_back(job);
        if queue.threads < THREADS.min(queue.waiting.len() + queue.running) {
            queue.threads += 1;
            let shared = Arc::clone(&self.0);
            // Not joined: a request that hangs must not keep a build that has ended.
            std::thread::spawn(move || shared.work());
        }
        self.0.changed.notify_all();
    }

    /// Adds a record that was had from `cache` to the build's index.
    pub fn add_to_index(&self, key: RecordKey, record: Record, cache: &RemoteCache) {
        let excerpt = cache.excerpt(key, record);
        lock(&self.0.index).merge(excerpt);
    }

    /// Waits until all is saved, at most for `limit`, and saves the index then, with what fits of the
    /// one that `older` has read; its key begins with `prefix`. Returns how many results were left.
    pub fn finish(
        &self,
        prefix: &str,
        older: &RemoteCache,
        history: Option<History>,
        limit: Duration,
    ) -> usize {
        let until = Instant::now() + limit;
        let mut left = self.wait(until);
        let mut index = lock(&self.0.index).clone();
        let old = older.index();
        index.history = history;
        if left == 0 && !index.is_empty() && !old.has_all_of(&index) {
            index.merge_within(&old, OLDER_RECORDS);
            if let Ok(entry) = index.encode() {
                let name = &Digest::of(&entry).hex()[..8];
                self.push(Job::Index(format!("{prefix}{name}"), entry));
                left = self.wait(until);
            }
        }
        self.end();
        left
    }

    /// Waits until nothing is left, or there is no more time; what is left.
    fn wait(&self, until: Instant) -> usize {
        let limit = until.saturating_duration_since(Instant::now());
        let busy = |queue: &mut Queue| queue.left() > 0;
        let waited = self.0.changed.wait_timeout_while(lock(&self.0.queue), limit, busy);
        waited.unwrap_or_else(PoisonError::into_inner).0.left()
    }

    /// Begins nothing more.
    pub fn end(&self) {
        let mut queue = lock(&self.0.queue);
        queue.ended = true;
        queue.waiting.clear();
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
    fn work(&self) {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.waiting.pop_front() {
                queue.running += 1;
                drop(queue);
                match job {
                    Job::Step(result) => self.step(&result),
                    Job::Index(key, entry) => self.targets.iter().for_each(|target| {
                        let key = EntryKey(target.place.index_key(&key));
                        self.entry(&target.place, &key, EntryContent::Bytes(&entry), &[]);
                    }),
                }
                queue = lock(&self.queue);
                queue.running -= 1;
                self.changed.notify_all();
            } else if queue.ended {
                return;
            } else {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn step(&self, result: &StepToSave) {
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
        let key = record_entry(&result.key);
        let mut somewhere = false;
        for (number, Target { place, only_image }) in self.targets.iter().enumerate() {
            if *only_image && !result.in_image {
                continue;
            }
            let whole = apart.iter().all(|(blob, path)| self.blob(number, blob, path));
            somewhere |= whole
                && (result.only_in_index && place.is_writable()
                    || self.entry(place, &key, EntryContent::Bytes(&entry), &blobs));
        }
        if somewhere {
            lock(&self.index).merge(bundle);
        }
    }

    /// Saves a blob in a place, once; whoever comes later waits for the first.
    fn blob(&self, target: usize, blob: &Descriptor, path: &std::path::Path) -> bool {
        let name = (target, blob.digest);
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
        let content = EntryContent::File(path, blob.size);
        let blobs = std::slice::from_ref(blob);
        let saved =
            self.entry(&self.targets[target].place, &blob_entry(&blob.digest), content, blobs);
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
    use std::path::Path;

    use super::super::place::tests::{Fake, Mood};
    use super::super::record::tests::record;
    use super::*;
    use crate::digest::Sha256Sum;

    const LONG: Duration = Duration::from_secs(20);

    fn uploads(fake: &Fake) -> Uploads {
        Uploads::new(vec![target(Place::new(Box::new(fake.clone())))], Arc::new(()))
    }

    fn nothing_older() -> RemoteCache {
        RemoteCache::open(Vec::new(), String::new())
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
        assert_eq!(uploads.finish("i-1-", &nothing_older(), None, LONG), 0);
        let requests = fake.requests.lock().unwrap().clone();
        assert_eq!(fake.count("save b-"), 1, "{requests:?}");
        assert_eq!(fake.count("save r-"), 4, "{requests:?}");
        assert_eq!(requests.last().unwrap()[.."save i-1-".len()], *"save i-1-");
        let position = |what: &str| requests.iter().position(|r| *r == format!("save {what}"));
        let blob = blob_entry(&large.record.layers[0].descriptor.digest).0;
        assert!(position(&blob) < position(&record_entry(&large.key).0));
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
        assert_eq!(uploads.finish("i-1-", &nothing_older(), None, LONG), 0);
        assert_eq!(fake.count("save"), 1);
    }

    #[test]
    fn an_index_takes_over_what_the_last_one_had_and_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let fake = Fake::new(Mood::Well);
        let place = Place::new(Box::new(fake.clone()));
        let build = |number: u32, names: &[&str]| {
            let from = RemoteCache::open(vec![Arc::clone(&place)], "i-".to_owned());
            let uploads = Uploads::new(vec![target(Arc::clone(&place))], Arc::new(()));
            for name in names {
                let only_in_index = true;
                uploads.save(StepToSave { only_in_index, ..result(dir.path(), name, 10) });
            }
            uploads.finish(&format!("i-{number}-"), &from, None, LONG);
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
            ) -> Result<Box<dyn std::io::Read + Send>, crate::cache::CacheFault> {
                Ok(Box::new(std::io::empty()))
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
        assert_eq!(uploads.finish("i-1-", &nothing_older(), None, Duration::from_millis(50)), 1);
    }
}
