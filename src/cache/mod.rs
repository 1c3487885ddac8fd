//! The local store: compressed blobs, unpacked layers, their tables of contents, records of finished
//! steps, cache mounts.
//!
//! Everything is named by content or by key, appears by rename and is never changed afterwards, so
//! two builds may use one store at once, and a crash leaves nothing but files in `tmp/`.

mod backend;
mod download;
mod facts;
pub mod github;
mod mounts;
mod prune;
mod record;
mod store;

pub use backend::{CacheBackend, CacheFault, EntryContent, EntryKey, FoundEntry, Saved};
pub use download::DownloadRecord;
pub use mounts::{CacheMount, MountLease};
pub use prune::{PruneFilter, StoreItem, StoreItemKind};
pub use record::{Record, RecordLayer};
pub use store::{Spool, Store, StoreError, StoredBlob};
