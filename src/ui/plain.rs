//! `--progress plain`: lines, each with the number of its step, so that parallel steps can mix.

use std::io::Write;
use std::time::Duration;

use super::event::Event;
use super::feed::{Fed, Feed};
use super::findings::line;

#[derive(Debug)]
pub(super) struct Plain<W> {
    out: W,
    feed: Feed,
    begun: bool,
}

impl<W: Write> Plain<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, feed: Feed::default(), begun: false }
    }

    pub(super) fn event(&mut self, event: &Event, now: Duration) {
        match self.feed.event(event, now) {
            Fed::Header(_, header) => {
                self.paragraph();
                self.lines(&[header]);
            }
            Fed::Lines(_, lines) | Fed::End(_, lines) => self.lines(&lines),
            Fed::Notice(text) => self.lines(&[format!("note: {text}")]),
            Fed::Warning(text) => self.lines(&[format!("warning: {text}")]),
            Fed::Finding(_, finding) => self.lines(&[format!("warning: {}", line(&finding))]),
        }
    }

    /// Several lines that stand apart from the steps.
    pub(super) fn text(&mut self, text: &str) {
        self.paragraph();
        super::write(&mut self.out, text);
    }

    fn paragraph(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            super::write(&mut self.out, "\n");
        }
    }

    fn lines(&mut self, lines: &[String]) {
        self.begun |= !lines.is_empty();
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        super::write(&mut self.out, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_events::{go_build, parallel};
    use super::*;

    fn shown(events: &[(u64, Event)]) -> String {
        let mut out = Vec::new();
        let mut plain = Plain::new(&mut out);
        for (millis, event) in events {
            plain.event(event, Duration::from_millis(*millis));
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_build_as_buildkit_would_show_it() {
        let expected = "\
#1 pull golang:1.12
#1 sha256:aaaa 20.0 MB / 50.0 MB
#1 sha256:aaaa 50.0 MB / 50.0 MB done
#1 DONE 8.0s

#2 [builder 2/4] WORKDIR /app
#2 CACHED

#3 [builder 4/4] RUN go build
#3 0.100 compiling
#3 0.250 \u{1b}[31mred\u{1b}[0m and ␛[2J\u{1b}[0m
#3 1.500 no newline
#3 ERROR: exit code: 1
note: build argument X was not used
warning: the cache could not be written
";
        assert_eq!(shown(&go_build()), expected);
    }

    #[test]
    fn parallel_steps_mix_line_by_line() {
        let expected = "\
#1 [a 2/2] RUN a

#2 [b 2/2] RUN b
#2 0.010 b1
#1 0.030 a1
#2 DONE 0.1s
#1 DONE 0.2s

#3 [c 2/2] RUN ::set-output::x
#3 0.020 ::error::c1
#3 CANCELED
";
        assert_eq!(shown(&parallel()), expected);
    }
}
