//! A back end that may fail: what is wrong is told once, and a place that is gone is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::backend::{CacheBackend, CacheFault, EntryKey, FoundEntry, Saved};
use crate::digest::Sha256Sum;

/// How many entries may replace a spoiled one, and then each other.
const REPLACEMENTS: u32 = 7;

/// One of `--cache-from` and `--cache-to`, for one build.
pub struct Place {
    backend: Box<dyn CacheBackend>,
    /// Keeps what is of one kind of build apart from others'.
    scope: Option<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Nothing more is asked.
    gone: bool,
    /// Nothing more is saved.
    denied: bool,
    told: bool,
    notices: Vec<String>,
    lost: BTreeSet<EntryKey>,
    traffic: Traffic,
    /// How many entries of a key were found to be of no use.
    spoiled: BTreeMap<EntryKey, u32>,
}

/// What reading from a place came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub questions: usize,
    /// Entries that were opened.
    pub entries: usize,
    /// Read of them.
    pub bytes: u64,
    pub took: Duration,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place").field(&self.name()).finish()
    }
}

impl Place {
    #[must_use]
    pub fn new(backend: Box<dyn CacheBackend>) -> Arc<Self> {
        Self::with_scope(backend, None)
    }

    /// One whose indexes and weights are apart from those of other scopes. Records and blobs are
    /// shared: their keys say what they are of.
    #[must_use]
    pub fn with_scope(backend: Box<dyn CacheBackend>, scope: Option<&str>) -> Arc<Self> {
        let scope = scope.map(|scope| Sha256Sum::of(scope.as_bytes()).hex()[..12].to_owned());
        Arc::new(Self { backend, scope, state: Mutex::default() })
    }

    /// What the key of an index, a weight or a logbook, or the beginning of one, is here.
    pub(super) fn scoped(&self, key: &str) -> String {
        match (&self.scope, key.split_once('-')) {
            (Some(scope), Some((kind, rest))) => format!("{kind}-{scope}-{rest}"),
            _ => key.to_owned(),
        }
    }

    #[must_use]
    pub fn name(&self) -> String {
        self.backend.name()
    }

