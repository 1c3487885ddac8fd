//! The last lines of every running step, for the forms of progress that show them only when it fails.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;

use super::clean;
use super::event::{Event, StepId, StepOutcome, Stream};
use super::lines::Lines;

/// As many as BuildKit shows.
const KEPT: usize = 10;

#[derive(Debug, Default)]
pub(super) struct Tails {
    steps: HashMap<StepId, Tail>,
}

#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) title: String,
    stdout: Lines,
    stderr: Lines,
    lines: VecDeque<String>,
}

impl Tails {
    /// Takes notice of an event; the tail of its step, which is gone from here if the step has ended.
    pub(super) fn event(&mut self, event: &Event) -> Option<Tail> {
        match event {
            Event::Started { step, title } => {
                let tail = Tail { title: clean::line(title), ..Tail::default() };
                self.steps.insert(*step, tail);
            }
            Event::Output { step, stream, bytes } => {
                let tail = self.steps.entry(*step).or_default();
                let lines = match stream {
                    Stream::Stdout => tail.stdout.push(bytes),
                    Stream::Stderr => tail.stderr.push(bytes),
                };
                tail.keep(lines);
            }
            Event::Finished { step, .. } => {
                let mut tail = self.steps.remove(step)?;
                let rest: Vec<String> =
                    tail.stdout.finish().into_iter().chain(tail.stderr.finish()).collect();
                tail.keep(rest);
                return Some(tail);
            }
            Event::Progress { .. }
            | Event::Notice(_)
            | Event::Warning(_)
            | Event::Finding { .. } => {}
        }
        None
    }

    /// The last whole line of a step that runs.
    pub(super) fn last_line(&self, step: StepId) -> Option<&str> {
        self.steps.get(&step)?.lines.back().map(String::as_str)
    }
}

impl Tail {
    fn keep(&mut self, lines: Vec<String>) {
        self.lines.extend(lines.iter().map(|line| clean::output_line(line)));
        while self.lines.len() > KEPT {
            self.lines.pop_front();
        }
    }

    /// What a failed step said last; nothing for any other outcome, or where it said nothing.
    pub(super) fn failure(&self, outcome: &StepOutcome) -> String {
        let mut text = String::new();
        if matches!(outcome, StepOutcome::Failed(_)) && !self.lines.is_empty() {
            let _ = writeln!(text, "------\n > {}:", self.title);
            for line in &self.lines {
                let _ = writeln!(text, "{line}");
            }
            text.push_str("------\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_failed_step_shows_its_last_lines() {
        let step = StepId(1);
        let mut tails = Tails::default();
        assert!(
            tails.event(&Event::Started { step, title: "[2/2] RUN make".to_owned() }).is_none()
        );
        let text: String = (1..=12).map(|number| format!("line {number}\n")).collect();
        let bytes = format!("{text}rest").into_bytes();
        tails.event(&Event::Output { step, stream: Stream::Stdout, bytes });
        assert_eq!(tails.last_line(step), Some("line 12"));
        let failed = StepOutcome::Failed("exit code: 2".to_owned());
        let took = Duration::ZERO;
        let tail = tails.event(&Event::Finished { step, outcome: failed.clone(), took }).unwrap();
        let lines: String = (4..=12).map(|number| format!("line {number}\n")).collect();
        assert_eq!(
            tail.failure(&failed),
            format!("------\n > [2/2] RUN make:\n{lines}rest\n------\n")
        );
        assert_eq!(tail.failure(&StepOutcome::Done), "");
        assert_eq!(tails.last_line(step), None);
    }
}
