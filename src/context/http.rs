//! `ADD https://…` (L-145): downloading a file, and asking whether it has changed.

use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use futures_util::StreamExt as _;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Method, Response, StatusCode, Url};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::digest::Sha256Sum;
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
    #[error("{url}: expected sha256:{} but found sha256:{}", .expected.hex(), .found.hex())]
    Checksum { url: String, expected: Sha256Sum, found: Sha256Sum },
    #[error("cannot write what {url} sends: {source}")]
    Spool { url: String, source: io::Error },
}

/// What identifies the content of a URL without fetching it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// With its quotes, and `W/` before a weak one.
    pub etag: Option<String>,
    /// Seconds since 1970.
    pub last_modified: Option<i64>,
    /// Bytes.
    pub length: Option<u64>,
}

#[derive(Debug)]
pub struct Downloaded {
    /// Deleted when dropped; its mode is the caller's business.
    pub file: NamedTempFile,
    /// As [`file_name`] has it.
    pub name: String,
    pub facts: Facts,
    pub digest: Sha256Sum,
}

/// The name that ADD gives to the file: the last part of the URL's path, without escapes, or
/// `__unnamed__`.
#[must_use]
pub fn file_name(url: &str) -> String {
    let unnamed = || "__unnamed__".to_owned();
    let Ok(url) = Url::parse(url) else { return unnamed() };
    let path = unescape(url.path());
    match path.trim_end_matches('/').rsplit('/').next() {
        None | Some("" | "." | "..") => unnamed(),
        Some(name) if name.contains('\0') => unnamed(),
        Some(name) => name.to_owned(),
    }
}

/// Replaces `%XX`; what is not an escape stays.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let digits = (*first == b'%').then(|| after.get(..2)).flatten();
        let escaped = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                plain.push(byte);
                rest = &after[2..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Asks for the facts of a URL, without its content.
///
/// # Errors
/// [`Error::Status`] for 400 and above, [`Error::Transport`] for no answer.
pub async fn validate(clients: &Clients, policy: &RetryPolicy, url: &str) -> Result<Facts, Error> {
    let url = parse(url)?;
    match ask(clients, policy, Method::HEAD, &url, HeaderMap::new()).await {
        Ok(answer) => Ok(facts(answer.headers())),
        // Not every server knows HEAD, and a signed URL may be signed for GET alone.
        Err(Error::Status { .. }) => {
            let answer = ask(clients, policy, Method::GET, &url, HeaderMap::new()).await?;
            Ok(facts(answer.headers()))
        }
        Err(error) => Err(error),
    }
}

/// Downloads a URL into a new file in `spool`. A broken transfer goes on where it broke, if the
/// server says that the file is the same. `progress` is told how many bytes have arrived.
///
/// # Errors
/// [`Error::Status`] for 400 and above, [`Error::Checksum`] when `checksum` is another one.
pub async fn download(
    clients: &Clients,
    policy: &RetryPolicy,
    url: &str,
    checksum: Option<Sha256Sum>,
    spool: &Path,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Downloaded, Error> {
    let parsed = parse(url)?;
    let shown = http::shown(&parsed);
    let written = |source| Error::Spool { url: shown.clone(), source };
    let mut partial = Partial {
        file: NamedTempFile::new_in(spool).map_err(written)?,
        hasher: Sha256::new(),
        length: 0,
        facts: Facts::default(),
    };
    let mut attempt = 0;
    loop {
        let headers = partial.resumption();
        let answer = ask(clients, policy, Method::GET, &parsed, headers).await?;
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
    let found = Sha256Sum::from(partial.hasher);
    match checksum {
        Some(expected) if expected != found => Err(Error::Checksum { url: shown, expected, found }),
        _ => Ok(Downloaded {
            file: partial.file,
            name: file_name(url),
            facts: partial.facts,
            digest: found,
        }),
    }
}

struct Partial {
    file: NamedTempFile,
    hasher: Sha256,
    /// Bytes.
    length: u64,
    facts: Facts,
}

enum Interruption {
    Transport(Failure),
    Spool(io::Error),
}

impl Partial {
    /// Headers that ask for the rest, if it can be known to be the rest of the same.
    fn resumption(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let strong = self.facts.etag.as_ref().filter(|etag| etag.starts_with('"'));
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
        self.file.as_file().set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Sha256::new();
        self.length = 0;
        self.facts = facts(answer.headers());
        Ok(false)
    }

    async fn receive(
        &mut self,
        answer: Response,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Interruption> {
        let mut pieces = std::pin::pin!(http::body(answer));
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(Interruption::Transport)?;
            self.file.write_all(&piece).map_err(Interruption::Spool)?;
            self.hasher.update(&piece);
            self.length += piece.len() as u64;
            progress(self.length);
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
    method: Method,
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
        let request = client.request(method.clone(), url.clone()).headers(headers.clone());
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

fn facts(headers: &HeaderMap) -> Facts {
    let text = |name| {
        headers.get(name).and_then(|value: &reqwest::header::HeaderValue| {
            value.to_str().ok().filter(|text| !text.is_empty())
        })
    };
    Facts {
        etag: text(ETAG).map(str::to_owned),
        last_modified: text(LAST_MODIFIED).and_then(http::http_date),
        length: text(reqwest::header::CONTENT_LENGTH).and_then(|text| text.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_last_part_of_the_path() {
        for (url, expected) in [
            ("https://h/a/b.tar.gz?x=/y#z", "b.tar.gz"),
            ("https://h/a/", "a"),
            ("https://h", "__unnamed__"),
            ("https://h/", "__unnamed__"),
            ("https://h/a%20b%zz", "a b%zz"),
            ("https://h/x%2Fy", "y"),
            ("https://h/%2E%2E", "__unnamed__"),
            ("https://h/a%00b", "__unnamed__"),
            ("https://h/%e4%b8%ad", "中"),
            ("no url", "__unnamed__"),
        ] {
            assert_eq!(file_name(url), expected, "{url}");
        }
    }

    #[test]
    fn only_a_strong_tag_lets_a_download_go_on() {
        let ranges = |etag: &str, length| {
            let facts = Facts { etag: Some(etag.to_owned()), ..Facts::default() };
            let file = NamedTempFile::new().unwrap();
            Partial { file, hasher: Sha256::new(), length, facts }.resumption().contains_key(RANGE)
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
