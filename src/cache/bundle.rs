//! What is in the entries that hold records: some records, and the small blobs that they refer to;
//! in an index, the documents of the bases too.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::backend::EntryKey;
use super::record::{Record, RecordKey};
use super::sealed::{seal, unseal};
use crate::digest::{DiffId, Digest};
use crate::image::Descriptor;
use crate::plan::History;

/// Its number changes with the meaning of what is kept under a key, local or not.
const FORMAT: &str = "plimsoll-cache-1";
/// What an entry may unpack to; bytes.
const LIMIT: u64 = 64 << 20;
/// A blob up to this size travels with its record; bytes.
pub(super) const INLINE_BLOB: u64 = 256 << 10;
/// All blobs that travel with a record; bytes.
pub(super) const INLINE_ALL: u64 = 2 << 20;

/// Records by key, and blobs by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bundle {
    records: BTreeMap<RecordKey, Record>,
    /// In base64.
    blobs: BTreeMap<Digest, String>,
    /// In an index: what its build was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) history: Option<History>,
}

impl Bundle {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn record(&self, key: &RecordKey) -> Option<&Record> {
        self.records.get(key)
    }

    pub(super) fn insert(&mut self, key: RecordKey, record: Record) {
        self.records.insert(key, record);
    }

    /// Adds a record, and those of its blobs that `other` has.
    pub(super) fn insert_from(&mut self, key: RecordKey, record: &Record, other: &Self) {
        for digest in record.blobs().map(|blob| blob.digest) {
            if let Some(blob) = other.blobs.get(&digest) {
                self.blobs.entry(digest).or_insert_with(|| blob.clone());
            }
        }
        self.records.insert(key, record.clone());
    }

    pub(super) fn insert_blob(&mut self, digest: Digest, bytes: &[u8]) {
        self.blobs.insert(digest, STANDARD.encode(bytes));
    }

    /// The blob, if it is whole.
    pub(super) fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(self.blobs.get(digest)?).ok()?;
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }

    pub(super) fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest)
    }

    /// Drops the records of layers that are lost; their keys.
    pub(super) fn forget(&mut self, lost: &BTreeSet<Digest>) -> Vec<RecordKey> {
        let gone = self.records.iter().filter(|(_, record)| record.needs_any(lost));
        let gone: Vec<RecordKey> = gone.map(|(key, _)| *key).collect();
        for key in &gone {
            self.records.remove(key);
        }
        gone
    }

    /// Where the table of contents of a layer is, as some record has it.
    pub(super) fn contents(&self, diff_id: &DiffId) -> Option<&Descriptor> {
        let mut layers = self.records.values().flat_map(|record| &record.layers);
        layers.find_map(|layer| layer.contents.as_ref().filter(|_| layer.diff_id == *diff_id))
    }

    pub(super) fn has_all_of(&self, other: &Self) -> bool {
        self.history == other.history
            && other.records.iter().all(|(key, record)| self.records.get(key) == Some(record))
            && other.blobs.keys().all(|digest| self.blobs.contains_key(digest))
    }

    /// Adds what is not there yet.
    pub(super) fn merge(&mut self, other: Self) {
        for (key, record) in other.records {
            self.records.entry(key).or_insert(record);
        }
        for (digest, blob) in other.blobs {
            self.blobs.entry(digest).or_insert(blob);
        }
        self.history = self.history.take().or(other.history);
    }

    /// As [`Bundle::merge`], as long as what is added is not more than `limit` bytes.
    pub(super) fn merge_within(&mut self, other: &Self, mut limit: usize) {
        for (key, record) in &other.records {
            if self.records.contains_key(key) {
                continue;
            }
            let digests = record.blobs().map(|blob| blob.digest);
            let blobs: Vec<(Digest, &String)> = digests
                .filter(|digest| !self.blobs.contains_key(digest))
                .filter_map(|digest| Some((digest, other.blobs.get(&digest)?)))
                .collect();
            let size = serde_json::to_string(record).map_or(usize::MAX, |text| text.len())
                + blobs.iter().map(|(_, blob)| blob.len()).sum::<usize>();
            if size > limit {
                continue;
            }
            limit -= size;
            self.blobs.extend(blobs.into_iter().map(|(digest, blob)| (digest, blob.clone())));
            self.records.insert(*key, record.clone());
        }
    }

    /// As an entry has it.
    pub(super) fn encode(&self) -> std::io::Result<Vec<u8>> {
        zstd::bulk::compress(&seal(FORMAT, self)?, 3)
    }

    /// `None` for what is no whole bundle of this format.
    pub(super) fn decode(entry: impl Read) -> Option<Self> {
        let mut sealed = Vec::new();
        let decoder = zstd::Decoder::new(entry).ok()?;
        decoder.take(LIMIT).read_to_end(&mut sealed).ok()?;
        unseal(FORMAT, &sealed)
    }
}

pub(super) fn record_entry(key: &RecordKey) -> EntryKey {
    EntryKey(format!("r-{}", key.0.hex()))
}

pub(super) fn blob_entry(digest: &Digest) -> EntryKey {
    EntryKey(format!("b-{}", digest.hex()))
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;
    use crate::digest::Sha256Sum;

    fn key(text: &str) -> RecordKey {
        RecordKey(Sha256Sum::of(text.as_bytes()))
    }

    fn bundle(name: &str) -> Bundle {
        let mut bundle = Bundle::default();
        let record = record(name);
        bundle.insert_blob(record.layers[0].descriptor.digest, name.as_bytes());
        bundle.insert(key(name), record);
        bundle
    }

    #[test]
    fn a_damaged_entry_is_none() {
        let bundle = bundle("a");
        let entry = bundle.encode().unwrap();
        assert_eq!(Bundle::decode(&entry[..]), Some(bundle));
        for position in 0..entry.len() {
            let mut changed = entry.clone();
            changed[position] ^= 1;
            let decoded = Bundle::decode(&changed[..]);
            assert!(decoded.is_none() || decoded == Bundle::decode(&entry[..]), "{position}");
            assert_eq!(Bundle::decode(&entry[..position]), None, "{position}");
        }
    }

    #[test]
    fn a_forged_blob_is_none() {
        let mut forged = bundle("a");
        let digest = Digest::of(b"a");
        assert_eq!(forged.blob(&digest).unwrap(), b"a");
        forged.blobs.insert(digest, STANDARD.encode("b"));
        assert_eq!(forged.blob(&digest), None);
    }

    #[test]
    fn older_bundles_fill_what_room_there_is() {
        let mut merged = bundle("a");
        merged.merge_within(&bundle("b"), 10);
        assert_eq!(merged, bundle("a"));
        merged.merge_within(&bundle("b"), 10_000);
        assert!(merged.record(&key("b")).is_some());
        assert_eq!(merged.blob(&Digest::of(b"b")).unwrap(), b"b");
    }
}
