//! The process between the main program and the command: one thread, so that it may fork.
//!
//! Its standard input is the socket of [`super::orders`]. When the other end is closed, because the
//! step was canceled or the main program is gone, it ends the command.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, setsid, waitpid,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::dev;
use super::error::{Doing, Failure, Phase};
use super::init;
use super::orders::{Orders, Report, receive, send};
use super::overlay::{Detached, Overlay};

/// How long a command that handles SIGTERM may take to end.
pub(super) const GRACE: Duration = Duration::from_secs(3);

pub(super) fn main() -> u8 {
    close_inherited();
    let Ok(socket) = take_socket() else {
        return 2;
    };
    let report = keep(&socket).unwrap_or_else(|failure| Some(Report::Failed(failure)));
    match report.map(|report| send(&socket, &report)) {
        Some(Ok(())) => 0,
        // Nobody is there any more.
        None | Some(Err(_)) => 1,
    }
}

/// Closes what other threads of the main program had open without close-on-exec.
fn close_inherited() {
    // SAFETY: this is the first thing that the process does; nothing here owns a descriptor yet.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}

/// Moves the socket out of the command's way and puts `/dev/null` there.
fn take_socket() -> std::io::Result<UnixStream> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(fs::File::open("/dev/null")?)?;
    Ok(socket.into())
}

/// Starts the command and waits for it; no report if nobody wants one.
fn keep(socket: &UnixStream) -> Result<Option<Report>, Failure> {
    let orders = receive(socket).doing(Phase::Process, || "read the orders".into())?;
    let Some(orders): Option<Orders> = orders else {
        return Ok(None);
    };
    // Out of the reach of the terminal's Ctrl-C, which the main program turns into an end.
    setsid().doing(Phase::Process, || "start a session".into())?;
    let overlay = root_overlay(&orders)?;
    // SAFETY: only the pid namespace of children changes.
    unsafe { unshare_unsafe(UnshareFlags::NEWPID) }
        .doing(Phase::Namespaces, || "make a pid namespace".into())?;
    // SAFETY: this process has one thread, so the child may do what it likes.
    let pid = unsafe { libc::fork() };
    match Pid::from_raw(pid) {
        None => {
            let report = init::start(&orders, overlay, socket);
            let code = i32::from(report.is_some());
            if let Some(report) = report {
                // If nobody is there to read it, nobody needs it.
                let _ = send(socket, &report);
            }
            // SAFETY: ends the process without running what the keeper registered.
            unsafe { libc::_exit(code) }
        }
        Some(_) if pid < 0 => {
            Err(std::io::Error::last_os_error()).doing(Phase::Namespaces, || "fork".into())
        }
        Some(pid) => {
            drop(orders);
            let report = wait(pid, socket)?;
            // The command's mounts are gone with it. Closing this ends the file system before
            // anyone is told that the upper directory can be used.
            drop(overlay);
            Ok(Some(report))
        }
    }
}

/// Makes the overlay of the root where the kernel can do that without a place to mount it on.
fn root_overlay(orders: &Orders) -> Result<Option<Detached>, Failure> {
    if !orders.layers_one_by_one {
        return Ok(None);
    }
    let overlay = Overlay::of_root(orders)?;
    overlay.detached(dev::devices(orders)).map(Some)
}

fn wait(pid: Pid, socket: &UnixStream) -> Result<Report, Failure> {
    let failed = |what: &'static str| move || what.to_string();
    let process =
        pidfd_open(pid, PidfdFlags::empty()).doing(Phase::Process, failed("watch the command"))?;
    // Whatever can be read on the socket now is its end.
    let mut deadline = None;
    loop {
        let mut fds = vec![PollFd::new(&process, PollFlags::IN)];
        if deadline.is_none() {
            fds.push(PollFd::new(socket, PollFlags::IN));
        }
        let timeout = deadline.map(|at: Instant| at.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.doing(Phase::Process, failed("wait for the command"))?,
        };
        if !fds[0].revents().is_empty() {
            break;
        }
        if deadline.is_none() && handles_sigterm(pid) {
            signal(&process, Signal::TERM);
            deadline = Some(Instant::now() + GRACE);
        } else {
            signal(&process, Signal::KILL);
            deadline = Some(Instant::now() + GRACE);
        }
    }
    let status = waitpid(Some(pid), WaitOptions::empty())
        .doing(Phase::Process, failed("wait for the command"))?;
    let status = status.map(|(_, status)| status);
    let exited = status.and_then(|status| status.exit_status()).map(Report::Exited);
    let killed = status.and_then(|status| status.terminating_signal()).map(Report::Killed);
    // Without WUNTRACED one of the two is there.
    Ok(exited.or(killed).unwrap_or(Report::Exited(1)))
}

/// Process 1 of a namespace doesn't get signals that it has no handler for; there is no use in
/// waiting then.
fn handles_sigterm(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & 1 << (libc::SIGTERM - 1) != 0)
}

fn signal(process: &OwnedFd, signal: Signal) {
    // Fails only if the process has ended, which `poll` tells.
    let _ = pidfd_send_signal(process.as_fd(), signal);
}
