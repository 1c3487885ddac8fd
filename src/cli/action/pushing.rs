//! Whether the image is pushed.

use std::sync::Arc;

use crate::cli::args::BuildArgs;
use crate::github::list::fields;
use crate::http::Clients;
use crate::registry::{Registry, parse_reference};
use crate::request::{BuildRequest, CachePlace, Output, OutputKind};

use super::door::Push;
use super::job::Job;

/// Whether the inputs want a push. `auto` is one of branches and tags, where the image has a name and
/// neither `outputs` nor `load` say that it goes elsewhere; [`settle`] asks the registries whether they allow it.
pub fn is_wanted(job: &Job<'_>, push: Push, args: &BuildArgs, loads: bool) -> bool {
    let kind = |output: &String| {
        let kind = fields(output).into_iter().find(|field| field.starts_with("type="));
        kind.is_some_and(|kind| matches!(kind.as_str(), "type=image" | "type=registry"))
    };
    match push {
        Push::No => false,
        Push::Yes => true,
        Push::Auto => {
            job.event.is_of_branch_or_tag()
                && !args.tags.is_empty()
                && !loads
                && (args.outputs.is_empty() || args.outputs.iter().any(kind))
        }
    }
}

/// Takes out of the request what may not be pushed, and says so.
pub fn settle(job: &Job<'_>, push: Push, request: &mut BuildRequest) {
    if job.event.is_from_fork() {
        return keep_from_fork(job, request);
    }
    if push != Push::Auto || !job.event.is_of_branch_or_tag() {
        return;
    }
    if let Some(repository) = denied(request) {
        job.notice(format!(
            "the image is not pushed: {repository} does not let us. For ghcr.io add `permissions: \
             packages: write` to the job; for another registry, log in."
        ));
        request.outputs.retain(|output| !is_push(output));
    }
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

/// The first of the names whose registry does not let us push; asks each once. One that does not
/// answer is no refusal: the push will say what is wrong.
fn denied(request: &BuildRequest) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let clients = Arc::new(Clients::new(request.registry.ca_certificates.clone()));
    let registry = Registry::new(request.registry.clone(), clients);
    let mut asked = Vec::new();
    for name in &request.tags {
        let Ok(reference) = parse_reference(name) else { continue };
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        if asked.contains(&repository) {
            continue;
        }
        if let Ok(false) = runtime.block_on(registry.may_push(&reference)) {
            return Some(repository);
        }
        asked.push(repository);
    }
    None
}
