//! Tags and labels of an image from the event that started the workflow, by the rules of
//! metadata-action: its `images`, `tags`, `flavor`, `labels` and `annotations` inputs mean the same.

mod date;
mod flavor;
mod image;
mod rule;
mod template;
mod version;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::list::{ListRules, list};
pub use flavor::Flavor;
pub use image::Image;
pub use rule::TagRule;
use rule::{RefEvent, RuleKind};
use template::{Template, render};
use version::{pep440, semver};

/// What can be wrong with the inputs; the text names the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MetadataError(pub String);

/// The inputs, read.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub images: Vec<Image>,
    pub tags: Vec<TagRule>,
    pub flavor: Flavor,
    /// `name=value`, with expressions.
    pub labels: Vec<String>,
    /// Likewise.
    pub annotations: Vec<String>,
    /// Instead of the first tag.
    pub version: Option<String>,
    /// What the event gives is left out where it is empty.
    pub no_empty: bool,
}

impl Rules {
    /// Reads the inputs, each a text of one rule a line. Without tag rules there are those for a
    /// schedule, a branch, a tag and a pull request.
    pub fn parse(
        images: &str,
        tags: &str,
        flavor: &str,
        labels: &str,
        annotations: &str,
    ) -> Result<Self, MetadataError> {
        let lines = |text| list(text, ListRules::COMMENTED);
        let images = self::images(images)?;
        let texts = |text| list(text, ListRules { records: false, ..ListRules::COMMENTED });
        Ok(Self {
            images,
            tags: rule::parse_all(&lines(tags))?,
            flavor: Flavor::parse(&lines(flavor))?,
            labels: texts(labels),
            annotations: texts(annotations),
            version: None,
            no_empty: false,
        })
    }
}

/// Reads the `images` input.
pub fn images(text: &str) -> Result<Vec<Image>, MetadataError> {
    image::parse_all(&list(text, ListRules::COMMENTED))
}

/// What is known of the event, the commit and the repository.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `GITHUB_EVENT_NAME`, such as `push`.
    pub event: String,
    /// The whole ref: `refs/heads/…`, `refs/tags/…` or `refs/pull/N/merge`.
    pub git_ref: String,
    pub sha: String,
    /// How many characters of the commit a short one has.
    pub short_sha: usize,
    /// The branch that a pull request goes to, or that a tag was made from, where the event says it.
    pub base_ref: Option<String>,
    pub default_branch: String,
    pub repository: Repository,
    pub now: Timestamp,
    /// When the commit was made, where it is known.
    pub committed: Option<Timestamp>,
}

/// What labels say of a repository; empty where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repository {
    pub name: String,
    pub description: String,
    pub url: String,
    /// An SPDX identifier.
    pub license: String,
}

/// What an image is called, and what it says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The first tag by priority, unless the rules say another.
    pub version: Option<String>,
    /// `image:tag` for each image and tag.
    pub tags: Vec<String>,
    /// The tags alone.
    pub tag_names: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// The names of those labels that the event gives, and no input.
    pub derived: BTreeSet<String>,
    pub annotations: BTreeMap<String, String>,
    /// Rules that could not be applied, such as a tag that is no version.
    pub warnings: Vec<String>,
}

