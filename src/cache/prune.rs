//! What is in the store, and making it smaller.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::local::{LocalFolder, UNFINISHED};
use super::store::{Store, StoreError, open_lock};

/// Whoever still writes a file has written to it within this time.
const WRITING: Duration = Duration::from_secs(60 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreItemKind {
    Record,
    Download,
    Tag,
    History,
    Blob,
    Tree,
    Layer,
    CacheMount,
    /// Of a folder of cache entries: the records of a whole build.
    Index,
    /// What a cache mount holds, and which packs have its bytes.
    MountFiles,
    MountPack,
    /// Of a folder of cache entries: what an image weighed.
    Weight,
    /// Of a folder of cache entries: what the builds of a branch weighed.
    Logbook,
    /// Of a folder of cache entries: what a build is writing, or has left when it was killed.
    Unfinished,
}

impl StoreItemKind {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Record, "records"),
        (Self::Download, "downloads"),
        (Self::Tag, "tags"),
        (Self::History, "history"),
        (Self::Blob, "blobs/sha256"),
        (Self::Tree, "trees"),
        (Self::Layer, "layers"),
        (Self::CacheMount, "mounts"),
    ];

    /// What an entry beyond the local store is, by the letter of its key.
    #[must_use]
    pub fn of_entry(key: &str) -> Option<Self> {
        Some(match key.get(..2)? {
            "r-" => Self::Record,
            "b-" => Self::Blob,
            "i-" => Self::Index,
            "m-" => Self::MountFiles,
            "p-" => Self::MountPack,
            "w-" => Self::Weight,
            "l-" => Self::Logbook,
            _ => return None,
        })
    }

    /// As `plimsoll cache ls` shows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Download => "download",
            Self::Tag => "tag",
            Self::History => "history",
            Self::Blob => "blob",
            Self::Tree => "tree",
            Self::Layer => "layer",
            Self::CacheMount => "cache-mount",
            Self::Index => "index",
            Self::MountFiles => "mount-files",
            Self::MountPack => "mount-pack",
            Self::Weight => "weight",
            Self::Logbook => "logbook",
            Self::Unfinished => "unfinished",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreItem {
    pub kind: StoreItemKind,
    /// A digest, a key, or the id of a cache mount.
    pub name: String,
    /// Bytes on disk.
    pub size: u64,
    pub last_used: SystemTime,
    path: PathBuf,
}

/// What may go. Everything, if nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneFilter {
    /// Only what has not been used for so long.
    pub unused_for: Option<Duration>,
    /// Only until the store is as small as this; bytes; the longest unused goes first.
    pub keep_storage: Option<u64>,
    /// Cache mounts too.
    pub cache_mounts: bool,
}

impl Store {
    /// All items of the store at `root`, which no build needs to have open, by kind and last use.
    ///
    /// # Errors
    /// When a folder can't be read.
    pub fn list(root: &Path) -> Result<Vec<StoreItem>, StoreError> {
        let mut items = Vec::new();
        for (kind, folder) in StoreItemKind::ALL {
            let folder = root.join(folder);
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(StoreError::Io { path: folder, source }),
            };
            for entry in entries {
                let path = entry.map_err(StoreError::io(&folder))?.path();
                items.extend(item(kind, path));
            }
        }
        items.sort_by(|a, b| (a.kind, a.last_used, &a.name).cmp(&(b.kind, b.last_used, &b.name)));
        Ok(items)
    }

    /// Removes what `filter` lets go, and returns it. `None`: a build is using the store.
    ///
    /// # Errors
    /// When the store can't be read or locked.
    pub fn prune(
        root: &Path,
        filter: &PruneFilter,
        now: SystemTime,
    ) -> Result<Option<Vec<StoreItem>>, StoreError> {
        if !root.is_dir() {
            return Ok(Some(Vec::new()));
        }
        let lock = open_lock(&root.join("lock"))?;
        if lock.try_lock().is_err() {
            return Ok(None);
        }
        Ok(Some(remove(Self::list(root)?, filter, now)?))
    }
}

impl LocalFolder {
    /// The entries, by kind and last use. Files that are none are left alone.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn list(&self) -> Result<Vec<StoreItem>, StoreError> {
        let entries = match fs::read_dir(self.folder()) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StoreError::Io { path: self.folder().to_owned(), source }),
        };
        let mut items = Vec::new();
        for entry in entries {
            let path = entry.map_err(StoreError::io(self.folder()))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let Some(name) = name else { continue };
            let unfinished = name.starts_with(UNFINISHED).then_some(StoreItemKind::Unfinished);
            let Some(kind) = unfinished.or_else(|| StoreItemKind::of_entry(&name)) else {
                continue;
            };
            items.extend(item(kind, path));
        }
        items.sort_by(|a, b| (a.kind, a.last_used, &a.name).cmp(&(b.kind, b.last_used, &b.name)));
        Ok(items)
    }

    /// Removes what `filter` lets go, and returns it. A build that misses an entry goes on without.
    ///
    /// # Errors
    /// When the folder can't be read, or an entry not be removed.
    pub fn prune(
        &self,
        filter: &PruneFilter,
        now: SystemTime,
    ) -> Result<Vec<StoreItem>, StoreError> {
        remove(self.list()?, filter, now)
    }
}

