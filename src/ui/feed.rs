//! Events → the lines of a plain log, numbered as BuildKit numbers them: `#5 0.123 output`.

use std::collections::HashMap;
use std::time::Duration;

use super::clean;
use super::event::{Event, StepId, StepOutcome, Stream};
use super::lines::Lines;
use crate::dockerfile::lint::Finding;
use crate::figures::human;

/// How often a transfer that goes on is worth a line.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// What an event adds to the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// The first line of a step.
    Header(StepId, String),
    Lines(StepId, Vec<String>),
    /// The last lines of a step.
    End(StepId, Vec<String>),
    Notice(String),
    Warning(String),
    Finding(String, Finding),
}

/// The steps that have started and not ended.
#[derive(Debug, Default)]
pub(super) struct Feed {
    steps: HashMap<StepId, Step>,
}

#[derive(Debug)]
struct Step {
    started: Duration,
    stdout: Lines,
    stderr: Lines,
    /// By what is transferred: when it was last said.
    told: HashMap<String, Duration>,
}

impl Step {
    fn starting(now: Duration) -> Self {
        Self {
            started: now,
            stdout: Lines::default(),
            stderr: Lines::default(),
            told: HashMap::new(),
        }
    }
}

impl Feed {
    /// `now` counts from any moment, the same for all events.
    pub(super) fn event(&mut self, event: &Event, now: Duration) -> Fed {
        match event {
            Event::Started { step, title } => {
                self.steps.insert(*step, Step::starting(now));
                Fed::Header(*step, format!("#{} {}", step.0, clean::line(title)))
            }
            Event::Output { step, stream, bytes } => {
                let state = self.step(*step, now);
                let lines = match stream {
                    Stream::Stdout => state.stdout.push(bytes),
                    Stream::Stderr => state.stderr.push(bytes),
                };
                let since = now.saturating_sub(state.started);
                Fed::Lines(*step, lines.iter().map(|line| output(*step, since, line)).collect())
            }
            Event::Progress { step, what, done, total } => {
                let line = self.progress(*step, what, *done, *total, now);
                Fed::Lines(*step, line.into_iter().collect())
            }
            Event::Finished { step, outcome, took } => {
                Fed::End(*step, self.end(*step, outcome, *took, now))
            }
            Event::Notice(text) => Fed::Notice(clean::line(text)),
            Event::Warning(text) => Fed::Warning(clean::line(text)),
            Event::Finding { file, finding } => Fed::Finding(file.clone(), finding.clone()),
        }
    }

    fn step(&mut self, step: StepId, now: Duration) -> &mut Step {
        self.steps.entry(step).or_insert_with(|| Step::starting(now))
    }

    /// A line at the end, and now and then before.
    fn progress(
        &mut self,
        step: StepId,
        what: &str,
        done: u64,
        total: Option<u64>,
        now: Duration,
    ) -> Option<String> {
        let state = self.step(step, now);
        let complete = total == Some(done);
        let last = state.told.entry(what.to_owned()).or_insert(now);
        if !complete && now.saturating_sub(*last) < PROGRESS_EVERY {
            return None;
        }
        *last = now;
        let what = clean::line(what);
        let end = if complete { " done" } else { "" };
        let total = total.map(|total| format!(" / {}", human(total))).unwrap_or_default();
        Some(format!("#{} {what} {}{total}{end}", step.0, human(done)))
    }

    fn end(
        &mut self,
        step: StepId,
        outcome: &StepOutcome,
        took: Duration,
        now: Duration,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(mut state) = self.steps.remove(&step) {
            let since = now.saturating_sub(state.started);
            let rest = state.stdout.finish().into_iter().chain(state.stderr.finish());
            lines.extend(rest.map(|line| output(step, since, &line)));
        }
        lines.push(format!("#{} {}", step.0, ending(outcome, took)));
        lines
    }
}

fn output(step: StepId, since: Duration, line: &str) -> String {
    let line = clean::output_line(line);
    format!("#{} {}.{:03} {line}", step.0, since.as_secs(), since.subsec_millis())
}

/// `DONE 0.3s`
pub(super) fn ending(outcome: &StepOutcome, took: Duration) -> String {
    match outcome {
        StepOutcome::Done => format!("DONE {:.1}s", took.as_secs_f64()),
        StepOutcome::Cached => "CACHED".to_owned(),
        StepOutcome::Canceled => "CANCELED".to_owned(),
        StepOutcome::Failed(why) => format!("ERROR: {}", clean::line(why)),
    }
}
