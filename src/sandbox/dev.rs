//! `/proc`, `/dev` and `/sys`: what every step has, and what of it is hidden.

use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::mount::{MountAttrFlags, mount_bind};

use super::error::{Doing, Failure, Phase};
use super::mounts::{
    NODEV, NOEXEC, NOSUID, RDONLY, attach, attach_at, clone_mount, file_system, new_file_system,
};
use super::orders::Orders;
use super::root::Root;

/// Nodes of the host that a step gets. They are mounts, since device files as such don't work in a
/// step: with CAP_MKNOD it could make one for the host's disk.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// As Docker and BuildKit hide them.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const DEV_SIZE: &str = "65536k";

/// Device files work on a step's file systems only if it is allowed everything.
pub(super) fn devices(orders: &Orders) -> MountAttrFlags {
    if orders.insecure { MountAttrFlags::empty() } else { NODEV }
}

/// Mounts the file systems of the kernel. `staging` is an empty directory.
pub(super) fn mount(root: &mut Root, orders: &Orders, staging: &Path) -> Result<(), Failure> {
    file_system(root, "/proc", "proc", &[], NOSUID | NODEV | NOEXEC)?;
    let writable_sys = if orders.insecure { MountAttrFlags::empty() } else { RDONLY };
    file_system(root, "/sys", "sysfs", &[], writable_sys | NOSUID | NODEV | NOEXEC)?;
    // On a host with version 1 or both a step sees no control groups.
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        file_system(
            root,
            "/sys/fs/cgroup",
            "cgroup2",
            &[],
            writable_sys | NOSUID | NODEV | NOEXEC,
        )?;
    }
    mount_dev(root, orders, staging)?;
    let pts = [("mode", "0620"), ("ptmxmode", "0666"), ("gid", "5")];
    file_system(root, "/dev/pts", "devpts", &pts, NOSUID | NOEXEC)?;
    let shm = [("mode", "1777"), ("size", &*orders.shm_size.to_string())];
    file_system(root, "/dev/shm", "tmpfs", &shm, NOSUID | NODEV | NOEXEC)?;
    file_system(root, "/dev/mqueue", "mqueue", &[], NOSUID | NODEV | NOEXEC)
}

/// `/dev` is filled at `staging`, where the host's nodes can be mounted in by path, and then
/// moved into the root.
fn mount_dev(root: &mut Root, orders: &Orders, staging: &Path) -> Result<(), Failure> {
    let place = root
        .mount_point("/dev", super::root::Shape::Directory)
        .doing(Phase::Mounts, || "make the mount point /dev".into())?;
    let options = [("mode", "755"), ("size", DEV_SIZE)];
    let dev = new_file_system("tmpfs", &options, NOSUID | devices(orders))
        .doing(Phase::Mounts, || "mount /dev".into())?;
    fill_dev(&dev, orders, staging).doing(Phase::Mounts, || "fill /dev".into())?;
    attach(&dev, &place).doing(Phase::Mounts, || "mount /dev".into())
}

fn fill_dev(dev: &OwnedFd, orders: &Orders, staging: &Path) -> io::Result<()> {
    attach_at(dev, staging)?;
    for name in NODES {
        let place = staging.join(name);
        std::fs::File::create_new(&place)?;
        let node =
            open(Path::new("/dev").join(name), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        attach_at(&clone_mount(node.as_fd(), NOSUID | NOEXEC)?, &place)?;
    }
    for (name, target) in LINKS {
        symlink(target, staging.join(name))?;
    }
    // As with runc, it is there where the kernel has what it points to.
    if Path::new("/proc/kcore").exists() {
        symlink("/proc/kcore", staging.join("core"))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        std::fs::create_dir(staging.join(name))?;
    }
    if orders.insecure {
        copy_nodes(Path::new("/dev"), staging)?;
    }
    if !orders.scripts.is_empty() {
        let pipes = staging.join("pipes");
        std::fs::create_dir(&pipes)?;
        std::fs::set_permissions(&pipes, Permissions::from_mode(0o755))?;
        for (name, content) in &orders.scripts {
            let path = pipes.join(name);
            std::fs::write(&path, content)?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Makes the nodes of the host's devices that are not there yet, with those in its directories.
fn copy_nodes(from: &Path, to: &Path) -> io::Result<()> {
    for node in std::fs::read_dir(from)? {
        let node = node?;
        let (metadata, place) = (node.metadata()?, to.join(node.file_name()));
        let kind = FileType::from_raw_mode(metadata.mode());
        if metadata.is_dir() {
            // Those that a step has of its own, and what is mounted there.
            let own = ["pts", "shm", "mqueue", "fd"].iter().any(|name| node.file_name() == *name);
            if !own && metadata.dev() == std::fs::metadata(from)?.dev() {
                std::fs::create_dir(&place)?;
                copy_nodes(&node.path(), &place)?;
            }
        } else if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice)
            && node.file_name() != "console"
            && place.symlink_metadata().is_err()
        {
            let mode = Mode::from_raw_mode(metadata.mode() & 0o7777);
            mknodat(CWD, &place, kind, mode, metadata.rdev())?;
            chown(&place, Some(metadata.uid()), Some(metadata.gid()))?;
        }
    }
    Ok(())
}

/// Hides what Docker hides. To be called inside the root.
pub(super) fn mask() -> Result<(), Failure> {
    for path in MASKED {
        let Ok(metadata) = std::fs::symlink_metadata(path) else { continue };
        let masked = if metadata.is_dir() {
            new_file_system("tmpfs", &[("size", "0")], RDONLY | NOSUID | NODEV | NOEXEC)
                .and_then(|empty| attach_at(&empty, Path::new(path)))
        } else {
            mount_bind("/dev/null", path)
        };
        masked.doing(Phase::Mounts, || format!("hide {path}"))?;
    }
    for path in READ_ONLY {
        if !Path::new(path).exists() {
            continue;
        }
        let node = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        node.map_err(io::Error::from)
            .and_then(|node| clone_mount(node.as_fd(), RDONLY | NOSUID | NODEV | NOEXEC))
            .and_then(|mount| Ok(attach_at(&mount, Path::new(path))?))
            .doing(Phase::Mounts, || format!("make {path} read-only"))?;
    }
    Ok(())
}
