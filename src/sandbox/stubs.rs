//! Taking the mount points that were made for a step out of its upper directory again.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat2, statat, unlinkat};
use rustix::io::{Errno, Result};

use super::error::RunError;
use super::orders::Stub;
use super::overlay::open_directory;
use super::root::{directory_times, set_directory_times};

/// Removes the stubs that the step left empty; one that it filled is its own work now. The
/// directory around keeps the time that it has from the step.
pub(super) fn remove(upper: &Path, stubs: &[Stub]) -> std::result::Result<(), RunError> {
    if stubs.is_empty() {
        return Ok(());
    }
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |error: Errno| RunError::Stub { path, source: io::Error::from(error) }
    };
    let upper_fd = open_directory(upper).map_err(failed(upper))?;
    // What was made inside another comes after it.
    for stub in stubs.iter().rev() {
        remove_one(&upper_fd, stub).map_err(failed(&stub.path))?;
    }
    Ok(())
}

fn remove_one(upper: &OwnedFd, stub: &Stub) -> Result<()> {
    let (Some(parent), Some(name)) = (stub.path.parent(), stub.path.file_name()) else {
        return Ok(());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let parent = match openat2(
        upper,
        parent,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    ) {
        // The step put something else in its place.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        other => other?,
    };
    let times = directory_times(parent.as_fd())?;
    if unlink_empty(&parent, name, stub.directory)? {
        set_directory_times(parent.as_fd(), &times)?;
    }
    Ok(())
}

/// Whether it was removed.
fn unlink_empty(parent: &OwnedFd, name: &OsStr, directory: bool) -> Result<bool> {
    let stat = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        other => other?,
    };
    let result = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory if directory => unlinkat(parent, name, AtFlags::REMOVEDIR),
        FileType::RegularFile if !directory && stat.st_size == 0 => {
            unlinkat(parent, name, AtFlags::empty())
        }
        _ => return Ok(false),
    };
    match result {
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        other => other.map(|()| true),
    }
}
