//! Unpacked layers in memory, for a machine that ends with the build: nothing of them is left after
//! it. A disk takes two to four times as long to make the files of a base.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::WorkDir;

/// Linux has it everywhere; half of the memory, unless somebody has said otherwise.
const SHARED_MEMORY: &str = "/dev/shm";
/// `TMPFS_MAGIC` of the kernel.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;
/// Of the memory that is available, what a RUN is left with is three times as much.
const SHARE: u64 = 4;

/// Folders of layers, which go when it is dropped. What would be too much belongs on a disk.
#[derive(Debug)]
pub struct MemoryLayers {
    work: WorkDir,
    /// Bytes that may still be taken.
    left: Mutex<u64>,
}

impl MemoryLayers {
    /// `None` where there is no file system in memory, or none that is our own to use.
    #[must_use]
    pub fn open() -> Option<Self> {
        let shared = Path::new(SHARED_MEMORY);
        let file_system = rustix::fs::statfs(shared).ok()?;
        let block = u64::try_from(file_system.f_bsize).ok()?;
        let free = file_system.f_bavail.saturating_mul(block);
        let available = available_memory(&fs::read_to_string("/proc/meminfo").ok()?)?;
        let is_memory = file_system.f_type == TMPFS;
        let limit = (available / SHARE).min(free / 2);
        is_memory.then(|| Self::below(shared, limit).ok()).flatten()
    }

    /// In a folder of this user's below `parent`, which may be everybody's; `limit` in bytes.
    fn below(parent: &Path, limit: u64) -> io::Result<Self> {
        let user = rustix::process::geteuid().as_raw();
        let own = parent.join(format!("plimsoll-{user}"));
        let made = fs::DirBuilder::new().mode(0o700).create(&own);
        made.or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
        // Somebody else may have made it, or a link in its place.
        let found = fs::symlink_metadata(&own)?;
        if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Self { work: WorkDir::create(&own)?, left: Mutex::new(limit) })
    }

    /// The folder of a layer that has been made, by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<PathBuf> {
        let path = self.path(name);
        path.is_dir().then_some(path)
    }

    /// Lets `make` fill the folder of a layer, which may take `most` bytes. What `make` says it has used
    /// counts from then on, even if it is more. `None` where there is no room, or `make` fails.
    pub fn make<T, E>(
        &self,
        name: &str,
        most: u64,
        make: impl FnOnce(&Path) -> Result<(T, u64), E>,
    ) -> Option<(PathBuf, T)> {
        {
            let mut left = self.left();
            *left = left.checked_sub(most)?;
        }
        let Some((folder, made, used)) = self.work.directory().ok().and_then(|folder| {
            let made = make(&folder).ok();
            if made.is_none() {
                let _ = fs::remove_dir_all(&folder);
            }
            made.map(|(made, used)| (folder, made, used))
        }) else {
            *self.left() += most;
            return None;
        };
        {
            let mut left = self.left();
            *left = left.saturating_add(most).saturating_sub(used);
        }
        let path = self.path(name);
        match fs::rename(&folder, &path) {
            Ok(()) => Some((path, made)),
            // Another thread was faster.
            Err(_) => self.get(name).map(|path| (path, made)),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn left(&self) -> std::sync::MutexGuard<'_, u64> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(layers: &MemoryLayers, name: &str, most: u64, used: u64) -> Option<PathBuf> {
        let made = layers
            .make(name, most, |folder| fs::write(folder.join("file"), name).map(|()| ((), used)));
        made.map(|(path, ())| path)
    }

    #[test]
    fn a_layer_takes_what_it_uses_and_no_more_than_there_is() {
        let parent = tempfile::tempdir().unwrap();
        let layers = MemoryLayers::below(parent.path(), 100).unwrap();
        let first = filled(&layers, "first", 90, 40).unwrap();
        assert_eq!(fs::read(first.join("file")).unwrap(), b"first");
        assert_eq!(layers.get("first"), Some(first));
        assert_eq!(filled(&layers, "second", 61, 61), None);
        let failed = layers.make("failed", 60, |_| Err::<((), u64), ()>(()));
        assert_eq!((failed, layers.get("failed")), (None, None));
        assert!(filled(&layers, "second", 50, 60).is_some());
        assert_eq!(filled(&layers, "third", 1, 1), None, "what was used counts");
        // Made by two threads at once, it is there once.
        assert_eq!(filled(&layers, "second", 0, 0), layers.get("second"));
        drop(layers);
        let own = fs::read_dir(parent.path()).unwrap().next().unwrap().unwrap().path();
        assert_eq!(fs::read_dir(own).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_others_reach_is_not_used() {
        let parent = tempfile::tempdir().unwrap();
        let own = parent.path().join(format!("plimsoll-{}", rustix::process::geteuid().as_raw()));
        fs::DirBuilder::new().mode(0o700).create(&own).unwrap();
        assert!(MemoryLayers::below(parent.path(), 1).is_ok());
        fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o770)).unwrap();
        assert!(MemoryLayers::below(parent.path(), 1).is_err());
        fs::remove_dir(&own).unwrap();
        std::os::unix::fs::symlink("/", &own).unwrap();
        assert!(MemoryLayers::below(parent.path(), 1).is_err());
    }

    #[test]
    fn what_is_available_is_read_in_bytes() {
        let text = "MemTotal:       16000000 kB\nMemAvailable:   15000000 kB\n";
        assert_eq!(available_memory(text), Some(15_000_000 * 1024));
        assert_eq!(available_memory("MemTotal: 1 kB\n"), None);
    }
}
