//! The socket of an SSH agent, as a step has it: one of our own, with the owner and the mode that the
//! step asks for, from which each connection goes on to the agent. The agent's own keeps its owner.

use std::fs::{File, Permissions};
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::RunError;
use super::spec::{RunMountKind, RunSpec};

/// Where a step's mount of that number has its socket.
pub(super) fn socket(scratch: &Path, mount: usize) -> PathBuf {
    scratch.join(format!("agent-{mount}"))
}

/// Starts what the mounts of a step need. It ends when it is dropped, after the step.
pub(super) fn relays(spec: &RunSpec) -> Result<Vec<Relay>, RunError> {
    let mut relays = Vec::new();
    for (number, mount) in spec.mounts.iter().enumerate() {
        let RunMountKind::Ssh { socket: agent, mode, uid, gid } = &mount.kind else { continue };
        let relay = || {
            std::fs::create_dir_all(&spec.scratch)?;
            Relay::start(&socket(&spec.scratch, number), *mode, (*uid, *gid), agent.clone())
        };
        relays.push(relay().map_err(RunError::Agent)?);
    }
    Ok(relays)
}

pub(super) struct Relay {
    /// Closed to end the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    fn start(socket: &Path, mode: u32, owner: (u32, u32), agent: PathBuf) -> io::Result<Self> {
        let listener = listen(socket)?;
        chown(socket, Some(owner.0), Some(owner.1))?;
        std::fs::set_permissions(socket, Permissions::from_mode(mode))?;
        let (stop, stopped) = UnixStream::pair()?;
        let accept = move || accept(&listener, &stopped, &agent);
        let thread = std::thread::Builder::new().name("agent".to_owned()).spawn(accept)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.take();
        // Connections end with the step's processes, which are gone.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An address has room for 107 bytes, which the way through the open directory always fits into.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = File::open(directory)?;
    UnixListener::bind(
        Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name),
    )
}

/// Until `stopped` is at its end.
fn accept(listener: &UnixListener, stopped: &UnixStream, agent: &Path) {
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) if !fds[1].revents().is_empty() => return,
            Ok(_) => {}
        }
        let Ok((client, _)) = listener.accept() else { continue };
        let agent = agent.to_path_buf();
        // A client that can't be served sees its connection end, as with an agent that is gone.
        let _ = std::thread::Builder::new().spawn(move || pass_on(&client, &agent));
    }
}

/// Until one of the two has ended.
fn pass_on(client: &UnixStream, agent: &Path) {
    let Ok(agent) = &UnixStream::connect(agent) else { return };
    let copy = |mut from: &UnixStream, mut to: &UnixStream| {
        let _ = io::copy(&mut from, &mut to);
        for side in [from, to] {
            let _ = side.shutdown(Shutdown::Both);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| copy(client, agent));
        copy(agent, client);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn both_sides_talk_until_one_ends() {
        let directory = tempfile::tempdir().unwrap();
        let agent = directory.path().join("agent");
        let listener = UnixListener::bind(&agent).unwrap();
        let answering = std::thread::spawn(move || {
            let mut question = [0; 3];
            for last in [false, true] {
                let mut stream = listener.accept().unwrap().0;
                stream.read_exact(&mut question).unwrap();
                stream.write_all(b"yes").unwrap();
                if !last {
                    assert_eq!(stream.read(&mut question).unwrap(), 0, "the client has left");
                }
            }
        });
        let long = directory.path().join("a".repeat(120));
        std::fs::create_dir(&long).unwrap();
        let own = std::fs::metadata(&long).unwrap();
        let socket = socket(&long, 3);
        let relay = Relay::start(&socket, 0o620, (own.uid(), own.gid()), agent).unwrap();
        assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o7777, 0o620);

        let directory = File::open(&long).unwrap();
        let address = format!("/proc/self/fd/{}/agent-3", directory.as_raw_fd());
        let mut answer = [0; 3];
        for last in [false, true] {
            let mut client = UnixStream::connect(&address).unwrap();
            client.write_all(b"may").unwrap();
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"yes");
            if last {
                assert_eq!(client.read(&mut answer).unwrap(), 0, "the agent has left");
            }
        }
        answering.join().unwrap();
        // Nobody behind the socket any more.
        let mut late = UnixStream::connect(&address).unwrap();
        assert_eq!(late.read(&mut answer).unwrap(), 0);
        drop(relay);
        assert!(UnixStream::connect(&address).is_err());
    }
}
