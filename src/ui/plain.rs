//! Progress as plain lines on standard error, one step's number before each, as BuildKit has them.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::clean;
use super::event::{Event, StepId, StepOutcome, Stream};
use super::lines::Lines;

/// What is kept between events.
#[derive(Debug, Default)]
struct State {
    running: HashMap<StepId, Step>,
}

#[derive(Debug)]
struct Step {
    since: Instant,
    stdout: Lines,
    stderr: Lines,
}

/// Writes events as they come. Safe to share between threads.
#[derive(Debug, Default)]
pub struct Plain {
    state: Mutex<State>,
}

impl Plain {
    /// Shows one event.
    pub fn show(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let text = state.text(event);
        // Nobody reads it: the build goes on all the same.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

impl State {
    fn text(&mut self, event: Event) -> String {
        match event {
            Event::Started { step, title } => {
                let started = Step {
                    since: Instant::now(),
                    stdout: Lines::default(),
                    stderr: Lines::default(),
                };
                self.running.insert(step, started);
                format!("#{} {}\n", step.0, clean::line(&title))
            }
            Event::Output { step, stream, bytes } => {
                let Some(running) = self.running.get_mut(&step) else { return String::new() };
                let lines = match stream {
                    Stream::Stdout => running.stdout.push(&bytes),
                    Stream::Stderr => running.stderr.push(&bytes),
                };
                running.prefixed(step, lines)
            }
            Event::Progress { .. } => String::new(),
            Event::Finished { step, outcome, took } => {
                let rest = self.running.remove(&step).map_or_else(String::new, |mut running| {
                    let lines = [running.stdout.finish(), running.stderr.finish()];
                    running.prefixed(step, lines.into_iter().flatten().collect())
                });
                let end = match outcome {
                    StepOutcome::Cached => "CACHED".to_owned(),
                    StepOutcome::Canceled => "CANCELED".to_owned(),
                    StepOutcome::Done => format!("DONE {:.1}s", took.as_secs_f64()),
                    StepOutcome::Failed(message) => format!("ERROR: {}", clean::text(&message)),
                };
                format!("{rest}#{} {end}\n", step.0)
            }
            Event::Notice(text) => format!("note: {}\n", clean::text(&text)),
            Event::Warning(text) => format!("warning: {}\n", clean::text(&text)),
        }
    }
}

impl Step {
    fn prefixed(&self, step: StepId, lines: Vec<String>) -> String {
        let seconds = self.since.elapsed().as_secs_f64();
        let line =
            |line: String| format!("#{} {seconds:.3} {}\n", step.0, clean::output_line(&line));
        lines.into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn output_is_shown_line_by_line_and_its_end_is_not_lost() {
        let step = StepId(3);
        let mut state = State::default();
        let title = "[1/1] RUN x".to_owned();
        assert_eq!(state.text(Event::Started { step, title }), "#3 [1/1] RUN x\n");
        let output =
            |bytes: &[u8]| Event::Output { step, stream: Stream::Stdout, bytes: bytes.to_vec() };
        assert_eq!(state.text(output(b"a")), "");
        let lines = state.text(output(b"b\nc"));
        assert!(lines.starts_with("#3 0.") && lines.ends_with(" ab\n"), "{lines}");
        let outcome = StepOutcome::Done;
        let took = Duration::from_millis(1_250);
        let end = state.text(Event::Finished { step, outcome, took });
        assert!(end.ends_with(" c\n#3 DONE 1.2s\n"), "{end}");
    }
}
