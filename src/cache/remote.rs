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
pub(super) const KEYS_AT_ONCE: usize = 10;

/// Places to read from, in the order in which they are asked.
#[derive(Debug)]
pub struct RemoteCache {
    places: Vec<Arc<Place>>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Read the indexes, one of each place, while the build resolves its bases.
    reading: Vec<JoinHandle<Bundle>>,
    /// Of each place, from its index and from entries. No record in them needs what is lost.
    bundles: Vec<Bundle>,
    /// Of the indexes alone.
    indexes: Vec<Bundle>,
    asked: BTreeSet<RecordKey>,
    /// What can't be had though a record has it.
    lost: BTreeSet<Digest>,
}

impl Known {
    fn record(&self, key: &RecordKey) -> Option<&Record> {
        self.bundles.iter().find_map(|bundle| bundle.record(key))
    }

    /// The first of `keys` that has a record.
    fn position(&self, keys: &[RecordKey]) -> Option<usize> {
        keys.iter().position(|key| self.record(key).is_some())
    }

    /// Nobody has this blob. Another record of the same step may do without it: it is asked for anew.
    fn lose(&mut self, digest: Digest) {
        self.lost.insert(digest);
        for bundle in self.bundles.iter_mut().chain(&mut self.indexes) {
            for key in bundle.forget(&self.lost) {
                self.asked.remove(&key);
            }
        }
    }
}

impl RemoteCache {
    /// Starts to read the newest index of each place whose key begins with `prefix`.
    #[must_use]
    pub fn open(places: Vec<Arc<Place>>, prefix: String) -> Self {
        let read = |place: &Arc<Place>| {
            let (place, prefix) = (Arc::clone(place), prefix.clone());
            std::thread::spawn(move || newest(&place, &prefix).unwrap_or_default())
        };
        let reading = places.iter().map(read).collect();
        Self { places, known: Mutex::new(Known { reading, ..Known::default() }) }
    }

    /// Where it looks.
    #[must_use]
    pub fn places(&self) -> &[Arc<Place>] {
        &self.places
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for reading in std::mem::take(&mut known.reading) {
            // A back end that panicked has told nothing.
            let bundle = reading.join().unwrap_or_default();
            known.indexes.push(bundle.clone());
            known.bundles.push(bundle);
        }
        known
    }

    /// A record that was had, with the blobs that came along.
    pub(super) fn excerpt(&self, key: RecordKey, record: &Record) -> Bundle {
        let mut excerpt = Bundle::default();
        for bundle in &self.known().bundles {
            excerpt.insert_from(key, record, bundle);
        }
        excerpt
    }

    /// Whether a place has told of a record.
    pub(super) fn is_from(&self, place: &Arc<Place>, key: &RecordKey) -> bool {
        let known = self.known();
        let mut pairs = self.places.iter().zip(&known.bundles);
        pairs.any(|(other, bundle)| Arc::ptr_eq(other, place) && bundle.record(key).is_some())
    }

    /// The newest indexes, as they were read, less what is lost.
    pub(super) fn index(&self) -> Bundle {
        let mut all = Bundle::default();
        self.known().indexes.iter().for_each(|index| all.merge(index.clone()));
        all
    }

    /// Whether the newest index of a place has all of `index`.
    pub(super) fn is_indexed(&self, place: &Arc<Place>, index: &Bundle) -> bool {
        let known = self.known();
        let mut pairs = self.places.iter().zip(&known.indexes);
        pairs.any(|(other, newest)| Arc::ptr_eq(other, place) && newest.has_all_of(index))
    }

    /// What the newest build was made of that an index tells of.
    #[must_use]
    pub fn history(&self) -> Option<History> {
        self.known().indexes.iter().find_map(|index| index.history.clone())
    }

    /// The first of `keys` that has a record, and its position.
    #[must_use]
    pub fn first(&self, keys: &[RecordKey]) -> Option<(usize, Record)> {
        let mut known = self.known();
        let mut end = known.position(keys).unwrap_or(keys.len());
        for (number, place) in self.places.iter().enumerate() {
            let wanted: Vec<RecordKey> =
                keys[..end].iter().filter(|key| !known.asked.contains(key)).copied().collect();
            let mut chunks = wanted.chunks(KEYS_AT_ONCE);
            if let Some(found) = chunks.find_map(|keys| find_record(place, keys, &known.lost)) {
                known.bundles[number].merge(found);
            }
            end = known.position(&keys[..end]).unwrap_or(end);
        }
        known.asked.extend(&keys[..end]);
        let key = keys.get(end)?;
        Some((end, known.record(key)?.clone()))
    }

    /// The record of a key that is worth no question of its own.
    #[must_use]
    pub fn known_record(&self, key: &RecordKey) -> Option<Record> {
        self.known().record(key).cloned()
    }

    /// The table of contents of a layer, where some record says where it is.
    #[must_use]
    pub fn contents(&self, diff_id: &DiffId) -> Option<Descriptor> {
        let known = self.known();
        known.bundles.iter().find_map(|bundle| bundle.contents(diff_id)).cloned()
    }

