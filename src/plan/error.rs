//! Why a Dockerfile can't be planned. The texts are BuildKit's, since users search for them.

use std::fmt;

use crate::digest::DigestError;
use crate::dockerfile::ForeignFrontend;
use crate::dockerfile::expand::ExpandError;
use crate::dockerfile::lint::CheckOptionError;
use crate::dockerfile::mount::MountError;
use crate::dockerfile::suggest;
use crate::error::{Error, Location};
use crate::url::GitUrlError;

use super::Lines;

/// One mistake and the places it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError {
    pub kind: PlanErrorKind,
    /// Each is shown as an excerpt; a cycle has several.
    pub lines: Vec<Lines>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanErrorKind {
    #[error("base name ({0}) should not be blank")]
    BlankBase(String),
    #[error("failed to parse stage name {name:?}: {reason}")]
    Reference { name: String, reason: String },
    #[error("empty platform value from expression {expression}{}", suggest::tail(.suggestion.as_ref()))]
    EmptyPlatform { expression: String, suggestion: Option<String> },
    #[error("failed to parse platform {expression}: {reason}")]
    Platform { expression: String, reason: String },
    #[error("target stage {name:?} could not be found{}", suggest::tail(.suggestion.as_ref()))]
    UnknownTarget { name: String, suggestion: Option<String> },
    #[error("circular dependency detected on stage: {0}")]
    Cycle(String),
    #[error("invalid SOURCE_DATE_EPOCH: {0}")]
    SourceDateEpoch(String),
    #[error("invalid stage index {0}")]
    StageIndex(i64),
    #[error(
        "cannot copy from stage {from:?}, it needs to be defined before current stage {current:?}"
    )]
    CopyFromLater { from: String, current: String },
    #[error(
        "cannot mount from stage {from:?} to {target:?}, stage needs to be defined before current \
         command"
    )]
    MountFromLater { from: String, target: String },
    #[error(
        "variable expansion is not supported for --from, define a new stage with FROM using ARG \
         from global scope as a workaround"
    )]
    VariableInFrom,
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// An `ONBUILD` that a base image brought along is not valid.
    #[error("{0}")]
    Trigger(String),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("invalid mount target {0:?}")]
    MountTarget(String),
    #[error("invalid network mode {0:?}")]
    Network(String),
    #[error("security {0:?} is not valid")]
    Security(String),
    /// A RUN wants what no `--allow` gave (L-113, L-114).
    #[error("{0} is not allowed")]
    NotAllowed(&'static str),
    #[error("device feature is only supported in Dockerfile frontend 1.14.0-labs or later")]
    Device,
    #[error("RUN requires a command")]
    NoCommand,
    #[error("invalid chmod parameter: '{0}'. it should be octal string and between 0 and 07777")]
    Chmod(String),
    #[error("checksum can't be specified for multiple sources")]
    ChecksumOfSeveral,
    #[error("checksum requires HTTP(S) or Git sources")]
    ChecksumOfPath,
    #[error("invalid checksum: {0}")]
    Checksum(#[from] DigestError),
    #[error("checksum mismatch {flag:?} != {url:?}")]
    ChecksumConflict { flag: String, url: String },
    #[error("inconsistent keep-git-dir configuration")]
    KeepGitDirConflict,
    #[error(transparent)]
    GitUrl(#[from] GitUrlError),
    #[error("source can't be a URL for COPY")]
    CopyUrl,
    #[error("source can't be a git ref for COPY")]
    CopyGit,
    #[error("{0}")]
    Port(String),
    #[error("invalid signal: {0}")]
    Signal(String),
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    /// Part of the language, but not of this version.
    #[error("{what} is not supported yet")]
    Unsupported { what: String, hint: &'static str },
    #[error(transparent)]
    Frontend(#[from] ForeignFrontend),
    #[error("failed to parse {of}: {reason}")]
    CheckOptions { of: &'static str, reason: CheckOptionError },
    /// The names of rules, where `error=true` makes a finding a failure.
    #[error("lint violation found for rules: {0}")]
    Lint(String),
}

impl PlanErrorKind {
    /// At a place.
    pub(super) fn at(self, lines: Lines) -> PlanError {
        PlanError { kind: self, lines: vec![lines] }
    }

    /// What to do, where the text alone does not say it.
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Cycle(_) => "Each stage can copy only from stages that don't copy from it.",
            Self::CopyFromLater { .. } | Self::MountFromLater { .. } => {
                "Move the stage that is read above the one that reads it."
            }
            Self::SourceDateEpoch(_) => {
                "It is a number of seconds since 1970, `context`, or the name of a context or a stage."
            }
            Self::CopyUrl => "ADD downloads what a URL names.",
            Self::CopyGit => "ADD takes the files of a repository.",
            Self::Device => "Remove the flag; no device of the host is in the sandbox.",
            Self::NotAllowed(entitlement) => {
                return Some(format!("Add `--allow {entitlement}` if you trust this Dockerfile."));
            }
            Self::Unsupported { hint, .. } => hint,
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for PlanError {}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        let mut result = Self::build(&error.kind);
        result.hints.extend(error.kind.hint());
        result.locations =
            error.lines.iter().map(|lines| Location::lines(lines.first..=lines.last)).collect();
        result
    }
}
