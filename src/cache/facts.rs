//! What the files of a layer say, kept beside the layer's table of contents.

use std::path::PathBuf;

use super::store::{Store, StoreError};
use crate::digest::DiffId;
use crate::weight::facts::{self, Facts};

impl Store {
    fn facts_path(&self, diff_id: &DiffId) -> PathBuf {
        self.root().join("trees").join(format!("{}.facts", diff_id.hex()))
    }

    /// The facts of a layer, if they are here and whole.
    #[must_use]
    pub fn facts(&self, diff_id: &DiffId) -> Option<Facts> {
        facts::decode(&std::fs::read(self.facts_path(diff_id)).ok()?)
    }

    /// Keeps the facts of a layer.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn keep_facts(&self, diff_id: &DiffId, facts: &Facts) -> Result<(), StoreError> {
        self.write_whole(&self.facts_path(diff_id), &facts::encode(facts))
    }
}
