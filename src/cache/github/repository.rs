//! A repository's caches as GitHub's REST API has them: all scopes at once, with sizes and ages, to
//! list and to delete. It takes another token than the cache service, with the permission `actions`.

use std::sync::Arc;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Handle;

use super::fault::{self, Fault};
use super::name;
use super::settings::Token;
use super::{CacheFault, EntryKey};
use crate::http::{self, Clients, Peer, RetryPolicy};

/// The most that one answer lists.
const PAGE: usize = 100;

/// An entry of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEntry {
    /// GitHub's, to delete it by.
    pub id: u64,
    pub key: EntryKey,
    /// The branch, tag or pull request that it belongs to.
    pub scope: String,
    /// Bytes.
    pub size: u64,
    pub created: Timestamp,
    pub used: Timestamp,
}

/// What GitHub keeps of a repository before it evicts, unless more is paid for; bytes.
pub const FREE_SPACE: u64 = 10_000_000_000;

/// What all caches of the repository take together, not only ours. GitHub counts every few minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Usage {
    #[serde(rename = "active_caches_count")]
    pub entries: u64,
    /// Bytes.
    #[serde(rename = "active_caches_size_in_bytes")]
    pub size: u64,
}

#[derive(Deserialize)]
struct Page {
    actions_caches: Vec<Listed>,
}

#[derive(Deserialize)]
struct Pull {
    state: String,
}

#[derive(Deserialize)]
struct GitRef {
    #[serde(rename = "ref")]
    name: String,
}

#[derive(Deserialize)]
struct Listed {
    id: u64,
    key: String,
    #[serde(rename = "ref")]
    scope: String,
    size_in_bytes: u64,
    created_at: Timestamp,
    last_accessed_at: Timestamp,
}

/// For synchronous callers outside of the runtime.
#[derive(Debug)]
pub struct RepositoryCaches {
    /// Of the repository; ends with `/`.
    url: Url,
    token: Token,
    clients: Arc<Clients>,
    runtime: Handle,
    policy: RetryPolicy,
}

impl RepositoryCaches {
    /// `api` is such as `https://api.github.com`, `repository` is `OWNER/NAME`. `None` if the two
    /// make no URL.
    #[must_use]
    pub fn new(
        api: &str,
        repository: &str,
        token: &str,
        clients: Arc<Clients>,
        runtime: Handle,
    ) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let (owner, name) = repository.split_once('/')?;
        [owner, name]
            .iter()
            .all(|part| !part.is_empty() && part.chars().all(plain))
            .then_some(())?;
        let api = api.trim_end_matches('/');
        let url = Url::parse(&format!("{api}/repos/{repository}/")).ok()?;
        let token = (!token.is_empty()).then(|| Token(token.into()))?;
        Some(Self { url, token, clients, runtime, policy: RetryPolicy::default() })
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_retry_policy(self, policy: RetryPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Our entries whose keys begin with `prefix`, those not used for longest first; of one scope if
    /// it is given.
    ///
    /// # Errors
    /// [`CacheFault::Failed`] with what GitHub says.
    pub fn list(&self, prefix: &str, scope: Option<&str>) -> Result<Vec<ListedEntry>, CacheFault> {
        let mut entries = Vec::new();
        for number in 1.. {
            let mut url = self.join("actions/caches")?;
            url.query_pairs_mut()
                .append_pair("key", &name::beginning(prefix))
                .append_pair("sort", "last_accessed_at")
                .append_pair("direction", "asc")
                .append_pair("per_page", &PAGE.to_string())
                .append_pair("page", &number.to_string())
                .extend_pairs(scope.map(|scope| ("ref", scope)));
            let page: Page = self.get("list the repository's caches", url, READ)?;
            let whole = page.actions_caches.len() == PAGE;
            // Of others, a key may begin as ours do.
            entries.extend(page.actions_caches.into_iter().filter_map(|listed| {
                Some(ListedEntry {
                    id: listed.id,
                    key: name::key_of(&listed.key)?,
                    scope: listed.scope,
                    size: listed.size_in_bytes,
                    created: listed.created_at,
                    used: listed.last_accessed_at,
                })
            }));
            if !whole {
                break;
            }
        }
        Ok(entries)
    }

    /// Deletes an entry; `false` if it has gone before.
    ///
    /// # Errors
    /// [`CacheFault::Failed`] with what GitHub says.
    pub fn delete(&self, entry: &ListedEntry) -> Result<bool, CacheFault> {
        let url = self.join(&format!("actions/caches/{}", entry.id))?;
        let deleted = self.runtime.block_on(self.send("delete a cache", &Method::DELETE, &url));
        match deleted {
            Ok(_) => Ok(true),
            Err(Fault::Refused { status: 404, .. }) => Ok(false),
            Err(fault) => Err(judge(fault, "`actions: write`")),
        }
    }

    /// Whether a scope is that of a pull request that was closed, or of a branch or tag that was
    /// deleted: no job will read its entries.
    ///
    /// # Errors
    /// [`CacheFault::Failed`] with what GitHub says.
    pub fn is_over(&self, scope: &str) -> Result<bool, CacheFault> {
        let pull = scope.strip_prefix("refs/pull/").and_then(|rest| rest.split('/').next());
        if let Some(number) = pull.and_then(|number| number.parse::<u64>().ok()) {
            let url = self.join(&format!("pulls/{number}"))?;
            let pull: Pull = self.get("look at a pull request", url, "`pull-requests: read`")?;
            return Ok(pull.state == "closed");
        }
        let Some(name) = scope.strip_prefix("refs/").filter(|name| name.contains('/')) else {
            return Ok(false);
        };
        let mut url = self.join("git/matching-refs")?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(name.split('/'));
        }
        // Others may begin as it does. To a token that may not, nothing is listed, but an error told.
        let found: Vec<GitRef> = self.get("look for a branch", url, "`contents: read`")?;
        Ok(found.iter().all(|found| found.name != scope))
    }

