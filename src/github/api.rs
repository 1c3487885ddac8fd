//! GitHub's REST API, as far as the report needs it: comments of a pull request, check runs, and
//! which pull requests a commit belongs to.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use octocrab::service::middleware::retry::{NoOpRateLimitMetrics, RetryConfig};
use octocrab::{Octocrab, Page};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A body that is longer is refused (422).
pub const BODY_LIMIT: usize = 65_536;

/// The account of a job's own token.
const ACTIONS_BOT: &str = "github-actions[bot]";

/// How long one call may take, waiting for rate limits included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why GitHub did not do what it was asked. Never fails a build.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 401, 403 or 404: the token may not, or the thing is not there for it.
    #[error("{what}: GitHub says no ({status}): {message}")]
    Denied { what: &'static str, status: u16, message: String },
    #[error("{what}: GitHub answered {status}: {message}")]
    Refused { what: &'static str, status: u16, message: String },
    #[error("{what}: no answer from GitHub within {} seconds", PATIENCE.as_secs())]
    TooLate { what: &'static str },
    #[error("{what}: {message}")]
    Failed { what: &'static str, message: String },
}

impl ApiError {
    fn of(what: &'static str, error: octocrab::Error) -> Self {
        let octocrab::Error::GitHub { source, .. } = error else {
            // The error's own text ends with a backtrace.
            let message = error.to_string().lines().next().unwrap_or_default().to_owned();
            return Self::Failed { what, message };
        };
        let (status, message) = (source.status_code.as_u16(), source.message.clone());
        match status {
            401 | 403 | 404 => Self::Denied { what, status, message },
            _ => Self::Refused { what, status, message },
        }
    }

    fn is_gone(&self) -> bool {
        matches!(self, Self::Denied { status: 404, .. } | Self::Refused { status: 410, .. })
    }
}

/// One repository, seen with one token.
#[derive(Clone)]
pub struct Api {
    client: Octocrab,
    /// `/repos/OWNER/NAME`
    root: String,
}

/// Where the report is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Posted {
    Created { url: String },
    Updated { url: String },
    Unchanged { url: String },
    Removed,
    Nothing,
}

/// How a check run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    Success,
    Neutral,
    Failure,
}

#[derive(Clone, Debug, Deserialize)]
struct Comment {
    id: u64,
    html_url: String,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    user: Option<User>,
}

#[derive(Clone, Debug, Deserialize)]
struct User {
    login: String,
}

#[derive(Deserialize)]
struct ViewerAnswer {
    data: Option<ViewerData>,
}

#[derive(Deserialize)]
struct ViewerData {
    viewer: User,
}

/// What GitHub knows of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub message: String,
    pub committed: Timestamp,
}

/// What GitHub knows of the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct About {
    pub description: Option<String>,
    pub html_url: Option<String>,
    pub default_branch: Option<String>,
    pub license: Option<License>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct License {
    pub spdx_id: Option<String>,
}

#[derive(Deserialize)]
struct CommitAnswer {
    commit: CommitBody,
}

#[derive(Deserialize)]
struct CommitBody {
    message: String,
    committer: Committer,
}

#[derive(Deserialize)]
struct Committer {
    date: Timestamp,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

/// An open pull request that a commit is the head of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OpenPull {
    pub number: u64,
    pub state: String,
    pub head: PullHead,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PullHead {
    pub sha: String,
}

impl Api {
    /// `base` is `GITHUB_API_URL`, `repository` is `OWNER/NAME`. Must be called on a runtime of
    /// tokio.
    pub fn new(base: &str, token: &str, repository: &str) -> Result<Self, ApiError> {
        let what = "can't set up the client";
        let retry = RetryConfig::HandleRateLimits {
            metrics: Arc::new(NoOpRateLimitMetrics),
            max_retries: 3,
            min_wait_seconds: 5,
            retry_on_forbidden: false,
        };
        let client = Octocrab::builder()
            .base_uri(base)
            .and_then(|builder| {
                builder.personal_token(token.to_owned()).add_retry_config(retry).build()
            })
            .map_err(|error| ApiError::of(what, error))?;
        Ok(Self { client, root: format!("/repos/{repository}") })
    }

    /// Makes the one comment with `marker` say `body`, which begins with it: creates, updates, and
    /// removes copies that two runs at once have left.
    pub async fn put_comment(
        &self,
        pull: u64,
        marker: &str,
        body: &str,
    ) -> Result<Posted, ApiError> {
        let mut ours = self.comments(pull, marker).await?;
        if ours.is_empty() {
            let made = self.create(pull, body).await?;
            let url = made.html_url.clone();
            // Another run may have done the same in the meantime: the oldest stays.
            let mut all = self.comments(pull, marker).await?;
            if all.len() < 2 {
                return Ok(Posted::Created { url });
            }
            let oldest = all.remove(0);
            self.remove(&all).await?;
            return if oldest.id == made.id {
                Ok(Posted::Created { url })
            } else {
                self.update(&oldest, body).await
            };
        }
        let oldest = ours.remove(0);
        self.remove(&ours).await?;
        match self.update(&oldest, body).await {
            // Somebody has removed it since it was listed.
            Err(error) if error.is_gone() => {
                let made = self.create(pull, body).await?;
                Ok(Posted::Created { url: made.html_url })
            }
            other => other,
        }
    }

    /// Removes the comments with `marker`.
    pub async fn remove_comment(&self, pull: u64, marker: &str) -> Result<Posted, ApiError> {
        let ours = self.comments(pull, marker).await?;
        self.remove(&ours).await?;
        Ok(if ours.is_empty() { Posted::Nothing } else { Posted::Removed })
    }

