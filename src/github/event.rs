//! The event that started the workflow: what the runner says in variables, and the webhook's payload.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::api::About;
use super::metadata::Repository;

/// The environment of a step, as values.
pub type Variables = BTreeMap<String, String>;

/// Why a step can't tell what it is run for.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error("{0} is not set: this command is for a step of GitHub Actions")]
    Missing(&'static str),
    #[error("the event in GITHUB_EVENT_PATH can't be read: {0}")]
    Payload(#[from] serde_json::Error),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `GITHUB_EVENT_NAME`, such as `push`.
    pub name: String,
    /// What happened to the thing, such as `synchronize`; empty where the event has none.
    pub action: String,
    /// `OWNER/NAME`
    pub repository: String,
    /// The whole ref; empty where the event has none. That of `pull_request_target` is the pull request's, not the base's.
    pub git_ref: String,
    pub sha: String,
    pub actor: String,
    /// `https://github.com`, or another installation.
    pub server: String,
    /// Where the run can be looked at.
    pub run_url: String,
    pub about: Repository,
    pub default_branch: String,
    /// The branch that a tag was made from or that a pull request goes to, where the event says it.
    /// The push of a branch may say where that began; it is not what metadata-action means.
    pub base_ref: Option<String>,
    /// When `sha` was made, where the event says it.
    pub committed: Option<Timestamp>,
    pub pull_request: Option<PullRequest>,
    /// The run whose end is the event.
    pub workflow_run: Option<WorkflowRun>,
    /// What the commit of a push says.
    pub message: Option<String>,
    /// The commit that a push replaced.
    pub before: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    pub number: u64,
    pub head_sha: String,
    /// `OWNER/NAME`; `None` where the fork is gone.
    pub head_repository: Option<String>,
    pub base_ref: String,
    /// The tip of the base when the event happened, which is not always the merge base.
    pub base_sha: String,
    pub labels: Vec<String>,
}

/// Another run, whose end started this one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct WorkflowRun {
    /// The event that started it.
    pub event: String,
    pub head_sha: String,
    pub head_branch: Option<String>,
    /// `None` where the fork is gone.
    pub head_repository: Option<HeadRepository>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HeadRepository {
    /// `OWNER/NAME`
    pub full_name: String,
}

impl Event {
    /// Reads what the runner gave to the step; `payload` is the file of `GITHUB_EVENT_PATH`.
    pub fn read(variables: &Variables, payload: &[u8]) -> Result<Self, EventError> {
        let need = |name| variables.get(name).cloned().ok_or(EventError::Missing(name));
        let or_empty = |name: &str| variables.get(name).cloned().unwrap_or_default();
        let payload: Payload = match payload {
            [] => Payload::default(),
            bytes => serde_json::from_slice(bytes)?,
        };
        let name = need("GITHUB_EVENT_NAME")?;
        let repository = need("GITHUB_REPOSITORY")?;
        let sha = need("GITHUB_SHA")?;
        // Not every event is of a branch or tag.
        let mut git_ref = or_empty("GITHUB_REF");
        let pull_request = payload.pull_request.map(PullRequest::from);
        if let (Some(pull), "pull_request_target") = (&pull_request, name.as_str()) {
            git_ref = format!("refs/pull/{}/merge", pull.number);
        }
        let server = or_empty("GITHUB_SERVER_URL");
        let server = if server.is_empty() { "https://github.com" } else { server.as_str() };
        let commits = payload.commits.unwrap_or_default();
        let commit = commits.into_iter().chain(payload.head_commit).find(|c| c.id == sha);
        let committed = commit.as_ref().and_then(|commit| commit.timestamp.parse().ok());
        let message = commit.map(|commit| commit.message);
        let pushed_from = payload.base_ref.filter(|_| git_ref.starts_with("refs/tags/"));
        let base_ref = match &pull_request {
            Some(pull) => Some(pull.base_ref.clone()).filter(|_| git_ref.starts_with("refs/pull/")),
            None => pushed_from
                .map(|base| base.strip_prefix("refs/heads/").map_or(base.clone(), str::to_owned)),
        };
        let before = payload.before.filter(|sha| sha.bytes().any(|b| b != b'0'));
        let mut event = Self {
            action: payload.action.unwrap_or_default(),
            actor: or_empty("GITHUB_ACTOR"),
            server: server.to_owned(),
            run_url: format!("{server}/{repository}/actions/runs/{}", or_empty("GITHUB_RUN_ID")),
            about: Repository::default(),
            default_branch: String::new(),
            base_ref,
            committed,
            pull_request,
            workflow_run: payload.workflow_run,
            message,
            before,
            name,
            repository,
            git_ref,
            sha,
        };
        event.describe(payload.repository.unwrap_or_default());
        Ok(event)
    }

    /// Takes over what is known of the repository. The event of a schedule does not say it.
    pub fn describe(&mut self, about: About) {
        let (server, repository) = (&self.server, &self.repository);
        self.about = Repository {
            name: repository.rsplit('/').next().unwrap_or_default().to_owned(),
            description: about.description.unwrap_or_default(),
            url: about.html_url.unwrap_or_else(|| format!("{server}/{repository}")),
            license: about.license.and_then(|license| license.spdx_id).unwrap_or_default(),
        };
        self.default_branch = about.default_branch.unwrap_or_default();
    }

    /// The event comes from a pull request of another repository, whose author may be anybody.
    pub fn is_from_fork(&self) -> bool {
        // GitHub's names differ in case only by accident.
        let is_ours = |name: &str| name.eq_ignore_ascii_case(&self.repository);
        let pull = self.pull_request.as_ref().map(|pull| pull.head_repository.as_deref());
        let run = self.workflow_run.as_ref();
        let run = run.map(|run| run.head_repository.as_ref().map(|head| head.full_name.as_str()));
        pull.into_iter().chain(run).any(|head| !head.is_some_and(is_ours))
    }

    /// The branch alone.
    pub fn branch(&self) -> Option<&str> {
        self.git_ref.strip_prefix("refs/heads/")
    }

    /// What is built is what others get: the branch or tag of `GITHUB_REF`, and nobody starts the run who
    /// may not push.
    pub fn is_of_branch_or_tag(&self) -> bool {
        // Their ref is the branch or tag that was pushed, made, released, deployed or chosen, or the
        // default branch, which a schedule, a dispatch or the end of another run builds anew on purpose.
        // All others have the default branch only because there is no better ref, and some of them
        // anybody can start, as issue_comment and gollum; delete has it, too, and merge_group a merge
        // that is only tried.
        const OF_REF: [&str; 9] = [
            "create",
            "deployment",
            "deployment_status",
            "push",
            "release",
            "repository_dispatch",
            "schedule",
            "workflow_dispatch",
            "workflow_run",
        ];
        let named = self.branch().is_some() || self.git_ref.starts_with("refs/tags/");
        let after = self.workflow_run.as_ref().map(|run| run.event.as_str());
        // Of a run that ended, its own event counts.
        let events = std::iter::once(self.name.as_str()).chain(after);
        named
            && self.pull_request.is_none()
            && events.into_iter().all(|name| OF_REF.contains(&name))
    }

    /// The commit that a person has made: of a pull request its head, not the merge that is tried.
    pub fn head_sha(&self) -> &str {
        self.pull_request.as_ref().map_or(&self.sha, |pull| &pull.head_sha)
    }
}

#[derive(Default, Deserialize)]
struct Payload {
    action: Option<String>,
    before: Option<String>,
    base_ref: Option<String>,
    commits: Option<Vec<Commit>>,
    head_commit: Option<Commit>,
    pull_request: Option<PullPayload>,
    workflow_run: Option<WorkflowRun>,
    repository: Option<About>,
}

#[derive(Deserialize)]
struct Commit {
    #[serde(default)]
    id: String,
    #[serde(default)]
    timestamp: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct PullPayload {
    number: u64,
    head: Side,
    base: Side,
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    git_ref: String,
    sha: String,
    repo: Option<Repo>,
}

#[derive(Deserialize)]
struct Repo {
    full_name: String,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

impl From<PullPayload> for PullRequest {
    fn from(pull: PullPayload) -> Self {
        Self {
            number: pull.number,
            head_sha: pull.head.sha,
            head_repository: pull.head.repo.map(|repo| repo.full_name),
            base_ref: pull.base.git_ref,
            base_sha: pull.base.sha,
            labels: pull.labels.into_iter().map(|label| label.name).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(rows: &[(&str, &str)]) -> Variables {
        let common = [("GITHUB_REPOSITORY", "acme/boat"), ("GITHUB_RUN_ID", "7")];
        let all = common.iter().chain(rows);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_push_says_when_its_commit_was_made() {
        let variables = variables(&[
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_SHA", "b2"),
        ]);
        let payload = br#"{
            "before": "0000000000", "base_ref": null,
            "commits": [
                {"id": "a1", "timestamp": "2026-01-01T00:00:00Z"},
                {"id": "b2", "timestamp": "2026-01-02T01:00:00+01:00"}
            ],
            "repository": {
                "description": null, "html_url": "https://github.com/acme/boat",
                "default_branch": "main", "license": {"spdx_id": "MIT"}
            }
        }"#;
        let event = Event::read(&variables, payload).unwrap();
        assert_eq!(event.committed.unwrap().to_string(), "2026-01-02T00:00:00Z");
        assert_eq!((event.branch(), event.default_branch.as_str()), (Some("main"), "main"));
        assert_eq!((event.before.clone(), event.is_from_fork()), (None, false));
        assert_eq!(event.about.license, "MIT");
        assert_eq!(event.run_url, "https://github.com/acme/boat/actions/runs/7");
    }

    #[test]
    fn the_base_is_that_of_a_tag_or_of_a_pull_request() {
        for (git_ref, expected) in
            [("refs/tags/v1", Some("release/1")), ("refs/heads/sails", None), ("", None)]
        {
            let variables = variables(&[
                ("GITHUB_EVENT_NAME", "push"),
                ("GITHUB_REF", git_ref),
                ("GITHUB_SHA", "b2"),
            ]);
            let event = Event::read(&variables, br#"{"base_ref": "refs/heads/release/1"}"#);
            assert_eq!(event.unwrap().base_ref.as_deref(), expected, "{git_ref}");
        }
    }

    #[test]
    fn a_pull_request_may_come_from_a_fork() {
        let payload = |head: &str| {
            format!(
                r#"{{"action": "opened", "number": 3, "pull_request": {{
                    "number": 3, "labels": [{{"name": "heavy"}}],
                    "head": {{"ref": "sails", "sha": "h", "repo": {head}}},
                    "base": {{"ref": "main", "sha": "b", "repo": {{"full_name": "acme/boat"}}}}
                }}}}"#
            )
        };
        let rows = [
            (r#"{"full_name": "Acme/boat"}"#, false),
            (r#"{"full_name": "eve/boat"}"#, true),
            ("null", true),
        ];
        for (head, fork) in rows {
            let variables = variables(&[
                ("GITHUB_EVENT_NAME", "pull_request_target"),
                ("GITHUB_REF", "refs/heads/main"),
                ("GITHUB_SHA", "m"),
            ]);
            let event = Event::read(&variables, payload(head).as_bytes()).unwrap();
            assert_eq!(event.is_from_fork(), fork, "{head}");
            assert_eq!(event.git_ref, "refs/pull/3/merge");
            assert_eq!(event.base_ref.as_deref(), Some("main"));
            assert_eq!(event.pull_request.unwrap().labels, ["heavy"]);
        }
    }

    #[test]
    fn only_those_who_may_push_make_what_others_get() {
        let run = |event| {
            format!(
                r#"{{"workflow_run": {{"event": "{event}", "head_sha": "h", "head_branch": "b",
                "head_repository": {{"full_name": "acme/boat"}}}}}}"#
            )
        };
        for (name, payload, expected) in [
            ("push", String::new(), true),
            ("schedule", String::new(), true),
            ("workflow_dispatch", String::new(), true),
            ("release", String::new(), true),
            ("merge_group", String::new(), false),
            ("issue_comment", String::new(), false),
            ("pull_request_review_comment", String::new(), false),
            ("create", String::new(), true),
            ("delete", String::new(), false),
            ("repository_dispatch", String::new(), true),
            ("deployment", String::new(), true),
            ("gollum", String::new(), false),
            ("status", String::new(), false),
            ("registry_package", String::new(), false),
            ("workflow_run", run("push"), true),
            ("workflow_run", run("issue_comment"), false),
            ("workflow_run", run("pull_request"), false),
        ] {
            let variables = variables(&[
                ("GITHUB_EVENT_NAME", name),
                ("GITHUB_REF", "refs/heads/main"),
                ("GITHUB_SHA", "m"),
            ]);
            let event = Event::read(&variables, payload.as_bytes()).unwrap();
            assert_eq!(event.is_of_branch_or_tag(), expected, "{name} {payload}");
        }
        let variables = variables(&[("GITHUB_EVENT_NAME", "push"), ("GITHUB_SHA", "m")]);
        assert!(!Event::read(&variables, b"").unwrap().is_of_branch_or_tag(), "no ref");
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Event::read(&Variables::new(), b"").unwrap_err().to_string();
        assert_eq!(
            error,
            "GITHUB_EVENT_NAME is not set: this command is for a step of GitHub Actions"
        );
        let variables = variables(&[
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_SHA", "b2"),
        ]);
        assert!(matches!(Event::read(&variables, b"{"), Err(EventError::Payload(_))));
        assert!(Event::read(&variables, b"").is_ok());
    }
}
