//! Numbers the steps of the log and tells how each ends.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use crate::error::Error;
use crate::ui::{Event, StepId, StepOutcome, Stream};

/// Where events go; see [`Event`].
pub(super) struct Progress<'a> {
    events: &'a (dyn Fn(Event) + Sync),
    next: AtomicU32,
}

impl<'a> Progress<'a> {
    pub(super) fn new(events: &'a (dyn Fn(Event) + Sync)) -> Self {
        Self { events, next: AtomicU32::new(1) }
    }

    pub(super) fn notice(&self, text: impl Into<String>) {
        (self.events)(Event::Notice(text.into()));
    }

    pub(super) fn warning(&self, text: impl Into<String>) {
        (self.events)(Event::Warning(text.into()));
    }

    /// Starts a step of the log. Dropped before it is ended, it counts as canceled.
    pub(super) fn start(&self, title: impl Into<String>) -> Running<'_> {
        let step = StepId(self.next.fetch_add(1, Ordering::Relaxed));
        (self.events)(Event::Started { step, title: title.into() });
        Running { progress: self, step, since: Instant::now(), ended: false }
    }

    /// A step whose result was there already.
    pub(super) fn cached(&self, title: impl Into<String>) {
        self.start(title).end(StepOutcome::Cached);
    }

    /// Runs `work` as a step of the log.
    pub(super) fn step<T>(
        &self,
        title: impl Into<String>,
        work: impl FnOnce(&Running<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let running = self.start(title);
        let result = work(&running);
        running.end(match &result {
            Ok(_) => StepOutcome::Done,
            Err(error) => StepOutcome::Failed(error.message.clone()),
        });
        result
    }
}

/// A step of the log that has not ended.
pub(super) struct Running<'p> {
    progress: &'p Progress<'p>,
    step: StepId,
    since: Instant,
    ended: bool,
}

impl Running<'_> {
    pub(super) fn output(&self, stream: Stream, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            (self.progress.events)(Event::Output { step: self.step, stream, bytes });
        }
    }

    /// Tells how far a transfer is, in bytes. How far it goes shows only at its end, as much may be
    /// there already.
    pub(super) fn progress(&self, what: &str, done: u64) {
        let (step, what) = (self.step, what.to_owned());
        (self.progress.events)(Event::Progress { step, what, done, total: None });
    }

    pub(super) fn end(mut self, outcome: StepOutcome) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: StepOutcome) {
        self.ended = true;
        let took = self.since.elapsed();
        (self.progress.events)(Event::Finished { step: self.step, outcome, took });
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(StepOutcome::Canceled);
        }
    }
}
