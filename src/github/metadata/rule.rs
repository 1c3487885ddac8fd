//! The `tags` input: typed rules such as `type=semver,pattern={{version}}`.

use std::collections::BTreeMap;

use fancy_regex::{Captures, Regex, RegexBuilder};

use super::MetadataError;
use crate::github::list::fields;

/// One line of the `tags` input.
#[derive(Clone, Debug)]
pub struct TagRule {
    /// As it was written.
    pub(super) text: String,
    pub(super) kind: RuleKind,
    /// `true`, `false`, or an expression that becomes one of them.
    pub(super) enable: String,
    priority: f64,
    /// What is wrong with it, though it applies.
    pub(super) warning: Option<String>,
    /// Instead of the flavor's.
    pub(super) prefix: Option<String>,
    pub(super) suffix: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum RuleKind {
    Schedule {
        pattern: String,
    },
    Semver {
        pattern: String,
        value: String,
        matching: Option<Pattern>,
    },
    Pep440 {
        pattern: String,
        value: String,
        matching: Option<Pattern>,
    },
    Match {
        pattern: Pattern,
        group: usize,
        value: String,
    },
    /// The branch; `None` is the default branch.
    Edge {
        branch: Option<String>,
    },
    Ref(RefEvent),
    Raw {
        value: String,
    },
    Sha {
        long: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefEvent {
    Branch,
    Tag,
    PullRequest,
}

/// A regular expression, and as it was written.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    regex: Regex,
}

impl Pattern {
    /// The first match.
    ///
    /// # Errors
    /// There are too many ways to match.
    pub(super) fn captures<'t>(
        &self,
        text: &'t str,
    ) -> Result<Option<Captures<'t, str>>, MetadataError> {
        self.regex.captures(text).map_err(|error| {
            MetadataError(format!("can't match {} with {text}: {error}", self.text))
        })
    }
}

/// What applies where there is no rule.
const DEFAULT: [&str; 4] =
    ["type=schedule", "type=ref,event=branch", "type=ref,event=tag", "type=ref,event=pr"];

/// Reads one rule a line; the highest priority comes first.
pub(super) fn parse_all(lines: &[String]) -> Result<Vec<TagRule>, MetadataError> {
    let mut rules = if lines.is_empty() {
        DEFAULT.iter().map(|line| parse(line)).collect::<Result<Vec<_>, _>>()?
    } else {
        lines.iter().map(|line| parse(line)).collect::<Result<Vec<_>, _>>()?
    };
    rules.sort_by(|one, other| other.priority.total_cmp(&one.priority));
    Ok(rules)
}

fn parse(line: &str) -> Result<TagRule, MetadataError> {
    let mut attributes = Attributes { line, values: BTreeMap::new() };
    for field in fields(line) {
        match field.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                let key = key.trim().to_ascii_lowercase();
                attributes.values.insert(key, value.trim().to_owned());
            }
            _ => {
                attributes.values.insert("value".to_owned(), field.trim().to_owned());
            }
        }
    }
    let kind = attributes.take("type").unwrap_or_else(|| "raw".to_owned());
    let (kind, priority) = attributes.kind(&kind)?;
    let mut prefix = attributes.take("prefix");
    match kind {
        RuleKind::Ref(RefEvent::PullRequest) => _ = prefix.get_or_insert("pr-".to_owned()),
        RuleKind::Sha { .. } => _ = prefix.get_or_insert("sha-".to_owned()),
        _ => {}
    }
    let given = match attributes.take("priority") {
        None => Ok(f64::from(priority)),
        Some(text) if text.is_empty() => Ok(0.0),
        Some(text) => text.parse().ok().filter(|number: &f64| !number.is_nan()).ok_or(text),
    };
    let warning = given.as_ref().err().map(|text| {
        let what = format!("expected a number as priority but found {text:?}");
        attributes.wrong(format!("{what}: it is {priority}")).to_string()
    });
    Ok(TagRule {
        text: line.to_owned(),
        kind,
        enable: attributes.take("enable").unwrap_or_else(|| "true".to_owned()),
        priority: given.unwrap_or(f64::from(priority)),
        warning,
        prefix,
        suffix: attributes.take("suffix"),
    })
}

