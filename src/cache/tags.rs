//! What the tags of base images led to when a registry was asked last.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::sealed::{seal, unseal};
use super::store::{Store, StoreError};
use crate::digest::{Digest, Sha256Sum};
use crate::platform::Platform;

/// The documents of an image, as they are stored in its registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedTag {
    /// Where the tag leads to one.
    #[serde(default)]
    pub index: Option<String>,
    pub manifest: String,
    pub config: String,
}

impl ResolvedTag {
    /// The digest of the manifest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.manifest.as_bytes())
    }

    /// All documents, the one that the tag leads to first.
    pub fn documents(&self) -> impl Iterator<Item = &[u8]> {
        let top = self.index.iter();
        top.chain([&self.manifest, &self.config]).map(String::as_bytes)
    }
}

const FORMAT: &str = "plimsoll-tag-1";

impl Store {
    fn tag_path(&self, reference: &str, platform: &Platform) -> PathBuf {
        let name = Sha256Sum::of(format!("{platform} {reference}").as_bytes());
        self.root().join("tags").join(name.hex())
    }

    /// The image that `reference` led to.
    #[must_use]
    pub fn tag(&self, reference: &str, platform: &Platform) -> Option<ResolvedTag> {
        unseal(FORMAT, &std::fs::read(self.tag_path(reference, platform)).ok()?)
    }

    /// Keeps what `reference` leads to now.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep_tag(
        &self,
        reference: &str,
        platform: &Platform,
        tag: &ResolvedTag,
    ) -> Result<(), StoreError> {
        let path = self.tag_path(reference, platform);
        let sealed = seal(FORMAT, tag)
            .map_err(|e| StoreError::Damaged { path: path.clone(), reason: e.to_string() })?;
        self.write_whole(&path, &sealed)
    }
}