/// Applies the rules to an event.
pub fn metadata(rules: &Rules, facts: &Facts) -> Result<Metadata, MetadataError> {
    let warnings = rules.tags.iter().filter_map(|rule| rule.warning.clone()).collect();
    let mut tagging = Tagging { rules, facts, found: Vec::new(), latest: None, warnings };
    for rule in &rules.tags {
        tagging.apply(rule)?;
    }
    let Tagging { found, latest, warnings, .. } = tagging;
    let mut tag_names = found;
    let version = rules.version.clone().or_else(|| tag_names.first().cloned());
    if !tag_names.is_empty() && latest == Some(true) {
        tag_names.push(sanitized(&rules.flavor.latest_tag()));
    }
    let names: Vec<String> =
        rules.images.iter().filter(|i| i.enable).map(|i| i.name.to_lowercase()).collect();
    let tags = if names.is_empty() {
        tag_names.clone()
    } else {
        names.iter().flat_map(|name| tag_names.iter().map(move |t| format!("{name}:{t}"))).collect()
    };
    let mut derived = derived(facts, version.as_deref());
    derived.retain(|_, value| !rules.no_empty || !value.is_empty());
    let pair = |line: &String| {
        let line = expand_label(line, facts);
        let (name, value) = line.split_once('=').ok_or_else(|| line.clone())?;
        Ok((name.to_owned(), value.to_owned()))
    };
    // A label without a value is empty, as with `docker build --label`.
    let labels = rules.labels.iter().map(|line| pair(line).unwrap_or_else(|n| (n, String::new())));
    let labels: BTreeMap<String, String> = labels.collect();
    let annotations = rules.annotations.iter().filter_map(|line| pair(line).ok()).collect();
    let names = derived.keys().filter(|name| !labels.contains_key(*name)).cloned().collect();
    let with = |given| derived.clone().into_iter().chain(given).collect();
    Ok(Metadata {
        labels: with(labels),
        annotations: with(annotations),
        derived: names,
        tags,
        tag_names,
        version,
        warnings,
    })
}

struct Tagging<'a> {
    rules: &'a Rules,
    facts: &'a Facts,
    /// In order of priority, none twice.
    found: Vec<String>,
    /// Whether there is a `latest`: what the first rule that applied says.
    latest: Option<bool>,
    warnings: Vec<String>,
}

