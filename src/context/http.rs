//! `ADD https://…` and contexts from the web (L-145): downloading a file, unless it has not changed.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

use futures_util::StreamExt as _;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Response, StatusCode, Url};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::http::{self, Clients, Failure, Outcome, Peer, RetryPolicy};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0:?} is no http or https URL")]
    Url(String),
    #[error("failed to load {url}: {failure}")]
    Transport { url: String, failure: Failure },
    /// The words are BuildKit's.
    #[error("failed to load {url}: invalid response status {status}")]
    Status { url: String, status: u16 },
    /// The words are BuildKit's.
    #[error("digest mismatch for {url}: {found} (expected: {expected})")]
    Checksum { url: String, expected: Digest, found: Digest },
    #[error("the secret for {url} can't be sent: it has bytes that no header may have")]
    Secret { url: String },
    #[error("can't write what {url} sends: {source}")]
    Spool { url: String, source: io::Error },
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub url: &'a str,
    /// The whole value of the header; not sent to another host that a redirect leads to.
    pub authorization: Option<&'a [u8]>,
    /// Of the content that is here already.
    pub known: Option<&'a Validators>,
    /// That the content must have.
    pub checksum: Option<Digest>,
}

/// What a server tells of a version of a file, so that it can be asked whether there is a newer one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// With its quotes, and `W/` before a weak one.
    pub etag: Option<String>,
    /// As sent.
    pub last_modified: Option<String>,
}

impl Validators {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name| {
            let value: &HeaderValue = headers.get(name)?;
            value.to_str().ok().filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Self { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn modified(&self) -> Option<i64> {
        self.last_modified.as_deref().and_then(http::http_date)
    }

    /// Headers that ask for another version than this.
    fn unless_same(&self) -> HeaderMap {
        let fields = [(IF_NONE_MATCH, &self.etag), (IF_MODIFIED_SINCE, &self.last_modified)];
        let field =
            |(name, value): (_, &Option<String>)| Some((name, value.as_ref()?.parse().ok()?));
        fields.into_iter().filter_map(field).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    pub validators: Validators,
    pub digest: Digest,
    /// Bytes.
    pub length: u64,
}

/// Downloads a URL into `file`, which is empty; `None` where the server says that what is known is
/// still right. A broken transfer goes on where it broke, if the file is the same. `progress` is
/// told how many bytes have arrived, and of how many where that is known.
///
/// # Errors
/// [`Error::Status`] for 400 and above, [`Error::Checksum`] when `checksum` is another one.
pub async fn download(
    clients: &Clients,
    policy: &RetryPolicy,
    request: &Request<'_>,
    file: &File,
    progress: &(dyn Fn(u64, Option<u64>) + Sync),
) -> Result<Option<Downloaded>, Error> {
    let url = parse(request.url)?;
    let shown = http::shown(&url);
    let written = |source| Error::Spool { url: shown.clone(), source };
    let authorization =
        authorization(request).ok_or_else(|| Error::Secret { url: shown.clone() })?;
    let mut partial =
        Partial { file, hasher: Sha256::new(), length: 0, validators: Validators::default() };
    let mut attempt = 0;
    loop {
        let mut headers = match request.known {
            Some(known) if partial.length == 0 => known.unless_same(),
            _ => partial.resumption(),
        };
        headers.extend(authorization.clone());
        let answer = ask(clients, policy, &url, headers).await?;
        if request.known.is_some_and(|known| is_same(known, &answer)) {
            return Ok(None);
        }
        let resumed = partial.start(&answer).map_err(written)?;
        let before = partial.length;
        match partial.receive(answer, progress).await {
            Ok(()) => break,
            Err(Interruption::Spool(source)) => return Err(written(source)),
            Err(Interruption::Transport(failure)) => {
                // Only a transfer that gets on by pieces may need any number of them.
                attempt = if resumed && partial.length > before { 1 } else { attempt + 1 };
                if !pause(policy, attempt, failure.outcome(), None).await {
                    return Err(Error::Transport { url: shown, failure });
                }
            }
        }
    }
    let Partial { hasher, length, validators, .. } = partial;
    let digest = Digest::from(hasher);
    match request.checksum {
        Some(expected) if expected != digest => {
            Err(Error::Checksum { url: shown, expected, found: digest })
        }
        _ => Ok(Some(Downloaded { validators, digest, length })),
    }
}

/// The header, if one is asked for; `None` for bytes that can't be in one.
fn authorization(request: &Request<'_>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(bytes) = request.authorization {
        let mut value = HeaderValue::from_bytes(bytes).ok()?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Some(headers)
}

/// Some servers send everything, with the tag that they were told.
fn is_same(known: &Validators, answer: &Response) -> bool {
    let strong = |tag: &&String| tag.starts_with('"');
    answer.status() == StatusCode::NOT_MODIFIED
        || known
            .etag
            .as_ref()
            .filter(strong)
            .is_some_and(|known| Validators::of(answer.headers()).etag.as_ref() == Some(known))
}

struct Partial<'f> {
    file: &'f File,
    hasher: Sha256,
    /// Bytes.
    length: u64,
    validators: Validators,
}

enum Interruption {
    Transport(Failure),
    Spool(io::Error),
}

impl Partial<'_> {
    /// Headers that ask for the rest, if it can be known to be the rest of the same.
    fn resumption(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let strong = self.validators.etag.as_ref().filter(|etag| etag.starts_with('"'));
        if let Some(etag) = strong.and_then(|etag| etag.parse().ok())
            && self.length > 0
            && let Ok(range) = format!("bytes={}-", self.length).parse()
        {
            headers.insert(IF_RANGE, etag);
            headers.insert(RANGE, range);
        }
        headers
    }