/// The longest unused go first.
fn remove(
    mut items: Vec<StoreItem>,
    filter: &PruneFilter,
    now: SystemTime,
) -> Result<Vec<StoreItem>, StoreError> {
    let mut total: u64 = items.iter().map(|item| item.size).sum();
    items.sort_by_key(|item| item.last_used);
    let mut removed = Vec::new();
    for item in items {
        let age = now.duration_since(item.last_used).unwrap_or_default();
        let keep = (item.kind == StoreItemKind::CacheMount && !filter.cache_mounts)
            || (item.kind == StoreItemKind::Unfinished && age < WRITING)
            || filter.unused_for.is_some_and(|limit| age < limit)
            || filter.keep_storage.is_some_and(|limit| total <= limit);
        if keep {
            continue;
        }
        item.remove()?;
        total -= item.size;
        removed.push(item);
    }
    Ok(removed)
}

impl StoreItem {
    fn remove(&self) -> Result<(), StoreError> {
        let result = if self.path.is_dir() {
            fs::remove_dir_all(&self.path)
        } else {
            fs::remove_file(&self.path)
        };
        if self.kind == StoreItemKind::CacheMount {
            for suffix in [".id", ".lock", ".making"] {
                let _ = fs::remove_file(beside(&self.path, suffix));
            }
        }
        result.map_err(StoreError::io(&self.path))
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// `None` for what is no item (the lock of a cache mount) or has just gone.
fn item(kind: StoreItemKind, path: PathBuf) -> Option<StoreItem> {
    let metadata = fs::symlink_metadata(&path).ok()?;
    let mut name = path.file_name()?.to_string_lossy().into_owned();
    if kind == StoreItemKind::CacheMount {
        if !metadata.is_dir() {
            return None;
        }
        name = fs::read_to_string(beside(&path, ".id")).unwrap_or(name);
    }
    let size = if metadata.is_dir() { folder_size(&path) } else { metadata.len() };
    let last_used = match kind {
        StoreItemKind::Unfinished => metadata.modified(),
        _ => metadata.accessed().or_else(|_| metadata.modified()),
    };
    let last_used = last_used.ok()?;
    Some(StoreItem { kind, name, size, last_used, path })
}

fn folder_size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(m) if m.is_dir() => folder_size(&entry.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn prune_waits_for_nobody_and_takes_the_longest_unused_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let old = store.put_blob(b"12345").unwrap();
        let new = store.put_blob(b"123").unwrap();
        let past = fs::FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH);
        File::open(store.blob_path(&old)).unwrap().set_times(past).unwrap();
        let filter = PruneFilter { keep_storage: Some(4), ..PruneFilter::default() };
        assert_eq!(Store::prune(dir.path(), &filter, SystemTime::now()).unwrap(), None, "in use");
        drop(store);
        let removed = Store::prune(dir.path(), &filter, SystemTime::now()).unwrap().unwrap();
        assert_eq!(removed.iter().map(|i| i.name.clone()).collect::<Vec<_>>(), [old.hex()]);
        let left = Store::list(dir.path()).unwrap();
        assert_eq!(left.iter().map(|i| i.name.clone()).collect::<Vec<_>>(), [new.hex()]);
    }

    #[test]
    fn a_folder_of_entries_shrinks_and_what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        for (name, age) in [("r-1", 1), ("b-1", 3), ("i-a-1", 2), ("other", 9)] {
            let path = dir.path().join(name);
            fs::write(&path, "1234").unwrap();
            let used = SystemTime::now() - Duration::from_secs(age * 100);
            let times = fs::FileTimes::new().set_accessed(used);
            File::open(path).unwrap().set_times(times).unwrap();
        }
        let folder = LocalFolder::new(dir.path().to_owned());
        let names = |items: Vec<StoreItem>| items.into_iter().map(|i| i.name).collect::<Vec<_>>();
        assert_eq!(names(folder.list().unwrap()), ["r-1", "b-1", "i-a-1"]);
        let filter = PruneFilter { keep_storage: Some(8), ..PruneFilter::default() };
        assert_eq!(names(folder.prune(&filter, SystemTime::now()).unwrap()), ["b-1"]);
        let all = folder.prune(&PruneFilter::default(), SystemTime::now()).unwrap();
        assert_eq!(names(all), ["i-a-1", "r-1"]);
        assert!(dir.path().join("other").exists());
    }

    #[test]
    fn what_a_killed_build_left_in_a_folder_goes_and_what_is_being_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        for (name, age) in [("old", 7200), ("new", 60)] {
            let file = File::create(dir.path().join(format!("{UNFINISHED}{name}"))).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        let folder = LocalFolder::new(dir.path().to_owned());
        let removed = folder.prune(&PruneFilter::default(), SystemTime::now()).unwrap();
        assert_eq!(removed.iter().map(|item| &*item.name).collect::<Vec<_>>(), [".unfinished-old"]);
        let left = folder.list().unwrap();
        assert_eq!(left.iter().map(|item| &*item.name).collect::<Vec<_>>(), [".unfinished-new"]);
    }
}
