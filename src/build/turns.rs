//! How many RUNs go on at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Error;
use crate::sandbox::Cancel;

/// How often one that waits looks whether the build goes on at all.
const GLANCE: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Turns {
    /// As many as there are stages unless said.
    limit: Option<usize>,
    taken: Mutex<usize>,
    given_back: Condvar,
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Waits for a turn. Whoever has one must not wait for anybody else's work.
    pub(super) fn take(&self, cancel: &Cancel) -> Result<Turn<'_>, Error> {
        let mut taken = self.taken();
        while self.limit.is_some_and(|limit| *taken >= limit) {
            if cancel.is_canceled() {
                return Err(Error::canceled());
            }
            let waited = self.given_back.wait_timeout(taken, GLANCE);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken += 1;
        Ok(Turn(self))
    }

    fn taken(&self) -> MutexGuard<'_, usize> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.taken() -= 1;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_than_the_limit_go_on_and_all_get_their_turn() {
        for (limit, most) in [(Some(1), 1), (Some(2), 2), (None, 6)] {
            let turns = Turns::new(limit);
            let cancel = Cancel::new().unwrap();
            let (now, highest, done) =
                (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| {
                        let _turn = turns.take(&cancel).unwrap();
                        let together = now.fetch_add(1, Ordering::SeqCst) + 1;
                        highest.fetch_max(together, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(5));
                        now.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                    });
                }
            });
            assert!(highest.into_inner() <= most, "{limit:?}");
            assert_eq!(done.into_inner(), 6);
        }
    }

    #[test]
    fn a_canceled_build_waits_for_nobody() {
        let turns = Turns::new(Some(1));
        let cancel = Cancel::new().unwrap();
        let _turn = turns.take(&cancel).unwrap();
        cancel.cancel();
        assert!(turns.take(&cancel).unwrap_err().is_canceled());
    }
}
