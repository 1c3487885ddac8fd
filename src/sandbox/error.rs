//! What can go wrong with a step, apart from the command's own failure.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("failed to start the process of a step")]
    Start(#[source] io::Error),
    #[error("the process of a step can't be reached")]
    Talk(#[source] io::Error),
    #[error("{0} isn't valid UTF-8")]
    Path(PathBuf),
    #[error("unknown ulimit {0:?}")]
    UnknownUlimit(String),
    #[error("failed to {doing}: {reason}")]
    Setup {
        phase: Phase,
        /// A verb and its object.
        doing: String,
        reason: String,
    },
    /// The command was never started; `code` is the exit code that shells have for it.
    #[error("{message}")]
    Exec { message: String, code: i32 },
    #[error("the process of a step ended without a report")]
    NoReport,
    #[error("failed to listen for those who ask an SSH agent: {0}")]
    Agent(#[source] io::Error),
    #[error("failed to remove the mount point {path}")]
    Stub {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("canceled")]
    Canceled,
}

/// How far a step got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Namespaces,
    Overlay,
    Mounts,
    Process,
}

/// This machine can't run steps.
#[derive(Clone, Debug, thiserror::Error)]
#[error("RUN is impossible here: {message}")]
pub struct Unavailable {
    pub message: String,
    /// Whole sentences: what to change.
    pub hints: Vec<String>,
}

impl From<Unavailable> for Error {
    fn from(unavailable: Unavailable) -> Self {
        let mut error = Self::new(ErrorKind::Machine, &unavailable);
        error.hints = unavailable.hints;
        error
    }
}

/// What the child failed to do; travels to the parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) phase: Phase,
    pub(super) doing: String,
    pub(super) reason: String,
}

impl From<Failure> for RunError {
    fn from(Failure { phase, doing, reason }: Failure) -> Self {
        Self::Setup { phase, doing, reason }
    }
}

/// Says what an operation was for.
pub(super) trait Doing<T> {
    fn doing(self, phase: Phase, doing: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, phase: Phase, doing: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure { phase, doing: doing(), reason: reason(&error.into()) })
    }
}

/// An error's text without Rust's "(os error 2)".
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    let mut text = text[..end].to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}
