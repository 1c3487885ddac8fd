//! Variables in a fixed order, and words expanded with them.

use std::borrow::Cow;

use crate::dockerfile::expand::{self, Lexer};

use super::PlanErrorKind;

/// Variables in the order in which each was last set, which is the order a RUN gets them in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|(name, _)| name.as_str())
    }

    /// A word with its variables replaced and its quotes removed; what is not set is empty (L-040).
    pub(super) fn expand(&self, lexer: Lexer, word: &str) -> Result<String, PlanErrorKind> {
        Ok(lexer.expand(word, self)?.text)
    }

    pub(super) fn variables(&self) -> &[(String, String)] {
        &self.variables
    }
}

impl expand::Environment for Environment {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(Cow::Borrowed)
    }
}

/// Splits `NAME=value`; a text without `=` is a name with an empty value.
pub(super) fn split(variable: &str) -> (&str, &str) {
    variable.split_once('=').unwrap_or((variable, ""))
}
