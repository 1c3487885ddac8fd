//! What is built: the checked-out workspace or the repository by git, and the commit that it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use fancy_regex::{NoExpand, Regex};
use jiff::Timestamp;

use crate::github::event::Event;

use super::client::Client;
use super::job::Job;

/// The context of build-push-action's inputs: the commit of the event, by git.
const DEFAULT_CONTEXT: &str = r"\{\{\s*defaultContext\s*\}\}";
/// Under this id git finds its token for a host.
const GIT_TOKEN: &str = "GIT_AUTH_TOKEN";
/// Likewise, a whole header.
const GIT_HEADER: &str = "GIT_AUTH_HEADER";

/// What COPY and ADD read from.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    pub context: PathBuf,
    /// In words, where no input says it.
    pub said: Option<String>,
    /// Id and value of the secret with which git fetches the repository of the job.
    pub git_token: Option<(String, String)>,
}

impl Source {
    pub fn of(job: &Job<'_>) -> Self {
        let workspace = Path::new(".");
        let git = || git_context(job);
        match job.inputs.some("context") {
            Some(given) => {
                let context = with_default_context(given, &git());
                let is_git = context != given;
                Self {
                    git_token: git_token(job).filter(|_| is_git),
                    said: None,
                    context: context.into(),
                }
            }
            None if is_checked_out(workspace, job.inputs.some("file")) => Self {
                context: workspace.to_path_buf(),
                said: Some("the context is the workspace".to_owned()),
                git_token: None,
            },
            None => Self {
                said: Some(format!(
                    "the context is {}: nothing is checked out in the workspace",
                    git()
                )),
                context: git().into(),
                git_token: git_token(job),
            },
        }
    }
}

/// `{{defaultContext}}` in the text of an input.
pub fn with_default_context(text: &str, git: &str) -> String {
    let replaced = Regex::new(DEFAULT_CONTEXT)
        .and_then(|pattern| Ok(pattern.try_replacen(text, 0, NoExpand(git))?.into_owned()));
    replaced.unwrap_or_else(|_| text.to_owned())
}

/// `https://github.com/OWNER/NAME.git#SHA`
pub fn git_context(job: &Job<'_>) -> String {
    let event = &job.event;
    format!("{}/{}.git#{}", event.server, event.repository, event.sha)
}

fn git_token(job: &Job<'_>) -> Option<(String, String)> {
    let token = job.inputs.some("github-token")?;
    let host = job.event.server.split_once("://").map_or("github.com", |(_, host)| host);
    Some((format!("{GIT_TOKEN}.{host}"), token.to_owned()))
}

/// Whether one of these secrets is what git shows the host that the job's token, under the id `job`,
/// is for: the user's own comes before that.
pub fn is_git_given<'a>(job: &str, mut ids: impl Iterator<Item = &'a str>) -> bool {
    let host = job.strip_prefix(GIT_TOKEN).unwrap_or_default();
    ids.any(|id| {
        let rest = [GIT_TOKEN, GIT_HEADER].iter().find_map(|name| id.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest == host)
    })
}

fn is_checked_out(workspace: &Path, file: Option<&str>) -> bool {
    workspace.join(".git").exists() || workspace.join(file.unwrap_or("Dockerfile")).exists()
}

/// When the commit was made that is built: what is checked out, else that of the event.
pub fn committed(job: &Job<'_>, client: Option<&Client>) -> Option<Timestamp> {
    let seconds = git(job, &["log", "-1", "--format=%ct", "HEAD"]);
    let here = seconds.and_then(|text| Timestamp::from_second(text.trim().parse().ok()?).ok());
    here.or(job.event.committed).or_else(|| {
        let commit = client?.ask(async |api| api.commit(&job.event.sha).await);
        commit.inspect_err(|error| job.notice(error.to_string())).ok().map(|c| c.committed)
    })
}

/// The event with what is known of its repository, which that of a schedule does not say.
pub fn described(job: &Job<'_>, client: Option<&Client>) -> Event {
    let mut event = job.event.clone();
    if event.default_branch.is_empty()
        && let Some(client) = client
    {
        match client.ask(async |api| api.repository().await) {
            Ok(about) => event.describe(about),
            Err(error) => job.notice(error.to_string()),
        }
    }
    event
}

/// What the commit says that a person has made.
pub fn message(job: &Job<'_>, client: Option<&Client>) -> Option<String> {
    let sha = job.event.head_sha();
    let here = job.event.message.clone().or_else(|| git(job, &["log", "-1", "--format=%B", sha]));
    here.or_else(|| {
        let commit = client?.ask(async |api| api.commit(sha).await);
        commit.inspect_err(|error| job.notice(error.to_string())).ok().map(|c| c.message)
    })
}

/// What git says of the workspace; `None` where it says nothing.
fn git(job: &Job<'_>, words: &[&str]) -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    let output = Command::new("git")
        // The workspace belongs to the runner's user, who need not be this one.
        .args(["-c", "safe.directory=*"])
        .args(words)
        .env_clear()
        .envs(job.environment.for_git())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_context_may_have_a_folder_behind_it() {
        let git = "https://github.com/acme/boat.git#$1";
        for (text, expected) in [
            ("{{defaultContext}}:src", "https://github.com/acme/boat.git#$1:src"),
            ("{{ defaultContext }}", git),
            ("./app", "./app"),
        ] {
            assert_eq!(with_default_context(text, git), expected);
        }
    }

    #[test]
    fn a_secret_for_git_is_of_all_hosts_or_of_one() {
        for (id, is_given) in [
            ("GIT_AUTH_TOKEN", true),
            ("GIT_AUTH_HEADER", true),
            ("GIT_AUTH_TOKEN.github.com", true),
            ("GIT_AUTH_HEADER.github.com", true),
            ("GIT_AUTH_TOKEN.gitlab.com", false),
            ("GIT_AUTH_TOKENS", false),
            ("TOKEN", false),
        ] {
            let ids = ["other", id].into_iter();
            assert_eq!(is_git_given("GIT_AUTH_TOKEN.github.com", ids), is_given, "{id}");
        }
    }

    #[test]
    fn a_workspace_is_there_if_git_or_a_dockerfile_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_checked_out(folder.path(), None));
        std::fs::write(folder.path().join("app.Dockerfile"), "").unwrap();
        assert!(is_checked_out(folder.path(), Some("app.Dockerfile")));
        assert!(!is_checked_out(folder.path(), None));
        std::fs::create_dir(folder.path().join(".git")).unwrap();
        assert!(is_checked_out(folder.path(), None));
    }
}
