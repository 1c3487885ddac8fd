//! Words and variables: quotes, escapes, `$name` and `${name…}` (L-030 to L-040).
//!
//! What a variable means is the caller's business ([`Environment`]); what was used without being
//! defined is part of the answer, for the checks.

mod environment;
mod lexer;
mod pattern;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use environment::Environment;

/// Expands words of one Dockerfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lexer {
    /// `\`, or a backtick by `# escape=` (L-014).
    pub escape: char,
}

/// A word after expansion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    pub text: String,
    /// Names that were used and have no value, each once, in order of use.
    pub undefined: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("failed to process {word:?}: {kind}")]
pub struct ExpandError {
    pub word: String,
    pub kind: ExpandErrorKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExpandErrorKind {
    #[error("unexpected end of statement while looking for matching single-quote")]
    SingleQuote,
    #[error("unexpected end of statement while looking for matching double-quote")]
    DoubleQuote,
    #[error("syntax error: missing '}}'")]
    MissingBrace,
    #[error("syntax error: missing '/' in ${{}}")]
    MissingSlash,
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    #[error("unsupported modifier ({0}) in substitution")]
    UnsupportedModifier(String),
    /// `${name?message}` (L-032).
    #[error("{name}: {message}")]
    Required { name: String, message: String },
    #[error("invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'")]
    InvalidEscape { pattern: String, escaped: String },
    #[error("substitutions are nested more than {limit} deep")]
    TooDeep { limit: usize },
    #[error("the value is longer than {limit} bytes")]
    TooLong { limit: usize },
}

impl Lexer {
    #[must_use]
    pub fn new(escape: char) -> Self {
        Self { escape }
    }

    /// One word: variables are replaced, quotes and escapes removed; spaces stay.
    ///
    /// # Errors
    /// An unbalanced quote, or a substitution that can't be read or refuses its value.
    pub fn expand(&self, word: &str, env: &dyn Environment) -> Result<Expanded, ExpandError> {
        lexer::run(word, self.escape, lexer::Quotes::Remove, env).map(|output| output.expanded)
    }

    /// As [`Self::expand`], then split at spaces that were not quoted, values of variables included.
    ///
    /// # Errors
    /// As [`Self::expand`].
    pub fn words(&self, text: &str, env: &dyn Environment) -> Result<Vec<String>, ExpandError> {
        lexer::run(text, self.escape, lexer::Quotes::Remove, env).map(|output| output.words)
    }

    /// The body of a heredoc: quotes are ordinary characters, and `\` escapes whatever
    /// `# escape=` says (L-039).
    ///
    /// # Errors
    /// As [`Self::expand`], quotes aside.
    pub fn heredoc(&self, body: &str, env: &dyn Environment) -> Result<Expanded, ExpandError> {
        lexer::run(body, '\\', lexer::Quotes::Keep, env).map(|output| output.expanded)
    }
}

impl Default for Lexer {
    fn default() -> Self {
        Self::new('\\')
    }
}
