//! Instructions → graph of stages and steps for one target and one platform, and the steps' keys.
//! **Pure.**
//!
//! A plan needs the configurations of base images, so [`plan()`] is called twice around one fetch:
//! first it says what it [needs](Planned::Needs), then it is [ready](Planned::Ready).

mod args;
mod config;
mod copy;
mod environment;
mod error;
mod graph;
mod history;
mod ingredients;
mod key;
mod lint;
mod mounts;
mod outline;
mod path;
mod ports;
mod reference;
mod run;
mod signal;
mod stages;
mod steps;
#[cfg(test)]
mod tests;
mod title;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::dockerfile::expand::Lexer;
use crate::dockerfile::lint::{self as checks, CheckOptions, Findings};
use crate::dockerfile::{Dockerfile, frontend};
use crate::ignore::Patterns;
use crate::image::ImageConfig;
use crate::platform::Platform;
use crate::request::NoCache;
pub use crate::request::{Entitlements, Network, Security};

pub use args::{SourceDateEpoch, is_proxy, source_date_epoch};
pub use error::{PlanError, PlanErrorKind};
pub use graph::*;
pub use ingredients::{History, Ingredient, NewStep, ingredients};
pub use key::{
    ContentKey, DefinitionKey, Input, base_key, context_key, image_key, layer_key, link_key,
    run_content, run_key, scratch_key, step_key,
};

/// What a plan depends on besides the Dockerfile and its base images.
#[derive(Clone, Copy, Debug)]
pub struct PlanRequest<'a> {
    /// The stage to build, in any case; the last one unless said.
    pub target: Option<&'a str>,
    pub build_args: &'a BTreeMap<String, String>,
    /// Of the result.
    pub platform: &'a Platform,
    /// The user asked for `platform`, so that the result says it even where its base says another.
    pub explicit_platform: bool,
    /// Of the machine that builds.
    pub build_platform: &'a Platform,
    /// Named contexts as given, `NAME` or `NAME::PLATFORM`.
    pub contexts: &'a BTreeMap<String, ContextShape>,
    /// `--label`, which overrides the file's (L-161).
    pub labels: &'a BTreeMap<String, String>,
    /// Labels that give way to a `LABEL` of the target or a stage below it, not to those of its base
    /// image.
    pub default_labels: &'a BTreeMap<String, String>,
    pub no_cache: &'a NoCache,
    /// Of a RUN that doesn't say (L-113).
    pub network: Network,
    pub entitlements: Entitlements,
    /// The names of `--add-host`.
    pub hosts: &'a [String],
    /// What of the main context is ignored, for the checks.
    pub ignore: &'a Patterns,
    /// There are several results, so that titles say of which platform a stage is.
    pub shows_platform: bool,
    /// Plan what the target does not need, too: a check is of the whole file.
    pub all_stages: bool,
}

/// What a named context turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextShape {
    Directory,
    Image,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Planned {
    /// The configurations of these images have to be known first. There may be more after them,
    /// since a base's `ONBUILD` can ask for images.
    Needs(Vec<ImageRequest>),
    Ready(Box<Plan>),
}

/// What the checks found in `file`, the part of a Dockerfile that stands before its first mistake.
#[must_use]
pub fn findings_as_read(file: &Dockerfile, build_args: &BTreeMap<String, String>) -> Findings {
    // Wrong options are a mistake, too, but not the one that is told.
    let mut findings = Findings::new(check_options(file, build_args).unwrap_or_default());
    checks::check_as_read(file, &mut findings);
    findings
}

