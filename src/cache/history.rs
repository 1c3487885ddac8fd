//! What the last build of each project was made of, for the next to say what changed.

use std::path::PathBuf;

use super::sealed::{seal, unseal};
use super::store::{Store, StoreError};
use crate::digest::Sha256Sum;
use crate::plan::History;

const FORMAT: &str = "plimsoll-history-1";

impl Store {
    fn history_path(&self, project: &Sha256Sum) -> PathBuf {
        self.root().join("history").join(project.hex())
    }

    /// The last build of `project`.
    #[must_use]
    pub fn history(&self, project: &Sha256Sum) -> Option<History> {
        unseal(FORMAT, &std::fs::read(self.history_path(project)).ok()?)
    }

    /// Keeps what a build of `project` was made of, in place of the one before.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep_history(&self, project: &Sha256Sum, history: &History) -> Result<(), StoreError> {
        let path = self.history_path(project);
        let sealed = seal(FORMAT, history)
            .map_err(|e| StoreError::Damaged { path: path.clone(), reason: e.to_string() })?;
        self.write_whole(&path, &sealed)
    }
}