impl Tagging<'_> {
    fn apply(&mut self, rule: &TagRule) -> Result<(), MetadataError> {
        let enabled = expand(&rule.enable, self.facts)?;
        match enabled.as_str() {
            "true" => {}
            "false" => return Ok(()),
            other => {
                return Err(MetadataError(format!(
                    "expected enable=true or enable=false but found enable={other}, in {:?}",
                    rule.text
                )));
            }
        }
        let Some((value, latest)) = self.value(rule)? else { return Ok(()) };
        let prefix = rule.prefix.as_ref().unwrap_or(&self.rules.flavor.prefix);
        let suffix = rule.suffix.as_ref().unwrap_or(&self.rules.flavor.suffix);
        let (prefix, suffix) = (expand(prefix, self.facts)?, expand(suffix, self.facts)?);
        let tag = sanitized(&format!("{prefix}{value}{suffix}"));
        if tag.is_empty() {
            return Ok(());
        }
        if !self.found.contains(&tag) {
            self.found.push(tag);
        }
        self.latest.get_or_insert(self.rules.flavor.latest.unwrap_or(latest));
        Ok(())
    }

    /// The tag that a rule gives to this event, and whether such a tag makes it the latest.
    fn value(&mut self, rule: &TagRule) -> Result<Option<(String, bool)>, MetadataError> {
        let facts = self.facts;
        let of = |prefix: &str| facts.git_ref.strip_prefix(prefix).map(str::to_owned);
        let plain = |value: String| Some((value, false));
        Ok(match &rule.kind {
            RuleKind::Schedule { pattern } => {
                if !facts.event.contains("schedule") {
                    return Ok(None);
                }
                plain(expand(pattern, facts)?)
            }
            RuleKind::Semver { pattern, value, matching }
            | RuleKind::Pep440 { pattern, value, matching } => {
                let Some(raw) = self.version_text(value)? else { return Ok(None) };
                let raw = self.matched(raw, matching)?.replace('/', "-");
                return match rule.kind {
                    RuleKind::Semver { .. } => self.semver(&raw, pattern),
                    _ => self.pep440(&raw, pattern),
                };
            }
            RuleKind::Match { pattern, group, value } => {
                let Some(raw) = self.version_text(value)? else { return Ok(None) };
                let Some(found) = pattern.captures(&raw)? else {
                    self.warnings.push(format!("{} does not match {raw}", pattern.text));
                    return Ok(None);
                };
                let Some(found) = found.get(*group) else {
                    let text = &pattern.text;
                    self.warnings.push(format!("{text} has no group {group} for {raw}"));
                    return Ok(None);
                };
                Some((found.as_str().to_owned(), true))
            }
            RuleKind::Edge { branch } => {
                let wanted = branch.as_ref().unwrap_or(&facts.default_branch);
                of("refs/heads/").filter(|b| b == wanted).and_then(|_| plain("edge".to_owned()))
            }
            RuleKind::Ref(RefEvent::Branch) => of("refs/heads/").and_then(plain),
            RuleKind::Ref(RefEvent::Tag) => of("refs/tags/").map(|tag| (tag, true)),
            RuleKind::Ref(RefEvent::PullRequest) => of("refs/pull/").and_then(|rest| {
                plain(rest.strip_suffix("/merge").map_or(rest.clone(), str::to_owned))
            }),
            RuleKind::Raw { value } => {
                let value = expand(value, facts)?;
                // Nothing but a prefix is no tag.
                plain(value)
            }
            RuleKind::Sha { long } => {
                let sha = if *long { &facts.sha } else { short(facts) };
                if sha.is_empty() { None } else { plain(sha.to_owned()) }
            }
        })
    }

    /// What a version is read from: the rule's own value, else the Git tag.
    fn version_text(&self, value: &str) -> Result<Option<String>, MetadataError> {
        if !value.is_empty() {
            return Ok(Some(expand(value, self.facts)?));
        }
        Ok(self.facts.git_ref.strip_prefix("refs/tags/").map(str::to_owned))
    }

    /// The first group of `match=`, where the rule has it and it matches.
    fn matched(
        &mut self,
        raw: String,
        matching: &Option<rule::Pattern>,
    ) -> Result<String, MetadataError> {
        let Some(pattern) = matching else { return Ok(raw) };
        match pattern.captures(&raw)?.map(|found| found.get(1).map(|g| g.as_str().to_owned())) {
            Some(Some(group)) => Ok(group),
            Some(None) => Err(MetadataError(format!(
                "match={} has no group for what it matches: put the version in parentheses",
                pattern.text
            ))),
            None => {
                self.warnings.push(format!("{} does not match {raw}", pattern.text));
                Ok(raw)
            }
        }
    }

    fn semver(
        &mut self,
        raw: &str,
        pattern: &str,
    ) -> Result<Option<(String, bool)>, MetadataError> {
        let Some(version) = semver(raw) else {
            self.warnings.push(format!("{raw} is no semantic version (semver.org)"));
            return Ok(None);
        };
        // A pre-release must not move `1` or `1.2`.
        let pattern = match version.prerelease.is_empty() || is_raw(pattern)? {
            true => pattern,
            false => "{{version}}",
        };
        let value = render(pattern, &mut |template| {
            Ok(match template.name {
                "raw" => Some(raw.trim().to_owned()),
                "version" => Some(version.version.clone()),
                "major" => Some(version.major.to_string()),
                "minor" => Some(version.minor.to_string()),
                "patch" => Some(version.patch.to_string()),
                "prerelease" => Some(version.prerelease.replace('.', ",")),
                "build" => Some(version.build.replace('.', ",")),
                _ => None,
            })
        })?;
        Ok(Some((value, version.prerelease.is_empty())))
    }

    fn pep440(
        &mut self,
        raw: &str,
        pattern: &str,
    ) -> Result<Option<(String, bool)>, MetadataError> {
        let Some(version) = pep440(raw) else {
            self.warnings.push(format!("{raw} is no version as PEP 440 has it"));
            return Ok(None);
        };
        let pattern = match version.is_final || is_raw(pattern)? {
            true => pattern,
            false => "{{version}}",
        };
        let value = render(pattern, &mut |template| {
            let part =
                |index: usize| Some(version.release.get(index).map_or("0", |p| p).to_owned());
            Ok(match template.name {
                "raw" => Some(raw.to_owned()),
                "version" => Some(version.normalized.clone()),
                "major" => part(0),
                "minor" => part(1),
                "patch" => part(2),
                _ => None,
            })
        })?;
        Ok(Some((value, version.is_final)))
    }
}

