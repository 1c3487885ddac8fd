//! Process 1 of a step: from the namespaces to the command, in the order that the kernel forces.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::mount::{
    MountAttrFlags, MountFlags, MountPropagationFlags, UnmountFlags, mount_change, mount_move,
    unmount,
};
use rustix::process::{
    Signal, chdir, chroot, fchdir, pivot_root, set_parent_process_death_signal, setsid, umask,
};
use rustix::thread::{
    UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
};

use super::error::{Doing, Failure, Phase};
use super::mounts::{FileAttributes, Staging, attach_at};
use super::orders::{Orders, Report, send};
use super::overlay::{Detached, Overlay};
use super::root::Root;
use super::{capabilities, dev, exec, rlimit, seccomp};

/// Does everything and becomes the command. Comes back with a report if something fails, and with
/// nothing if there is no command.
pub(super) fn start(
    orders: &Orders,
    overlay: Option<Detached>,
    socket: &UnixStream,
) -> Option<Report> {
    match set_up(orders, overlay, socket) {
        Err(failure) => Some(Report::Failed(failure)),
        Ok(()) if orders.argv.is_empty() => None,
        Ok(()) => Some(exec::execute(orders)),
    }
}

fn set_up(orders: &Orders, overlay: Option<Detached>, socket: &UnixStream) -> Result<(), Failure> {
    umask(Mode::empty());
    setsid().doing(Phase::Process, || "start a session".into())?;
    // Forgotten at the change of user; set again then.
    die_with_keeper()?;
    separate(orders)?;
    let root = mount_all(orders, overlay)?;
    send(socket, &Report::Stubs(root.stubs.clone()))
        .doing(Phase::Mounts, || "report the mount points".into())?;
    enter(&root)?;
    if !orders.insecure {
        dev::mask()?;
    }
    rustix::system::sethostname(orders.hostname.as_bytes())
        .doing(Phase::Namespaces, || format!("set the host name {:?}", orders.hostname))?;
    if orders.no_network {
        loopback_up().doing(Phase::Namespaces, || "bring up the loopback interface".into())?;
    }
    chdir(&orders.cwd)
        .doing(Phase::Process, || format!("change to the working directory {}", orders.cwd))?;
    give_up_rights(orders)
}

fn separate(orders: &Orders) -> Result<(), Failure> {
    let mut namespaces =
        UnshareFlags::NEWNS | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC | UnshareFlags::NEWCGROUP;
    if orders.no_network {
        namespaces |= UnshareFlags::NEWNET;
    }
    // SAFETY: the descriptor table, whose separation is what can go wrong, isn't among the flags.
    unsafe { unshare_unsafe(namespaces) }.doing(Phase::Namespaces, || "make namespaces".into())?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .doing(Phase::Namespaces, || "keep mounts to the step".into())
}

/// Mounts everything that the step sees. In this namespace nobody needs the directories `upper`,
/// `work` and `scratch` by their names, so they serve as places to mount on.
fn mount_all(orders: &Orders, overlay: Option<Detached>) -> Result<Root, Failure> {
    let root = match overlay {
        Some(detached) => {
            attach_at(&detached.mount, &orders.work)
                .doing(Phase::Overlay, || "attach the root".into())?;
            detached.mount
        }
        // An older kernel mounts it by path, which only this process' namespace shall see; and it
        // takes only directories that were opened in the same namespace.
        None => {
            let flags = if dev::devices(orders) == MountAttrFlags::empty() {
                MountFlags::empty()
            } else {
                MountFlags::NODEV
            };
            Overlay::of_root(orders)?.mount_at(&orders.work, flags)?
        }
    };
    let memory = &orders.upper;
    let mut staging = Staging::new(memory, &orders.scratch, orders.layers_one_by_one)?;
    let mut root = Root::new(root).doing(Phase::Overlay, || "look at the root".into())?;
    dev::mount(&mut root, orders, &staging.directory()?)?;
    let world_readable = FileAttributes { mode: 0o644, uid: 0, gid: 0 };
    for (target, content) in
        [("/etc/resolv.conf", &orders.resolv_conf), ("/etc/hosts", &orders.hosts)]
    {
        staging.file(&mut root, target, content.as_bytes(), world_readable)?;
    }
    for (target, order) in &orders.mounts {
        staging.mount(&mut root, target, order)?;
    }
    // For bases whose working directory isn't in any layer. It stays in the step's, as with BuildKit,
    // and belongs to the step's user.
    match root.make_directory(&orders.cwd, Uid::from_raw(orders.uid), Gid::from_raw(orders.gid)) {
        Ok(()) | Err(Errno::BUSY) => {}
        Err(error) => {
            return Err(error)
                .doing(Phase::Mounts, || format!("make the working directory {}", orders.cwd));
        }
    }
    Ok(root)
}

