//! Whether the image is pushed.

use std::sync::Arc;

use crate::http::Clients;
use crate::registry::{Registry, parse_reference};
use crate::request::{BuildRequest, CachePlace, OutputKind};

use super::door::Push;
use super::job::Job;

/// Whether the inputs want a push. `auto` is one of branches and tags; whether the registries allow it
/// is for [`denied`].
pub fn is_wanted(job: &Job<'_>, push: Push) -> bool {
    match push {
        Push::No => false,
        Push::Yes => true,
        Push::Auto => job.event.is_of_branch_or_tag(),
    }
}

/// Nobody may push by sending a pull request: takes what the inputs want out of the request, and
/// says so.
pub fn keep_from_fork(job: &Job<'_>, request: &mut BuildRequest) {
    let wanted = request.outputs.len() + request.cache_to.len();
    request.outputs.retain(|output| !matches!(output.kind, OutputKind::Registry { .. }));
    request.cache_to.retain(|target| !matches!(target.place, CachePlace::Registry(_)));
    if request.outputs.len() + request.cache_to.len() < wanted {
        job.notice("nothing is pushed: the pull request comes from a fork");
    }
}

/// The first of the names whose registry does not let us push; asks each once. One that does not
/// answer is no refusal: the push will say what is wrong.
pub fn denied(request: &BuildRequest) -> Option<String> {
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
