//! One overlay out of many directories.
//!
//! Every directory is opened first and given to the kernel as a path of `/proc/self/fd`: so neither
//! the length of a path (255 bytes for one layer, a page for all) nor a colon or comma in it matters.

use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, chmodat, chownat, fstat, open};
use rustix::io::{Errno, Result};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, mount,
};

use super::error::{Doing, Failure, Phase};
use super::orders::Orders;

/// Kernels may be built with other defaults. With these the upper directory holds whole files, and
/// whiteouts and opaque directories as the layer writer knows them.
const OPTIONS: [(&str, &str); 4] =
    [("metacopy", "off"), ("redirect_dir", "off"), ("index", "off"), ("xino", "off")];

/// Nobody mounts the upper directory again, so the kernel needs not write it out at the end, and
/// `fsync` in a step does nothing.
const VOLATILE: &str = "volatile";

/// The directories of an overlay, opened.
pub(super) struct Overlay {
    /// The highest first, at least one.
    lowers: Vec<OwnedFd>,
    /// With the kernel's work directory.
    upper: Option<(OwnedFd, OwnedFd)>,
}

/// A mount that isn't anywhere yet.
pub(super) struct Detached {
    /// Holds the file system: when it is closed last, the kernel is done with the directories.
    _file_system: OwnedFd,
    pub(super) mount: OwnedFd,
}

impl Overlay {
    /// The step's root.
    pub(super) fn of_root(orders: &Orders) -> std::result::Result<Self, Failure> {
        let empty = orders.scratch.join("empty");
        if orders.lowers.is_empty() {
            std::fs::create_dir_all(&empty)
                .doing(Phase::Overlay, || format!("make the directory {}", empty.display()))?;
        }
        let upper = (&*orders.upper, &*orders.work);
        let overlay = Self::open(&orders.lowers, &empty, Some(upper))?;
        overlay
            .shape_upper(&orders.upper)
            .doing(Phase::Overlay, || format!("set up {}", orders.upper.display()))?;
        Ok(overlay)
    }

    /// `lowers` has the lowest first and may be empty; `empty` is an empty directory.
    ///
    /// Some directory may occur twice, since two layers can have the same content, but the kernel
    /// refuses that. The lower one has no effect: whatever it holds or hides, the higher one does.
    pub(super) fn open(
        lowers: &[PathBuf],
        empty: &Path,
        upper: Option<(&Path, &Path)>,
    ) -> std::result::Result<Self, Failure> {
        let open = |path: &Path| {
            open_directory(path).doing(Phase::Overlay, || format!("open {}", path.display()))
        };
        let mut seen = HashSet::new();
        let mut opened = Vec::new();
        for path in lowers.iter().rev() {
            let lower = open(path)?;
            let stat = fstat(&lower)
                .doing(Phase::Overlay, || format!("read the attributes of {}", path.display()))?;
            if seen.insert((stat.st_dev, stat.st_ino)) {
                opened.push(lower);
            }
        }
        // Without an upper directory there have to be two.
        if opened.is_empty() || upper.is_none() {
            opened.push(open(empty)?);
        }
        let upper = upper.map(|(upper, work)| Ok((open(upper)?, open(work)?))).transpose()?;
        Ok(Self { lowers: opened, upper })
    }

    /// Gives a new upper directory the owner and mode of the highest layer, since it is what the
    /// root of the overlay looks like.
    pub(super) fn shape_upper(&self, upper: &Path) -> Result<()> {
        let stat = fstat(&self.lowers[0])?;
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        chownat(CWD, upper, Some(uid), Some(gid), AtFlags::empty())?;
        chmodat(CWD, upper, Mode::from_raw_mode(stat.st_mode), AtFlags::empty())
    }

    /// Needs Linux 6.7 or so; see [`Self::mount_at`]. A layer more than the kernel can take or a
    /// file system that it can't use is in the failure's text.
    pub(super) fn detached(
        &self,
        attributes: MountAttrFlags,
    ) -> std::result::Result<Detached, Failure> {
        let file_system = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
            .doing(Phase::Overlay, || "use overlay file systems".into())?;
        let configured = self.configure(&file_system);
        configured.map_err(|error| self.failure(error, kernel_message(&file_system)))?;
        let mount = fsmount(&file_system, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(|error| self.failure(error, None))?;
        Ok(Detached { _file_system: file_system, mount })
    }

    fn configure(&self, file_system: &OwnedFd) -> Result<()> {
        let set = |key: &str, directory: &OwnedFd| {
            fsconfig_set_string(file_system, key, format!("/proc/self/fd/{}", number(directory)))
        };
        for lower in &self.lowers {
            set("lowerdir+", lower)?;
        }
        if let Some((upper, work)) = &self.upper {
            set("upperdir", upper)?;
            set("workdir", work)?;
            fsconfig_set_flag(file_system, VOLATILE)?;
        }
        for (key, value) in OPTIONS {
            fsconfig_set_string(file_system, key, value)?;
        }
        fsconfig_create(file_system)
    }

    /// The older way: all layers in one string, which has to fit into a page; hence names relative
    /// to `/proc/self/fd`, which becomes the working directory.
    pub(super) fn mount_at(
        &self,
        target: &Path,
        flags: MountFlags,
    ) -> std::result::Result<OwnedFd, Failure> {
        let lowers: Vec<String> = self.lowers.iter().map(|fd| number(fd).to_string()).collect();
        let mut options = format!("lowerdir={}", lowers.join(":"));
        if let Some((upper, work)) = &self.upper {
            options += &format!(",upperdir={},workdir={}", number(upper), number(work));
            options += &format!(",{VOLATILE}");
        }
        for (key, value) in OPTIONS {
            options += &format!(",{key}={value}");
        }
        let options =
            std::ffi::CString::new(options).map_err(|_| self.failure(Errno::INVAL, None))?;
        rustix::process::chdir("/proc/self/fd")
            .and_then(|()| mount("overlay", target, "overlay", flags, Some(options.as_c_str())))
            .and_then(|()| open_directory(target))
            .map_err(|error| self.failure(error, None))
    }

    fn failure(&self, error: Errno, message: Option<String>) -> Failure {
        Failure {
            phase: Phase::Overlay,
            doing: format!("mount an overlay of {} layers", self.lowers.len()),
            reason: message.unwrap_or_else(|| super::error::reason(&error.into())),
        }
    }
}

/// What the kernel says about the failed configuration of a file system, without its mark `e `.
fn kernel_message(file_system: &OwnedFd) -> Option<String> {
    let mut buffer = [0; 512];
    let mut messages = Vec::new();
    while let Ok(length @ 1..) = rustix::io::read(file_system, &mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]);
        if let Some(error) = text.strip_prefix("e ") {
            messages.push(error.trim_end().to_string());
        }
    }
    (!messages.is_empty()).then(|| messages.join("; "))
}

pub(super) fn open_directory(path: &Path) -> Result<OwnedFd> {
    open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn number(fd: &OwnedFd) -> RawFd {
    fd.as_fd().as_raw_fd()
}
