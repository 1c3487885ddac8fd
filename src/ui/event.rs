//! What the engine tells while it works; every form of progress is rendered from these.

use std::time::Duration;

use crate::dockerfile::lint::Finding;

/// Number of a step in the log, from one, as in `#5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StepOutcome {
    Done,
    Cached,
    Canceled,
    Failed(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// `[builder 2/4] RUN go build`, or an internal one such as `pull alpine:latest`.
    Started {
        step: StepId,
        title: String,
    },
    /// Output of a RUN, in chunks as they came, secrets masked.
    Output {
        step: StepId,
        stream: Stream,
        bytes: Vec<u8>,
    },
    /// Progress of a transfer or a compression; bytes.
    Progress {
        step: StepId,
        what: String,
        done: u64,
        total: Option<u64>,
    },
    Finished {
        step: StepId,
        outcome: StepOutcome,
        took: Duration,
    },
    /// Worth knowing, but no failure: a cache fault, an unused build argument.
    Notice(String),
    Warning(String),
    /// What a check found in the Dockerfile `file`, a name as typed.
    Finding {
        file: String,
        finding: Finding,
    },
}