/// Plans the target's stages, with the configurations of `images` where they are known. `findings`
/// becomes what the checks found in this call, also where it fails.
///
/// # Errors
/// A mistake in the Dockerfile that is no matter of syntax, a target that isn't there, a part of
/// the language that is not supported, or a finding where `error=true` forbids any.
pub fn plan(
    file: &Dockerfile,
    request: &PlanRequest<'_>,
    images: &BTreeMap<ImageKey, ImageConfig>,
    findings: &mut Findings,
) -> Result<Planned, PlanError> {
    refuse_foreign_frontend(file, request)?;
    *findings = Findings::new(check_options(file, request.build_args)?);
    checks::check(file, findings);
    lint::default_bases(file, request, findings);
    let globals = args::global(file, request, request.build_args)?;
    let mut graph = stages::Graph::new(file, request, &globals, findings)?;
    let target = graph.target()?;
    let needed = loop {
        let needed = match request.all_stages {
            true => (0..graph.nodes.len()).collect(),
            false => graph.reachable(target),
        };
        let mut more = false;
        for &stage in &needed {
            more |= graph.trigger(stage, images)?;
        }
        if !more {
            break needed;
        }
    };
    let missing = graph.missing(&needed, images);
    if !missing.is_empty() {
        return Ok(Planned::Needs(missing));
    }

    let proxies = args::proxies(request.build_args);
    let lexer = Lexer::new(file.directives.escape);
    let problems = RefCell::default();
    let scope = config::Scope { request, globals: &globals, proxies: &proxies, lexer, problems };
    let mut planner = steps::Planner::new(scope, &graph, images, findings);
    for &stage in &needed {
        planner.stage(stage)?;
    }
    let labels = labels(request, planner.labeled(needed.last()));
    let steps::Planner { mut stages, requests, parts, .. } = planner;
    if let Some(rules) = findings.violated() {
        return Err(PlanError { kind: PlanErrorKind::Lint(rules.join(", ")), lines: Vec::new() });
    }
    if let Some(stage) = stages.last_mut() {
        finish(&mut stage.config, request, &labels);
    }
    let triggers = graph.nodes.iter().flat_map(|node| &node.commands);
    let triggers = triggers.filter(|command| command.triggered).map(|c| &c.instruction.kind);
    Ok(Planned::Ready(Box::new(Plan {
        target: StageId(stages.len() - 1),
        stages,
        images: requests,
        platform: request.platform.clone(),
        labels,
        unused_args: args::unused(file, triggers, request.build_args),
        outline: outline::outline(target, file, request, &graph, &parts),
    })))
}

/// Those that the request gives to the result, where a `LABEL` stood for each of `set`.
fn labels(request: &PlanRequest<'_>, set: Option<&BTreeSet<String>>) -> BTreeMap<String, String> {
    let is_free = |name: &String| !set.is_some_and(|set| set.contains(name));
    let defaults = request.default_labels.iter().filter(|(name, _)| is_free(name));
    let all = defaults.chain(request.labels);
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What concerns the result only: labels and the platform.
fn finish(image: &mut ImageConfig, request: &PlanRequest<'_>, labels: &BTreeMap<String, String>) {
    if !labels.is_empty() {
        image.config.labels.get_or_insert_default().extend(labels.clone());
    }
    if request.explicit_platform {
        image.platform = request.platform.clone();
    }
}

/// The build argument has the last word (L-015).
fn check_options(
    file: &Dockerfile,
    build_args: &BTreeMap<String, String>,
) -> Result<CheckOptions, PlanError> {
    let argument = build_args.get("BUILDKIT_DOCKERFILE_CHECK");
    let (options, of) = match (argument, &file.directives.check) {
        (Some(value), _) => (CheckOptions::parse(value), "build-arg:BUILDKIT_DOCKERFILE_CHECK"),
        (None, Some(word)) => (CheckOptions::of_directive(&word.text), "check options"),
        (None, None) => return Ok(CheckOptions::default()),
    };
    options.map_err(|reason| PlanError {
        kind: PlanErrorKind::CheckOptions { of, reason },
        lines: Vec::new(),
    })
}

/// No frontend is ever pulled; `BUILDKIT_SYNTAX` is judged as `# syntax=` is (L-013).
fn refuse_foreign_frontend(file: &Dockerfile, request: &PlanRequest<'_>) -> Result<(), PlanError> {
    let directive = file.directives.syntax.as_ref();
    let (value, lines) = match (request.build_args.get("BUILDKIT_SYNTAX"), directive) {
        (Some(value), _) => (value, Vec::new()),
        (None, Some(word)) => (&word.text, vec![Lines { first: 1, last: 1 }]),
        (None, None) => return Ok(()),
    };
    match frontend(value) {
        Ok(_) => Ok(()),
        Err(error) => Err(PlanError { kind: error.into(), lines }),
    }
}
