//! Events of two builds, with milliseconds since the start.

use std::time::Duration;

use super::event::{Event, StepId, StepOutcome, Stream};

fn started(step: u32, title: &str) -> Event {
    Event::Started { step: StepId(step), title: title.to_owned() }
}

fn output(step: u32, stream: Stream, text: &str) -> Event {
    Event::Output { step: StepId(step), stream, bytes: text.into() }
}

fn finished(step: u32, outcome: StepOutcome, millis: u64) -> Event {
    Event::Finished { step: StepId(step), outcome, took: Duration::from_millis(millis) }
}

fn progress(done: u64) -> Event {
    let what = "sha256:aaaa".to_owned();
    Event::Progress { step: StepId(1), what, done: done * 1_000_000, total: Some(50_000_000) }
}

pub(super) fn go_build() -> Vec<(u64, Event)> {
    vec![
        (0, started(1, "pull golang:1.12")),
        (100, progress(1)),
        (5_200, progress(20)),
        (8_000, progress(50)),
        (8_000, finished(1, StepOutcome::Done, 8_000)),
        (8_000, started(2, "[builder 2/4] WORKDIR /app")),
        (8_000, finished(2, StepOutcome::Cached, 0)),
        (8_000, started(3, "[builder 4/4] RUN go build")),
        (8_050, output(3, Stream::Stdout, "comp")),
        (8_100, output(3, Stream::Stdout, "iling\n")),
        (8_250, output(3, Stream::Stdout, "\u{1b}[31mred\u{1b}[0m and \u{1b}[2J\n")),
        (8_300, output(3, Stream::Stderr, "no newline")),
        (9_500, finished(3, StepOutcome::Failed("exit code: 1".to_owned()), 1_500)),
        (9_500, Event::Notice("build argument X was not used".to_owned())),
        (9_500, Event::Warning("the cache could not be written".to_owned())),
    ]
}

pub(super) fn parallel() -> Vec<(u64, Event)> {
    vec![
        (0, started(1, "[a 2/2] RUN a")),
        (10, started(2, "[b 2/2] RUN b")),
        (20, output(2, Stream::Stdout, "b1\n")),
        (30, output(1, Stream::Stdout, "a1\n")),
        (110, finished(2, StepOutcome::Done, 100)),
        (200, finished(1, StepOutcome::Done, 200)),
        (200, started(3, "[c 2/2] RUN ::set-output::x")),
        (220, output(3, Stream::Stdout, "::error::c1\n")),
        (230, finished(3, StepOutcome::Canceled, 30)),
    ]
}
