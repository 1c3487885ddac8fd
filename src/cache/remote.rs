//! Reading what `--cache-from` names: the newest index first, which has the records of a whole build;
//! then entries by their exact keys.
//!
//! Nothing that is read is believed before its digest is checked, and nothing that is missing is an
//! error: it costs time only.

use std::collections::BTreeSet;
use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::backend::EntryKey;
use super::bundle::{Bundle, blob_entry, record_entry};
use super::place::{Place, Traffic};
use super::record::{Record, RecordKey};
use crate::digest::{DiffId, Digest};
use crate::image::Descriptor;
use crate::plan::History;

/// Keys in one question; the Actions cache takes no more.
const KEYS_AT_ONCE: usize = 10;

/// Places to read from, in the order in which they are asked.
#[derive(Debug)]
pub struct RemoteCache {
    places: Vec<Arc<Place>>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Reads the indexes while the build resolves its bases.
    reading: Option<JoinHandle<Bundle>>,
    /// From the indexes and from entries.
    bundle: Bundle,
    /// Of the indexes alone.
    index: Bundle,
    asked: BTreeSet<RecordKey>,
    /// What can't be had though a record has it.
    lost: BTreeSet<Digest>,
}

impl RemoteCache {
    /// Starts to read the newest index of each place whose key begins with `prefix`.
    #[must_use]
    pub fn open(places: Vec<Arc<Place>>, prefix: String) -> Self {
        let reading = (!places.is_empty()).then(|| {
            let places = places.clone();
            std::thread::spawn(move || {
                let mut bundle = Bundle::default();
                for place in places {
                    bundle.merge(newest(&place, &prefix).unwrap_or_default());
                }
                bundle
            })
        });
        Self { places, known: Mutex::new(Known { reading, ..Known::default() }) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = known.reading.take() {
            // A back end that panicked has told nothing.
            known.index = reading.join().unwrap_or_default();
            known.bundle = known.index.clone();
        }
        known
    }

    /// A record that was had, with the blobs that came along.
    pub(super) fn excerpt(&self, key: RecordKey, record: Record) -> Bundle {
        let mut excerpt = Bundle::default();
        excerpt.insert_from(key, record, &self.known().bundle);
        excerpt
    }

    /// The newest index, as it was read.
    pub(super) fn index(&self) -> Bundle {
        self.known().index.clone()
    }

    /// What the newest build was made of that an index tells of.
    #[must_use]
    pub fn history(&self) -> Option<History> {
        self.known().index.history.clone()
    }

    /// The first of `keys` that has a record, and its position.
    #[must_use]
    pub fn first(&self, keys: &[RecordKey]) -> Option<(usize, Record)> {
        let mut known = self.known();
        let known_at = |known: &Known, end: usize| {
            keys[..end].iter().position(|key| known.bundle.record(key).is_some())
        };
        let mut end = known_at(&known, keys.len()).unwrap_or(keys.len());
        for place in &self.places {
            let wanted: Vec<RecordKey> =
                keys[..end].iter().filter(|key| !known.asked.contains(key)).copied().collect();
            let found = wanted.chunks(KEYS_AT_ONCE).find_map(|keys| find_record(place, keys));
            known.bundle.merge(found.unwrap_or_default());
            end = known_at(&known, end).unwrap_or(end);
        }
        known.asked.extend(&keys[..end]);
        let key = keys.get(end)?;
        Some((end, known.bundle.record(key)?.clone()))
    }

    /// The record of a key that is worth no question of its own.
    #[must_use]
    pub fn known_record(&self, key: &RecordKey) -> Option<Record> {
        self.known().bundle.record(key).cloned()
    }

    /// The table of contents of a layer, where some record says where it is.
    #[must_use]
    pub fn contents(&self, diff_id: &DiffId) -> Option<Descriptor> {
        self.known().bundle.contents(diff_id).cloned()
    }

    /// Gives `take` the bytes of a blob, of one place after the other until it is content with them.
    /// Where none will do, the blob is lost.
    pub fn read_blob(
        &self,
        blob: &Descriptor,
        take: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
    ) -> bool {
        let inline = self.known().bundle.blob(&blob.digest);
        if inline.is_some_and(|bytes| take(&mut Cursor::new(bytes)).is_ok()) {
            return true;
        }
        let key = [blob_entry(&blob.digest)];
        for place in &self.places {
            let taken = place.read(|backend| backend.find(&key), |_, bytes| take(bytes));
            match taken {
                Some(Ok(())) => return true,
                Some(Err(error)) => place.fault(&format!("{}: {error}", key[0].0)),
                None => {}
            }
        }
        self.known().lost.insert(blob.digest);
        false
    }

    /// Whether [`RemoteCache::read_blob`] has failed for this blob.
    #[must_use]
    pub fn is_lost(&self, digest: &Digest) -> bool {
        self.known().lost.contains(digest)
    }

    /// What each place was asked.
    #[must_use]
    pub fn traffic(&self) -> Vec<(String, Traffic)> {
        self.places.iter().map(|place| (place.name(), place.traffic())).collect()
    }

    /// How many blobs are lost.
    #[must_use]
    pub fn losses(&self) -> usize {
        self.known().lost.len()
    }
}

fn newest(place: &Place, prefix: &str) -> Option<Bundle> {
    let prefix = place.index_key(prefix);
    place.read(|backend| backend.newest(&prefix), |key, bytes| decode(place, key, bytes))?
}

/// The first of `keys` that the place has an entry of that is whole and has that record.
fn find_record(place: &Place, mut keys: &[RecordKey]) -> Option<Bundle> {
    while !keys.is_empty() {
        let entries: Vec<EntryKey> = keys.iter().map(record_entry).collect();
        let read = |key: &EntryKey, bytes: &mut dyn Read| (key.clone(), decode(place, key, bytes));
        let (entry, bundle) = place.read(|backend| backend.find(&entries), read)?;
        let position = entries.iter().position(|asked| *asked == entry)?;
        match bundle {
            Some(bundle) if bundle.record(&keys[position]).is_some() => return Some(bundle),
            Some(_) => place.fault(&format!("{} holds another record", entry.0)),
            None => {}
        }
        keys = &keys[position + 1..];
    }
    None
}

fn decode(place: &Place, key: &EntryKey, bytes: &mut dyn Read) -> Option<Bundle> {
    let bundle = Bundle::decode(bytes);
    if bundle.is_none() {
        place.fault(&format!("{} is damaged", key.0));
    }
    bundle
}

#[cfg(test)]
mod tests {
    use super::super::place::tests::{Fake, Mood};
    use super::super::record::tests::record;
    use super::*;
    use crate::digest::Sha256Sum;

