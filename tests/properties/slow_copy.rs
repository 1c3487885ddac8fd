//! COPY as one would do it by hand: a source directory, a root directory, and system calls. It is
//! slow, and it knows nothing of trees and layers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, Timespec, Timestamps, mkfifoat, open, openat2,
    utimensat,
};

/// The flags of one COPY. An exclusion is a path below a source.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub chown: Option<(u32, u32)>,
    pub chmod: Option<u32>,
    pub exclude: Vec<String>,
    /// Seconds since 1970, for directories that have no source.
    pub made_at: i64,
}

/// Copies paths of `source`, of which the last name may be `*`, to `destination` in `root`.
///
/// # Errors
/// Where COPY has one too; `root` is then in an undefined state.
pub fn copy(
    source: &Path,
    paths: &[String],
    root: &Path,
    destination: &str,
    flags: &Flags,
) -> io::Result<()> {
    let mut times = BTreeMap::new();
    remember_times(root, &mut times)?;
    let mut copier = Copier { source, root, flags, times, made: HashSet::new() };
    for path in paths {
        copier.copy(path, destination)?;
    }
    // Whoever puts something into a directory changes its time: the last word is here.
    for (directory, seconds) in &copier.times {
        set_time(directory, *seconds)?;
    }
    Ok(())
}

struct Copier<'a> {
    source: &'a Path,
    root: &'a Path,
    flags: &'a Flags,
    /// What the times of directories are to be.
    times: BTreeMap<PathBuf, i64>,
    /// Directories that were made without a source.
    made: HashSet<PathBuf>,
}

