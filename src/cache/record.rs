//! What is known of a finished step: enough to use its result without running it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::sealed::{seal, unseal};
use super::store::{Store, StoreError};
use crate::digest::{DiffId, Sha256Sum};
use crate::image::Descriptor;
use crate::plan::{ContentKey, DefinitionKey};

/// What a record is found by: either key of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(pub Sha256Sum);

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
    /// How long the step itself ran, in milliseconds.
    pub run_millis: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordLayer {
    pub diff_id: DiffId,
    pub descriptor: Descriptor,
    /// When it was made, in seconds since 1970; `None` for a layer of a base image.
    pub created: Option<i64>,
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
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::image::media_type;

    #[test]
    fn a_record_comes_back_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = RecordKey(Sha256Sum::of(b"key"));
        assert_eq!(store.record(&key), None);
        let descriptor = Descriptor::new(media_type::OCI_LAYER_GZIP, Digest::of(b"blob"), 4);
        let layer = RecordLayer { diff_id: DiffId::of(b"tar"), descriptor, created: Some(7) };
        let record = Record { layers: vec![layer], run_millis: 12 };
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
