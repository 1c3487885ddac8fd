//! Numbers the steps of the log and tells how each ends.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::dockerfile::lint::{Finding, Findings};
use crate::error::Error;
use crate::sandbox::Cancel;
use crate::ui::{Event, StepId, StepOutcome, Stream};

/// Where events go; see [`Event`].
pub(super) struct Progress<'a> {
    events: &'a (dyn Fn(Event) + Sync),
    cancel: &'a Cancel,
    next: Arc<AtomicU32>,
    /// What needs no telling for another platform again.
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    findings: Vec<Finding>,
    warnings: Vec<String>,
}

impl<'a> Progress<'a> {
    /// `first` is the number of the first step.
    pub(super) fn new(events: &'a (dyn Fn(Event) + Sync), cancel: &'a Cancel, first: u32) -> Self {
        let next = Arc::new(AtomicU32::new(first));
        Self { events, cancel, next, told: Arc::default() }
    }

    /// Of another platform of the same build.
    pub(super) fn beside(&self) -> Self {
        let (next, told) = (Arc::clone(&self.next), Arc::clone(&self.told));
        Self { events: self.events, cancel: self.cancel, next, told }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn notice(&self, text: impl Into<String>) {
        (self.events)(Event::Notice(text.into()));
    }

    pub(super) fn warning(&self, text: impl Into<String>) {
        let text = text.into();
        let mut told = self.told();
        if !told.warnings.contains(&text) {
            told.warnings.push(text.clone());
            drop(told);
            (self.events)(Event::Warning(text));
        }
    }

    /// What the checks found so far.
    pub(super) fn all_findings(&self) -> Vec<Finding> {
        self.told().findings.clone()
    }

    /// What the checks found in the Dockerfile `file`.
    pub(super) fn findings(&self, file: &str, findings: &Findings) {
        let sorted = findings.sorted();
        let mut told = self.told();
        let new: Vec<Finding> =
            sorted.into_iter().filter(|finding| !told.findings.contains(finding)).collect();
        told.findings.extend(new.iter().cloned());
        drop(told);
        for finding in new {
            (self.events)(Event::Finding { file: file.to_owned(), finding });
        }
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

    /// Runs `work` as a step of the log. What fails after the build was canceled does so for that
    /// reason, whatever it says.
    pub(super) fn step<T>(
        &self,
        title: impl Into<String>,
        work: impl FnOnce(&Running<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let running = self.start(title);
        let result = work(&running)
            .map_err(|error| if self.cancel.is_canceled() { Error::canceled() } else { error });
        running.end(match &result {
            Ok(_) => StepOutcome::Done,
            Err(error) if error.is_canceled() => StepOutcome::Canceled,
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

    /// Tells how far a transfer is, in bytes, of how many where that is known.
    pub(super) fn progress(&self, what: &str, done: u64, total: Option<u64>) {
        let (step, what) = (self.step, what.to_owned());
        (self.progress.events)(Event::Progress { step, what, done, total });
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
