//! `RUN --mount=type=cache`: folders that outlive a build (L-108).

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::store::{Store, StoreError, open_lock};
use crate::digest::Sha256Sum;
use crate::plan::Sharing;

/// Which folder a RUN asks for, and how it looks when it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheMount<'a> {
    pub id: &'a str,
    pub sharing: Sharing,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// A folder in use, until it is dropped.
#[derive(Debug)]
pub struct MountLease {
    pub path: PathBuf,
    /// It has just been made: whoever has a seed for it fills it now.
    pub fresh: bool,
    _lock: File,
}

impl Store {
    /// The folder of a cache mount. `Locked` waits for the one who has it; `Private` takes another
    /// folder while the first is taken.
    ///
    /// # Errors
    /// When the folder can't be made or locked.
    pub fn cache_mount(&self, mount: &CacheMount<'_>) -> Result<MountLease, StoreError> {
        let name = Sha256Sum::of(mount.id.as_bytes()).hex();
        let base = self.root().join("mounts").join(&name[..32]);
        match mount.sharing {
            Sharing::Shared => {
                let lock = lock_of(&base)?;
                lock.lock_shared().map_err(StoreError::io(&base))?;
                lease(base, mount, lock)
            }
            Sharing::Locked => {
                let lock = lock_of(&base)?;
                lock.lock().map_err(StoreError::io(&base))?;
                lease(base, mount, lock)
            }
            Sharing::Private => {
                for number in 0_u32.. {
                    let path = if number == 0 {
                        base.clone()
                    } else {
                        base.with_extension(number.to_string())
                    };
                    let lock = lock_of(&path)?;
                    match lock.try_lock() {
                        Ok(()) => return lease(path, mount, lock),
                        Err(TryLockError::WouldBlock) => {}
                        Err(TryLockError::Error(source)) => {
                            return Err(StoreError::Io { path, source });
                        }
                    }
                }
                unreachable!("a process has fewer mounts than there are numbers")
            }
        }
    }
}

fn lock_of(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    open_lock(Path::new(&name))
}

fn lease(path: PathBuf, mount: &CacheMount<'_>, lock: File) -> Result<MountLease, StoreError> {
    let fresh = match fs::create_dir(&path) {
        Ok(()) => true,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(source) => return Err(StoreError::Io { path, source }),
    };
    if fresh {
        let mut id = path.as_os_str().to_owned();
        id.push(".id");
        fs::write(id, mount.id).map_err(StoreError::io(&path))?;
        chown(&path, Some(mount.uid), Some(mount.gid)).map_err(StoreError::io(&path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mount.mode))
            .map_err(StoreError::io(&path))?;
    }
    Ok(MountLease { path, fresh, _lock: lock })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(sharing: Sharing) -> CacheMount<'static> {
        // Owned by whoever runs the test, so that it needs no privilege.
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        CacheMount { id: "/root/.cache", sharing, mode: 0o755, uid, gid }
    }

    #[test]
    fn private_takes_another_folder_and_shared_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let first = store.cache_mount(&mount(Sharing::Shared)).unwrap();
        let second = store.cache_mount(&mount(Sharing::Shared)).unwrap();
        assert!(first.fresh && !second.fresh);
        assert_eq!(first.path, second.path);
        let private = store.cache_mount(&mount(Sharing::Private)).unwrap();
        assert_ne!(first.path, private.path);
        drop((first, second));
        assert_eq!(store.cache_mount(&mount(Sharing::Private)).unwrap().path.extension(), None);
    }

    #[test]
    fn locked_waits_for_the_one_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let held = store.cache_mount(&mount(Sharing::Locked)).unwrap();
        std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel();
            let store = &store;
            scope.spawn(move || {
                let lease = store.cache_mount(&mount(Sharing::Locked)).unwrap();
                sender.send(lease.fresh).unwrap();
            });
            assert!(receiver.recv_timeout(std::time::Duration::from_millis(50)).is_err());
            drop(held);
            assert!(!receiver.recv().unwrap());
        });
    }
}