struct Attributes<'a> {
    line: &'a str,
    values: BTreeMap<String, String>,
}

impl Attributes<'_> {
    fn take(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    fn need(&mut self, name: &str) -> Result<String, MetadataError> {
        self.take(name).ok_or_else(|| self.wrong(format!("the attribute {name} is missing")))
    }

    fn wrong(&self, what: String) -> MetadataError {
        MetadataError(format!("{what}, in the tag rule {:?}", self.line))
    }

    /// The kind of a rule and the priority that it has unless said.
    fn kind(&mut self, name: &str) -> Result<(RuleKind, i16), MetadataError> {
        Ok(match name {
            "schedule" => {
                let pattern = self.take("pattern").unwrap_or_else(|| "nightly".to_owned());
                (RuleKind::Schedule { pattern }, 1000)
            }
            "semver" | "pep440" => {
                let pattern = self.need("pattern")?;
                let value = self.take("value").unwrap_or_default();
                let matching = match self.take("match").filter(|text| !text.is_empty()) {
                    Some(text) => Some(self.pattern(&text)?),
                    None => None,
                };
                let kind = match name {
                    "semver" => RuleKind::Semver { pattern, value, matching },
                    _ => RuleKind::Pep440 { pattern, value, matching },
                };
                (kind, 900)
            }
            "match" => {
                let text = self.need("pattern")?;
                let pattern = self.pattern(&text)?;
                let group = self.take("group").unwrap_or_else(|| "0".to_owned());
                let group = group.parse().map_err(|_| {
                    self.wrong(format!("expected the number of a group but found {group:?}"))
                })?;
                let value = self.take("value").unwrap_or_default();
                (RuleKind::Match { pattern, group, value }, 800)
            }
            "edge" => {
                let branch = self.take("branch").filter(|branch| !branch.is_empty());
                (RuleKind::Edge { branch }, 700)
            }
            "ref" => {
                let event = self.need("event")?;
                let event = match event.as_str() {
                    "branch" => RefEvent::Branch,
                    "tag" => RefEvent::Tag,
                    "pr" => RefEvent::PullRequest,
                    other => {
                        return Err(self.wrong(format!(
                            "expected event=branch, event=tag or event=pr but found {other:?}"
                        )));
                    }
                };
                (RuleKind::Ref(event), 600)
            }
            "raw" => (RuleKind::Raw { value: self.need("value")? }, 200),
            "sha" => {
                let format = self.take("format").unwrap_or_else(|| "short".to_owned());
                let long = match format.as_str() {
                    "short" => false,
                    "long" => true,
                    other => {
                        return Err(self.wrong(format!(
                            "expected format=short or format=long but found {other:?}"
                        )));
                    }
                };
                (RuleKind::Sha { long }, 100)
            }
            other => return Err(self.wrong(format!("unknown type {other:?}"))),
        })
    }

    /// `/expression/flags`, or the expression alone.
    fn pattern(&self, text: &str) -> Result<Pattern, MetadataError> {
        let parts = text.strip_prefix('/').and_then(|rest| rest.rsplit_once('/'));
        let (expression, flags) = parts.filter(|(e, _)| !e.is_empty()).unwrap_or((text, ""));
        let mut builder = RegexBuilder::new(expression);
        for flag in flags.chars() {
            match flag {
                'i' => _ = builder.case_insensitive(true),
                'm' => _ = builder.multi_line(true),
                's' => _ = builder.dot_matches_new_line(true),
                // One match is all that is looked for, and text is Unicode anyway.
                'g' | 'u' | 'y' => {}
                other => return Err(self.wrong(format!("unknown flag {other:?} of {text}"))),
            }
        }
        let regex = builder.build().map_err(|error| {
            // The last line of the error says what is wrong; the others draw it.
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default();
            self.wrong(format!("{text} is no regular expression: {reason}"))
        })?;
        Ok(Pattern { text: text.to_owned(), regex })
    }
}
