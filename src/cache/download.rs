//! What URLs led to, so that a second build need not download it again.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::store::{Store, StoreError};
use crate::digest::{Digest, Sha256Sum};

/// What a URL led to when it was last asked for. The content is a blob of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadRecord {
    pub digest: Digest,
    /// As the server sent it, with its quotes.
    pub etag: Option<String>,
    /// As the server sent it.
    pub last_modified: Option<String>,
}

impl Store {
    /// By a digest: a URL may hold a secret.
    fn download_path(&self, url: &str) -> PathBuf {
        self.root().join("downloads").join(Sha256Sum::of(url.as_bytes()).hex())
    }

    /// What is known of `url`; a damaged record is none.
    #[must_use]
    pub fn download(&self, url: &str) -> Option<DownloadRecord> {
        serde_json::from_slice(&std::fs::read(self.download_path(url)).ok()?).ok()
    }

    /// Keeps what is known of `url`, in place of what was.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep_download(&self, url: &str, record: &DownloadRecord) -> Result<(), StoreError> {
        let path = self.download_path(url);
        let damaged = |reason: serde_json::Error| StoreError::Damaged {
            path: path.clone(),
            reason: reason.to_string(),
        };
        self.write_whole(&path, &serde_json::to_vec(record).map_err(damaged)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (url, other) = ("https://h/a?token=secret", "https://h/a");
        let record = DownloadRecord {
            digest: Digest::of(b"a"),
            etag: Some("\"1\"".to_owned()),
            last_modified: None,
        };
        store.keep_download(url, &record).unwrap();
        assert_eq!((store.download(url), store.download(other)), (Some(record), None));
        let path = store.download_path(url);
        assert!(!path.to_string_lossy().contains("secret"));
        std::fs::write(&path, "{\"digest\":\"sha2").unwrap();
        assert_eq!(store.download(url), None);
    }
}