fn is_raw(pattern: &str) -> Result<bool, MetadataError> {
    let mut names = Vec::new();
    let rest = render(pattern, &mut |template| {
        names.push(template.name.to_owned());
        Ok(Some(String::new()))
    })?;
    Ok(rest.is_empty() && names == ["raw"])
}

fn short(facts: &Facts) -> &str {
    facts.sha.get(..facts.short_sha).unwrap_or(&facts.sha)
}

/// The text with the expressions that every rule, label and annotation may have.
fn expand(text: &str, facts: &Facts) -> Result<String, MetadataError> {
    render(text, &mut |template| global(template, facts))
}

/// A label may hold the template of another program: one with an expression that is not ours stays as
/// it is.
fn expand_label(text: &str, facts: &Facts) -> String {
    let unknown = || MetadataError(String::new());
    let expanded = render(text, &mut |template| match global(template, facts)? {
        None => Err(unknown()),
        value => Ok(value),
    });
    expanded.unwrap_or_else(|_| text.to_owned())
}

fn global(template: &Template<'_>, facts: &Facts) -> Result<Option<String>, MetadataError> {
    let of = |prefix: &str| facts.git_ref.strip_prefix(prefix).unwrap_or_default().to_owned();
    let moment = |at| date::format(at, template).map(Some);
    match template.name {
        "branch" => Ok(Some(of("refs/heads/"))),
        "tag" => Ok(Some(of("refs/tags/"))),
        "sha" => Ok(Some(short(facts).to_owned())),
        "base_ref" => Ok(Some(facts.base_ref.clone().unwrap_or_default())),
        "is_default_branch" => Ok(Some(is_default_branch(facts).to_string())),
        "is_not_default_branch" => Ok(Some((!is_default_branch(facts)).to_string())),
        "date" => moment(facts.now),
        "commit_date" => moment(facts.committed.unwrap_or(facts.now)),
        _ => Ok(None),
    }
}

fn is_default_branch(facts: &Facts) -> bool {
    let branch = facts.git_ref.strip_prefix("refs/heads/").unwrap_or(&facts.git_ref);
    // These events run on the last commit of the default branch.
    let of_default = ["create", "discussion", "issues", "schedule"];
    !branch.is_empty()
        && (branch == facts.default_branch
            || of_default.iter().any(|event| facts.event.contains(event)))
}

/// A tag has letters, digits, `.`, `_` and `-`, at most 128 of them, and the first is no `.` or `-`
/// (distribution-spec).
fn sanitized(tag: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut clean = String::with_capacity(tag.len());
    let mut replaced = false;
    for c in tag.chars() {
        if allowed(c) {
            clean.push(c);
        } else if !replaced {
            clean.push('-');
        }
        replaced = !allowed(c);
    }
    let clean = clean.trim_start_matches(['.', '-']);
    clean[..clean.len().min(128)].to_owned()
}

/// The labels of the OCI image-spec (annotations.md) that the event gives.
fn derived(facts: &Facts, version: Option<&str>) -> BTreeMap<String, String> {
    let repository = &facts.repository;
    // The commit's time, not the clock's: the same commit gives the same image.
    let created = facts.committed.unwrap_or(facts.now).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let own = [
        ("title", repository.name.as_str()),
        ("description", &repository.description),
        ("url", &repository.url),
        ("source", &repository.url),
        ("version", version.unwrap_or_default()),
        ("created", &created),
        ("revision", &facts.sha),
        ("licenses", &repository.license),
    ];
    let named = |(name, value): (&str, &str)| {
        (format!("org.opencontainers.image.{name}"), value.to_owned())
    };
    own.into_iter().map(named).collect()
}