    /// Goes on, or starts again when the server sends all of it; `true` for the former.
    fn start(&mut self, answer: &Response) -> io::Result<bool> {
        let range = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let rest = range.is_some_and(|range| range.starts_with(&format!("bytes {}-", self.length)));
        if answer.status() == StatusCode::PARTIAL_CONTENT && rest {
            return Ok(true);
        }
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Sha256::new();
        self.length = 0;
        self.validators = Validators::of(answer.headers());
        Ok(false)
    }

    async fn receive(
        &mut self,
        answer: Response,
        progress: &(dyn Fn(u64, Option<u64>) + Sync),
    ) -> Result<(), Interruption> {
        let total = answer.headers().get(CONTENT_LENGTH);
        let total = total.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let total = total.map(|rest| rest.saturating_add(self.length));
        let mut pieces = std::pin::pin!(http::body(answer));
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(Interruption::Transport)?;
            self.file.write_all(&piece).map_err(Interruption::Spool)?;
            self.hasher.update(&piece);
            self.length += piece.len() as u64;
            progress(self.length, total);
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Url, Error> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ => Err(Error::Url(text.split(['?', '#']).next().unwrap_or_default().to_owned())),
    }
}

/// One request, as often as the policy allows.
async fn ask(
    clients: &Clients,
    policy: &RetryPolicy,
    url: &Url,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let transport = |failure| Error::Transport { url: http::shown(url), failure };
    // This machine's own servers need no proxy, but their certificates are not waved through: here
    // the content is what matters.
    let client = clients.client(Peer::Verified).await.map_err(transport)?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let request = client.get(url.clone()).headers(headers.clone());
        let (error, outcome, wait) = match http::send(request).await {
            Ok(answer) => {
                let status = answer.status();
                if !status.is_client_error() && !status.is_server_error() {
                    return Ok(answer);
                }
                let wait = http::retry_after(answer.headers());
                let (url, status) = (http::shown(url), status.as_u16());
                (Error::Status { url, status }, Some(Outcome::Status(status)), wait)
            }
            Err(failure) => {
                let outcome = failure.outcome();
                (transport(failure), outcome, None)
            }
        };
        if !pause(policy, attempt, outcome, wait).await {
            return Err(error);
        }
    }
}

async fn pause(
    policy: &RetryPolicy,
    attempt: u32,
    outcome: Option<Outcome>,
    wait: Option<std::time::Duration>,
) -> bool {
    let delay = outcome.and_then(|outcome| policy.delay(attempt, outcome, wait, http::jitter()));
    match delay {
        Some(delay) => {
            tokio::time::sleep(delay).await;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_strong_tag_lets_a_download_go_on() {
        let ranges = |etag: &str, length| {
            let validators = Validators { etag: Some(etag.to_owned()), ..Validators::default() };
            let file = &tempfile::tempfile().unwrap();
            let partial = Partial { file, hasher: Sha256::new(), length, validators };
            partial.resumption().contains_key(RANGE)
        };
        assert!(ranges("\"x\"", 5));
        assert!(!ranges("\"x\"", 0));
        assert!(!ranges("W/\"x\"", 5));
    }

    #[test]
    fn other_schemes_are_refused_without_showing_a_query() {
        let error = parse("ftp://h/x?token=secret").unwrap_err().to_string();
        assert_eq!(error, r#""ftp://h/x" is no http or https URL"#);
    }
}
