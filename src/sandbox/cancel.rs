//! One switch for all that a build does.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Ends every step that was started with it or a clone of it, now and later, and every transfer that
/// goes through [`Cancel::stops`].
#[derive(Clone, Debug)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    canceled: AtomicBool,
    /// At its end once canceled; never read.
    socket: UnixStream,
    other: UnixStream,
}

impl Cancel {
    pub fn new() -> io::Result<Self> {
        let (socket, other) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        Ok(Self(Arc::new(Inner { canceled: AtomicBool::new(false), socket, other })))
    }

    pub fn cancel(&self) {
        self.0.canceled.store(true, Ordering::SeqCst);
        // Fails only where it was done before.
        let _ = self.0.other.shutdown(Shutdown::Both);
    }

    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.0.canceled.load(Ordering::SeqCst)
    }

    /// A socket that becomes readable once canceled, and has nothing to read.
    pub fn socket(&self) -> io::Result<UnixStream> {
        self.0.socket.try_clone()
    }

    /// The same reader or writer, which fails once canceled.
    pub fn stops<T>(&self, inner: T) -> Stoppable<T> {
        Stoppable { inner, cancel: self.clone() }
    }

    /// A writer to something that may keep its writer waiting, such as a pipe; canceling ends the
    /// wait.
    pub fn writer<F: AsFd>(&self, to: F) -> StoppableWriter<F> {
        StoppableWriter { to, cancel: self.clone() }
    }

    /// An error once canceled.
    pub fn check(&self) -> io::Result<()> {
        if self.is_canceled() { Err(io::Error::other("canceled")) } else { Ok(()) }
    }
}

impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }
}

/// See [`Cancel::stops`].
#[derive(Debug)]
pub struct Stoppable<T> {
    inner: T,
    cancel: Cancel,
}

impl<R: Read> Read for Stoppable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check()?;
        self.inner.read(buffer)
    }
}

impl<W: Write> Write for Stoppable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.cancel.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// See [`Cancel::writer`].
#[derive(Debug)]
pub struct StoppableWriter<F> {
    to: F,
    cancel: Cancel,
}

/// What a pipe that is ready takes without a wait, POSIX' `PIPE_BUF`.
const PIPE_PIECE: usize = 4096;

impl<F: AsFd> Write for StoppableWriter<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut fds =
            [PollFd::new(&self.to, PollFlags::OUT), PollFd::new(&self.cancel, PollFlags::IN)];
        while let Err(error) = poll(&mut fds, None) {
            if error != Errno::INTR {
                return Err(error.into());
            }
        }
        self.cancel.check()?;
        let piece = &bytes[..bytes.len().min(PIPE_PIECE)];
        Ok(rustix::io::retry_on_intr(|| rustix::io::write(&self.to, piece))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_sees_it_and_it_stays() {
        let cancel = Cancel::new().unwrap();
        let clone = cancel.clone();
        assert!(!clone.is_canceled());
        cancel.cancel();
        cancel.cancel();
        assert!(clone.is_canceled() && clone.is_canceled());
    }

    #[test]
    fn a_transfer_stops() {
        let cancel = Cancel::new().unwrap();
        let (mut from, mut to) = (cancel.stops(io::repeat(b'x')), cancel.stops(Vec::new()));
        assert_eq!(io::copy(&mut (&mut from).take(9), &mut to).unwrap(), 9);
        cancel.cancel();
        for error in [from.read(&mut [0]).unwrap_err(), to.write(b"x").unwrap_err()] {
            assert_eq!(error.to_string(), "canceled");
        }
    }

    #[test]
    fn a_full_pipe_keeps_nobody_waiting() {
        let cancel = Cancel::new().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let mut to = cancel.writer(writer);
        to.write_all(&[b'x'; 10_000]).unwrap();
        reader.read_exact(&mut [0; 10_000]).unwrap();
        let writing = std::thread::spawn(move || io::copy(&mut io::repeat(b'x'), &mut to));
        // It is full by now or soon; it ends either way.
        cancel.cancel();
        assert_eq!(writing.join().unwrap().unwrap_err().to_string(), "canceled");
    }
}
