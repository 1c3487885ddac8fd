//! The mounts of a step, each made detached and then put on its place by descriptor, so that no path
//! is looked up twice.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::error::{Doing, Failure, Phase};
use super::orders::MountOrder;
use super::overlay::Overlay;
use super::root::{Root, Shape};

pub(super) const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;
pub(super) const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
pub(super) const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
pub(super) const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;

/// How often a path is looked up again that something else's rename or mount has got in the way of.
const MAX_RACES: u32 = 1000;

/// Where mounts and files are kept until they are in place. Nothing of it can be reached once the
/// root has been entered.
pub(super) struct Staging {
    /// A directory in memory that is never swapped out.
    memory: PathBuf,
    /// A directory on a disk.
    scratch: PathBuf,
    layers_one_by_one: bool,
    count: usize,
}

impl Staging {
    /// Hides what is at `memory`.
    pub(super) fn new(
        memory: &Path,
        scratch: &Path,
        layers_one_by_one: bool,
    ) -> Result<Self, Failure> {
        let doing = || "mount memory for secrets".to_string();
        new_file_system("ramfs", &[("mode", "700")], NOSUID | NODEV | NOEXEC)
            .and_then(|mount| attach_at(&mount, memory))
            .doing(Phase::Mounts, doing)?;
        let staging = Self {
            memory: memory.to_path_buf(),
            scratch: scratch.to_path_buf(),
            layers_one_by_one,
            count: 0,
        };
        std::fs::create_dir(staging.empty()).doing(Phase::Mounts, doing)?;
        Ok(staging)
    }

    fn empty(&self) -> PathBuf {
        self.memory.join("empty")
    }

    /// A name that wasn't used before.
    fn name(&mut self) -> String {
        self.count += 1;
        self.count.to_string()
    }

    /// A new empty directory in memory.
    pub(super) fn directory(&mut self) -> Result<PathBuf, Failure> {
        let name = self.name();
        let path = self.memory.join(name);
        std::fs::create_dir(&path)
            .doing(Phase::Mounts, || format!("make the directory {}", path.display()))?;
        Ok(path)
    }

    /// Puts a read-only file of memory into the root.
    pub(super) fn file(
        &mut self,
        root: &mut Root,
        target: &str,
        content: &[u8],
        attributes: FileAttributes,
    ) -> Result<(), Failure> {
        let name = self.name();
        let path = self.memory.join(name);
        write_file(&path, content, attributes)
            .doing(Phase::Mounts, || format!("write the content of {target}"))?;
        let file = open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .doing(Phase::Mounts, || format!("open the content of {target}"))?;
        bind(root, target, file.as_fd(), RDONLY | NOSUID | NODEV | NOEXEC)
    }

    /// Does one mount of the step.
    pub(super) fn mount(
        &mut self,
        root: &mut Root,
        target: &str,
        order: &MountOrder,
    ) -> Result<(), Failure> {
        match order {
            MountOrder::Bind { source, subpath, writable: false } => {
                let source = open_path(source)?;
                let fd = open_below(source.as_fd(), subpath)?;
                bind(root, target, fd.as_fd(), RDONLY | NODEV)
            }
            MountOrder::Bind { source, subpath, writable: true } => {
                // An overlay needs a directory; a single file is one name of it.
                let is_directory = file_type(open_path(source)?.as_fd())? == FileType::Directory;
                let (directory, subpath) = match (source.parent(), source.file_name()) {
                    (Some(parent), Some(name)) if !is_directory => {
                        (parent, name.to_string_lossy().into_owned())
                    }
                    _ => (source.as_path(), subpath.clone()),
                };
                let merged = self.overlay(&[directory.to_path_buf()], true)?;
                let fd = open_below(merged.as_fd(), &subpath)?;
                bind(root, target, fd.as_fd(), NODEV)
            }
            MountOrder::Tree { lowers, subpath, writable } => {
                let merged = self.overlay(lowers, *writable)?;
                let fd = open_below(merged.as_fd(), subpath)?;
                let readonly = if *writable { MountAttrFlags::empty() } else { RDONLY };
                bind(root, target, fd.as_fd(), readonly | NODEV)
            }
            MountOrder::Cache { directory, subpath, readonly } => {
                let directory = open_below(open_path(directory)?.as_fd(), subpath)?;
                let readonly = if *readonly { RDONLY } else { MountAttrFlags::empty() };
                bind(root, target, directory.as_fd(), readonly | NODEV)
            }
            MountOrder::Tmpfs { size } => {
                let size = size.map(|bytes| bytes.to_string());
                let mut options = vec![("mode", "1777")];
                options.extend(size.as_deref().map(|size| ("size", size)));
                file_system(root, target, "tmpfs", &options, NOSUID | NODEV)
            }
            MountOrder::Secret { content, mode, uid, gid } => {
                let attributes = FileAttributes { mode: *mode, uid: *uid, gid: *gid };
                self.file(root, target, content, attributes)
            }
            MountOrder::Ssh { socket } => {
                let socket = open_path(socket)?;
                bind(root, target, socket.as_fd(), NOSUID | NODEV | NOEXEC)
            }
        }
    }

