//! Places beyond this machine that keep cache entries from one build to the next.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use crate::image::Descriptor;

/// The key of an entry: a letter for what it is, a dash, and what it is of. Letters: `r` a record,
/// `b` a blob (its digest), `i` a build's index of records, `w` the weight of its image, `l` the
/// logbook of a branch, `m` the manifest and `p` a pack of a cache mount. Keys are of `[a-z0-9-]`, at most 400 characters, and no back end knows more of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey(pub String);

impl EntryKey {
    /// What it is of, as `plimsoll cache ls` says it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.0.split('-').next() {
            Some("r") => "record",
            Some("b") => "blob",
            Some("i") => "index",
            Some("m") => "mount-files",
            _ => "mount-pack",
        }
    }

    /// What entries have in common of which only the newest is read: indexes of one kind of build,
    /// manifests of one cache mount. `None` for what is no such entry.
    #[must_use]
    pub fn series(&self) -> Option<&str> {
        // What differs is the time and a digest.
        let is_one = self.0.starts_with("i-") || self.0.starts_with("m-");
        is_one.then(|| self.0.rsplitn(3, '-').last()).flatten()
    }

    /// The key of what replaces an entry that was spoiled so many times; entries never change.
    #[must_use]
    pub(super) fn replacement(&self, number: u32) -> Self {
        match number {
            0 => self.clone(),
            number => Self(format!("{}-{number}", self.0)),
        }
    }
}

/// An entry that a back end has. Its `Debug` form leaves `place` out.
#[derive(Clone, PartialEq, Eq)]
pub struct FoundEntry {
    pub key: EntryKey,
    /// In bytes, where the back end says it before the bytes are asked for.
    pub size: Option<u64>,
    /// What the back end needs to open it: a signed URL (a secret), a digest, a path.
    pub place: String,
}

impl fmt::Debug for FoundEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, size, place: _ } = self;
        f.debug_struct("FoundEntry").field("key", key).field("size", size).finish_non_exhaustive()
    }
}

/// The bytes of an entry to save.
#[derive(Clone, Copy, Debug)]
pub enum EntryContent<'a> {
    Bytes(&'a [u8]),
    /// A whole file and its size in bytes.
    File(&'a Path, u64),
}

/// How saving ended, where nothing went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    New,
    /// Somebody has saved this key before; entries never change.
    AlreadyThere,
    /// This build may not save, for the reason given; nothing more should be tried.
    Denied(String),
}

/// Why a back end could not do what it was asked. Never fails a build.
#[derive(Debug, thiserror::Error)]
pub enum CacheFault {
    /// The service is not there, not ours, or out of order; nothing more should be tried.
    #[error("{0}")]
    Unavailable(String),
    /// This one request has failed, after its retries.
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A place that keeps entries: found by exact key or by prefix, never overwritten, gone at any time.
///
/// Nothing that it answers is believed: who reads an entry checks the digests in it.
pub trait CacheBackend: Send + Sync {
    /// How the log names it, such as `gha` or `local /var/cache/plimsoll`.
    fn name(&self) -> String;

    /// The first of `keys` that has an entry of exactly that key.
    fn find(&self, keys: &[EntryKey]) -> Result<Option<FoundEntry>, CacheFault>;

    /// The newest entry whose key begins with `prefix`.
    fn newest(&self, prefix: &str) -> Result<Option<FoundEntry>, CacheFault>;

    /// The bytes of an entry. They may end early or be others than were saved.
    fn open(&self, entry: &FoundEntry) -> Result<Box<dyn Read + Send>, CacheFault>;

    /// Keeps an entry. `blobs` are those that it refers to, which have been saved: a registry keeps
    /// them for as long as the entry.
    fn save(
        &self,
        key: &EntryKey,
        content: EntryContent<'_>,
        blobs: &[Descriptor],
    ) -> Result<Saved, CacheFault>;
}
