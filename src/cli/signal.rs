//! Ctrl-C and SIGTERM: the first asks the build to end, the second ends the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::sandbox::Cancel;

/// What a shell adds to the number of the signal that ended a program.
const SIGNAL_BASE: u8 = 128;

#[derive(Debug)]
pub struct Signals {
    pub cancel: Cancel,
    /// Zero until one came.
    exit_code: AtomicU8,
}

impl Signals {
    /// Watches from a thread of its own until the process ends.
    pub fn watch() -> io::Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        // Both are heard before this returns, so no signal is missed.
        let (mut interrupt, mut terminate) = {
            let _context = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let signals = Arc::new(Self { cancel: Cancel::new()?, exit_code: AtomicU8::new(0) });
        let heard = Arc::clone(&signals);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                loop {
                    let number = tokio::select! {
                        _ = interrupt.recv() => libc::SIGINT,
                        _ = terminate.recv() => libc::SIGTERM,
                    };
                    heard.hear(number);
                }
            });
        })?;
        Ok(signals)
    }

    fn hear(&self, number: i32) {
        let code = SIGNAL_BASE.saturating_add(u8::try_from(number).unwrap_or(0));
        if self.exit_code.swap(code, Ordering::SeqCst) != 0 {
            std::process::exit(i32::from(code));
        }
        self.cancel.cancel();
    }

    /// Of a process that a signal ended, if one came.
    pub fn exit_code(&self) -> Option<u8> {
        Some(self.exit_code.load(Ordering::SeqCst)).filter(|&code| code != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};
    use std::time::{Duration, Instant};

    #[test]
    fn the_first_signal_cancels() {
        let signals = Signals::watch().unwrap();
        assert_eq!((signals.cancel.is_canceled(), signals.exit_code()), (false, None));
        kill_process(getpid(), Signal::TERM).unwrap();
        let begun = Instant::now();
        while !signals.cancel.is_canceled() && begun.elapsed() < Duration::from_secs(30) {
            std::thread::yield_now();
        }
        assert!(signals.cancel.is_canceled());
        assert_eq!(signals.exit_code(), Some(143));
    }
}
