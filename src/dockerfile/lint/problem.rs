//! What each check says. Names and messages are BuildKit's: people search for them, and lists of
//! rules to skip are written in them.

use thiserror::Error;

use crate::dockerfile::suggest::tail;

/// A check, whatever it found.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    pub name: &'static str,
    /// One sentence on what is wanted.
    pub description: &'static str,
    /// The last part of its page's address; `None` where there is no page.
    pub(super) slug: Option<&'static str>,
    /// Off unless it is asked for.
    pub experimental: bool,
}

impl Rule {
    const fn new(name: &'static str, slug: &'static str, description: &'static str) -> Self {
        Self { name, description, slug: Some(slug), experimental: false }
    }

    /// Where it is explained.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        self.slug.map(|slug| format!("https://docs.docker.com/go/dockerfile/rule/{slug}/"))
    }
}

/// One violation, with what its message names.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// C-01
    #[error("Stage name '{0}' should be lowercase")]
    StageNameCasing(String),
    /// C-02
    #[error("'{as_keyword}' and '{from}' keywords' casing do not match")]
    FromAsCasing { from: String, as_keyword: String },
    /// C-03
    #[error("Empty continuation line")]
    NoEmptyContinuation,
    /// C-04
    #[error("Command '{keyword}' should match the case of the command majority ({majority})")]
    ConsistentInstructionCasing { keyword: String, majority: &'static str },
    /// C-05
    #[error("Duplicate stage name {0:?}, stage names should be unique")]
    DuplicateStageName(String),
    /// C-06
    #[error("Stage name should not use the same name as reserved stage {0:?}")]
    ReservedStageName(String),
    /// C-07
    #[error(
        "JSON arguments recommended for {0} to prevent unintended behavior related to OS signals"
    )]
    JsonArgsRecommended(String),
    /// C-08
    #[error("Maintainer instruction is deprecated in favor of using label")]
    MaintainerDeprecated,
    /// C-09
    #[error("FROM argument '{name}' is not declared{}", tail(.suggestion.as_ref()))]
    UndefinedArgInFrom { name: String, suggestion: Option<String> },
    /// C-10
    #[error("Relative workdir {0:?} can have unexpected results if the base image changes")]
    WorkdirRelativePath(String),
    /// C-11. The suggestion has a `$` too.
    #[error("Usage of undefined variable '${name}'{}", tail(.suggestion.as_ref()))]
    UndefinedVar { name: String, suggestion: Option<String> },
    /// C-12
    #[error(
        "Multiple {0} instructions should not be used in the same stage because only the last one \
         will be used"
    )]
    MultipleInstructionsDisallowed(String),
    /// C-13
    #[error("\"{0} key=value\" should be used instead of legacy \"{0} key value\" format")]
    LegacyKeyValueFormat(String),
    /// C-14
    #[error(
        "Base image {image} was pulled with platform {found:?}, expected {expected:?} for current \
         build"
    )]
    InvalidBaseImagePlatform { image: String, found: String, expected: String },
    /// C-15
    #[error(
        "Setting platform to predefined {0} in FROM is redundant as this is the default behavior"
    )]
    RedundantTargetPlatform(String),
    /// C-16
    #[error("Do not use ARG or ENV instructions for sensitive data ({instruction} {name:?})")]
    SecretsUsedInArgOrEnv { instruction: &'static str, name: String },
    /// C-17
    #[error("Default value for ARG {0} results in empty or invalid base image name")]
    InvalidDefaultArgInFrom(String),
    /// C-18
    #[error("FROM --platform flag should not use constant value {0:?}")]
    FromPlatformFlagConstDisallowed(String),
    /// C-19
    #[error("Attempting to {verb} file {path:?} that is excluded by .dockerignore")]
    CopyIgnoredFile { verb: &'static str, path: String },
    /// C-20
    #[error("Comment for {instruction} should follow the format: `# {example} <description>`")]
    InvalidDefinitionDescription { instruction: &'static str, example: String },
    /// C-21
    #[error("Defined protocol '{0}' in EXPOSE instruction should be lowercase")]
    ExposeProtoCasing(String),
    /// C-22
    #[error("EXPOSE instruction should not define an IP address or host-port mapping, found '{0}'")]
    ExposeInvalidFormat(String),
}

impl Problem {
    /// The check that it violates.
    #[must_use]
    pub fn rule(&self) -> &'static Rule {
        match self {
            Self::StageNameCasing(_) => {
                const {
                    &Rule::new(
                        "StageNameCasing",
                        "stage-name-casing",
                        "The name of a stage should be in lower case.",
                    )
                }
            }
            Self::FromAsCasing { .. } => {
                const {
                    &Rule::new(
                        "FromAsCasing",
                        "from-as-casing",
                        "FROM and AS should both be in upper or both in lower case.",
                    )
                }
            }
            Self::NoEmptyContinuation => {
                const {
                    &Rule::new(
                        "NoEmptyContinuation",
                        "no-empty-continuation",
                        "An instruction should have no empty line inside.",
                    )
                }
            }
            Self::ConsistentInstructionCasing { .. } => {
                const {
                    &Rule::new(
                        "ConsistentInstructionCasing",
                        "consistent-instruction-casing",
                        "All instructions should be in upper case, or all in lower case.",
                    )
                }
            }
            Self::DuplicateStageName(_) => {
                const {
                    &Rule::new(
                        "DuplicateStageName",
                        "duplicate-stage-name",
                        "Each stage should have a name of its own.",
                    )
                }
            }
            Self::ReservedStageName(_) => {
                const {
                    &Rule::new(
                        "ReservedStageName",
                        "reserved-stage-name",
                        "No stage should be named scratch or context.",
                    )
                }
            }
            Self::JsonArgsRecommended(_) => {
                const {
                    &Rule::new(
                        "JSONArgsRecommended",
                        "json-args-recommended",
                        "A command in the form of a list gets its signals itself, not through a shell.",
                    )
                }
            }
            Self::MaintainerDeprecated => {
                const {
                    &Rule::new(
                        "MaintainerDeprecated",
                        "maintainer-deprecated",
                        "The author should be the label org.opencontainers.image.authors.",
                    )
                }
            }
            Self::UndefinedArgInFrom { .. } => {
                const {
                    &Rule::new(
                        "UndefinedArgInFrom",
                        "undefined-arg-in-from",
                        "A variable of FROM should be declared by an ARG above the first FROM.",
                    )
                }
            }
            Self::WorkdirRelativePath(_) => {
                const {
                    &Rule::new(
                        "WorkdirRelativePath",
                        "workdir-relative-path",
                        "The first WORKDIR should be absolute, since a base may change its own.",
                    )
                }
            }
            Self::UndefinedVar { .. } => {
                const {
                    &Rule::new(
                        "UndefinedVar",
                        "undefined-var",
                        "A variable should be defined before it is used.",
                    )
                }
            }
            Self::MultipleInstructionsDisallowed(_) => {
                const {
                    &Rule::new(
                        "MultipleInstructionsDisallowed",
                        "multiple-instructions-disallowed",
                        "Of CMD, ENTRYPOINT and HEALTHCHECK, a stage should have one each.",
                    )
                }
            }
            Self::LegacyKeyValueFormat(_) => {
                const {
                    &Rule::new(
                        "LegacyKeyValueFormat",
                        "legacy-key-value-format",
                        "ENV and LABEL should have = between a key and its value.",
                    )
                }
            }
            Self::InvalidBaseImagePlatform { .. } => {
                const {
                    &Rule {
                        name: "InvalidBaseImagePlatform",
                        description: "The base should be of the platform that is built for.",
                        slug: None,
                        experimental: false,
                    }
                }
            }
            Self::RedundantTargetPlatform(_) => {
                const {
                    &Rule::new(
                        "RedundantTargetPlatform",
                        "redundant-target-platform",
                        "FROM has the target's platform without being told.",
                    )
                }
            }
            Self::SecretsUsedInArgOrEnv { .. } => {
                const {
                    &Rule::new(
                        "SecretsUsedInArgOrEnv",
                        "secrets-used-in-arg-or-env",
                        "A secret should be mounted, since ARG and ENV stay in the image.",
                    )
                }
            }
            Self::InvalidDefaultArgInFrom(_) => {
                const {
                    &Rule::new(
                        "InvalidDefaultArgInFrom",
                        "invalid-default-arg-in-from",
                        "FROM should name an image without any build argument given.",
                    )
                }
            }
            Self::FromPlatformFlagConstDisallowed(_) => {
                const {
                    &Rule::new(
                        "FromPlatformFlagConstDisallowed",
                        "from-platform-flag-const-disallowed",
                        "FROM --platform should follow the platform that is built for.",
                    )
                }
            }
            Self::CopyIgnoredFile { .. } => {
                const {
                    &Rule::new(
                        "CopyIgnoredFile",
                        "copy-ignored-file",
                        "A file that is copied should not be ignored.",
                    )
                }
            }
            Self::InvalidDefinitionDescription { .. } => {
                const {
                    &Rule {
                        experimental: true,
                        ..Rule::new(
                            "InvalidDefinitionDescription",
                            "invalid-definition-description",
                            "A comment above ARG or FROM should begin with the name it describes.",
                        )
                    }
                }
            }
            Self::ExposeProtoCasing(_) => {
                const {
                    &Rule::new(
                        "ExposeProtoCasing",
                        "expose-proto-casing",
                        "The protocol of a port should be in lower case.",
                    )
                }
            }
            Self::ExposeInvalidFormat(_) => {
                const {
                    &Rule::new(
                        "ExposeInvalidFormat",
                        "expose-invalid-format",
                        "EXPOSE takes ports of the container, without an address or a port of the host.",
                    )
                }
            }
        }
    }
}