    /// A small document that an entry has brought along, such as a base's configuration.
    #[must_use]
    pub fn document(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.known().bundles.iter().find_map(|bundle| bundle.blob(digest))
    }

    /// Gives `take` the bytes of a blob, of one place after the other until it is content with them.
    /// Where none will do, the blob is lost.
    pub fn read_blob(
        &self,
        blob: &Descriptor,
        take: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
    ) -> bool {
        let had = !self.is_lost(&blob.digest) && self.take_blob(blob, take);
        if !had {
            self.known().lose(blob.digest);
        }
        had
    }

    /// As [`RemoteCache::read_blob`], for those who can do without.
    pub(super) fn take_blob(
        &self,
        blob: &Descriptor,
        take: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
    ) -> bool {
        let inline = self.document(&blob.digest);
        inline.is_some_and(|bytes| take(&mut Cursor::new(bytes)).is_ok())
            || self.places.iter().any(|place| blob_from(place, blob, take))
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

    /// The blobs that [`RemoteCache::read_blob`] has failed for.
    #[must_use]
    pub fn lost(&self) -> BTreeSet<Digest> {
        self.known().lost.clone()
    }

    /// How many blobs are lost.
    #[must_use]
    pub fn losses(&self) -> usize {
        self.known().lost.len()
    }

    /// How many bytes of a record's blobs are entries of their own.
    #[must_use]
    pub fn bytes_apart(&self, key: RecordKey, record: &Record) -> u64 {
        let inline = self.excerpt(key, record);
        let apart = record.cached_blobs().filter(|blob| !inline.has_blob(&blob.digest));
        apart.map(|blob| blob.size).sum()
    }
}

fn newest(place: &Place, prefix: &str) -> Option<Bundle> {
    let prefix = place.scoped(prefix);
    place.read(|backend| backend.newest(&prefix), |key, bytes| decode(place, key, bytes))?
}

/// The first of `keys` that the place has an entry of that is whole and has that record, which needs
/// nothing that is lost.
fn find_record(place: &Place, mut keys: &[RecordKey], lost: &BTreeSet<Digest>) -> Option<Bundle> {
    while !keys.is_empty() {
        let entries: Vec<EntryKey> =
            keys.iter().map(|key| place.current(&record_entry(key))).collect();
        let read = |key: &EntryKey, bytes: &mut dyn Read| (key.clone(), decode(place, key, bytes));
        let (entry, bundle) = place.read(|backend| backend.find(&entries), read)?;
        let position = entries.iter().position(|asked| *asked == entry)?;
        let key = &keys[position];
        if let Some(bundle) = bundle {
            match bundle.record(key) {
                Some(record) if !record.needs_any(lost) => return Some(bundle),
                Some(_) => {}
                None => place.fault(&format!("{} holds another record", entry.0)),
            }
        }
        let replaced = place.spoil(&record_entry(key));
        keys = &keys[position + usize::from(!replaced)..];
    }
    None
}

/// Gives `take` the blob as a place has it. One that is damaged may have been replaced.
fn blob_from(
    place: &Place,
    blob: &Descriptor,
    take: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
) -> bool {
    let key = blob_entry(&blob.digest);
    loop {
        let current = [place.current(&key)];
        match place.read(|backend| backend.find(&current), |_, bytes| take(bytes)) {
            None => return false,
            Some(Ok(())) => return true,
            Some(Err(error)) => place.fault(&format!("{}: {error}", current[0].0)),
        }
        if !place.spoil(&key) {
            return false;
        }
    }
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
        let entry = blob_entry(&blob.digest);
        assert_eq!(cache.places[0].current(&entry), entry.replacement(1));
        put(&fake, &entry.replacement(1).0, b"layer".to_vec());
        let cache = open(&fake);
        assert!(read(&cache) && !cache.is_lost(&blob.digest), "there is what replaced it");
    }

    #[test]
    fn a_record_of_a_lost_blob_gives_way_to_the_one_that_replaced_it() {
        let fake = Fake::new(Mood::Well);
        let entry = record_entry(&key("step"));
        let saved = |name: &str| {
            let mut bundle = Bundle::default();
            bundle.insert(key("step"), record(name));
            bundle.encode().unwrap()
        };
        put(&fake, "i-app-1", saved("lost"));
        put(&fake, &entry.0, saved("lost"));
        put(&fake, &entry.replacement(1).0, saved("lost too"));
        let cache = open(&fake);
        let lose = |name: &str| {
            assert_eq!(cache.first(&[key("step")]), Some((0, record(name))));
            let blob = &record(name).layers[0].descriptor;
            assert!(!cache.read_blob(blob, &mut |_| Ok(())));
        };
        lose("lost");
        assert!(cache.index().is_empty(), "it is not handed on");
        lose("lost too");
        assert_eq!(cache.first(&[key("step")]), None);
        assert_eq!(cache.places[0].current(&entry), entry.replacement(2));
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
        assert_eq!(cache.excerpt(key("a"), &record), expected);
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
