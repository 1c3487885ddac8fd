//! `--progress tty`: the running steps at the bottom of the terminal, the finished ones above.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::clean;
use super::event::{Event, StepId};
use super::feed::ending;
use super::findings::line;
use super::tail::Tails;
use crate::figures::human;

const TITLE_LIMIT: usize = 40;
const REDRAW_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Terminal {
    screen: MultiProgress,
    running: HashMap<StepId, Running>,
    tails: Tails,
}

#[derive(Debug)]
struct Running {
    bar: ProgressBar,
    /// At most [`TITLE_LIMIT`] characters, to leave room for what the step says.
    title: String,
}

impl Terminal {
    /// Draws on standard error.
    pub(super) fn new() -> Self {
        Self { screen: MultiProgress::new(), running: HashMap::new(), tails: Tails::default() }
    }

    pub(super) fn event(&mut self, event: &Event) {
        let ended = self.tails.event(event);
        match event {
            Event::Started { step, title } => {
                let bar = ProgressBar::no_length().with_style(style());
                let bar = self.screen.add(bar.with_prefix(format!("#{}", step.0)));
                let title = clean::line(title);
                bar.set_message(title.clone());
                bar.enable_steady_tick(REDRAW_EVERY);
                self.running.insert(*step, Running { bar, title: short(&title) });
            }
            Event::Output { step, .. } => {
                let line = self.tails.last_line(*step).map(str::to_owned);
                self.say(*step, line.as_deref());
            }
            Event::Progress { step, what, done, total } => {
                let total = total.map(|total| format!(" / {}", human(total))).unwrap_or_default();
                let line = format!("{} {}{total}", clean::line(what), human(*done));
                self.say(*step, Some(&line));
            }
            Event::Finished { step, outcome, took } => {
                if let Some(Running { bar, .. }) = self.running.remove(step) {
                    bar.finish_and_clear();
                    self.screen.remove(&bar);
                }
                let tail = ended.unwrap_or_default();
                let end = ending(outcome, *took);
                self.text(&format!("#{} {} {end}\n{}", step.0, tail.title, tail.failure(outcome)));
            }
            Event::Notice(text) => self.text(&format!("note: {}\n", clean::line(text))),
            Event::Warning(text) => self.text(&format!("warning: {}\n", clean::line(text))),
            Event::Finding { finding, .. } => self.text(&format!("warning: {}\n", line(finding))),
        }
    }

    /// The title and, behind it, what the step says now.
    fn say(&mut self, step: StepId, line: Option<&str>) {
        if let (Some(Running { bar, title }), Some(line)) = (self.running.get(&step), line) {
            bar.set_message(format!("{title} │ {}", line.trim_end()));
        }
    }

    /// Lines above the running steps.
    pub(super) fn text(&mut self, text: &str) {
        self.screen.suspend(|| super::write(&mut std::io::stderr().lock(), text));
    }

    /// The build is over: nothing runs any more.
    pub(super) fn end(&mut self) {
        for (_, Running { bar, .. }) in self.running.drain() {
            bar.finish_and_clear();
        }
        let _ = self.screen.clear();
        let _ = std::io::stderr().flush();
    }
}

fn short(title: &str) -> String {
    if title.chars().count() <= TITLE_LIMIT {
        return title.to_owned();
    }
    title.chars().take(TITLE_LIMIT - 1).chain(['…']).collect()
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>4} {wide_msg} {elapsed:>5}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::ProgressDrawTarget;

    #[test]
    fn a_running_step_shows_its_title_and_what_it_says() {
        let mut terminal = Terminal::new();
        terminal.screen.set_draw_target(ProgressDrawTarget::hidden());
        let step = StepId(3);
        terminal.event(&Event::Started { step, title: "[2/2] RUN make".to_owned() });
        let message = |terminal: &Terminal| terminal.running[&step].bar.message();
        assert_eq!(message(&terminal), "[2/2] RUN make");
        for text in ["one\ntwo\n", "three\nunfinished"] {
            let bytes = text.into();
            terminal.event(&Event::Output { step, stream: super::super::Stream::Stdout, bytes });
        }
        assert_eq!(message(&terminal), "[2/2] RUN make │ three");
        let what = "sha256:aa".to_owned();
        terminal.event(&Event::Progress { step, what, done: 1000, total: Some(2000) });
        assert_eq!(message(&terminal), "[2/2] RUN make │ sha256:aa 1.0 kB / 2.0 kB");
        assert_eq!(short(&"x".repeat(50)), format!("{}…", "x".repeat(39)));
    }
}
