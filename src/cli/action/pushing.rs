//! Whether the image is pushed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cli::args::BuildArgs;
use crate::error::Error;
use crate::github::list::fields;
use crate::http::Clients;
use crate::registry::{Registry, parse_reference};
use crate::request::{BuildRequest, CachePlace, Output, OutputKind, RegistryOptions};

use super::door::Push;
use super::job::Job;

/// Whether the inputs want a push. `auto` is one of branches and tags, where neither `outputs` nor
/// `load` say that the image goes elsewhere; [`settle`] asks the registries whether they allow it.
///
/// # Errors
/// There is no name, though the image must be pushed.
pub fn is_wanted(job: &Job<'_>, push: Push, args: &BuildArgs, loads: bool) -> Result<bool, Error> {
    let kind = |output: &String| {
        let kind = fields(output).into_iter().find(|field| field.starts_with("type="));
        kind.is_some_and(|kind| matches!(kind.as_str(), "type=image" | "type=registry"))
    };
    let nameless = "no rule of the input tags makes a name of this event";
    match push {
        Push::No => Ok(false),
        Push::Yes if args.tags.is_empty() && !job.event.is_from_fork() => {
            Err(Error::usage(format!("input push: the image can't be pushed: {nameless}")))
        }
        Push::Yes => Ok(!args.tags.is_empty()),
        Push::Auto if !job.event.is_of_branch_or_tag() || loads => Ok(false),
        Push::Auto if !args.outputs.is_empty() && !args.outputs.iter().any(kind) => Ok(false),
        Push::Auto if args.tags.is_empty() => {
            job.notice(format!("the image is not pushed: {nameless}"));
            Ok(false)
        }
        Push::Auto => Ok(true),
    }
}

/// An output says itself that it is a push, so that a refusal is a failure.
pub fn is_asked_for(outputs: &[String]) -> bool {
    let pushes = |field: &String| field == "type=registry" || field == "push=true";
    outputs.iter().any(|output| fields(output).iter().any(pushes))
}

/// Takes out of the request what may not be pushed, and says so. Where nobody asked for a push
/// (`by_itself`), a registry may refuse it.
pub fn settle(job: &Job<'_>, by_itself: bool, request: &mut BuildRequest) {
    if job.event.is_from_fork() {
        return keep_from_fork(job, request);
    }
    if !by_itself {
        return;
    }
    let mut asked = BTreeMap::new();
    let denied: Vec<Option<String>> = (request.outputs.iter())
        .map(|output| match &output.kind {
            OutputKind::Registry { names } => denied(&request.registry, names, &mut asked),
            _ => None,
        })
        .collect();
    for repository in denied.iter().flatten().collect::<BTreeSet<_>>() {
        job.notice(format!(
            "the image is not pushed: {repository} does not let us. For ghcr.io add `permissions: \
             packages: write` to the job; for another registry, log in."
        ));
    }
    let mut denied = denied.iter();
    request.outputs.retain(|_| denied.next().is_none_or(Option::is_none));
}

fn is_push(output: &Output) -> bool {
    matches!(output.kind, OutputKind::Registry { .. })
}

/// Nobody may push by sending a pull request, nor make a cache entry that others use.
fn keep_from_fork(job: &Job<'_>, request: &mut BuildRequest) {
    let wanted = request.outputs.len() + request.cache_to.len();
    request.outputs.retain(|output| !is_push(output));
    request.cache_to.retain(|target| !matches!(target.place, CachePlace::Registry(_)));
    if request.outputs.len() + request.cache_to.len() < wanted {
        job.notice("nothing is pushed: the pull request comes from a fork");
    }
}

/// The first of the names whose registry does not let us push; asks each once, and notes in `asked`
/// which do. One that does not answer is no refusal: the push will say what is wrong.
fn denied(
    options: &RegistryOptions,
    names: &[String],
    asked: &mut BTreeMap<String, bool>,
) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let clients = Arc::new(Clients::new(options.ca_certificates.clone()));
    let registry = Registry::new(options.clone(), clients);
    for name in names {
        let Ok(reference) = parse_reference(name) else { continue };
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        let may = asked.entry(repository.clone());
        if !*may.or_insert_with(|| runtime.block_on(registry.may_push(&reference)).unwrap_or(true))
        {
            return Some(repository);
        }
    }
    None
}
