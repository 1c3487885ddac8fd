//! What a COPY or a bind mount reads, and the key of it (engine: cache keys; L-194, K-01, K-02).

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::chmod::Chmod;
use super::copy::{CopyError, CopyOptions, shown};
use super::entry::{Change, Changes, Entry, Kind, TreePath};
use super::pick::{CopySource, roots};
use crate::digest::Sha256Sum;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("the content of {path} has no digest yet")]
    NoDigest { path: String },
}

/// The paths of one source that a COPY reads, sorted, directories and links among them. Only the
/// files among them need a digest.
///
/// # Errors
/// As [`super::copy()`] for a source that is missing.
pub fn select(source: &CopySource<'_>, options: &CopyOptions) -> Result<Vec<TreePath>, CopyError> {
    let mut paths = BTreeSet::new();
    for root in roots(source, options)? {
        paths.extend(root.picks.iter().map(|pick| pick.path.clone()));
        paths.insert(root.path);
    }
    Ok(paths.into_iter().collect())
}

/// The digest of all that one source brings: for each path its name below the destination, type,
/// mode, owner, link target or content, extended attributes. Not the time, not which files are
/// hard links of each other; not the owner where `--chown` replaces it, nor the mode where an
/// octal `--chmod` does. The destination and the flags themselves are for the caller to add.
///
/// # Errors
/// As [`select`], and when a file has no digest.
pub fn content_key(source: &CopySource<'_>, options: &CopyOptions) -> Result<Sha256Sum, KeyError> {
    let mut key = Key(Sha256::new());
    key.bytes(b"plimsoll copy source 1");
    for root in roots(source, options)? {
        if !root.is_directory() {
            key.bytes(b"file");
            key.bytes(&root.name);
            key.entry(&root.path, root.entry, options)?;
            continue;
        }
        key.bytes(b"directory");
        key.number(root.picks.len() as u64);
        for pick in &root.picks {
            key.bytes(root.relative(pick.path));
            key.number(u64::from(pick.only_parent));
            key.entry(pick.path, pick.entry, options)?;
        }
    }
    Ok(key.0.into())
}

/// The digest of all that a layer brings, whatever it is laid over: names, types, modes, owners,
/// contents, extended attributes. Not the times, as in [`content_key`].
///
/// # Errors
/// [`KeyError::NoDigest`]
pub fn layer_key(layer: &Changes) -> Result<Sha256Sum, KeyError> {
    let mut key = Key(Sha256::new());
    key.bytes(b"plimsoll layer 1");
    for (path, change) in &layer.changes {
        key.bytes(path);
        match change {
            Change::Set(entry) => {
                key.entry(path, entry, &CopyOptions::default())?;
                let link = if let Kind::File(file) = &entry.kind { file.link } else { None };
                key.number(link.map_or(0, |link| link + 1));
            }
            Change::Link(target) => {
                key.bytes(b"link");
                key.bytes(target);
            }
            Change::Remove => key.bytes(b"removed"),
            Change::Opaque => key.bytes(b"opaque"),
        }
    }
    Ok(key.0.into())
}

/// The digest of what one path adds to [`content_key`], its name aside.
///
/// # Errors
/// [`KeyError::NoDigest`]
pub fn entry_key(path: &[u8], entry: &Entry, options: &CopyOptions) -> Result<Sha256Sum, KeyError> {
    let mut key = Key(Sha256::new());
    key.entry(path, entry, options)?;
    Ok(key.0.into())
}

/// Every field has a fixed length or its length before it, so no two inputs look the same.
struct Key(Sha256);

impl Key {
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn entry(&mut self, path: &[u8], entry: &Entry, options: &CopyOptions) -> Result<(), KeyError> {
        let mode_is_replaced = matches!(options.chmod, Some(Chmod::Absolute(_)));
        self.number(if mode_is_replaced { u64::MAX } else { u64::from(entry.mode) });
        let (uid, gid) = options.chown.map_or((entry.uid, entry.gid), |_| (u32::MAX, u32::MAX));
        self.number(u64::from(uid));
        self.number(u64::from(gid));
        let device = |major: u32, minor: u32| [major, minor].map(u64::from);
        match &entry.kind {
            Kind::Directory => self.bytes(b"d"),
            Kind::File(file) => {
                self.bytes(b"f");
                let digest = file.digest.ok_or_else(|| KeyError::NoDigest { path: shown(path) })?;
                self.bytes(&digest.0);
            }
            Kind::Symlink(target) => {
                self.bytes(b"l");
                self.bytes(target);
            }
            Kind::CharDevice { major, minor } => {
                self.bytes(b"c");
                device(*major, *minor).into_iter().for_each(|number| self.number(number));
            }
            Kind::BlockDevice { major, minor } => {
                self.bytes(b"b");
                device(*major, *minor).into_iter().for_each(|number| self.number(number));
            }
            Kind::Fifo => self.bytes(b"p"),
            Kind::Socket => self.bytes(b"s"),
        }
        self.number(entry.xattrs.len() as u64);
        for (name, value) in &entry.xattrs {
            self.bytes(name);
            self.bytes(value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
