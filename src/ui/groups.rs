//! Progress in GitHub's log: one foldable group per step.

use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::time::Duration;

use tempfile::SpooledTempFile;

use super::event::{Event, StepId};
use super::feed::{Fed, Feed};
use super::github;

/// Beyond this the output of a step that waits goes to a temporary file.
const IN_MEMORY: usize = 256 << 10;

/// Groups can't be nested or mixed. One step is live; what others say meanwhile waits.
#[derive(Debug)]
pub(super) struct Groups<W: Write> {
    out: W,
    feed: Feed,
    token: String,
    annotate: bool,
    live: Option<StepId>,
    /// In the order in which they started.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    step: StepId,
    header: String,
    output: SpooledTempFile,
    ended: bool,
}

impl<W: Write> Groups<W> {
    /// `token` is a word that no step can guess. Without `annotate`, notices and warnings are lines of
    /// the log and no more.
    pub(super) fn new(out: W, token: String, annotate: bool) -> Self {
        Self { out, feed: Feed::default(), token, annotate, live: None, waiting: Vec::new() }
    }

    pub(super) fn event(&mut self, event: &Event, now: Duration) {
        match self.feed.event(event, now) {
            Fed::Header(step, header) if self.live.is_none() => self.open(step, &header),
            Fed::Header(step, header) => self.wait(step, header),
            Fed::Lines(step, lines) => self.lines(step, &lines),
            Fed::End(step, lines) => {
                self.lines(step, &lines);
                self.end(step);
            }
            Fed::Notice(text) => {
                self.remark(&github::annotation("notice", &text), &format!("note: {text}"));
            }
            Fed::Warning(text) => {
                self.remark(&github::annotation("warning", &text), &format!("warning: {text}"));
            }
            Fed::Finding(file, finding) => {
                let text = format!("warning: {}", super::findings::line(&finding));
                self.remark(&github::finding_command(&file, &finding), &text);
            }
        }
    }

    /// Several lines in no group.
    pub(super) fn text(&mut self, text: &str) {
        self.close_all();
        let (stop, resume) = (github::stop(&self.token), github::resume(&self.token));
        let text = github::tame(text);
        super::write(&mut self.out, &format!("{stop}\n{text}{resume}\n"));
    }

    /// Lines that the runner shall obey.
    pub(super) fn commands(&mut self, commands: &[String]) {
        let text: String = commands.iter().flat_map(|line| [line, "\n"]).collect();
        super::write(&mut self.out, &text);
    }

    /// Commands that make annotations, where these are wanted. Belongs behind a [`Self::text`].
    pub(super) fn annotate(&mut self, commands: &[String]) {
        if self.annotate {
            self.commands(commands);
        }
    }

    /// Something that is told in the middle of a step: an annotation, or a line of text.
    fn remark(&mut self, command: &str, text: &str) {
        let (stop, resume) = (github::stop(&self.token), github::resume(&self.token));
        let lines = match (self.annotate, self.live.is_some()) {
            (true, true) => vec![resume, command.to_owned(), stop],
            (true, false) => vec![command.to_owned()],
            (false, true) => vec![github::tame(text)],
            (false, false) => vec![stop, github::tame(text), resume],
        };
        self.commands(&lines);
    }

    fn open(&mut self, step: StepId, header: &str) {
        self.commands(&[github::group(&github::tame(header)), github::stop(&self.token)]);
        self.live = Some(step);
    }

    fn close(&mut self) {
        if self.live.take().is_some() {
            self.commands(&[github::resume(&self.token), github::END_GROUP.to_owned()]);
        }
    }

    fn wait(&mut self, step: StepId, header: String) {
        let output = SpooledTempFile::new(IN_MEMORY);
        self.waiting.push(Waiting { step, header, output, ended: false });
    }

