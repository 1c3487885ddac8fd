//! `type=local`: a folder with a file for each entry, such as a workflow carries from run to run or
//! several machines mount.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::backend::{CacheBackend, CacheFault, EntryContent, EntryKey, FoundEntry, Saved};
use super::store::touch;
use crate::image::Descriptor;

/// Names of files that are not entries yet; no key begins so.
pub(super) const UNFINISHED: &str = ".unfinished-";

/// The entries of a folder, which is made when the first is saved.
#[derive(Debug)]
pub struct LocalFolder {
    folder: PathBuf,
}

impl LocalFolder {
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn found(&self, key: EntryKey) -> Result<Option<FoundEntry>, CacheFault> {
        let path = self.folder.join(&key.0);
        match fs::metadata(&path) {
            Ok(metadata) => {
                let place = path.to_string_lossy().into_owned();
                Ok(Some(FoundEntry { key, size: Some(metadata.len()), place }))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.unavailable(&e)),
        }
    }

    fn unavailable(&self, error: &io::Error) -> CacheFault {
        CacheFault::Unavailable(format!("{}: {error}", self.folder.display()))
    }
}

impl CacheBackend for LocalFolder {
    fn name(&self) -> String {
        format!("local {}", self.folder.display())
    }

    fn find(&self, keys: &[EntryKey]) -> Result<Option<FoundEntry>, CacheFault> {
        for key in keys {
            if let Some(entry) = self.found(key.clone())? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn newest(&self, prefix: &str) -> Result<Option<FoundEntry>, CacheFault> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.unavailable(&e)),
        };
        let mut newest: Option<(SystemTime, String)> = None;
        for entry in entries {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            // What goes away meanwhile is not found.
            let Ok(made) = entry.metadata().and_then(|m| m.modified()) else { continue };
            if name.starts_with(prefix) {
                newest = newest.max(Some((made, name)));
            }
        }
        newest.map_or(Ok(None), |(_, name)| self.found(EntryKey(name)))
    }

    fn open(&self, entry: &FoundEntry) -> Result<Box<dyn Read + Send>, CacheFault> {
        let path = self.folder.join(&entry.key.0);
        // A pipe would let the build wait for whoever writes.
        if !fs::metadata(&path)?.is_file() {
            return Err(CacheFault::Failed(format!("{}: it is no file", path.display())));
        }
        let file = File::open(&path)?;
        touch(&path);
        Ok(Box::new(file))
    }

    fn save(
        &self,
        key: &EntryKey,
        content: EntryContent<'_>,
        _blobs: &[Descriptor],
    ) -> Result<Saved, CacheFault> {
        if self.found(key.clone())?.is_some() {
            return Ok(Saved::AlreadyThere);
        }
        fs::create_dir_all(&self.folder).map_err(|e| self.unavailable(&e))?;
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            // Whoever carries the folder from run to run is often not the one who builds.
            .permissions(fs::Permissions::from_mode(0o644))
            .tempfile_in(&self.folder)
            .map_err(|e| self.unavailable(&e))?;
        match content {
            EntryContent::Bytes(bytes) => file.write_all(bytes)?,
            EntryContent::File(path, size) => {
                let copied = io::copy(&mut File::open(path)?, &mut file)?;
                if copied != size {
                    let path = path.display();
                    return Err(CacheFault::Failed(format!(
                        "{path}: expected {size} bytes but found {copied}"
                    )));
                }
            }
        }
        match file.persist_noclobber(self.folder.join(&key.0)) {
            Ok(_) => Ok(Saved::New),
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Ok(Saved::AlreadyThere),
            Err(e) => Err(e.error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> EntryKey {
        EntryKey(text.to_owned())
    }

    fn read(cache: &LocalFolder, entry: &FoundEntry) -> String {
        let mut text = String::new();
        cache.open(entry).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn entries_are_found_by_key_and_by_prefix_and_never_change() {
        let dir = tempfile::tempdir().unwrap();
        let cache = LocalFolder::new(dir.path().join("made/when/needed"));
        assert_eq!(cache.find(&[key("r-1")]).unwrap(), None);
        assert_eq!(cache.newest("i-").unwrap(), None);

        let save = |name: &str, text: &str| {
            cache.save(&key(name), EntryContent::Bytes(text.as_bytes()), &[]).unwrap()
        };
        assert_eq!(save("r-1", "first"), Saved::New);
        assert_eq!(save("r-1", "second"), Saved::AlreadyThere);
        let found = cache.find(&[key("r-0"), key("r-1")]).unwrap().unwrap();
        assert_eq!((found.size, read(&cache, &found).as_str()), (Some(5), "first"));

        let file = dir.path().join("file");
        fs::write(&file, "12345").unwrap();
        let content = EntryContent::File(&file, 5);
        assert_eq!(cache.save(&key("i-a-2"), content, &[]).unwrap(), Saved::New);
        assert!(cache.save(&key("i-a-3"), EntryContent::File(&file, 6), &[]).is_err());
        assert_eq!(save("i-a-1", "newer"), Saved::New);
        let future = SystemTime::now() + std::time::Duration::from_secs(60);
        File::open(cache.folder.join("i-a-1")).unwrap().set_modified(future).unwrap();
        let found = cache.newest("i-a-").unwrap().unwrap();
        assert_eq!(found.key, key("i-a-1"));
        assert_eq!(cache.newest("i-b").unwrap(), None);
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 3, "nothing unfinished stays");
    }

    #[test]
    fn a_pipe_is_no_entry() {
        let dir = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo").arg(dir.path().join("r-1")).status();
        assert!(made.unwrap().success());
        let cache = LocalFolder::new(dir.path().to_owned());
        let found = cache.find(&[key("r-1")]).unwrap().unwrap();
        assert!(matches!(cache.open(&found), Err(CacheFault::Failed(_))));
    }

    #[test]
    fn a_folder_that_is_a_file_is_unavailable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let cache = LocalFolder::new(file);
        for fault in [
            cache.find(&[key("r-1")]).unwrap_err(),
            cache.save(&key("r-1"), EntryContent::Bytes(b""), &[]).unwrap_err(),
        ] {
            assert!(matches!(fault, CacheFault::Unavailable(_)), "{fault}");
        }
    }
}
