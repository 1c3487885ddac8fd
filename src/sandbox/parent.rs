//! Starting a step and listening to it, in the main program.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;

use super::orders::{Orders, Report, Stub, receive, send};
use super::spec::{Exit, RunSpec, Stream};
use super::{Cancel, Cgroup, KEEPER, RunError, Sandbox, agent, keeper, stubs};

/// Runs the command of `spec` to its end and hands over what it writes, in pieces as they come.
///
/// When this returns, no process of the step is left, nothing is mounted, and `upper` holds what the
/// step changed: regular files, whiteouts and opaque directories as the kernel's overlay writes them.
/// It blocks, so it belongs on a thread of its own, which has to live as long as the step.
pub fn run(
    sandbox: &Sandbox,
    spec: &RunSpec,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Exit, RunError> {
    let relays = agent::relays(spec)?;
    let exit =
        run_orders(sandbox, &Orders::new(sandbox, spec)?, spec.cgroup.as_deref(), cancel, output);
    drop(relays);
    exit
}

pub(super) fn run_orders(
    sandbox: &Sandbox,
    orders: &Orders,
    cgroup: Option<&Cgroup>,
    cancel: &Cancel,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<Exit, RunError> {
    if cancel.is_canceled() {
        return Err(RunError::Canceled);
    }
    if let Some(path) = orders.unwritable_path() {
        return Err(RunError::Path(path.to_path_buf()));
    }
    let memory_kills = out_of_memory_kills();
    let mut step = Step::start(sandbox)?;
    // Before there is a command, whose processes the keeper's group is then.
    if let Some(cgroup) = cgroup {
        cgroup.enter(step.child.id());
    }
    match send(&step.socket, orders) {
        // It ended already; what it has to say is on its way.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.map_err(RunError::Talk)?,
    }
    let reports = step.listen(cancel, output)?;
    stubs::remove(&orders.upper, &reports.stubs)?;
    if cancel.is_canceled() {
        return Err(RunError::Canceled);
    }
    let exit = |code, signal: Option<i32>| {
        let killed = code == 128 + libc::SIGKILL;
        let out_of_memory = killed && out_of_memory_kills() > memory_kills;
        Exit { code, signal, out_of_memory }
    };
    match reports.result.ok_or(RunError::NoReport)? {
        Report::Failed(failure) => Err(failure.into()),
        Report::NotExecuted { message, code } => Err(RunError::Exec { message, code }),
        Report::Exited(code) => Ok(exit(code, None)),
        Report::Killed(signal) => Ok(exit(128 + signal, Some(signal))),
        Report::Stubs(_) => Err(RunError::NoReport),
    }
}

/// A keeper and its three connections.
struct Step {
    child: Child,
    socket: UnixStream,
    outputs: Vec<(Stream, OwnedFd)>,
}

#[derive(Default)]
struct Reports {
    stubs: Vec<Stub>,
    /// The first that says how it ended: a failure is more than the exit code that comes of it.
    result: Option<Report>,
}

impl Step {
    fn start(sandbox: &Sandbox) -> Result<Self, RunError> {
        let (socket, theirs) = UnixStream::pair().map_err(RunError::Start)?;
        let mut child = Command::new(&sandbox.executable)
            .arg0(KEEPER)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(RunError::Start)?;
        let stdout = child.stdout.take().map(|pipe| (Stream::Stdout, OwnedFd::from(pipe)));
        let stderr = child.stderr.take().map(|pipe| (Stream::Stderr, OwnedFd::from(pipe)));
        let step = Self { child, socket, outputs: stdout.into_iter().chain(stderr).collect() };
        for (_, pipe) in &step.outputs {
            fcntl_setfl(pipe, OFlags::NONBLOCK).map_err(|error| RunError::Start(error.into()))?;
        }
        Ok(step)
    }

    /// Until the keeper has ended.
    fn listen(
        &mut self,
        cancel: &Cancel,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Reports, RunError> {
        let talk = |error: Errno| RunError::Talk(error.into());
        let mut buffer = vec![0; 64 << 10];
        let mut reports = Reports::default();
        let mut deadline: Option<Instant> = None;
        loop {
            let mut fds = vec![PollFd::new(&self.socket, PollFlags::IN)];
            fds.extend(self.outputs.iter().map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)));
            if deadline.is_none() {
                fds.push(PollFd::new(cancel, PollFlags::IN));
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut fds, timeout.as_ref()) {
                Err(Errno::INTR) => continue,
                Ok(0) => {
                    // Its grace and more has passed: nothing becomes ready below, the socket ends.
                    self.kill();
                    deadline = Some(Instant::now() + keeper::GRACE);
                    continue;
                }
                other => other.map_err(talk)?,
            };
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            let (socket_ready, ready) = (ready[0], &ready[1..]);
            if deadline.is_none() && ready.last() == Some(&true) && cancel.is_canceled() {
                // The keeper sees the end of the socket and gives the command its grace.
                let _ = self.socket.shutdown(Shutdown::Write);
                deadline = Some(Instant::now() + keeper::GRACE + Duration::from_secs(2));
            }
            let mut index = 0;
            self.outputs.retain(|(stream, pipe)| {
                let is_ready = ready[index];
                index += 1;
                !is_ready || pass_on(*stream, pipe, &mut buffer, output) != Some(0)
            });
            if socket_ready {
                match receive(&self.socket).map_err(RunError::Talk)? {
                    None => break,
                    Some(Report::Stubs(stubs)) => reports.stubs = stubs,
                    Some(report) => {
                        reports.result.get_or_insert(report);
                    }
                }
            }
        }
        // Whoever wrote has ended, so what is there is all there is. A process elsewhere that was
        // handed the pipe is not waited for.
        for (stream, pipe) in &self.outputs {
            while pass_on(*stream, pipe, &mut buffer, output).is_some_and(|length| length > 0) {}
        }
        self.child.wait().map_err(RunError::Talk)?;
        Ok(reports)
    }

    fn kill(&mut self) {
        // Fails only if it has ended.
        let _ = self.child.kill();
    }
}

impl Drop for Step {
    /// Whatever went wrong, no process stays: the command dies with its keeper.
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// How much was read, 0 at the end; `None` if there is nothing now.
fn pass_on(
    stream: Stream,
    pipe: &OwnedFd,
    buffer: &mut [u8],
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Option<usize> {
    match rustix::io::read(pipe.as_fd(), &mut *buffer) {
        Ok(length) => {
            if length > 0 {
                output(stream, &buffer[..length]);
            }
            Some(length)
        }
        Err(Errno::AGAIN | Errno::INTR) => None,
        Err(_) => Some(0),
    }
}

/// How often the kernel killed a process for want of memory since it started. A step has no memory
/// limit of its own, so this is the machine's counter.
fn out_of_memory_kills() -> u64 {
    let counters = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let kills = counters.lines().find_map(|line| line.strip_prefix("oom_kill "));
    kills.and_then(|count| count.parse().ok()).unwrap_or(0)
}
