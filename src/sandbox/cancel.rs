//! One switch for every step that runs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// Ends every step that was started with it or a clone of it, now and later.
#[derive(Clone, Debug)]
pub struct Cancel {
    /// Readable once canceled; never read.
    event: Arc<OwnedFd>,
}

impl Cancel {
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Arc::new(event) })
    }

    pub fn cancel(&self) {
        // Fails only if the counter is full, which means that it was canceled often enough.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    #[must_use]
    pub fn is_canceled(&self) -> bool {
        let mut event = [PollFd::new(&self.event, PollFlags::IN)];
        matches!(poll(&mut event, Some(&Timespec::default())), Ok(1))
    }
}

impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
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
}