    fn key(text: &str) -> RecordKey {
        RecordKey(Sha256Sum::of(text.as_bytes()))
    }

    fn bundle(names: &[&str]) -> Vec<u8> {
        let mut bundle = Bundle::default();
        for name in names {
            bundle.insert(key(name), record(name));
        }
        bundle.encode().unwrap()
    }

    fn put(fake: &Fake, entry: &str, bytes: Vec<u8>) {
        fake.entries.lock().unwrap().insert(entry.to_owned(), bytes);
    }

    fn open(fake: &Fake) -> RemoteCache {
        RemoteCache::open(vec![Place::new(Box::new(fake.clone()))], "i-app-".to_owned())
    }

    #[test]
    fn what_the_index_has_is_not_asked_for() {
        let fake = Fake::new(Mood::Well);
        put(&fake, "i-app-1", bundle(&["a", "b"]));
        put(&fake, "i-other-2", bundle(&["c"]));
        put(&fake, &record_entry(&key("d")).0, bundle(&["d"]));
        let cache = open(&fake);
        assert_eq!(cache.first(&[key("a"), key("b")]), Some((0, record("a"))));
        assert_eq!(fake.count("find"), 0);
        // Deeper ones are asked for, each once.
        for _ in 0..2 {
            assert_eq!(cache.first(&[key("x"), key("b")]), Some((1, record("b"))));
            assert_eq!(cache.first(&[key("x"), key("d"), key("b")]), Some((1, record("d"))));
        }
        assert_eq!(cache.first(&[key("c")]), None);
        assert_eq!(fake.count("find"), 3);
    }

    #[test]
    fn entries_that_are_damaged_or_of_another_key_are_misses() {
        let fake = Fake::new(Mood::Well);
        put(&fake, "i-app-1", b"nothing of the kind".to_vec());
        put(&fake, &record_entry(&key("a")).0, bundle(&["b"]));
        let cache = open(&fake);
        assert_eq!(cache.first(&[key("a")]), None);
        assert_eq!(cache.first(&[key("b")]), None, "what came with it is not believed either");
        let notices = cache.places[0].notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
    }

    #[test]
    fn a_blob_is_whole_or_lost() {
        let fake = Fake::new(Mood::Well);
        let blob = Descriptor::new("", Digest::of(b"layer"), 5);
        let cache = open(&fake);
        let read = |cache: &RemoteCache| {
            cache.read_blob(&blob, &mut |bytes| {
                let mut text = String::new();
                bytes.read_to_string(&mut text)?;
                if text == "layer" { Ok(()) } else { Err(io::Error::other("not it")) }
            })
        };
        assert!(!read(&cache) && cache.is_lost(&blob.digest));
        put(&fake, &blob_entry(&blob.digest).0, b"lay".to_vec());
        let cache = open(&fake);
        assert!(!read(&cache));
        assert_eq!(cache.losses(), 1);
        put(&fake, &blob_entry(&blob.digest).0, b"layer".to_vec());
        let cache = open(&fake);
        assert!(read(&cache) && !cache.is_lost(&blob.digest));
    }

    #[test]
    fn an_excerpt_has_the_blobs_that_came_along() {
        let fake = Fake::new(Mood::Well);
        let record = record("a");
        let blob = record.blobs().next().unwrap().digest;
        let mut entry = Bundle::default();
        entry.insert_blob(blob, b"of it");
        entry.insert_blob(Digest::of(b"another"), b"another");
        entry.insert(key("a"), record.clone());
        put(&fake, &record_entry(&key("a")).0, entry.encode().unwrap());
        let cache = open(&fake);
        assert!(cache.first(&[key("a")]).is_some());
        let mut expected = Bundle::default();
        expected.insert_blob(blob, b"of it");
        expected.insert(key("a"), record.clone());
        assert_eq!(cache.excerpt(key("a"), record), expected);
    }

    #[test]
    fn without_places_nothing_is_asked() {
        let cache = RemoteCache::open(Vec::new(), String::new());
        assert_eq!(cache.first(&[key("a")]), None);
        let gone = Fake::new(Mood::Unavailable);
        let cache = open(&gone);
        assert_eq!(cache.first(&[key("a")]), None);
        assert_eq!(gone.requests.lock().unwrap().len(), 1);
    }
}
