//! `RUN --mount=type=cache`: folders that outlive a build (L-108), and what of them outlives the
//! machine: a [`Manifest`] in the places of `--cache-to`, and packs with the bytes.

mod fetch;
mod manifest;
mod pack;
#[cfg(test)]
mod round_trips;
pub(super) mod save;
mod scan;
mod unpack;

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::store::{Store, StoreError, open_lock};
use crate::digest::Sha256Sum;
use crate::plan::Sharing;

pub use fetch::RestoredMount;
pub use manifest::MountName;
pub use save::{MountBudget, MountOutcome, MountToSave, SavedMount};

/// Which folder a RUN asks for, and how it looks when it is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// It stands in for another of its id, which was taken.
    pub is_spare: bool,
    _lock: File,
}

/// What was put into a new folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// All that it was, its own mode and owner included.
    Restored,
    /// A seed, or nothing.
    New,
}

impl Store {
    /// The folder of a cache mount. `Locked` waits for the one who has it; `Private` takes another
    /// folder while the first is taken. `fill` puts into a new one what belongs there: it appears
    /// when that is done, so that nobody finds half of it.
    ///
    /// # Errors
    /// When the folder can't be made, filled or locked.
    pub fn cache_mount<E: From<StoreError>>(
        &self,
        mount: &CacheMount<'_>,
        fill: impl FnOnce(&Path) -> Result<Filled, E>,
    ) -> Result<MountLease, E> {
        let base = self.mount_path(mount.id);
        let (path, lock) = match mount.sharing {
            Sharing::Shared => {
                let lock = lock_of(&base)?;
                lock.lock_shared().map_err(StoreError::io(&base))?;
                (base, lock)
            }
            Sharing::Locked => {
                let lock = lock_of(&base)?;
                lock.lock().map_err(StoreError::io(&base))?;
                (base, lock)
            }
            Sharing::Private => first_free(&base)?,
        };
        self.make_mount(&path, mount, fill)?;
        let is_spare = path.extension().is_some();
        Ok(MountLease { path, is_spare, _lock: lock })
    }

    fn mount_path(&self, id: &str) -> PathBuf {
        let name = Sha256Sum::of(id.as_bytes()).hex();
        self.root().join("mounts").join(&name[..32])
    }

    /// Makes the folder unless it is there. Of several who share it, one does, the others wait.
    fn make_mount<E: From<StoreError>>(
        &self,
        path: &Path,
        mount: &CacheMount<'_>,
        fill: impl FnOnce(&Path) -> Result<Filled, E>,
    ) -> Result<(), E> {
        let making = open_lock(&beside(path, ".making"))?;
        making.lock().map_err(StoreError::io(path))?;
        if path.is_dir() {
            return Ok(());
        }
        let work = self.work();
        let made = work.directory().map_err(StoreError::io(work.path()))?;
        if fill(&made)? == Filled::New {
            chown(&made, Some(mount.uid), Some(mount.gid)).map_err(StoreError::io(&made))?;
            let mode = fs::Permissions::from_mode(mount.mode);
            fs::set_permissions(&made, mode).map_err(StoreError::io(&made))?;
        }
        fs::write(beside(path, ".id"), mount.id).map_err(StoreError::io(path))?;
        fs::rename(&made, path).map_err(StoreError::io(path))?;
        Ok(())
    }
}

/// The first folder that nobody has.
fn first_free(base: &Path) -> Result<(PathBuf, File), StoreError> {
    for number in 0_u32.. {
        let path = match number {
            0 => base.to_owned(),
            number => base.with_extension(number.to_string()),
        };
        let lock = lock_of(&path)?;
        match lock.try_lock() {
            Ok(()) => return Ok((path, lock)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(StoreError::Io { path, source }),
        }
    }
    unreachable!("a process has fewer mounts than there are numbers")
}

fn lock_of(path: &Path) -> Result<File, StoreError> {
    open_lock(&beside(path, ".lock"))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(sharing: Sharing) -> CacheMount<'static> {
        // Owned by whoever runs the test, so that it needs no privilege.
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        CacheMount { id: "/root/.cache", sharing, mode: 0o755, uid, gid }
    }

    fn lease(store: &Store, sharing: Sharing) -> MountLease {
        let fill = |_: &Path| Ok::<_, StoreError>(Filled::New);
        store.cache_mount(&mount(sharing), fill).unwrap()
    }

    #[test]
    fn private_takes_another_folder_and_shared_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let first = lease(&store, Sharing::Shared);
        let second = lease(&store, Sharing::Shared);
        assert_eq!((&first.path, first.is_spare), (&second.path, false));
        let private = lease(&store, Sharing::Private);
        assert!(first.path != private.path && private.is_spare);
        drop((first, second));
        assert!(!lease(&store, Sharing::Private).is_spare);
    }

    #[test]
    fn locked_waits_for_the_one_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let held = lease(&store, Sharing::Locked);
        std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel();
            let store = &store;
            scope.spawn(move || {
                sender.send(lease(store, Sharing::Locked).is_spare).unwrap();
            });
            assert!(receiver.recv_timeout(std::time::Duration::from_millis(50)).is_err());
            drop(held);
            assert!(!receiver.recv().unwrap());
        });
    }

    #[test]
    fn a_folder_appears_filled_and_is_filled_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mount = mount(Sharing::Shared);
        let failed = store.cache_mount(&mount, |made| {
            fs::write(made.join("half"), "").unwrap();
            Err(StoreError::Damaged { path: made.to_owned(), reason: "no more".to_owned() })
        });
        assert!(failed.is_err());
        std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel();
            for _ in 0..3 {
                let (store, mount, sender) = (&store, &mount, sender.clone());
                scope.spawn(move || {
                    let fill = |made: &Path| {
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        sender.send(()).unwrap();
                        fs::write(made.join("whole"), "").map_err(StoreError::io(made))?;
                        Ok::<_, StoreError>(Filled::New)
                    };
                    let lease = store.cache_mount(mount, fill).unwrap();
                    let names = fs::read_dir(lease.path).unwrap();
                    let names: Vec<_> = names.map(|e| e.unwrap().file_name()).collect();
                    assert_eq!(names, ["whole"]);
                });
            }
            drop(sender);
            assert_eq!(receiver.iter().count(), 1);
        });
    }
}