impl Copier<'_> {
    fn copy(&mut self, path: &str, destination: &str) -> io::Result<()> {
        let Some(directory) = path.strip_suffix('*') else {
            return self.one(path, destination);
        };
        let place = real(self.source, directory)?;
        if !place.symlink_metadata()?.is_dir() {
            return Ok(());
        }
        let mut found: Vec<String> = fs::read_dir(place)?
            .map(|entry| Ok(entry?.file_name().into_string().expect("an ASCII name")))
            .collect::<io::Result<_>>()?;
        found.sort();
        for name in found {
            self.one(&format!("{directory}{name}"), destination)?;
        }
        Ok(())
    }

    fn one(&mut self, path: &str, destination: &str) -> io::Result<()> {
        // Hard links that one path does not show are files of their own.
        let names = &mut HashMap::new();
        let from = real(self.source, path)?;
        let metadata = from.symlink_metadata()?;
        let mut target = real(self.root, destination)?;
        if destination.ends_with('/') {
            self.make(&target)?;
        } else if let Some(parent) = target.parent().filter(|parent| parent.starts_with(self.root))
        {
            self.make(parent)?;
        }
        if metadata.is_dir() {
            if target.symlink_metadata().is_ok_and(|there| !there.is_dir()) {
                return Err(ErrorKind::NotADirectory.into());
            }
            self.make(&target)?;
            if self.made.contains(&target) {
                self.times.insert(target.clone(), metadata.mtime());
            }
            return self.contents(&from, &target, "", names);
        }
        if target.is_dir() {
            target.push(path.rsplit('/').next().unwrap_or(path));
        }
        self.entry(&from, &target, names)
    }

    fn contents(
        &mut self,
        from: &Path,
        target: &Path,
        below: &str,
        names: &mut HashMap<u64, PathBuf>,
    ) -> io::Result<()> {
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name().into_string().expect("an ASCII name");
            let relative = format!("{below}{name}");
            if self.flags.exclude.contains(&relative) {
                continue;
            }
            let (from, target) = (from.join(&name), target.join(&name));
            let metadata = from.symlink_metadata()?;
            if !metadata.is_dir() {
                self.entry(&from, &target, names)?;
                continue;
            }
            match target.symlink_metadata() {
                Ok(there) if there.is_dir() => {}
                Ok(_) => return Err(ErrorKind::NotADirectory.into()),
                Err(_) => fs::create_dir(&target)?,
            }
            self.made.remove(&target);
            self.attributes(&target, &metadata)?;
            self.times.insert(target.clone(), metadata.mtime());
            self.contents(&from, &target, &format!("{relative}/"), names)?;
        }
        Ok(())
    }

    /// Anything but a directory.
    fn entry(
        &mut self,
        from: &Path,
        target: &Path,
        names: &mut HashMap<u64, PathBuf>,
    ) -> io::Result<()> {
        let metadata = from.symlink_metadata()?;
        match fs::remove_file(target) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let kind = metadata.file_type();
        if kind.is_symlink() {
            symlink(fs::read_link(from)?, target)?;
        } else if kind.is_fifo() {
            mkfifoat(CWD, target, Mode::from_raw_mode(0o600))?;
        } else if let Some(other) = names.get(&metadata.ino()).filter(|_| metadata.nlink() > 1)
            && other.symlink_metadata().is_ok_and(|there| there.is_file())
        {
            fs::hard_link(other, target)?;
        } else {
            fs::copy(from, target)?;
            names.insert(metadata.ino(), target.to_owned());
        }
        self.attributes(target, &metadata)?;
        set_time(target, metadata.mtime())
    }

    fn attributes(&self, target: &Path, of: &fs::Metadata) -> io::Result<()> {
        let (uid, gid) = self.flags.chown.unwrap_or((of.uid(), of.gid()));
        lchown(target, Some(uid), Some(gid))?;
        if of.is_symlink() {
            return Ok(());
        }
        let mode = self.flags.chmod.unwrap_or(of.mode() & 0o7777);
        fs::set_permissions(target, fs::Permissions::from_mode(mode))
    }

    /// Makes a directory and its parents where they are missing. `path` has no links.
    fn make(&mut self, path: &Path) -> io::Result<()> {
        if path.symlink_metadata().is_ok_and(|there| there.is_dir()) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.make(parent)?;
        }
        fs::create_dir(path)?;
        let (uid, gid) = self.flags.chown.unwrap_or_default();
        lchown(path, Some(uid), Some(gid))?;
        let mode = self.flags.chmod.map_or(0o755, |mode| mode & 0o777);
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        self.made.insert(path.to_owned());
        self.times.insert(path.to_owned(), self.flags.made_at);
        Ok(())
    }
}

/// Where `path` is if `root` is the root directory, as the kernel sees it; what isn't there stays as
/// written.
fn real(root: &Path, path: &str) -> io::Result<PathBuf> {
    let open_in_root = |path: &str, flags| {
        let root = open(root, OFlags::PATH, Mode::empty())?;
        openat2(root, path, OFlags::PATH | flags, Mode::empty(), ResolveFlags::IN_ROOT)
    };
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Ok(root.to_owned());
    }
    match open_in_root(path, OFlags::empty()) {
        Ok(found) => {
            use std::os::fd::AsRawFd;
            return fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()));
        }
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent = real(root, parent)?;
    let here = parent.join(name);
    match fs::read_link(&here) {
        // A link that leads nowhere leads to where something would be made.
        Ok(target) => {
            let target = target.to_str().expect("an ASCII target");
            let parent = parent.strip_prefix(root).expect("below the root");
            let parent = if target.starts_with('/') { Path::new("") } else { parent };
            real(root, parent.join(target.trim_start_matches('/')).to_str().expect("ASCII"))
        }
        Err(_) => Ok(here),
    }
}

fn remember_times(directory: &Path, times: &mut BTreeMap<PathBuf, i64>) -> io::Result<()> {
    times.insert(directory.to_owned(), directory.metadata()?.mtime());
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remember_times(&entry.path(), times)?;
        }
    }
    Ok(())
}

pub fn set_time(path: &Path, seconds: i64) -> io::Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
