//! Variables in a fixed order, and words expanded with them.

use std::borrow::Cow;
use std::collections::HashSet;

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

    /// As [`Self::set`] for each, in one pass: a stage inherits all variables of its base.
    pub(super) fn set_all<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) {
        let names: HashSet<&str> = pairs.clone().map(|(name, _)| name).collect();
        self.variables.retain(|(known, _)| !names.contains(known.as_str()));
        let first = self.variables.len();
        let mut left = names;
        // Of a name that is there twice, the last counts.
        let last: Vec<(&str, &str)> = pairs.collect();
        for (name, value) in last.into_iter().rev().filter(|(name, _)| left.remove(name)) {
            self.variables.push((name.to_owned(), value.to_owned()));
        }
        self.variables[first..].reverse();
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_all_is_setting_one_after_the_other() {
        let before = [("A", "1"), ("B", "2"), ("C", "3")];
        for pairs in [
            &[][..],
            &[("B", "4")][..],
            &[("D", "4"), ("A", "5")][..],
            &[("A", "4"), ("D", "5"), ("A", "6")][..],
        ] {
            let mut all = Environment::default();
            before.iter().for_each(|(name, value)| all.set(name, value));
            let mut each = all.clone();
            all.set_all(pairs.iter().copied());
            pairs.iter().for_each(|(name, value)| each.set(name, value));
            assert_eq!(all, each, "{pairs:?}");
        }
    }
}
