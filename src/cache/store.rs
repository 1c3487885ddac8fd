//! The folder and its blobs.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::digest::{DiffId, Digest};
use crate::layer::TocError;
use crate::snapshot::WorkDir;
use crate::tree::Changes;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("can't use {path} of the local store: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("the local store's {path} is damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
}

impl StoreError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// A compressed blob that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
}

/// The store of one machine; see the module for what it promises.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// Where this process keeps what is not finished.
    work: WorkDir,
    /// Shared with other builds; `prune` asks for it alone.
    _in_use: File,
}

const FOLDERS: [&str; 9] =
    ["blobs/sha256", "layers", "trees", "records", "downloads", "tags", "history", "mounts", "tmp"];

impl Store {
    /// Opens or makes the store in `root`, and removes what dead processes left in it.
    ///
    /// # Errors
    /// When the folder can't be made or written.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        for folder in FOLDERS {
            let path = root.join(folder);
            // Unpacked layers hold set-user-id programs: the store is nobody else's to enter.
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(&path).map_err(StoreError::io(path))?;
        }
        let root = root.canonicalize().map_err(StoreError::io(root))?;
        let in_use = open_lock(&root.join("lock"))?;
        in_use.lock_shared().map_err(StoreError::io(root.join("lock")))?;
        let tmp = root.join("tmp");
        let work = WorkDir::create(&tmp).map_err(StoreError::io(tmp))?;
        Ok(Self { root, work, _in_use: in_use })
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// On the same file system as the store; goes when the store is closed.
    #[must_use]
    pub fn work(&self) -> &WorkDir {
        &self.work
    }

    /// The folder of [`Store::work`], which outlives the store and goes when it is dropped.
    #[must_use]
    pub fn into_work(self) -> WorkDir {
        self.work
    }

    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// The blob, if it is here.
    #[must_use]
    pub fn blob(&self, digest: &Digest) -> Option<StoredBlob> {
        let path = self.blob_path(digest);
        let size = fs::metadata(&path).ok()?.len();
        touch(&path);
        Some(StoredBlob { path, size })
    }

    /// A file for a blob whose digest is not known yet.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn spool(&self) -> Result<Spool, StoreError> {
        let file = tempfile::Builder::new()
            .prefix("blob-")
            .tempfile_in(self.work.path())
            .map_err(StoreError::io(self.work.path()))?;
        Ok(Spool { file })
    }

    /// Gives a finished spool its name. The caller has verified or computed `digest`.
    ///
    /// # Errors
    /// When the file can't be renamed.
    pub fn keep_blob(&self, spool: Spool, digest: &Digest) -> Result<StoredBlob, StoreError> {
        let path = self.blob_path(digest);
        spool
            .file
            .persist(&path)
            .map_err(|e| StoreError::Io { path: path.clone(), source: e.error })?;
        let size = fs::metadata(&path).map_err(StoreError::io(&path))?.len();
        Ok(StoredBlob { path, size })
    }

    /// Writes a small blob, a manifest or a configuration.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        self.write_whole(&self.blob_path(&digest), bytes)?;
        Ok(digest)
    }

    /// The folder of an unpacked layer, if it is here.
    #[must_use]
    pub fn unpacked(&self, diff_id: &DiffId) -> Option<PathBuf> {
        let path = self.unpacked_path(diff_id);
        let found = path.is_dir();
        if found {
            touch(&path);
        }
        found.then_some(path)
    }

    fn unpacked_path(&self, diff_id: &DiffId) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }

    /// Moves an unpacked layer, made in [`Store::work`], to its place. Where another build was
    /// faster, its folder is used, and `dir` stays.
    ///
    /// # Errors
    /// When the folder can't be renamed.
    pub fn keep_unpacked(&self, dir: &Path, diff_id: &DiffId) -> Result<PathBuf, StoreError> {
        let path = self.unpacked_path(diff_id);
        match fs::rename(dir, &path) {
            Ok(()) => Ok(path),
            Err(_) if path.is_dir() => Ok(path),
            Err(source) => Err(StoreError::Io { path, source }),
        }
    }

    /// Where the table of contents of a layer is, if it is here.
    #[must_use]
    pub fn tree_path(&self, diff_id: &DiffId) -> PathBuf {
        self.root.join("trees").join(diff_id.hex())
    }

    /// The table of contents of a layer, if it is here and whole.
    #[must_use]
    pub fn tree(&self, diff_id: &DiffId) -> Option<Changes> {
        let path = self.tree_path(diff_id);
        let bytes = fs::read(&path).ok()?;
        let decoded: Result<Changes, TocError> = crate::layer::decode(&bytes);
        touch(&path);
        decoded.ok()
    }

    /// Keeps the table of contents of a layer.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep_tree(&self, diff_id: &DiffId, changes: &Changes) -> Result<(), StoreError> {
        let path = self.tree_path(diff_id);
        self.write_whole(&path, &crate::layer::encode(changes))
    }

    /// Writes a file so that a reader sees all of it or nothing.
    pub(super) fn write_whole(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(self.work.path())?;
            file.write_all(bytes)?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(StoreError::io(path))
    }
}

/// An unfinished blob; removed unless [`Store::keep_blob`] names it.
#[derive(Debug)]
pub struct Spool {
    file: tempfile::NamedTempFile,
}

impl Spool {
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The file, open for reading and writing.
    #[must_use]
    pub fn file(&self) -> &File {
        self.file.as_file()
    }
}

pub(super) fn open_lock(path: &Path) -> Result<File, StoreError> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::io(path))
}

/// Marks a file as used, for pruning by age. Best effort: an old time costs a later build some work.
pub(super) fn touch(path: &Path) {
    let times = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
        last_modification: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
    };
    let _ = rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_appears_whole_under_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let spool = store.spool().unwrap();
        spool.file().write_all(b"layer").unwrap();
        let digest = Digest::of(b"layer");
        assert_eq!(store.blob(&digest), None);
        let stored = store.keep_blob(spool, &digest).unwrap();
        assert_eq!((stored.size, store.blob(&digest)), (5, Some(stored)));
    }

    #[test]
    fn what_a_dead_process_left_is_swept_and_what_a_living_one_has_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let living = Store::open(dir.path()).unwrap();
        let dead = dir.path().join("tmp/build-dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("lock"), "").unwrap();
        fs::write(dead.join("half"), "x").unwrap();
        let other = Store::open(dir.path()).unwrap();
        assert!(!dead.exists());
        assert!(living.work().path().is_dir() && other.work().path().is_dir());
        let work = other.work().path().to_owned();
        drop(other);
        assert!(!work.exists());
    }

    #[test]
    fn an_unpacked_layer_that_another_build_made_first_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let diff_id = DiffId::of(b"tar");
        for name in ["a", "b"] {
            let made = store.work().directory().unwrap();
            fs::write(made.join("file"), name).unwrap();
            let kept = store.keep_unpacked(&made, &diff_id).unwrap();
            assert_eq!(fs::read(kept.join("file")).unwrap(), b"a");
        }
    }
}
