//! What can be wrong with a Dockerfile's text. The texts are BuildKit's where it has one.

use std::fmt;
use std::ops::RangeInclusive;

use thiserror::Error;

use super::ast::Span;
use super::duration::DurationError;
use super::expand::ExpandError;
use super::frontend::ForeignFrontend;
use super::mount::MountError;
use super::suggest;
use crate::error::{Error, Location};

/// A mistake and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub kind: SyntaxErrorKind,
    /// Of the instruction; counted from one.
    pub lines: RangeInclusive<usize>,
    /// Of the offending word, in characters of the first line, counted from one; `None` where no
    /// word is to blame, or it stands on a later line.
    pub column: Option<usize>,
    /// A sentence that says what to do.
    pub hint: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SyntaxErrorKind {
    #[error("the Dockerfile is larger than {limit} bytes")]
    FileTooLarge { limit: usize },
    #[error("dockerfile line greater than max allowed size of {limit}")]
    LineTooLong { limit: usize },
    #[error("the Dockerfile is not UTF-8: byte {byte:#04x} at offset {offset}")]
    NotUtf8 { byte: u8, offset: usize },
    #[error("the Dockerfile cannot be empty")]
    Empty,
    #[error("file with no instructions")]
    NoInstructions,
    #[error("dockerfile contains no stages to build")]
    NoStages,
    #[error("no build stage in current context")]
    NoStageYet,
    #[error("only one {0} parser directive can be used")]
    RepeatedDirective(String),
    #[error("invalid escape token '{0}' does not match ` or \\")]
    EscapeToken(String),
    #[error(transparent)]
    ForeignFrontend(#[from] ForeignFrontend),
    #[error("unknown instruction: {name}{}", suggest::tail(.suggestion.as_ref()))]
    UnknownInstruction { name: String, suggestion: Option<String> },
    #[error("unterminated heredoc")]
    UnterminatedHeredoc { name: String },
    #[error("{0} cannot accept a heredoc as a destination")]
    HeredocDestination(&'static str),
    #[error("{0} needs each heredoc as one word without spaces")]
    HeredocWord(&'static str),
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotStrings,

    #[error("unknown flag: --{name}{}", suggest::tail(.suggestion.as_ref()))]
    UnknownFlag { name: String, suggestion: Option<String> },
    #[error("duplicate flag specified: --{0}")]
    DuplicateFlag(String),
    #[error("missing a value on flag: --{0}")]
    MissingFlagValue(String),
    #[error("expecting boolean value for flag --{name}, not: {value}")]
    NotBoolean { name: String, value: String },

    #[error("{0} requires at least one argument")]
    AtLeastOneArgument(&'static str),
    #[error("{0} requires exactly one argument")]
    ExactlyOneArgument(&'static str),
    #[error(
        "{0} requires at least two arguments, but only one was provided. \
         Destination could not be determined"
    )]
    NoDestination(&'static str),
    #[error("{0} requires the arguments to be in JSON form")]
    NotJson(&'static str),
    #[error("{0} must have two arguments")]
    TwoArguments(&'static str),
    #[error("{0} names can not be blank")]
    BlankName(&'static str),
    #[error("Syntax error - can't find = in {0:?}. Must be of the form: name=value")]
    NoEquals(String),
    #[error("FROM requires either one or three arguments")]
    FromArguments,
    #[error(
        "invalid name for build stage: {0:?}, \
         name can't start with a number or contain symbols"
    )]
    StageName(String),
    #[error(
        "variable expansion is not supported for --from, define a new stage with FROM \
         using ARG from global scope as a workaround"
    )]
    VariableInFrom,
    #[error(transparent)]
    Expand(Box<ExpandError>),
    #[error(transparent)]
    Mount(Box<MountError>),
    #[error("invalid network mode {0:?}")]
    NetworkMode(String),
    #[error("security {0:?} is not valid")]
    SecurityMode(String),
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthcheckNone,
    #[error("Missing command after HEALTHCHECK CMD")]
    HealthcheckCommand,
    #[error("Unknown type {0:?} in HEALTHCHECK (try CMD)")]
    HealthcheckType(String),
    #[error(transparent)]
    Duration(#[from] DurationError),
    #[error("Interval {0:?} cannot be less than 1ms")]
    ShortInterval(&'static str),
    #[error("--retries is not a number: {0:?}")]
    Retries(String),
    #[error("--retries cannot be negative ({0})")]
    NegativeRetries(i32),
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    ChainedOnbuild,
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    OnbuildTrigger(&'static str),
    #[error("a trigger is one instruction, not {0}")]
    TriggerCount(usize),
}

impl From<ExpandError> for SyntaxErrorKind {
    fn from(error: ExpandError) -> Self {
        Self::Expand(Box::new(error))
    }
}

impl From<MountError> for SyntaxErrorKind {
    fn from(error: MountError) -> Self {
        Self::Mount(Box::new(error))
    }
}

impl SyntaxErrorKind {
    /// Whether the text stands behind the number of its line. As with BuildKit it doesn't where the
    /// file is to blame, or an instruction can't even be split into its parts.
    fn names_its_line(&self) -> bool {
        !matches!(
            self,
            Self::FileTooLarge { .. }
                | Self::LineTooLong { .. }
                | Self::NotUtf8 { .. }
                | Self::Empty
                | Self::NoInstructions
                | Self::NoStages
                | Self::NoStageYet
                | Self::RepeatedDirective(_)
                | Self::EscapeToken(_)
                | Self::ForeignFrontend(_)
                | Self::UnterminatedHeredoc { .. }
                | Self::NotStrings
                | Self::TwoArguments(_)
                | Self::NoEquals(_)
                | Self::VariableInFrom
                | Self::TriggerCount(_)
        )
    }

    /// What to do, where the text alone does not say it.
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Empty | Self::NoInstructions | Self::NoStages | Self::NoStageYet => {
                "A Dockerfile begins with FROM; only ARG may stand before it.".to_owned()
            }
            Self::UnterminatedHeredoc { name } => {
                format!("End it with a line that is {name:?} and nothing else.")
            }
            Self::NotUtf8 { .. } => "Save the file as UTF-8.".to_owned(),
            Self::ForeignFrontend(_) => {
                "Remove the line, or set the build argument BUILDKIT_SYNTAX=dockerfile.v0 \
                 to build with the built-in syntax."
                    .to_owned()
            }
            Self::NotJson(name) => format!("Write {name} [\"executable\", \"argument\"]."),
            _ => return None,
        })
    }
}

impl SyntaxError {
    pub(super) fn new(kind: SyntaxErrorKind, lines: RangeInclusive<usize>) -> Self {
        Self { hint: kind.hint(), kind, lines, column: None }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind.names_its_line() {
            write!(f, "dockerfile parse error on line {}: ", self.lines.start())?;
        }
        write!(f, "{}", self.kind)
    }
}

impl std::error::Error for SyntaxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

impl From<SyntaxError> for Error {
    fn from(error: SyntaxError) -> Self {
        let mut result = Self::build(&error);
        // Something is missing, which no line shows.
        if !matches!(error.kind, SyntaxErrorKind::Empty | SyntaxErrorKind::NoStages) {
            result = result.at(Location { lines: error.lines.clone(), column: error.column });
        }
        result.hints.extend(error.hint);
        result
    }
}

/// A mistake inside one instruction, on its way to the place where lines are known.
pub(super) struct Fault {
    pub(super) kind: SyntaxErrorKind,
    pub(super) at: Option<Span>,
}

impl Fault {
    pub(super) fn at(kind: impl Into<SyntaxErrorKind>, at: Span) -> Self {
        Self { kind: kind.into(), at: Some(at) }
    }

    /// `text` is the file that spans count in, `start` where in it the instruction begins.
    pub(super) fn on(self, lines: RangeInclusive<usize>, text: &str, start: usize) -> SyntaxError {
        let column = self.at.and_then(|at| column(text, start, at.start));
        SyntaxError { column, ..SyntaxError::new(self.kind, lines) }
    }
}

impl<K: Into<SyntaxErrorKind>> From<K> for Fault {
    fn from(kind: K) -> Self {
        Self { kind: kind.into(), at: None }
    }
}

/// The column of `offset`, if it is on the same line as `start`.
fn column(text: &str, start: usize, offset: usize) -> Option<usize> {
    if text.get(start..offset)?.contains('\n') {
        return None;
    }
    let line = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let before = &text[line..offset];
    Some(before.strip_prefix('\u{feff}').unwrap_or(before).chars().count() + 1)
}
