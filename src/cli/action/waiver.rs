//! What accepts an image above its limits: a label of the pull request, or a line of the commit.

use crate::github::waiver::trailer;

use super::client::Client;
use super::job::Job;
use super::source;

/// What waives the limits, in words; `None` where nothing does.
pub fn find(job: &Job<'_>, client: Option<&Client>) -> Option<String> {
    labelled(job, client).or_else(|| in_message(job, client))
}

/// Only those who may write to the repository can set a label.
fn labelled(job: &Job<'_>, client: Option<&Client>) -> Option<String> {
    let label = job.inputs.unless_emptied("size-override-label")?;
    let pull = job.event.pull_request.as_ref()?;
    // The event has the labels of its time, and a run that is repeated has the same event.
    let now = client.and_then(|client| {
        let labels = client.ask(async |api| api.labels(pull.number).await);
        labels.inspect_err(|error| job.notice(error.to_string())).ok()
    });
    let labels = now.as_ref().unwrap_or(&pull.labels);
    labels.iter().any(|name| name == label).then(|| format!("the label {label}"))
}

/// The author of a commit in a fork may be anybody.
fn in_message(job: &Job<'_>, client: Option<&Client>) -> Option<String> {
    if job.event.is_from_fork() {
        return None;
    }
    let message = source::message(job, client)?;
    let sha: String = job.event.head_sha().chars().take(7).collect();
    trailer(&message).map(|reason| format!("commit {sha}: {reason}"))
}
