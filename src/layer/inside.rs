//! A directory, and access to what is below it that never leads out of it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::contents::split;
use super::error::{LayerError, shown};

/// A tree on disk whose paths hold no links: what leads through one is an error.
pub(crate) struct Inside {
    root: OwnedFd,
    /// For messages.
    path: PathBuf,
    /// The directory that was used last; entries of one directory mostly come together.
    last: Option<(Box<[u8]>, OwnedFd)>,
}

impl Inside {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { root, path: path.to_owned(), last: None })
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a path; its last part is not followed either.
    pub(crate) fn open(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = if path.is_empty() { &b"."[..] } else { path };
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(&self.root, path, flags, Mode::empty(), resolve) {
            // Older kernels, and filters that don't know the call.
            Err(Errno::NOSYS | Errno::PERM) => self.walk(path, flags),
            opened => Ok(opened?),
        }
    }

    /// What [`Inside::open`] does, step by step.
    fn walk(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        let (parent, name) = split(path);
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory = self.root.try_clone()?;
        for part in parent.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            directory = openat(&directory, part, step, Mode::empty())?;
        }
        Ok(openat(&directory, name, flags, Mode::empty())?)
    }

    /// The directory that holds `path`, and the name in it.
    pub(crate) fn parent<'p>(&mut self, path: &'p [u8]) -> io::Result<(BorrowedFd<'_>, &'p [u8])> {
        let (parent, name) = split(path);
        if parent.is_empty() {
            return Ok((self.root.as_fd(), name));
        }
        if self.last.as_ref().is_none_or(|(path, _)| **path != *parent) {
            let directory = self.open(parent, OFlags::PATH | OFlags::DIRECTORY)?;
            self.last = Some((parent.into(), directory));
        }
        // Set just above where it was not.
        let directory = self.last.as_ref().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd());
        Ok((directory, name))
    }

    /// Has to be called when directories went away.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Bytes that an ordinary user can still write.
    pub(crate) fn free(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    pub(super) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// The error of doing `action` to `path`; a full disk says so by name.
    pub(super) fn error(
        &self,
        action: &'static str,
        path: &[u8],
        source: impl Into<io::Error>,
    ) -> LayerError {
        let source = source.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => LayerError::NoSpace {
                directory: self.shown(),
                free: self.free().unwrap_or(0),
                source,
            },
            _ => LayerError::At { action, path: shown(path), source },
        }
    }
}

/// Opens the regular file at `path` below `directory`, through no link at all.
pub fn open_inside(directory: &Path, path: &[u8]) -> io::Result<File> {
    // A FIFO must not block, whoever put it there.
    let fd = Inside::new(directory)?.open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let file = File::from(fd);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}
