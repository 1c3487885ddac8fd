//! Running a program to its end, with all that it writes.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

/// Bytes of one stream; a program that writes more fails.
const LIMIT: usize = 16 << 20;

pub(super) enum Ended {
    Well { stdout: Vec<u8> },
    Badly { stderr: Vec<u8> },
    Canceled,
}

/// Runs `name` with these arguments and this environment alone. When `cancel` becomes readable, it
/// is killed with all that it has started.
pub(super) fn run(
    name: &str,
    arguments: &[&str],
    directory: &Path,
    environment: &[(OsString, OsString)],
    cancel: BorrowedFd<'_>,
) -> io::Result<Ended> {
    let child = Command::new(name)
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut group = Group { child, has_ended: false };
    let stdout = group.child.stdout.take().map(OwnedFd::from);
    let stderr = group.child.stderr.take().map(OwnedFd::from);
    let Some([stdout, stderr]) = read([stdout, stderr], cancel)? else {
        return Ok(Ended::Canceled);
    };
    let status = group.child.wait()?;
    group.has_ended = true;
    Ok(if status.success() { Ended::Well { stdout } } else { Ended::Badly { stderr } })
}

/// A child and its children, none of which is left behind.
struct Group {
    child: Child,
    has_ended: bool,
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            // Not waited for yet, so the number is still its own.
            let _ = kill_process_group(id, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Reads all pipes to their ends; `None` if canceled before.
fn read<const N: usize>(
    pipes: [Option<OwnedFd>; N],
    cancel: BorrowedFd<'_>,
) -> io::Result<Option<[Vec<u8>; N]>> {
    let mut pipes = pipes.map(|pipe| pipe.map(File::from));
    let mut read = [const { Vec::new() }; N];
    let mut buffer = vec![0; 64 << 10];
    loop {
        let open: Vec<usize> = (0..N).filter(|&at| pipes[at].is_some()).collect();
        if open.is_empty() {
            return Ok(Some(read));
        }
        let mut fds = vec![PollFd::from_borrowed_fd(cancel, PollFlags::IN)];
        fds.extend(pipes.iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        if ready.next() == Some(true) {
            return Ok(None);
        }
        let ready: Vec<usize> =
            open.into_iter().zip(ready).filter(|(_, ready)| *ready).map(|(at, _)| at).collect();
        for at in ready {
            let Some(pipe) = &mut pipes[at] else { continue };
            match pipe.read(&mut buffer) {
                Ok(0) => pipes[at] = None,
                Ok(count) => read[at].extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if read[at].len() > LIMIT {
                return Err(io::Error::other("it writes without end"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;

    use super::*;

    fn shell(script: &str, cancel: BorrowedFd<'_>) -> io::Result<Ended> {
        let path = [("PATH".into(), "/usr/bin:/bin".into())];
        run("sh", &["-c", script], Path::new("/"), &path, cancel)
    }

    #[test]
    fn both_streams_are_read_and_the_end_is_told() {
        let (never, _open) = io::pipe().unwrap();
        match shell("echo a; echo b >&2", never.as_fd()).unwrap() {
            Ended::Well { stdout } => assert_eq!(stdout, b"a\n"),
            _ => panic!("it fails"),
        }
        match shell("echo a; echo b >&2; exit 3", never.as_fd()).unwrap() {
            Ended::Badly { stderr } => assert_eq!(stderr, b"b\n"),
            _ => panic!("it does not fail"),
        }
        assert_eq!(
            run("no-such-program", &[], Path::new("/"), &[], never.as_fd()).err().unwrap().kind(),
            io::ErrorKind::NotFound,
        );
        assert!(shell("yes", never.as_fd()).is_err(), "it never ends");
    }

    #[test]
    fn a_canceled_program_ends_with_its_children() {
        let (cancel, mut canceling) = io::pipe().unwrap();
        canceling.write_all(b"x").unwrap();
        let (mut children, child) = io::pipe().unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&child);
        rustix::io::fcntl_setfd(&child, rustix::io::FdFlags::empty()).unwrap();
        let script = format!("sleep 1000 & sleep 1000 <&{fd}");
        assert!(matches!(shell(&script, cancel.as_fd()).unwrap(), Ended::Canceled));
        drop(child);
        // The other end of the pipe is closed once the last of them is gone.
        assert_eq!(children.read(&mut [0]).unwrap(), 0);
    }
}
