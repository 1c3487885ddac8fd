//! What is known of a finished step: enough to use its result without running it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::sealed::{seal, unseal};
use super::store::{Store, StoreError};
use crate::digest::{DiffId, Digest, Sha256Sum};
use crate::image::Descriptor;
use crate::plan::{ContentKey, DefinitionKey};

/// What a record is found by: either key of a step. In JSON it is 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordKey(#[serde(with = "hex")] pub Sha256Sum);

mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::digest::Sha256Sum;

    pub(super) fn serialize<S: Serializer>(sum: &Sha256Sum, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&sum.hex())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Sha256Sum, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        Sha256Sum::from_hex(&text).ok_or_else(|| de::Error::custom("not 64 hexadecimal digits"))
    }
}

impl From<DefinitionKey> for RecordKey {
    fn from(key: DefinitionKey) -> Self {
        Self(key.0)
    }
}

impl From<ContentKey> for RecordKey {
    fn from(key: ContentKey) -> Self {
        Self(key.0)
    }
}

/// The result of a step. It is self-contained: never a reference to the record of another step, so
/// records of different builds can't be mixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Under a definition key all layers up to the step's, the lowest first, the base's included.
    /// Under a content key the step's own layer alone.
    pub layers: Vec<RecordLayer>,
    /// How long it takes to make all of it from nothing, in milliseconds: these steps, and those of
    /// the stages that they read.
    pub made_millis: u64,
}

impl Record {
    /// The record of the last layer alone, as a content key has it.
    #[must_use]
    pub fn last_layer(&self) -> Self {
        let layers = self.layers.last().into_iter().cloned().collect();
        Self { layers, made_millis: self.made_millis }
    }

    /// The layers that are no layers of a base image.
    fn own_layers(&self) -> impl Iterator<Item = &RecordLayer> {
        self.layers.iter().filter(|layer| layer.created.is_some())
    }

    /// The blobs of its own layers, and the tables of contents of all.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let contents = self.layers.iter().filter_map(|layer| layer.contents.as_ref());
        self.own_layers().map(|layer| &layer.descriptor).chain(contents)
    }

    /// As [`Record::blobs`], less those that an image in a registry has.
    pub(super) fn cached_blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let contents = self.layers.iter().filter_map(|layer| layer.contents.as_ref());
        let cached = self.own_layers().filter(|layer| layer.pushed_to.is_none());
        cached.map(|layer| &layer.descriptor).chain(contents)
    }

    /// Whether it is of no use without these blobs. A table of contents can be made again.
    pub(super) fn needs_any(&self, lost: &BTreeSet<Digest>) -> bool {
        self.own_layers().any(|layer| lost.contains(&layer.descriptor.digest))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordLayer {
    pub diff_id: DiffId,
    pub descriptor: Descriptor,
    /// When it was made, in seconds since 1970; `None` for a layer of a base image.
    pub created: Option<i64>,
    /// Bytes of its files; `None` where nobody had to look inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpacked_size: Option<u64>,
    /// Its table of contents, for those who don't have it in a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Descriptor>,
    /// The image that has it too: a normalized reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_to: Option<String>,
}

const FORMAT: &str = "plimsoll-record-2";

impl Store {
    fn record_path(&self, key: &RecordKey) -> PathBuf {
        self.root().join("records").join(key.0.hex())
    }

    /// The record under `key`; a damaged one is a miss.
    #[must_use]
    pub fn record(&self, key: &RecordKey) -> Option<Record> {
        unseal(FORMAT, &std::fs::read(self.record_path(key)).ok()?)
    }

    /// Keeps `record` under `key`, in place of an older one: whoever builds without the cache wants
    /// the new result from then on.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep_record(&self, key: &RecordKey, record: &Record) -> Result<(), StoreError> {
        let path = self.record_path(key);
        let sealed = seal(FORMAT, record)
            .map_err(|e| StoreError::Damaged { path: path.clone(), reason: e.to_string() })?;
        self.write_whole(&path, &sealed)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::image::media_type;

    /// Of one layer, all of whose bytes are `name`.
    pub fn record(name: &str) -> Record {
        let size = name.len() as u64;
        let descriptor =
            Descriptor::new(media_type::OCI_LAYER_GZIP, Digest::of(name.as_bytes()), size);
        let layer = RecordLayer {
            diff_id: DiffId::of(name.as_bytes()),
            descriptor,
            created: Some(7),
            unpacked_size: Some(size),
            contents: None,
            pushed_to: None,
        };
        Record { layers: vec![layer], made_millis: 12 }
    }

    #[test]
    fn a_record_comes_back_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = RecordKey(Sha256Sum::of(b"key"));
        assert_eq!(store.record(&key), None);
        let record = record("blob");
        store.keep_record(&key, &record).unwrap();
        assert_eq!(store.record(&key), Some(record));

        let path = store.record_path(&key);
        let text = std::fs::read_to_string(&path).unwrap();
        for damaged in [&text[..text.len() / 2], &text.replace(":12", ":13"), ""] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(store.record(&key), None, "{damaged}");
        }
    }
}