    /// An overlay that is mounted where the step will not see it. What is written to a writable one
    /// lands in the scratch directory.
    fn overlay(&mut self, lowers: &[PathBuf], writable: bool) -> Result<OwnedFd, Failure> {
        let name = self.name();
        let place = self.memory.join(&name);
        let (upper, work) = (self.scratch.join(&name), self.scratch.join(format!("{name}.work")));
        let mut directories = vec![&place];
        if writable {
            directories.extend([&upper, &work]);
        }
        for path in directories {
            std::fs::create_dir_all(path)
                .doing(Phase::Mounts, || format!("make the directory {}", path.display()))?;
        }
        let overlay = Overlay::open(lowers, &self.empty(), writable.then_some((&*upper, &*work)))?;
        if writable {
            overlay
                .shape_upper(&upper)
                .doing(Phase::Mounts, || format!("set up {}", upper.display()))?;
        }
        if self.layers_one_by_one {
            let detached = overlay.detached(MountAttrFlags::empty())?;
            attach_at(&detached.mount, &place)
                .doing(Phase::Mounts, || "attach an overlay".into())?;
            Ok(detached.mount)
        } else {
            overlay.mount_at(&place, MountFlags::empty())
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct FileAttributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

fn write_file(path: &Path, content: &[u8], attributes: FileAttributes) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(content)?;
    fchown(&file, Some(attributes.uid), Some(attributes.gid))?;
    file.set_permissions(Permissions::from_mode(attributes.mode))
}

/// Mounts a new file system of the kernel's in the root.
pub(super) fn file_system(
    root: &mut Root,
    target: &str,
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<(), Failure> {
    let place = mount_point(root, target, Shape::Directory)?;
    new_file_system(kind, options, attributes)
        .and_then(|mount| attach(&mount, &place))
        .doing(Phase::Mounts, || format!("mount {kind} at {target}"))
}

pub(super) fn new_file_system(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> rustix::io::Result<OwnedFd> {
    let file_system = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    // What tables of mounts show as the device; "none" unless said.
    fsconfig_set_string(&file_system, "source", kind)?;
    for (key, value) in options {
        fsconfig_set_string(&file_system, *key, *value)?;
    }
    fsconfig_create(&file_system)?;
    fsmount(&file_system, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Shows an open file or directory at `target` too.
pub(super) fn bind(
    root: &mut Root,
    target: &str,
    source: BorrowedFd<'_>,
    attributes: MountAttrFlags,
) -> Result<(), Failure> {
    let shape = match file_type(source)? {
        FileType::Directory => Shape::Directory,
        _ => Shape::File,
    };
    let place = mount_point(root, target, shape)?;
    clone_mount(source, attributes)
        .and_then(|mount| Ok(attach(&mount, &place)?))
        .doing(Phase::Mounts, || format!("mount {target}"))
}

/// A detached mount of what is open.
pub(super) fn clone_mount(
    source: BorrowedFd<'_>,
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = open_tree(source, "", flags)?;
    set_attributes(mount.as_fd(), attributes)?;
    Ok(mount)
}

fn set_attributes(mount: BorrowedFd<'_>, attributes: MountAttrFlags) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: u64::from(attributes.bits()),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a string, the structure outlives the call and its size is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(super) fn attach(mount: &OwnedFd, place: &OwnedFd) -> rustix::io::Result<()> {
    let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, "", both)
}

pub(super) fn attach_at(mount: &OwnedFd, place: &Path) -> rustix::io::Result<()> {
    move_mount(mount, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn mount_point(root: &mut Root, target: &str, shape: Shape) -> Result<OwnedFd, Failure> {
    root.mount_point(target, shape)
        .doing(Phase::Mounts, || format!("make the mount point {target}"))
}

fn open_path(path: &Path) -> Result<OwnedFd, Failure> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .doing(Phase::Mounts, || format!("open {}", path.display()))
}

/// Symlinks and `..` end at `directory`.
fn open_below(directory: BorrowedFd<'_>, subpath: &str) -> Result<OwnedFd, Failure> {
    let relative = subpath.trim_start_matches('/');
    if relative.is_empty() {
        return directory
            .try_clone_to_owned()
            .doing(Phase::Mounts, || "open the source of a mount".into());
    }
    let open = || {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(directory, relative, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
    };
    let mut opened = open();
    // While a `..` was resolved, something was renamed or mounted anywhere on this machine.
    for _ in 0..MAX_RACES {
        if !matches!(opened, Err(Errno::AGAIN)) {
            break;
        }
        opened = open();
    }
    opened.doing(Phase::Mounts, || format!("open the source {subpath:?} of a mount"))
}

fn file_type(fd: BorrowedFd<'_>) -> Result<FileType, Failure> {
    fstat(fd)
        .map(|stat| FileType::from_raw_mode(stat.st_mode))
        .doing(Phase::Mounts, || "read the attributes of the source of a mount".into())
}
