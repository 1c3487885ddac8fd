//! `# check=skip=A,B;error=true;experimental=all` (L-015).

use thiserror::Error;

use super::Rule;
use crate::dockerfile::directive;

/// Parts beyond the third belong to the third.
const MAX_PARTS: usize = 3;

/// Which checks are wanted, and whether a finding is a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    skip: Selection,
    experimental: Selection,
    pub(super) error: bool,
}

/// Rules by name. A name that no rule has selects nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Selection {
    All,
    Named(Vec<String>),
}

impl Default for Selection {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl Selection {
    fn parse(value: &str) -> Self {
        match value.trim() {
            "all" => Self::All,
            names => Self::Named(names.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|known| known == name),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckOptionError {
    #[error("invalid check option {0:?}")]
    Unknown(String),
    #[error("failed to parse check option {option:?}: {value:?} is neither true nor false")]
    NotBoolean { option: String, value: String },
}

impl CheckOptions {
    /// Reads the value of `# check=`, which ends at the first space.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of_directive(value: &str) -> Result<Self, CheckOptionError> {
        Self::parse(value.split(' ').next().unwrap_or_default())
    }

    /// Reads the value of the build argument `BUILDKIT_DOCKERFILE_CHECK`.
    ///
    /// # Errors
    /// A key that is not `skip`, `error` or `experimental`.
    pub fn parse(text: &str) -> Result<Self, CheckOptionError> {
        let mut options = Self::default();
        if text.trim().is_empty() {
            return Ok(options);
        }
        for part in text.trim().splitn(MAX_PARTS, ';') {
            let unknown = |option: &str| CheckOptionError::Unknown(option.to_owned());
            let (key, value) = part.split_once('=').ok_or_else(|| unknown(part))?;
            match key.trim() {
                "skip" => options.skip = Selection::parse(value),
                "experimental" => options.experimental = Selection::parse(value),
                "error" => {
                    options.error = boolean(value.trim()).ok_or_else(|| {
                        let (option, value) = (part.to_owned(), value.trim().to_owned());
                        CheckOptionError::NotBoolean { option, value }
                    })?;
                }
                key => return Err(unknown(key)),
            }
        }
        Ok(options)
    }

    /// What the comments of an instruction say, `check=skip=A why not`: the first of them counts.
    /// One that can't be read is a comment like others.
    pub(super) fn of_comments(comments: &[String]) -> Option<Self> {
        let value = comments.iter().find_map(|comment| match directive::split(comment) {
            Some((name, value)) if name == "check" => Some(value),
            _ => None,
        })?;
        Self::of_directive(value).ok()
    }

    /// Whether a finding of `rule` is told; `own` are the options of its instruction, which add to
    /// these.
    pub(super) fn wants(&self, rule: &Rule, own: Option<&Self>) -> bool {
        let any = |of: fn(&Self) -> &Selection| {
            of(self).has(rule.name) || own.is_some_and(|own| of(own).has(rule.name))
        };
        if rule.experimental { any(|options| &options.experimental) } else { !any(|o| &o.skip) }
    }
}

/// As Go's `strconv.ParseBool` has it.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
