//! The service's calls: Twirp over JSON, counted, retried, and given up when it is out of order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::CacheFault;
use super::fault::{self, Fault};
use super::settings::GithubSettings;
use crate::digest::Sha256Sum;
use crate::http::{self, Clients, Failure, Peer, RetryPolicy};

/// What was asked of the service and its blob store so far, repeated requests included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub requests: u64,
    /// Bytes of bodies.
    pub sent: u64,
    /// Bytes of bodies.
    pub received: u64,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) settings: GithubSettings,
    pub(super) clients: Arc<Clients>,
    pub(super) policy: RetryPolicy,
    /// Keeps our entries apart from others', and from those of other formats of ours.
    version: String,
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    /// Why nothing more is asked.
    down: OnceLock<String>,
    pub(super) reading_denied: OnceLock<String>,
    pub(super) saving_denied: OnceLock<String>,
}

/// What the service says to a key that we want to save.
pub(super) enum Reservation {
    /// Where to send the bytes.
    Open(Url),
    /// Saved before, being saved, or given up half-way: the service does not tell.
    Taken,
    Denied(String),
}

#[derive(Deserialize)]
struct Created {
    ok: bool,
    #[serde(default)]
    signed_upload_url: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Finalized {
    ok: bool,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Found {
    ok: bool,
    #[serde(default)]
    signed_download_url: String,
    #[serde(default)]
    matched_key: String,
}

impl Service {
    pub(super) fn new(
        settings: GithubSettings,
        clients: Arc<Clients>,
        policy: RetryPolicy,
    ) -> Self {
        let remembered = |reason: Option<String>| reason.map_or_else(OnceLock::new, OnceLock::from);
        Self {
            reading_denied: remembered(settings.access.read_denial()),
            saving_denied: remembered(settings.access.write_denial()),
            settings,
            clients,
            policy,
            version: Sha256Sum::of(super::FORMAT.as_bytes()).hex(),
            requests: AtomicU64::default(),
            sent: AtomicU64::default(),
            received: AtomicU64::default(),
            down: OnceLock::new(),
        }
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }

    /// Reserves a name for us to fill.
    pub(super) async fn create(&self, name: &str) -> Result<Reservation, CacheFault> {
        const ASKED: &str = "CreateCacheEntry";
        let request = json!({ "key": name, "version": self.version });
        let created: Created = match self.call(ASKED, &request).await {
            Ok(created) => created,
            Err(Fault::Refused { status: 409, .. }) => return Ok(Reservation::Taken),
            // Uploads are limited by the minute and by the repository: the next would fare no better.
            Err(fault) if fault.status() == Some(429) => {
                return Ok(Reservation::Denied(format!("too many uploads: {fault}")));
            }
            Err(fault) => return Err(self.judge(fault)),
        };
        let message = self.clean(&created.message);
        match created.ok {
            true => Ok(Reservation::Open(self.signed(ASKED, &created.signed_upload_url)?)),
            false if is_denial(&message) => Ok(Reservation::Denied(message)),
            false => Err(CacheFault::Failed(format!("{ASKED}: {message}"))),
        }
    }

    /// Makes an entry visible whose bytes have all been sent.
    pub(super) async fn finalize(&self, name: &str, size: u64) -> Result<(), CacheFault> {
        const ASKED: &str = "FinalizeCacheEntryUpload";
        let request =
            json!({ "key": name, "version": self.version, "size_bytes": size.to_string() });
        let answer: Finalized =
            self.call(ASKED, &request).await.map_err(|fault| self.judge(fault))?;
        match answer.ok {
            true => Ok(()),
            false => Err(CacheFault::Failed(format!("{ASKED}: {}", self.clean(&answer.message)))),
        }
    }

    /// What the service has for the first of `names` that it knows as a prefix, scope by scope: its
    /// whole name, and the URL of its bytes.
    pub(super) async fn lookup(
        &self,
        names: &[String],
    ) -> Result<Option<(String, Url)>, CacheFault> {
        const ASKED: &str = "GetCacheEntryDownloadURL";
        let Some(first) = names.first() else { return Ok(None) };
        // Whether `key` itself may be a prefix depends on the server; in `restore_keys` it may.
        let request = json!({ "key": first, "restore_keys": names, "version": self.version });
        let found: Found = match self.call(ASKED, &request).await {
            Ok(found) => found,
            Err(Fault::Refused { status: 404, .. }) => return Ok(None),
            Err(Fault::Refused { status: 403, detail, .. }) => {
                let _ = self.reading_denied.set(detail.clone());
                return Err(CacheFault::Failed(detail));
            }
            Err(fault) => return Err(self.judge(fault)),
        };
        if !found.ok {
            return Ok(None);
        }
        Ok(Some((found.matched_key, self.signed(ASKED, &found.signed_download_url)?)))
    }

    fn signed(&self, asked: &'static str, text: &str) -> Result<Url, CacheFault> {
        Url::parse(text)
            .map_err(|_| CacheFault::Failed(format!("{asked}: the answer has no signed URL")))
    }

    /// What a call's fault means for those to come.
    fn judge(&self, fault: Fault) -> CacheFault {
        let reason = match &fault {
            Fault::Foreign { status: 404, .. } => format!(
                "there is no cache service of version 2 here ({fault}); use type=registry or \
                 type=local"
            ),
            Fault::Refused { status: 401, .. } => {
                format!("the cache service does not accept the job's token ({fault})")
            }
            Fault::Transport { .. } | Fault::Foreign { .. } => {
                format!("the cache service is out of order ({fault})")
            }
            Fault::Refused { status: 500.., .. } => {
                format!("the cache service is out of order ({fault})")
            }
            _ => return fault.into(),
        };
        let _ = self.down.set(reason.clone());
        CacheFault::Unavailable(reason)
    }

    pub(super) fn check_up(&self) -> Result<(), CacheFault> {
        self.down.get().map_or(Ok(()), |reason| Err(CacheFault::Unavailable(reason.clone())))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        asked: &'static str,
        request: &Value,
    ) -> Result<T, Fault> {
        let mut attempt = 0;
        let answer = loop {
            match self.call_once(asked, request).await {
                Ok(answer) => break answer,
                Err(fault) => self.pause(&mut attempt, fault).await?,
            }
        };
        serde_json::from_value(answer)
            .map_err(|error| Fault::Protocol { asked, what: self.clean(&error.to_string()) })
    }

    async fn call_once(&self, asked: &'static str, request: &Value) -> Result<Value, Fault> {
        let protocol = |what: String| Fault::Protocol { asked, what };
        let path = format!("twirp/github.actions.results.api.v1.CacheService/{asked}");
        let url = self.settings.url.join(&path).map_err(|error| protocol(error.to_string()))?;
        let token = format!("Bearer {}", self.settings.token.0);
        let mut token = HeaderValue::from_str(&token)
            .map_err(|_| protocol("the token has characters that no header may have".to_owned()))?;
        token.set_sensitive(true);
        let body = request.to_string();
        let length = body.len() as u64;
        let request = self.client(asked, &url).await?.post(url).header(AUTHORIZATION, token);
        let request = request.header("content-type", "application/json").body(body);
        let answer = self.counted(asked, length, http::send(request)).await?;
        let (status, wait) = (answer.status().as_u16(), http::retry_after(answer.headers()));
        let body = http::small_body(answer, fault::BODY_LIMIT).await;
        let body = body.map_err(|failure| Fault::Transport { asked, failure })?.unwrap_or_default();
        self.count_received(body.len());
        fault::interpret(asked, status, wait, &body, |message| self.clean(message))
    }

    pub(super) async fn client(&self, asked: &'static str, url: &Url) -> Result<&Client, Fault> {
        let client = self.clients.client(Peer::of(url, false)).await;
        client.map_err(|failure| Fault::Transport { asked, failure })
    }

    /// One request with a body of `length` bytes.
    pub(super) async fn counted(
        &self,
        asked: &'static str,
        length: u64,
        answer: impl Future<Output = Result<Response, Failure>>,
    ) -> Result<Response, Fault> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(length, Ordering::Relaxed);
        answer.await.map_err(|failure| Fault::Transport { asked, failure })
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) async fn pause(&self, attempt: &mut u32, fault: Fault) -> Result<(), Fault> {
        fault::pause(&self.policy, attempt, fault).await
    }

    fn clean(&self, message: &str) -> String {
        fault::clean(message, &self.settings.token.0)
    }
}

/// The token may not write, or the repository's budget is spent: no later entry would be taken.
fn is_denial(message: &str) -> bool {
    message.starts_with("cache write denied") || message.contains("insufficient usage")
}