    /// What the user should know of it since this was asked last.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        std::mem::take(&mut self.state().notices)
    }

    /// The back end's answer; `None` where it has failed, now or for good before.
    pub(super) fn ask<T>(
        &self,
        question: impl FnOnce(&dyn CacheBackend) -> Result<T, CacheFault>,
    ) -> Option<T> {
        if self.state().gone {
            return None;
        }
        match question(&*self.backend) {
            Ok(answer) => Some(answer),
            Err(fault) => {
                self.state().gone |= matches!(fault, CacheFault::Unavailable(_));
                self.fault(&fault.to_string());
                None
            }
        }
    }

    /// Asks for an entry and gives its bytes to `read`, which judges them. `None` where there is none.
    pub(super) fn read<T>(
        &self,
        find: impl FnOnce(&dyn CacheBackend) -> Result<Option<FoundEntry>, CacheFault>,
        read: impl FnOnce(&EntryKey, &mut dyn Read) -> T,
    ) -> Option<T> {
        let since = Instant::now();
        let mut bytes = 0;
        let opened = self.ask(|backend| match find(backend)? {
            Some(entry) => Ok(Some((backend.open(&entry)?, entry.key))),
            None => Ok(None),
        });
        let judged = opened
            .flatten()
            .map(|(content, key)| read(&key, &mut Counted { content, bytes: &mut bytes }));
        let traffic = &mut self.state().traffic;
        traffic.questions += 1;
        traffic.entries += usize::from(judged.is_some());
        traffic.bytes += bytes;
        traffic.took += since.elapsed();
        judged
    }

    /// Whether there is an entry, as far as one can tell.
    pub(super) fn has(&self, key: &EntryKey) -> bool {
        let found = self.ask(|backend| backend.find(std::slice::from_ref(key)));
        found.flatten().is_some()
    }

    /// What was read here so far.
    pub(super) fn traffic(&self) -> Traffic {
        self.state().traffic
    }

    /// Whether an entry is there after `save`.
    pub(super) fn save(
        &self,
        save: impl FnOnce(&dyn CacheBackend) -> Result<Saved, CacheFault>,
    ) -> bool {
        if !self.is_writable() {
            return false;
        }
        match self.ask(save) {
            Some(Saved::New | Saved::AlreadyThere) => true,
            Some(Saved::Denied(reason)) => {
                let mut state = self.state();
                if !std::mem::replace(&mut state.denied, true) {
                    let name = self.name();
                    state.notices.push(format!("nothing is saved in the cache {name}: {reason}"));
                }
                false
            }
            None => false,
        }
    }

    /// What an entry is found and saved under here: after one that is of no use, under another key.
    pub(super) fn current(&self, key: &EntryKey) -> EntryKey {
        key.replacement(self.state().spoiled.get(key).copied().unwrap_or_default())
    }

    /// Notes that the current entry of `key` is of no use: it is damaged, or names what is lost.
    /// Whether there may be one that replaces it.
    pub(super) fn spoil(&self, key: &EntryKey) -> bool {
        let mut state = self.state();
        let spoiled = state.spoiled.entry(key.clone()).or_default();
        let more = *spoiled < REPLACEMENTS;
        *spoiled += u32::from(more);
        more
    }

    pub(super) fn is_writable(&self) -> bool {
        let state = self.state();
        !state.gone && !state.denied
    }

    /// Notes that an entry is damaged or gone: nothing new may refer to it.
    pub(super) fn lose(&self, key: &EntryKey) {
        self.state().lost.insert(key.clone());
    }

    pub(super) fn has_lost(&self, key: &EntryKey) -> bool {
        self.state().lost.contains(key)
    }

    /// Notes a fault. The first is told; what follows it has often the same cause.
    pub(super) fn fault(&self, what: &str) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.told, true) {
            let name = self.name();
            state
                .notices
                .push(format!("the cache {name} has failed, which costs time only: {what}"));
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Counted<'a> {
    content: Box<dyn Read + Send>,
    bytes: &'a mut u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buffer)?;
        *self.bytes += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::io::Cursor;

    use super::super::backend::EntryContent;
    use super::*;
    use crate::image::Descriptor;

    /// How a [`Fake`] fails.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Mood {
        Well,
        ReadOnly,
        Failing,
        Unavailable,
    }

    /// Entries in memory; the requests are counted.
    #[derive(Clone, Debug)]
    pub struct Fake {
        pub entries: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
        pub requests: Arc<Mutex<Vec<String>>>,
        pub mood: Mood,
    }

    impl Fake {
        pub fn new(mood: Mood) -> Self {
            Self { entries: Arc::default(), requests: Arc::default(), mood }
        }

        pub fn count(&self, what: &str) -> usize {
            let requests = self.requests.lock().unwrap();
            requests.iter().filter(|request| request.starts_with(what)).count()
        }

        fn request(&self, what: String) -> Result<(), CacheFault> {
            self.requests.lock().unwrap().push(what);
            match self.mood {
                Mood::Well | Mood::ReadOnly => Ok(()),
                Mood::Failing => Err(CacheFault::Failed("broken".to_owned())),
                Mood::Unavailable => Err(CacheFault::Unavailable("not there".to_owned())),
            }
        }
    }

    impl CacheBackend for Fake {
        fn name(&self) -> String {
            "fake".to_owned()
        }

        fn find(&self, keys: &[EntryKey]) -> Result<Option<FoundEntry>, CacheFault> {
            self.request(format!("find {}", keys.len()))?;
            let entries = self.entries.lock().unwrap();
            let found = keys.iter().find(|key| entries.contains_key(&key.0));
            Ok(found.map(|key| FoundEntry { key: key.clone(), size: None, place: String::new() }))
        }

        fn newest(&self, prefix: &str) -> Result<Option<FoundEntry>, CacheFault> {
            self.request(format!("newest {prefix}"))?;
            let entries = self.entries.lock().unwrap();
            let found = entries.keys().rfind(|key| key.starts_with(prefix));
            Ok(found.map(|key| FoundEntry {
                key: EntryKey(key.clone()),
                size: None,
                place: String::new(),
            }))
        }

        fn open(&self, entry: &FoundEntry) -> Result<Box<dyn Read + Send>, CacheFault> {
            self.request(format!("open {}", entry.key.0))?;
            let bytes = self.entries.lock().unwrap().get(&entry.key.0).cloned();
            Ok(Box::new(Cursor::new(bytes.unwrap_or_default())))
        }

        fn save(
            &self,
            key: &EntryKey,
            content: EntryContent<'_>,
            _blobs: &[Descriptor],
        ) -> Result<Saved, CacheFault> {
            self.request(format!("save {}", key.0))?;
            if self.mood == Mood::ReadOnly {
                return Ok(Saved::Denied("read only".to_owned()));
            }
            let bytes = match content {
                EntryContent::Bytes(bytes) => bytes.to_vec(),
                EntryContent::File(path, _) => std::fs::read(path)?,
            };
            match self.entries.lock().unwrap().insert(key.0.clone(), bytes) {
                None => Ok(Saved::New),
                Some(_) => Ok(Saved::AlreadyThere),
            }
        }
    }

    #[test]
    fn a_scope_has_keys_of_its_own() {
        let place = |scope| Place::with_scope(Box::new(Fake::new(Mood::Well)), scope);
        assert_eq!(place(None).scoped("i-app-1"), "i-app-1");
        let [one, two] = ["one", "two"].map(|scope| place(Some(scope)).scoped("i-app-1"));
        assert!(one != two && one.starts_with("i-") && one.ends_with("-app-1"), "{one} {two}");
        assert!(one.starts_with(&place(Some("one")).scoped("i-app-")));
    }

    #[test]
    fn what_is_spoiled_is_replaced_a_few_times() {
        let place = Place::new(Box::new(Fake::new(Mood::Well)));
        let key = EntryKey("r-1".to_owned());
        assert_eq!(place.current(&key), key);
        for number in 1..=REPLACEMENTS {
            assert!(place.spoil(&key));
            assert_eq!(place.current(&key).0, format!("r-1-{number}"));
        }
        assert!(!place.spoil(&key), "there are no more names");
        assert_eq!(place.current(&EntryKey("r-2".to_owned())).0, "r-2");
    }

    fn try_save(place: &Place) -> bool {
        place.save(|b| b.save(&EntryKey("r-1".to_owned()), EntryContent::Bytes(b""), &[]))
    }

    #[test]
    fn one_notice_and_no_request_after_the_last() {
        for (mood, requests, expected) in [
            (Mood::Well, 2, &[][..]),
            (Mood::ReadOnly, 1, &["nothing is saved in the cache fake: read only"]),
            (Mood::Failing, 2, &["the cache fake has failed, which costs time only: broken"]),
            (
                Mood::Unavailable,
                1,
                &["the cache fake has failed, which costs time only: not there"],
            ),
        ] {
            let fake = Fake::new(mood);
            let place = Place::new(Box::new(fake.clone()));
            for _ in 0..2 {
                assert_eq!(try_save(&place), mood == Mood::Well);
            }
            assert_eq!(fake.count("save"), requests, "{mood:?}");
            assert_eq!(place.notices(), expected, "{mood:?}");
            assert_eq!(place.notices(), [""; 0]);
        }
    }
}
