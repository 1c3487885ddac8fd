//! A value that somebody else is still making.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::error::Error;

/// Set once by its maker, waited for by any number of others.
#[derive(Debug)]
pub(super) struct Slot<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    value: Mutex<Option<Result<T, Error>>>,
    set: Condvar,
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Slot<T> {
    pub(super) fn empty() -> Self {
        Self(Arc::new(Inner { value: Mutex::new(None), set: Condvar::new() }))
    }

    pub(super) fn of(value: T) -> Self {
        Self(Arc::new(Inner { value: Mutex::new(Some(Ok(value))), set: Condvar::new() }))
    }

    /// The first value stays.
    pub(super) fn set(&self, value: Result<T, Error>) {
        let mut slot = self.0.value.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(value);
        self.0.set.notify_all();
    }

    /// Waits until there is a value.
    pub(super) fn wait(&self) -> Result<T, Error> {
        let mut slot = self.0.value.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*slot {
                Some(value) => return value.clone(),
                None => slot = self.0.set.wait(slot).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}
