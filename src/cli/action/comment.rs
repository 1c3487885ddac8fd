//! The report on the pull request: the comment, and the check on the commit.

use crate::error::Error;
use crate::github::api::{ApiError, BODY_LIMIT, Conclusion, Posted};
use crate::github::inputs::Inputs;
use crate::report::{self, SizeReport};
use crate::weight::budget::{Status, Verdict};

use super::client::Client;
use super::job::Job;
use super::publish::is_quiet;

/// The `comment` input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Folded where nothing changed.
    Auto,
    /// Whole, and from pushes to the branch of a pull request too.
    Always,
    /// Only while sizes differ: else there is none.
    Changed,
    Never,
}

impl Mode {
    pub fn of(inputs: &Inputs) -> Result<Self, Error> {
        let modes = [
            ("auto", Self::Auto),
            ("always", Self::Always),
            ("changed", Self::Changed),
            ("never", Self::Never),
        ];
        Ok(inputs.choice("comment", &modes)?)
    }
}

/// The first line of a comment, by which it is found again.
pub fn marker(key: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._/:-".contains(c);
    let key: String = key.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    format!("<!-- plimsoll:{key} -->")
}

/// What the comment says; `None` where there shall be none.
pub fn body(reports: &[SizeReport<'_>], marker: &str, mode: Mode, note: &str) -> Option<String> {
    let room = BODY_LIMIT.saturating_sub(marker.len() + note.len() + 2);
    let text = match (mode, reports.iter().all(is_quiet)) {
        (Mode::Never, _) | (Mode::Changed, true) => return None,
        (Mode::Auto, true) => report::sections(reports, room, report::folded_markdown),
        (Mode::Auto | Mode::Always | Mode::Changed, _) => {
            report::sections(reports, room, report::markdown)
        }
    };
    Some(format!("{marker}\n{text}{note}"))
}

/// The pull request that the report belongs to.
pub fn pull(job: &Job<'_>, client: &Client, mode: Mode) -> Option<u64> {
    if let Some(pull) = &job.event.pull_request {
        return Some(pull.number);
    }
    job.event.branch().filter(|_| mode == Mode::Always && job.event.name == "push")?;
    let sha = &job.event.sha;
    match client.ask(async |api| api.pulls_of(sha).await) {
        Ok(pulls) => {
            let is_ours = |pull: &&crate::github::api::OpenPull| {
                pull.state == "open" && pull.head.sha == *sha
            };
            pulls.iter().find(is_ours).map(|pull| pull.number)
        }
        Err(error) => {
            job.notice(error.to_string());
            None
        }
    }
}

/// Puts the comment, or takes it away where `body` is `None`: its address.
pub fn post(
    job: &Job<'_>,
    client: &Client,
    pull: u64,
    marker: &str,
    body: Option<&str>,
) -> Option<String> {
    let posted = client.ask(async |api| match body {
        Some(body) => api.put_comment(pull, marker, body).await,
        None => api.remove_comment(pull, marker).await,
    });
    match posted {
        Ok(Posted::Created { url } | Posted::Updated { url } | Posted::Unchanged { url }) => {
            Some(url)
        }
        Ok(Posted::Removed | Posted::Nothing) => None,
        Err(error) => {
            job.notice(format!("no comment on the pull request: {}", explained(&error, job)));
            None
        }
    }
}

/// The error, and what to do about it.
fn explained(error: &ApiError, job: &Job<'_>) -> String {
    let advice = match error {
        ApiError::Denied { status: 401, .. } => "The token is wrong or has expired.",
        ApiError::Denied { .. } if job.event.is_from_fork() => {
            "A pull request from a fork has a token that only reads. The report is in the summary of \
             the job, and a workflow on `workflow_run` can comment with it: see \"Forks\" in the \
             action's guide."
        }
        ApiError::Denied { .. } => {
            "Add `permissions: pull-requests: write` to the job. The report is in its summary."
        }
        _ => "The report is in the summary of the job.",
    };
    format!("{error}. {advice}")
}

/// Says on the commit whether the image keeps its limits, where the token may.
pub fn check(job: &Job<'_>, client: &Client, key: &str, verdict: &Verdict, summary: &str) {
    let (conclusion, title) = match verdict.status {
        Status::Pass => (Conclusion::Success, "The image is within its limits"),
        Status::Warn => (Conclusion::Neutral, "The image is above its limits, which only warn"),
        Status::Waived => (Conclusion::Neutral, "The image is above its limits, which is accepted"),
        Status::Fail => (Conclusion::Failure, "The image is above its limits"),
    };
    let name = format!("image size: {key}");
    let sha = job.event.head_sha();
    let made =
        client.ask(async |api| api.create_check(&name, sha, conclusion, title, summary).await);
    match made {
        // Nobody has to allow it: the verdict is in the log, and in the exit code.
        Ok(()) | Err(ApiError::Denied { .. }) => {}
        Err(error) => job.notice(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_stays_one_comment_of_html() {
        assert_eq!(marker("ghcr.io/acme/boat"), "<!-- plimsoll:ghcr.io/acme/boat -->");
        assert_eq!(marker("a --> <b>\n"), "<!-- plimsoll:a------b-- -->");
    }
}
