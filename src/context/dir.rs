//! A directory as a source: the build context, a named context, an unpacked root file system.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use blake3::Hasher;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Source;
use super::exact::{Exact, changed};
use super::walk::{Ownership, XATTR_MAX, walk, xattrs};
use crate::digest::ContentSum;
use crate::ignore::Patterns;
use crate::tree::{Entry, Kind, Tree, TreePath, Xattrs};

/// Large enough for attributes too.
const READ_BUFFER: usize = 256 << 10;
const _: () = assert!(READ_BUFFER >= XATTR_MAX);

#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("can't open the directory {path}: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("can't read {path} of the context: {source}")]
    Entry { path: String, source: io::Error },
}

impl ContextError {
    pub(super) fn entry(path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Entry { path: shown(path), source: source.into() }
    }
}

/// A directory that was walked once. All later access is below its open descriptor and fails on a
/// symbolic link, so nothing outside is ever read.
#[derive(Clone, Debug)]
pub struct DirectoryContext {
    root: Arc<OwnedFd>,
    tree: Tree,
}

impl DirectoryContext {
    /// Opens and walks `path`, which may be a link itself. Ignored files are not in the tree.
    ///
    /// # Errors
    /// When the directory, or something in it that is not ignored, can't be read.
    pub fn open(
        path: &Path,
        ignore: &Patterns,
        ownership: Ownership,
    ) -> Result<Self, ContextError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| ContextError::Open { path: path.to_owned(), source: error.into() })?;
        let tree = walk(root.as_fd(), ignore, ownership)?;
        Ok(Self { root: Arc::new(root), tree })
    }

    /// Gives every entry this time; seconds since 1970.
    pub fn set_times(&mut self, mtime: i64) {
        let paths: Vec<TreePath> = self.tree.iter().map(|(path, _)| path.clone()).collect();
        for path in paths.iter().map(|path| &**path).chain([&b""[..]]) {
            if let Some(entry) = self.tree.get_mut(path) {
                entry.mtime = mtime;
            }
        }
    }

    /// As [`DirectoryContext::hash`] of everything.
    ///
    /// # Errors
    /// As there.
    pub fn hash_all(&mut self, threads: usize) -> Result<(), ContextError> {
        let paths: Vec<TreePath> = self.tree.iter().map(|(path, _)| path.clone()).collect();
        self.hash(&paths, threads)
    }

    /// Reads the files among `paths` that have no digest yet, with at most `threads` threads, and
    /// puts digests and extended attributes into the tree. The attributes wait until here because
    /// they need the file to be open.
    ///
    /// # Errors
    /// When a file can't be read, or is no longer what it was during the walk.
    pub fn hash(&mut self, paths: &[TreePath], threads: usize) -> Result<(), ContextError> {
        // A file with several names is read once.
        let mut linked: BTreeMap<u64, usize> = BTreeMap::new();
        let mut files: Vec<Vec<&TreePath>> = Vec::new();
        for path in paths {
            let Some(Entry { kind: Kind::File(file), .. }) = self.tree.get(path) else { continue };
            if file.digest.is_some() {
                continue;
            }
            if let Some(link) = file.link {
                let at = *linked.entry(link).or_insert(files.len());
                if let Some(names) = files.get_mut(at) {
                    names.push(path);
                    continue;
                }
            }
            files.push(vec![path]);
        }
        for (index, sum, xattrs) in self.sums(&files, threads)? {
            for path in &files[index] {
                let Some(entry) = self.tree.get_mut(path) else { continue };
                if let Kind::File(file) = &mut entry.kind {
                    file.digest = Some(sum);
                    entry.xattrs.clone_from(&xattrs);
                }
            }
        }
        Ok(())
    }

    /// Sum and attributes of the first name of each file, with its index; in no order.
    fn sums(
        &self,
        files: &[Vec<&TreePath>],
        threads: usize,
    ) -> Result<Vec<(usize, ContentSum, Xattrs)>, ContextError> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut buffer = vec![0; READ_BUFFER];
            let mut sums = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(names) = files.get(index) else { return Ok(sums) };
                match self.sum(names[0], &mut buffer) {
                    Ok((sum, xattrs)) => sums.push((index, sum, xattrs)),
                    Err(error) => {
                        // The others have nothing more to do.
                        next.store(files.len(), Ordering::Relaxed);
                        return Err(ContextError::entry(names[0], error));
                    }
                }
            }
        };
        let threads = threads.clamp(1, files.len().max(1));
        let results: Vec<_> = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut results = vec![work()];
            results.extend(others.into_iter().map(|other| match other.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }));
            results
        });
        let mut sums = Vec::with_capacity(files.len());
        for result in results {
            sums.extend(result?);
        }
        Ok(sums)
    }

    fn sum(&self, path: &TreePath, buffer: &mut [u8]) -> io::Result<(ContentSum, Xattrs)> {
        let mut file = self.open_file(path)?;
        let xattrs = xattrs(file.inner().as_fd(), buffer);
        let mut hasher = Hasher::new();
        loop {
            match file.read(buffer) {
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    // A file that does not fill the buffer has met its end.
                    let at_end = count < buffer.len() && file.is_complete();
                    if count == 0 || at_end {
                        return Ok(((&hasher).into(), xattrs));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn open_file(&self, path: &TreePath) -> io::Result<Exact<File>> {
        let Some(Entry { kind: Kind::File(expected), .. }) = self.tree.get(path) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let file = self.open_below(path)?;
        let stat = rustix::fs::fstat(&file)?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || u64::try_from(stat.st_size) != Ok(expected.size) {
            return Err(changed(&shown(path)));
        }
        Ok(Exact::new(file.into(), expected.size, shown(path)))
    }

    fn open_below(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        // NONBLOCK: should the file have become a pipe, opening must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&*self.root, path, flags, Mode::empty(), resolve) {
            // An older kernel, or a filter that does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => {}
            result => return result,
        }
        let mut directory: Option<OwnedFd> = None;
        let mut components = path.split(|byte| *byte == b'/').peekable();
        while let Some(component) = components.next() {
            let here = directory.as_ref().unwrap_or(&*self.root);
            if components.peek().is_none() {
                return rustix::fs::openat(here, component, flags, Mode::empty());
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            directory = Some(rustix::fs::openat(here, component, flags, Mode::empty())?);
        }
        Err(Errno::NOENT)
    }
}

impl Source for DirectoryContext {
    fn tree(&self) -> &Tree {
        &self.tree
    }

    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.open_file(path)?))
    }
}

fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

#[cfg(test)]
mod tests;
