//! What can go wrong with the service and its blobs, told without a token or a signed URL.

use std::io;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::CacheFault;
use crate::http::{self, Failure, Outcome, RetryPolicy};

/// What is read of an answer that is no entry's bytes.
pub(super) const BODY_LIMIT: usize = 256 * 1024;
/// What is shown of a message of the service, in characters.
const SHOWN_MESSAGE: usize = 200;

/// `asked` is the call or operation in the protocol's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{asked}: {failure}")]
    Transport { asked: &'static str, failure: Failure },
    /// `detail` is the peer's own word for it, or nothing.
    #[error("{asked}: status {status}{}", said(.detail))]
    Refused { asked: &'static str, status: u16, detail: String, retry_after: Option<Duration> },
    /// An answer that is not the protocol's: a proxy's page, or another service.
    #[error("{asked}: status {status} with {what}")]
    Foreign { asked: &'static str, status: u16, what: &'static str },
    #[error("{asked}: {what}")]
    Protocol { asked: &'static str, what: String },
    #[error(transparent)]
    Source(#[from] io::Error),
}

fn said(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(", {detail}") }
}

impl Fault {
    /// What a retry policy has to know of it; `None` if another attempt changes nothing.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Transport { failure, .. } => failure.outcome(),
            // A page with a good status is some gateway's mishap.
            Self::Foreign { status: 200..=299, .. } => Some(Outcome::Broken),
            Self::Refused { status, .. } | Self::Foreign { status, .. } => {
                Some(Outcome::Status(*status))
            }
            Self::Protocol { .. } | Self::Source(_) => None,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Foreign { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// A signed URL is past its time, or was never good.
    pub(super) fn is_unsigned(&self) -> bool {
        matches!(self.status(), Some(401 | 403))
    }
}

impl From<Fault> for CacheFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Source(error) => Self::Io(error),
            fault => Self::Failed(fault.to_string()),
        }
    }
}

/// Waits before another attempt, or gives the fault back if there is to be none. `attempt` counts
/// those made.
pub(super) async fn pause(
    policy: &RetryPolicy,
    attempt: &mut u32,
    fault: Fault,
) -> Result<(), Fault> {
    *attempt += 1;
    let delay = |outcome| policy.delay(*attempt, outcome, fault.retry_after(), http::jitter());
    match fault.outcome().and_then(delay) {
        Some(delay) => {
            tokio::time::sleep(delay).await;
            Ok(())
        }
        None => Err(fault),
    }
}

/// Twirp's errors; the REST API and some servers write `message`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TwirpError {
    #[serde(alias = "message")]
    msg: String,
}

/// A good answer's JSON, or what is wrong with the answer.
pub(super) fn interpret(
    asked: &'static str,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    clean: impl Fn(&str) -> String,
) -> Result<Value, Fault> {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    match json {
        Some(json) if (200..300).contains(&status) => Ok(json),
        json if json.is_some() || retry_after.is_some() => {
            let error: TwirpError =
                json.and_then(|json| serde_json::from_value(json).ok()).unwrap_or_default();
            Err(Fault::Refused { asked, status, detail: clean(&error.msg), retry_after })
        }
        _ => {
            let what = if body.starts_with(b"<") { "a page of HTML" } else { "no JSON" };
            Err(Fault::Foreign { asked, status, what })
        }
    }
}

/// The answer of a blob store if it is a success. Its word for a fault is in a header, and the rest
/// of what it says may repeat the signed URL.
pub(super) fn check_blob(asked: &'static str, answer: Response) -> Result<Response, Fault> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    Err(Fault::Refused {
        asked,
        status: answer.status().as_u16(),
        detail: blob_error_code(answer.headers()),
        retry_after: http::retry_after(answer.headers()),
    })
}

fn blob_error_code(headers: &HeaderMap) -> String {
    let code = headers.get("x-ms-error-code").and_then(|value| value.to_str().ok());
    let code = code.filter(|code| code.len() <= 64);
    code.filter(|code| code.bytes().all(|b| b.is_ascii_alphanumeric())).unwrap_or("").to_owned()
}

/// A message of the service for our log: one line of limited length, without `token` and without
/// signatures, should the message repeat them.
pub(super) fn clean(message: &str, token: &str) -> String {
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.replace(token, "***");
    let mut parts = line.split("sig=");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c == '&' || c == '"' || c == '\'' || c.is_whitespace());
        text.push_str("sig=***");
        text.push_str(&part[end.unwrap_or(part.len())..]);
    }
    text.chars().take(SHOWN_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_short_line_without_secrets() {
        for (message, expected) in [
            ("plain", "plain"),
            ("two\r\nlines", "two  lines"),
            ("Bearer canary is bad", "Bearer *** is bad"),
            ("https://h/b?sig=a%2Fb%3D&se=1 gone", "https://h/b?sig=***&se=1 gone"),
            ("sig=one sig=two", "sig=*** sig=***"),
        ] {
            assert_eq!(clean(message, "canary"), expected);
        }
        assert_eq!(clean(&"x".repeat(1000), "canary").len(), SHOWN_MESSAGE);
    }
}
