//! `--progress json`: one object per line.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::event::{Event, StepId, StepOutcome, Stream};
use super::lines::Lines;
use crate::error::Error;

#[derive(Debug)]
pub(super) struct Json<W> {
    out: W,
    /// What has no line end yet.
    partial: HashMap<(StepId, bool), Lines>,
}

impl<W: Write> Json<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, partial: HashMap::new() }
    }

    pub(super) fn event(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Started { step, title } => {
                self.line(now, json!({ "event": "started", "step": step.0, "title": title }));
            }
            Event::Output { step, stream, bytes } => {
                let is_stderr = *stream == Stream::Stderr;
                let lines = self.partial.entry((*step, is_stderr)).or_default().push(bytes);
                for line in lines {
                    self.output(now, *step, is_stderr, &line);
                }
            }
            Event::Progress { step, what, done, total } => self.line(
                now,
                json!({ "event": "progress", "step": step.0, "what": what, "done": done, "total": total }),
            ),
            Event::Finished { step, outcome, took } => self.finished(now, *step, outcome, *took),
            Event::Notice(text) => self.line(now, json!({ "event": "notice", "text": text })),
            Event::Warning(text) => self.line(now, json!({ "event": "warning", "text": text })),
            Event::Finding { file, finding } => self.line(
                now,
                json!({
                    "event": "finding",
                    "rule": finding.problem.rule().name,
                    "text": finding.problem.to_string(),
                    "file": file,
                    "lines": [finding.lines.start(), finding.lines.end()],
                }),
            ),
        }
    }

    fn output(&mut self, now: Duration, step: StepId, is_stderr: bool, line: &str) {
        let stream = if is_stderr { "stderr" } else { "stdout" };
        let value = json!({ "event": "output", "step": step.0, "stream": stream, "line": line });
        self.line(now, value);
    }

    fn finished(&mut self, now: Duration, step: StepId, outcome: &StepOutcome, took: Duration) {
        for is_stderr in [false, true] {
            let rest = self.partial.remove(&(step, is_stderr)).and_then(|mut lines| lines.finish());
            if let Some(line) = rest {
                self.output(now, step, is_stderr, &line);
            }
        }
        let (outcome, error) = match outcome {
            StepOutcome::Done => ("done", None),
            StepOutcome::Cached => ("cached", None),
            StepOutcome::Canceled => ("canceled", None),
            StepOutcome::Failed(why) => ("failed", Some(why)),
        };
        self.line(
            now,
            json!({
                "event": "finished", "step": step.0, "outcome": outcome, "error": error,
                "seconds": took.as_secs_f64(),
            }),
        );
    }

    pub(super) fn error(&mut self, now: Duration, error: &Error, dockerfile: Option<&str>) {
        let locations: Vec<Value> = error
            .locations
            .iter()
            .map(|location| {
                json!({
                    "first_line": location.lines.start(), "last_line": location.lines.end(),
                    "column": location.column,
                })
            })
            .collect();
        self.line(
            now,
            json!({
                "event": "error", "message": error.message, "hints": error.hints,
                "file": dockerfile, "locations": locations,
            }),
        );
    }

    pub(super) fn result(&mut self, now: Duration, result: &Value) {
        self.line(now, json!({ "event": "result", "result": result }));
    }

    /// `time` is in seconds since the start.
    fn line(&mut self, now: Duration, mut value: Value) {
        value["time"] = json!(now.as_secs_f64());
        super::write(&mut self.out, &format!("{value}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_events::go_build;
    use super::*;
    use crate::error::Location;

    #[test]
    fn every_line_is_an_object() {
        let mut out = Vec::new();
        let mut form = Json::new(&mut out);
        for (millis, event) in go_build() {
            form.event(&event, Duration::from_millis(millis));
        }
        let error = Error::build("no").at(Location::lines(3..=4)).hinted("Do.");
        form.error(Duration::from_secs(10), &error, Some("Dockerfile"));
        form.result(Duration::from_secs(11), &json!({ "steps": 5 }));
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "started", "progress", "progress", "progress", "finished", "started", "finished",
                "started", "output", "output", "output", "finished", "notice", "warning", "error",
                "result"
            ]
        );
        assert_eq!(
            lines[0],
            json!({ "event": "started", "step": 1, "title": "pull golang:1.12", "time": 0.0 })
        );
        assert_eq!(lines[10]["line"], "no newline");
        assert_eq!(lines[10]["stream"], "stderr");
        assert_eq!(lines[11]["error"], "exit code: 1");
        assert_eq!(lines[14]["locations"][0]["last_line"], 4);
        assert_eq!(lines[15]["result"]["steps"], 5);
    }
}