    /// # Errors
    /// [`CacheFault::Failed`] with what GitHub says.
    pub fn usage(&self) -> Result<Usage, CacheFault> {
        self.get("measure the repository's caches", self.join("actions/cache/usage")?, READ)
    }

    fn join(&self, path: &str) -> Result<Url, CacheFault> {
        self.url.join(path).map_err(|error| CacheFault::Failed(error.to_string()))
    }

    fn get<T: DeserializeOwned>(
        &self,
        asked: &'static str,
        url: Url,
        permission: &str,
    ) -> Result<T, CacheFault> {
        let answer = self.runtime.block_on(self.send(asked, &Method::GET, &url));
        let answer = answer.map_err(|fault| judge(fault, permission))?;
        serde_json::from_value(answer).map_err(|error| {
            CacheFault::Failed(format!(
                "{asked}: {}",
                fault::clean(&error.to_string(), &self.token.0)
            ))
        })
    }

    async fn send(&self, asked: &'static str, method: &Method, url: &Url) -> Result<Value, Fault> {
        let mut attempt = 0;
        loop {
            match self.send_once(asked, method, url).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault::pause(&self.policy, &mut attempt, fault).await?,
            }
        }
    }

    async fn send_once(
        &self,
        asked: &'static str,
        method: &Method,
        url: &Url,
    ) -> Result<Value, Fault> {
        let transport = |failure| Fault::Transport { asked, failure };
        let mut token =
            HeaderValue::from_str(&format!("Bearer {}", self.token.0)).map_err(|_| {
                let what = "the token has characters that no header may have".to_owned();
                Fault::Protocol { asked, what }
            })?;
        token.set_sensitive(true);
        let client = self.clients.client(Peer::of(url, false)).await.map_err(transport)?;
        let request = client
            .request(method.clone(), url.clone())
            .header(AUTHORIZATION, token)
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        let answer = http::send(request).await.map_err(transport)?;
        let (status, wait) = (answer.status().as_u16(), http::retry_after(answer.headers()));
        if status == 204 {
            return Ok(Value::Null);
        }
        let body = http::small_body(answer, fault::BODY_LIMIT).await.map_err(transport)?;
        let clean = |message: &str| fault::clean(message, &self.token.0);
        fault::interpret(asked, status, wait, &body.unwrap_or_default(), clean)
    }
}

/// To list and to measure.
const READ: &str = "`actions: read`";

fn judge(fault: Fault, permission: &str) -> CacheFault {
    match fault.status() {
        // To a token that may not, GitHub says that there is nothing.
        Some(401 | 403 | 404) => {
            CacheFault::Failed(format!("{fault}; the token needs the permission {permission}"))
        }
        _ => fault.into(),
    }
}
