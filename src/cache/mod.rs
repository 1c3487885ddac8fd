//! What outlives a build. The local store has compressed blobs, unpacked layers, their tables of
//! contents, records of finished steps, cache mounts. Places beyond this machine ([`CacheBackend`])
//! have records, blobs, cache mounts and, for each build, an index of its records and what its image
//! weighs.
//!
//! Everything is named by content or by key, appears by rename and is never changed afterwards, so
//! two builds may use one store at once, and a crash leaves nothing but files in `tmp/`.

mod backend;
mod bundle;
mod download;
mod facts;
pub mod github;
mod history;
mod local;
mod mounts;
mod place;
mod prune;
mod record;
mod registry;
mod remote;
mod sealed;
mod store;
mod tags;
mod upload;
mod weights;

pub use backend::{CacheBackend, CacheFault, EntryContent, EntryKey, FoundEntry, Saved};
pub use download::DownloadRecord;
pub use local::LocalFolder;
pub use mounts::{
    CacheMount, Filled, MountBudget, MountLease, MountName, MountOutcome, MountToSave,
    RestoredMount, SavedMount,
};
pub use place::{Place, Traffic};
pub use prune::{PruneFilter, StoreItem, StoreItemKind};
pub use record::{Record, RecordKey, RecordLayer};
pub use registry::RegistryCache;
pub use remote::RemoteCache;
pub use store::{Spool, Store, StoreError, StoredBlob};
pub use tags::ResolvedTag;
pub use upload::{StepToCopy, StepToSave, Target, Uploads, bytes_apart};
pub use weights::{LOGBOOK_LIMIT, WEIGHT_LIMIT, WeightKeys};