/// Makes `root` the root directory and lets go of the host's.
fn enter(root: &Root) -> Result<(), Failure> {
    let entered = fchdir(root).and_then(|()| match pivot_root(".", ".") {
        Ok(()) => unmount(".", UnmountFlags::DETACH),
        // Docker's filter lets no one pivot, not even with CAP_SYS_ADMIN; nor can an initramfs.
        Err(Errno::PERM | Errno::INVAL) => mount_move(".", "/").and_then(|()| chroot(".")),
        Err(error) => Err(error),
    });
    entered.and_then(|()| chdir("/")).doing(Phase::Mounts, || "enter the root".into())
}

fn give_up_rights(orders: &Orders) -> Result<(), Failure> {
    let failed = |what: &'static str| move || what.to_string();
    for (name, soft, hard) in &orders.ulimits {
        rlimit::set(name, *soft, *hard)
            .doing(Phase::Process, || format!("set the ulimit {name}={soft}:{hard}"))?;
    }
    new_keyring();
    if orders.uid != 0 {
        own_output(orders.uid, orders.gid)
            .doing(Phase::Process, failed("give the output to the user"))?;
    }
    if !orders.insecure {
        capabilities::bound().doing(Phase::Process, failed("bound the capabilities"))?;
        // Before the change of user, since it takes CAP_SYS_ADMIN.
        seccomp::install(&mut seccomp::filter())
            .doing(Phase::Process, failed("filter system calls"))?;
    }
    let groups: Vec<Gid> = orders.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(orders.uid), Gid::from_raw(orders.gid));
    set_thread_groups(&groups)
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .doing(Phase::Process, failed("change the user"))?;
    if !orders.insecure {
        capabilities::keep(orders.uid).doing(Phase::Process, failed("drop the capabilities"))?;
    }
    die_with_keeper()?;
    reset_signals();
    umask(Mode::from_raw_mode(0o022));
    Ok(())
}

fn die_with_keeper() -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .doing(Phase::Process, || "tie the step to its keeper".into())
}

/// The output is a pipe of root's, which another user couldn't open as `/dev/stdout`.
fn own_output(uid: u32, gid: u32) -> rustix::io::Result<()> {
    for output in [rustix::stdio::stdout().as_fd(), rustix::stdio::stderr().as_fd()] {
        rustix::fs::fchown(output, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(())
}

/// Leaves the host's session keyring behind. A kernel without keyrings has nothing to leave.
fn new_keyring() {
    // SAFETY: the name is a string, and the call keeps no pointer.
    unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, c"step".as_ptr());
    }
}

/// What this program or whoever started it ignores or blocks, the command shall not.
fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: the default disposition runs no code of ours. What can't be set stays.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero set is a valid set, and it outlives the calls.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

fn loopback_up() -> std::io::Result<()> {
    use std::os::fd::{AsRawFd, FromRawFd};
    // SAFETY: the structure is plain data, valid as zeroes; the calls get a socket, which is closed
    // by its owner, and a pointer that outlives them.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(std::io::Error::last_os_error());
        }
        let socket = OwnedFd::from_raw_fd(socket);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}
