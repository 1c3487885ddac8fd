//! What a person sees while it happens. The only folder that prints.

mod clean;
mod event;
pub mod excerpt;
mod feed;
pub mod findings;
mod github;
mod groups;
mod json;
mod lines;
mod mask;
pub mod outline;
mod plain;
mod tail;
mod terminal;
#[cfg(test)]
mod test_events;

use std::io::{Stderr, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;

use crate::error::Error;

pub use event::{Event, StepId, StepOutcome, Stream};
pub use mask::Masker;

/// How progress is shown, always on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    /// Groups and annotations of GitHub's runner. The token is a word that no step can guess.
    Groups {
        token: String,
        /// Notices, warnings and errors are shown at the head of the run too.
        annotate: bool,
    },
    Terminal,
    Json,
    /// Nothing but an error, and what a failed step said last.
    Quiet,
}

enum Printer {
    Plain(plain::Plain<Stderr>),
    Groups(groups::Groups<Stderr>),
    Terminal(terminal::Terminal),
    Json(json::Json<Stderr>),
    Quiet(tail::Tails),
}

/// Prints events as they come, from any thread.
pub struct Ui {
    printer: Mutex<Printer>,
    started: Instant,
}

impl Ui {
    #[must_use]
    pub fn new(form: Form) -> Self {
        let stderr = std::io::stderr();
        let printer = match form {
            Form::Plain => Printer::Plain(plain::Plain::new(stderr)),
            Form::Groups { token, annotate } => {
                Printer::Groups(groups::Groups::new(stderr, token, annotate))
            }
            Form::Terminal => Printer::Terminal(terminal::Terminal::new()),
            Form::Json => Printer::Json(json::Json::new(stderr)),
            Form::Quiet => Printer::Quiet(tail::Tails::default()),
        };
        Self { printer: Mutex::new(printer), started: Instant::now() }
    }

    pub fn event(&self, event: &Event) {
        let now = self.started.elapsed();
        match &mut *self.printer() {
            Printer::Plain(plain) => plain.event(event, now),
            Printer::Groups(groups) => groups.event(event, now),
            Printer::Terminal(terminal) => terminal.event(event),
            Printer::Json(json) => json.event(event, now),
            Printer::Quiet(tails) => {
                if let (Some(tail), Event::Finished { outcome, .. }) = (tails.event(event), event) {
                    write(&mut std::io::stderr(), &tail.failure(outcome));
                }
            }
        }
    }

    /// Tells the runner never to show these values, whoever prints them.
    pub fn mask(&self, values: &[&str]) {
        if let Printer::Groups(groups) = &mut *self.printer() {
            groups
                .commands(&values.iter().flat_map(|value| github::mask(value)).collect::<Vec<_>>());
        }
    }

    /// The result of a build, as text for people and as an object for programs.
    pub fn result(&self, text: &str, object: &Value) {
        let now = self.started.elapsed();
        let text = clean::text(text);
        match &mut *self.printer() {
            Printer::Plain(plain) => plain.text(&text),
            Printer::Groups(groups) => groups.text(&text),
            Printer::Terminal(terminal) => {
                terminal.end();
                terminal.text(&format!("\n{text}"));
            }
            Printer::Json(json) => json.result(now, object),
            Printer::Quiet(_) => {}
        }
    }

    /// The error that ended it. `dockerfile` is its name as typed and its bytes.
    pub fn error(&self, error: &Error, dockerfile: Option<(&str, &[u8])>) {
        let now = self.started.elapsed();
        let text = excerpt::failure(error, dockerfile);
        let name = dockerfile.map(|(name, _)| name);
        match &mut *self.printer() {
            Printer::Plain(plain) => plain.text(&text),
            Printer::Groups(groups) => {
                groups.text(&text);
                groups.annotate(&github::error_commands(error, name));
            }
            Printer::Terminal(terminal) => {
                terminal.end();
                terminal.text(&text);
            }
            Printer::Json(json) => json.error(now, error, name),
            Printer::Quiet(_) => write(&mut std::io::stderr(), &text),
        }
    }

    fn printer(&self) -> MutexGuard<'_, Printer> {
        // A panic while printing leaves at worst half a line.
        self.printer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader that went away is no reason to end a build.
fn write(out: &mut impl Write, text: &str) {
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
