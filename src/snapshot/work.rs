//! The directories on disk that steps work in.
//!
//! ```text
//! <parent>/                 where all processes have theirs
//!   build-<random>/         one process: 0700, since other users must not reach the setuid programs
//!     lock                  locked while the process lives
//!     <n>/                  an unpacked layer, or one step:
//!       upper/              what the step changes; becomes a layer
//!       work/               the kernel's own
//!       scratch/            made if the step needs it, thrown away with it
//! ```

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

const PREFIX: &str = "build-";
const LOCK: &str = "lock";

/// The work directory of one process. Dropping it removes it with all that is in it.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    directories: AtomicUsize,
    /// Held by the open file; the kernel lets go of it however the process ends.
    _lock: File,
}

/// The directories of one step, on one file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepDirs {
    /// What holds the others; remove it with [`Self::remove`] once its layer is no longer needed.
    pub directory: PathBuf,
    pub upper: PathBuf,
    pub work: PathBuf,
    pub scratch: PathBuf,
}

impl WorkDir {
    /// Makes a work directory below `parent`, which is made too, and removes those that processes
    /// left there when they were killed.
    pub fn create(parent: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        sweep(parent)?;
        loop {
            let made = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(parent)?;
            // Another process may have swept it away before it was locked: then take a new one.
            let Ok(lock) = File::create_new(made.path().join(LOCK)) else { continue };
            if lock.try_lock().is_err() || !made.path().join(LOCK).exists() {
                continue;
            }
            return Ok(Self { path: made.keep(), directories: AtomicUsize::new(0), _lock: lock });
        }
    }

    /// Makes an empty directory.
    pub fn directory(&self) -> io::Result<PathBuf> {
        // Short names: overlayfs takes all lower directories of a mount in one page on old kernels.
        let number = self.directories.fetch_add(1, Ordering::Relaxed);
        make(self.path.join(number.to_string()), 0o755)
    }

    /// Makes the directories for a step.
    pub fn step(&self) -> io::Result<StepDirs> {
        let directory = self.directory()?;
        Ok(StepDirs {
            upper: make(directory.join("upper"), 0o755)?,
            work: make(directory.join("work"), 0o700)?,
            scratch: directory.join("scratch"),
            directory,
        })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What can't be removed now is swept by the next process.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl StepDirs {
    /// Frees what only the running step needed.
    pub fn remove_scratch(&self) -> io::Result<()> {
        for path in [&self.work, &self.scratch] {
            remove(path)?;
        }
        Ok(())
    }

    pub fn remove(&self) -> io::Result<()> {
        remove(&self.directory)
    }
}

/// Whatever the umask is.
fn make(path: PathBuf, mode: u32) -> io::Result<PathBuf> {
    DirBuilder::new().mode(mode).create(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(mode))?;
    Ok(path)
}

/// Never follows a symlink, not even one that is put there meanwhile: the standard library walks by
/// descriptors.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes the directories whose processes are gone.
fn sweep(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        // One that has no lock yet is being made, unless its process died at that very moment;
        // without a lock there is nothing in it, so it can be removed only if it stays empty.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            let _ = fs::remove_dir(entry.path());
            continue;
        };
        match lock.try_lock() {
            Ok(()) => remove(&entry.path())?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> usize {
        fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn a_dead_process_directory_is_swept_and_a_live_one_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join("build-dead");
        fs::create_dir_all(dead.join("0/upper/some/where")).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::create_dir(parent.path().join("build-unborn")).unwrap();
        fs::create_dir(parent.path().join("other")).unwrap();

        let first = WorkDir::create(parent.path()).unwrap();
        assert!(!dead.exists());
        let second = WorkDir::create(parent.path()).unwrap();
        assert!(first.path().join(LOCK).exists() && second.path().join(LOCK).exists());
        assert_eq!(names(parent.path()), 3);
        drop(first);
        drop(second);
        assert_eq!(names(parent.path()), 1);
    }

    #[test]
    fn steps_are_apart_and_closed_to_others() {
        let parent = tempfile::tempdir().unwrap();
        let work = WorkDir::create(parent.path()).unwrap();
        let (one, two) = (work.step().unwrap(), work.step().unwrap());
        assert_ne!(one.upper, two.upper);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(work.path()), 0o700);
        assert_eq!((mode(&one.upper), mode(&one.work)), (0o755, 0o700));
        fs::write(one.upper.join("file"), "").unwrap();
        one.remove_scratch().unwrap();
        assert!(one.upper.join("file").exists() && !one.work.exists());
        one.remove().unwrap();
        one.remove().unwrap();
        assert!(!one.directory.exists() && two.directory.exists());
    }

    #[test]
    fn removal_does_not_follow_links() {
        let parent = tempfile::tempdir().unwrap();
        let outside = parent.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "").unwrap();
        let work = WorkDir::create(&parent.path().join("work")).unwrap();
        let step = work.step().unwrap();
        std::os::unix::fs::symlink(&outside, step.upper.join("link")).unwrap();
        drop(work);
        assert!(outside.join("precious").exists());
    }
}