    fn lines(&mut self, step: StepId, lines: &[String]) {
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        let text = github::tame(&text);
        if self.live.is_none() {
            self.open(step, &format!("#{}", step.0));
        }
        if self.live == Some(step) {
            super::write(&mut self.out, &text);
            return;
        }
        if !self.waiting.iter().any(|waiting| waiting.step == step) {
            self.wait(step, format!("#{}", step.0));
        }
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.step == step) {
            // A full disk costs lines of the log, not the build.
            let _ = waiting.output.write_all(text.as_bytes());
        }
    }

    fn end(&mut self, step: StepId) {
        if self.live != Some(step) {
            let found = self.waiting.iter_mut().find(|waiting| waiting.step == step);
            if let Some(waiting) = found {
                waiting.ended = true;
            }
            return;
        }
        self.close();
        // Those that have ended are shown whole, and the first that has not goes on live.
        let (ended, going_on) =
            std::mem::take(&mut self.waiting).into_iter().partition(|w| w.ended);
        self.waiting = going_on;
        for waiting in ended {
            self.show(waiting);
            self.close();
        }
        if !self.waiting.is_empty() {
            let next = self.waiting.remove(0);
            self.show(next);
        }
    }

    fn show(&mut self, mut waiting: Waiting) {
        self.open(waiting.step, &waiting.header);
        let mut copy = || -> std::io::Result<()> {
            waiting.output.seek(SeekFrom::Start(0))?;
            let mut chunk = [0; 8 << 10];
            loop {
                match waiting.output.read(&mut chunk)? {
                    0 => return Ok(()),
                    read => self.out.write_all(&chunk[..read])?,
                }
            }
        };
        let _ = copy();
    }

    /// The build is over, whatever has not ended.
    fn close_all(&mut self) {
        self.close();
        for waiting in std::mem::take(&mut self.waiting) {
            self.show(waiting);
            self.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_events::parallel;
    use super::*;

    #[test]
    fn groups_do_not_mix_and_steps_give_no_commands() {
        let mut out = Vec::new();
        let mut groups = Groups::new(&mut out, "tok".to_owned(), true);
        for (millis, event) in parallel() {
            groups.event(&event, Duration::from_millis(millis));
        }
        groups.event(&Event::Warning("50% lost".to_owned()), Duration::ZERO);
        groups.text("the end\n");
        let expected = "\
::group::#1 [a 2/2] RUN a
::stop-commands::tok
#1 0.030 a1
#1 DONE 0.2s
::tok::
::endgroup::
::group::#2 [b 2/2] RUN b
::stop-commands::tok
#2 0.010 b1
#2 DONE 0.1s
::tok::
::endgroup::
::group::#3 [c 2/2] RUN ::set-output::x
::stop-commands::tok
#3 0.020 ::error::c1
#3 CANCELED
::tok::
::endgroup::
::warning::50%25 lost
::stop-commands::tok
the end
::tok::
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_step_that_waited_goes_on_live_and_a_notice_gets_through() {
        let start =
            |step, title: &str| Event::Started { step: StepId(step), title: title.to_owned() };
        let say = |step, text: &str| Event::Output {
            step: StepId(step),
            stream: super::super::Stream::Stdout,
            bytes: text.into(),
        };
        let end = |step| Event::Finished {
            step: StepId(step),
            outcome: super::super::StepOutcome::Done,
            took: Duration::ZERO,
        };
        let mut out = Vec::new();
        let mut groups = Groups::new(&mut out, "tok".to_owned(), true);
        for event in [
            start(1, "a"),
            start(2, "b"),
            say(2, "early\n"),
            end(1),
            say(2, "late\n"),
            Event::Notice("n".to_owned()),
        ] {
            groups.event(&event, Duration::ZERO);
        }
        groups.text("");
        let expected = "\
::group::#1 a
::stop-commands::tok
#1 DONE 0.0s
::tok::
::endgroup::
::group::#2 b
::stop-commands::tok
#2 0.000 early
#2 0.000 late
::tok::
::notice::n
::stop-commands::tok
::tok::
::endgroup::
::stop-commands::tok
::tok::
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
