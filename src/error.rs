//! The error a user meets: what kind (exit code), one message, hints, and places in the Dockerfile.

use std::fmt;
use std::ops::RangeInclusive;

/// What went wrong, as the exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The build failed.
    Build,
    /// A command that builds nothing failed.
    Command,
    /// The build was asked to stop, or a part of it was since another had failed.
    Canceled,
    /// The command line, the Dockerfile's place or another input can't be used.
    Usage,
    /// This machine can't run the steps of a build.
    Machine,
    /// The image is over its size budget.
    Size,
}

impl ErrorKind {
    /// 1, 2 or 3.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Build | Self::Command | Self::Canceled => 1,
            Self::Usage | Self::Machine => 2,
            Self::Size => 3,
        }
    }
}

/// A place in the Dockerfile; lines and columns count from one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub lines: RangeInclusive<usize>,
    /// Where in the first line; in characters.
    pub column: Option<usize>,
}

impl Location {
    #[must_use]
    pub fn lines(lines: RangeInclusive<usize>) -> Self {
        Self { lines, column: None }
    }
}

/// One error for a user. The message is a lower-case fragment without a final period; a hint is a
/// whole sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
    pub hints: Vec<String>,
    /// Each is shown as an excerpt of the Dockerfile (1.12).
    pub locations: Vec<Location>,
}

impl Error {
    #[must_use]
    pub fn build(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Build, message)
    }

    #[must_use]
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    #[must_use]
    pub fn canceled() -> Self {
        Self::new(ErrorKind::Canceled, "canceled")
    }

    /// The same, where nothing was to be built.
    #[must_use]
    pub fn of_command(mut self) -> Self {
        if self.kind == ErrorKind::Build {
            self.kind = ErrorKind::Command;
        }
        self
    }

    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.kind == ErrorKind::Canceled
    }

    #[must_use]
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), hints: Vec::new(), locations: Vec::new() }
    }

    /// Puts before the message what could not be done. Being asked to stop is about nothing.
    #[must_use]
    pub fn about(mut self, what: impl fmt::Display) -> Self {
        if !self.is_canceled() {
            self.message = format!("{what}: {}", self.message);
        }
        self
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hinted(mut self, hint: impl fmt::Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    /// Adds a place, unless the error has one already: the innermost place is the right one. That the
    /// user wants to stop has no place.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        if self.locations.is_empty() && !self.is_canceled() {
            self.locations.push(location);
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
