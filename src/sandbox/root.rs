//! The root directory that a step will see, before it is entered: finding and making mount points.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timestamps, Uid, chownat, fstat, mkdirat, openat,
    readlinkat, statat, utimensat,
};
use rustix::io::{Errno, Result};

use super::orders::Stub;

/// As many as the kernel follows.
const MAX_LINKS: usize = 40;

pub(super) struct Root {
    fd: OwnedFd,
    device: u64,
    /// What was made so far on the root's own file system.
    pub(super) stubs: Vec<Stub>,
}

/// What a path has to lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Directory,
    /// Anything else.
    File,
}

impl Root {
    pub(super) fn new(fd: OwnedFd) -> Result<Self> {
        let device = fstat(&fd)?.st_dev;
        Ok(Self { fd, device, stubs: Vec::new() })
    }

    /// Opens the place of a mount, following symlinks inside the root and making what is missing as
    /// stubs: empty directories, or an empty file at the end. The times of their parents stay as
    /// they were.
    pub(super) fn mount_point(&mut self, path: &str, shape: Shape) -> Result<OwnedFd> {
        let mut made = Vec::new();
        let result = self.walk(path, shape, &mut made);
        self.stubs.append(&mut made);
        result
    }

    /// Makes a directory that stays, with its parents; what is new has this owner.
    pub(super) fn make_directory(&self, path: &str, uid: Uid, gid: Gid) -> Result<()> {
        let mut made = Vec::new();
        self.walk(path, Shape::Directory, &mut made)?;
        for Stub { path, .. } in made {
            chownat(&self.fd, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    /// Adds to `made` what it made on the root's own file system.
    fn walk(&self, path: &str, shape: Shape, made: &mut Vec<Stub>) -> Result<OwnedFd> {
        let mut pending = reversed_components(OsStr::new(path));
        let mut trail: Vec<(OsString, OwnedFd)> = Vec::new();
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == "." {
                continue;
            }
            if name == ".." {
                trail.pop();
                continue;
            }
            let parent = trail.last().map_or(self.fd.as_fd(), |(_, fd)| fd.as_fd());
            let fd = match open_nofollow(parent, &name) {
                Err(Errno::NOENT) => {
                    let directory = !pending.is_empty() || shape == Shape::Directory;
                    make(parent, &name, directory)?;
                    if fstat(parent)?.st_dev == self.device {
                        let names = trail.iter().map(|(name, _)| name).chain([&name]);
                        made.push(Stub { path: names.collect::<PathBuf>(), directory });
                    }
                    open_nofollow(parent, &name)?
                }
                other => other?,
            };
            if FileType::from_raw_mode(fstat(&fd)?.st_mode) == FileType::Symlink {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = OsString::from_vec(readlinkat(&fd, "", Vec::new())?.into_bytes());
                if target.as_bytes().first() == Some(&b'/') {
                    trail.clear();
                }
                pending.extend(reversed_components(&target));
            } else {
                trail.push((name, fd));
            }
        }
        let Some((_, fd)) = trail.pop() else {
            // The root itself is no place to mount on.
            return Err(if shape == Shape::File { Errno::ISDIR } else { Errno::BUSY });
        };
        let is_directory = FileType::from_raw_mode(fstat(&fd)?.st_mode) == FileType::Directory;
        match (is_directory, shape) {
            (true, Shape::File) => Err(Errno::ISDIR),
            (false, Shape::Directory) => Err(Errno::NOTDIR),
            _ => Ok(fd),
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn reversed_components(path: &OsStr) -> Vec<OsString> {
    let names = path.as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    names.rev().map(|name| OsStr::from_bytes(name).to_os_string()).collect()
}

fn open_nofollow(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd> {
    openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn make(parent: BorrowedFd<'_>, name: &OsStr, directory: bool) -> Result<()> {
    let times = directory_times(parent)?;
    if directory {
        mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    } else {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(parent, name, flags, Mode::from_raw_mode(0o644))?;
    }
    set_directory_times(parent, &times)
}

/// The times of an open directory; unlike `fstat`'s partner they can be set through a path-only
/// descriptor.
pub(super) fn directory_times(directory: BorrowedFd<'_>) -> Result<Timestamps> {
    let stat = statat(directory, ".", AtFlags::empty())?;
    Ok(Timestamps {
        last_access: rustix::fs::Timespec {
            tv_sec: stat.st_atime,
            tv_nsec: stat.st_atime_nsec as _,
        },
        last_modification: rustix::fs::Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: stat.st_mtime_nsec as _,
        },
    })
}

pub(super) fn set_directory_times(directory: BorrowedFd<'_>, times: &Timestamps) -> Result<()> {
    utimensat(directory, ".", times, AtFlags::empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;

    use super::*;
    use crate::sandbox::overlay::open_directory;

    fn root(path: &Path) -> Root {
        Root::new(open_directory(path).unwrap()).unwrap()
    }

    fn paths(root: &Root) -> Vec<(&str, bool)> {
        root.stubs.iter().map(|stub| (stub.path.to_str().unwrap(), stub.directory)).collect()
    }

    #[test]
    fn what_is_missing_is_made_and_noted_and_its_parent_looks_untouched() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let before = fs::metadata(dir.path().join("etc")).unwrap();
        let mut root = root(dir.path());
        root.mount_point("/etc/a/b/../c", Shape::File).unwrap();
        assert_eq!(paths(&root), [("etc/a", true), ("etc/a/b", true), ("etc/a/c", false)]);
        root.mount_point("/etc/a/c", Shape::File).unwrap();
        assert_eq!(root.stubs.len(), 3);
        let after = fs::metadata(dir.path().join("etc")).unwrap();
        assert_eq!((before.mtime(), before.mtime_nsec()), (after.mtime(), after.mtime_nsec()));
    }

    #[test]
    fn links_stay_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("root");
        fs::create_dir_all(inside.join("run")).unwrap();
        symlink("/run", inside.join("absolute")).unwrap();
        symlink("../../../../outside", inside.join("run/up")).unwrap();
        symlink("loop", inside.join("loop")).unwrap();
        let mut root = root(&inside);
        root.mount_point("/absolute/x", Shape::Directory).unwrap();
        root.mount_point("absolute/up/y", Shape::Directory).unwrap();
        root.mount_point("../../z", Shape::File).unwrap();
        assert_eq!(
            paths(&root),
            [("run/x", true), ("outside", true), ("outside/y", true), ("z", false)]
        );
        assert!(!dir.path().join("outside").exists());
        assert_eq!(root.mount_point("/loop/x", Shape::File).unwrap_err(), Errno::LOOP);
    }

    #[test]
    fn the_shape_has_to_fit() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let mut root = root(dir.path());
        for (path, shape, error) in [
            ("/file", Shape::Directory, Errno::NOTDIR),
            ("/file/x", Shape::File, Errno::NOTDIR),
            ("/", Shape::Directory, Errno::BUSY),
        ] {
            assert_eq!(root.mount_point(path, shape).unwrap_err(), error, "{path}");
        }
        assert!(root.stubs.is_empty());
    }
}
