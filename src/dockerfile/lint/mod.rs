//! The build checks (C-01 to C-22): what is right but should be written otherwise.
//!
//! Here is what a check says and which ones are wanted, and those that need the text alone
//! ([`check`]). Those that need what words expand to, or what a base image brings, are the
//! planner's, which reports them to the same [`Findings`].

mod options;
mod problem;
mod text;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

pub use options::{CheckOptionError, CheckOptions};
pub use problem::{Problem, Rule};
pub use text::{check, check_as_read};

use crate::error::Error;

/// A problem and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub problem: Problem,
    /// Counted from one.
    pub lines: RangeInclusive<usize>,
}

/// What the checks found, and what kept them from seeing the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// By line.
    pub findings: Vec<Finding>,
    pub error: Option<Error>,
}

/// What was found, as far as it was wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    options: CheckOptions,
    list: Vec<Finding>,
}

impl Findings {
    #[must_use]
    pub fn new(options: CheckOptions) -> Self {
        Self { options, list: Vec::new() }
    }

    /// Adds a finding, unless its rule is skipped. `comments` are those of the instruction, which
    /// may say `check=skip=…` for it alone (L-015); none for what concerns the file as a whole.
    pub fn add(&mut self, problem: Problem, lines: RangeInclusive<usize>, comments: &[String]) {
        let rule = problem.rule();
        let own = CheckOptions::of_comments(comments);
        if self.options.wants(rule, own.as_ref()) {
            self.list.push(Finding { problem, lines });
        }
    }

    /// Adds what is not there yet. One instruction may have the same finding twice.
    pub fn extend_with_new(&mut self, mut other: Self) {
        other.list.retain(|finding| !self.list.contains(finding));
        self.list.append(&mut other.list);
    }

    /// By line; of one line, in the order found.
    #[must_use]
    pub fn sorted(&self) -> Vec<Finding> {
        let mut list = self.list.clone();
        list.sort_by_key(|finding| *finding.lines.start());
        list
    }

    /// The names of the rules that were violated, where `error=true` makes that a failure.
    #[must_use]
    pub fn violated(&self) -> Option<Vec<&'static str>> {
        let names: BTreeSet<&str> =
            self.list.iter().map(|finding| finding.problem.rule().name).collect();
        (self.options.error && !names.is_empty()).then(|| names.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