    /// Says on a commit how the build ended.
    pub async fn create_check(
        &self,
        name: &str,
        sha: &str,
        conclusion: Conclusion,
        title: &str,
        summary: &str,
    ) -> Result<(), ApiError> {
        let route = format!("{}/check-runs", self.root);
        let body = json!({
            "name": name,
            "head_sha": sha,
            "status": "completed",
            "conclusion": conclusion,
            "output": { "title": title, "summary": summary },
        });
        let made = self.client.post(route, Some(&body));
        let _: serde_json::Value = answer("can't make a check run", made).await?;
        Ok(())
    }

    /// The open pull requests of a branch, `OWNER:BRANCH`, of this repository or of a fork.
    pub async fn pulls_from(&self, head: &str) -> Result<Vec<OpenPull>, ApiError> {
        let route = format!("{}/pulls", self.root);
        let query = [("state", "open"), ("head", head), ("per_page", "100")];
        let found = self.client.get(route, Some(&query));
        answer("can't look for the pull request", found).await
    }

    /// The labels that a pull request has now; the event has those that it had then.
    pub async fn labels(&self, pull: u64) -> Result<Vec<String>, ApiError> {
        let route = format!("{}/issues/{pull}/labels?per_page=100", self.root);
        let found = self.client.get(route, None::<&()>);
        let labels: Vec<Label> = answer("can't read the labels of the pull request", found).await?;
        Ok(labels.into_iter().map(|label| label.name).collect())
    }

    pub async fn repository(&self) -> Result<About, ApiError> {
        let found = self.client.get(self.root.clone(), None::<&()>);
        answer("can't read what the repository is", found).await
    }

    pub async fn commit(&self, sha: &str) -> Result<Commit, ApiError> {
        let route = format!("{}/commits/{sha}", self.root);
        let found = self.client.get(route, None::<&()>);
        let CommitAnswer { commit } = answer("can't read the commit", found).await?;
        Ok(Commit { message: commit.message, committed: commit.committer.date })
    }

    /// The pull requests that have `sha` among their commits, by GitHub's own account.
    pub async fn pulls_of(&self, sha: &str) -> Result<Vec<OpenPull>, ApiError> {
        let route = format!("{}/commits/{sha}/pulls?per_page=100", self.root);
        let found = self.client.get(route, None::<&()>);
        answer("can't look for the pull request", found).await
    }

    /// All comments with the marker that our account has written, the oldest first.
    async fn comments(&self, pull: u64, marker: &str) -> Result<Vec<Comment>, ApiError> {
        let what = "can't read the comments of the pull request";
        let route = format!("{}/issues/{pull}/comments?per_page=100", self.root);
        let mut page: Page<Comment> = answer(what, self.client.get(route, None::<&()>)).await?;
        let mut marked = Vec::new();
        loop {
            let has_marker = |c: &Comment| c.body.as_ref().is_some_and(|b| b.starts_with(marker));
            marked.extend(page.items.drain(..).filter(has_marker));
            match answer(what, self.client.get_page(&page.next)).await? {
                Some(next) => page = next,
                None => break,
            }
        }
        let is_bot = |c: &Comment| c.user.as_ref().is_some_and(|user| user.login == ACTIONS_BOT);
        if !marked.iter().all(is_bot) {
            // A marker proves nothing: anybody can write it.
            let me = self.login().await;
            marked.retain(|c| {
                let login = c.user.as_ref().map(|user| &user.login);
                is_bot(c) || (login.is_some() && login == me.as_ref())
            });
        }
        marked.sort_by_key(|comment| comment.id);
        Ok(marked)
    }

    /// Whose the token is. REST tells it to users alone; the token of an app has to ask GraphQL.
    async fn login(&self) -> Option<String> {
        let what = "can't find out whose the token is";
        let user = self.client.get::<User, _, _>("/user", None::<&()>);
        if let Ok(user) = answer(what, user).await {
            return Some(user.login);
        }
        let query = json!({ "query": "{ viewer { login } }" });
        let viewer = answer(what, self.client.post("/graphql", Some(&query))).await;
        let ViewerAnswer { data } = viewer.ok()?;
        Some(data?.viewer.login)
    }

    async fn create(&self, pull: u64, body: &str) -> Result<Comment, ApiError> {
        let route = format!("{}/issues/{pull}/comments", self.root);
        let body = json!({ "body": body });
        answer("can't comment on the pull request", self.client.post(route, Some(&body))).await
    }

    async fn update(&self, comment: &Comment, body: &str) -> Result<Posted, ApiError> {
        let url = comment.html_url.clone();
        // GitHub keeps no space at the end.
        if comment.body.as_deref().map(str::trim_end) == Some(body.trim_end()) {
            return Ok(Posted::Unchanged { url });
        }
        let route = format!("{}/issues/comments/{}", self.root, comment.id);
        let body = json!({ "body": body });
        let updated = self.client.patch(route, Some(&body));
        let _: Comment = answer("can't update the comment", updated).await?;
        Ok(Posted::Updated { url })
    }

    async fn remove(&self, comments: &[Comment]) -> Result<(), ApiError> {
        let what = "can't remove a comment";
        for comment in comments {
            let route = format!("{}/issues/comments/{}", self.root, comment.id);
            let gone = async {
                let response = self.client._delete(route, None::<&()>).await?;
                octocrab::map_github_error(response).await.map(drop)
            };
            match answer(what, gone).await {
                Err(error) if error.is_gone() => {}
                other => other?,
            }
        }
        Ok(())
    }
}

async fn answer<T>(
    what: &'static str,
    call: impl Future<Output = octocrab::Result<T>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(result) => result.map_err(|error| ApiError::of(what, error)),
        Err(_) => Err(ApiError::TooLate { what }),
    }
}
