//! What can go wrong with a registry, told without a token, a query or an upload's address.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use crate::digest::Digest;
use crate::error;
use crate::http::{self, Outcome};
use crate::platform::Platform;

/// What is read of an error's body (the registries' envelopes are a few hundred bytes).
pub(super) const ERROR_BODY_LIMIT: usize = 64 * 1024;
/// What is shown of one message of a peer.
const SHOWN_MESSAGE: usize = 300;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{text:?} is no image reference: {reason}")]
    Reference { text: String, reason: String },
    #[error("the mirror {text:?} of {host} is no http or https URL")]
    Mirror { host: String, text: String },
    #[error("{asked}: {failure}")]
    Transport { asked: Asked, failure: http::Failure },
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The registry does not know the upload any more; a new one may work.
    #[error("{asked}: the registry gave the upload up")]
    UploadLost { asked: Asked },
    #[error("{asked}: the answer is not what the protocol has: {what}")]
    Protocol { asked: Asked, what: String },
    #[error("{host} wants the credentials sent to {realm}, which is not encrypted")]
    ClearRealm { host: String, realm: String },
    #[error("docker-credential-{helper} failed for {host}: {message}")]
    Helper { helper: String, host: String, message: String },
    #[error("{text:?}, where AWS's API shall be, is no http or https URL")]
    Endpoint { text: String },
    #[error("{asked}: {}{what}", status.map_or(String::new(), |status| format!("{status}: ")))]
    Aws { asked: Asked, status: Option<StatusCode>, what: String },
    #[error("{what} of {name}: expected {expected} but found {found}")]
    Digest { what: &'static str, name: String, expected: Digest, found: Digest },
    #[error("{what} of {name}: expected {expected} bytes but found {found}")]
    Size { what: &'static str, name: String, expected: u64, found: u64 },
    #[error("{what} of {name} is larger than {limit} bytes")]
    TooLarge { what: &'static str, name: String, limit: usize },
    #[error("{name} has {found} layers, more than {limit}")]
    TooManyLayers { name: String, found: usize, limit: usize },
    #[error("{name} has a manifest of schema 1, which registries gave up in 2017")]
    Schema1 { name: String },
    #[error("{name} is no container image: {what}")]
    NotAnImage { name: String, what: String },
    #[error("{name} has no image for {wanted}, only for {}", list(.found))]
    NoPlatform { name: String, wanted: Box<Platform>, found: Vec<Platform> },
    #[error("cannot read {}: {source}", path.display())]
    Spool { path: PathBuf, source: std::io::Error },
}

fn list(platforms: &[Platform]) -> String {
    let names: Vec<String> = platforms.iter().map(Platform::to_string).collect();
    if names.is_empty() { "unknown platforms".to_owned() } else { names.join(", ") }
}

impl Error {
    /// The HTTP status, where a registry answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status.as_u16()),
            _ => None,
        }
    }

    /// One of the error codes of the distribution-spec is among those reported.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.reports.iter().any(|r| r.code == code))
    }

    /// What a retry policy has to know of it; `None` if another attempt changes nothing.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Refused(refusal) => Some(Outcome::Status(refusal.status.as_u16())),
            Self::Aws { status: Some(status), .. } => Some(Outcome::Status(status.as_u16())),
            Self::Transport { failure, .. } => failure.outcome(),
            Self::UploadLost { .. } => Some(Outcome::Broken),
            _ => None,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// What the user can do about it, in whole sentences.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Refused(refusal) => refusal.hints(),
            Self::Transport { asked, failure } if failure.is_distrust() => vec![format!(
                "Trust the certificate of {host} with --ca-cert FILE, or do without verification \
                 with --insecure-registry {host}.",
                host = asked.host
            )],
            Self::Transport { asked, .. } => {
                vec![format!("Check that {} can be reached from here.", asked.host)]
            }
            Self::Aws { .. } => vec![
                "Check the id and the secret of the key, and that it has the permission \
                 `ecr:GetAuthorizationToken` (for public.ecr.aws `ecr-public:GetAuthorizationToken` \
                 and `sts:GetServiceBearerToken`)."
                    .to_owned(),
            ],
            Self::Schema1 { .. } => {
                vec!["Pull it with an old Docker and push it again in schema 2.".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

impl From<Error> for error::Error {
    fn from(error: Error) -> Self {
        let hints = error.hints();
        hints.into_iter().fold(Self::build(&error), Self::hinted)
    }
}

/// A request, as an error may show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: Method,
    /// Without query; the path of an upload session without what names the session.
    pub url: String,
    /// As in the reference: `docker.io`, `localhost:5000`.
    pub host: String,
}

impl Asked {
    pub(super) fn new(method: &Method, url: &Url, host: &str) -> Self {
        let mut shown = http::shown(url);
        if let Some(start) = shown.find("/blobs/uploads/") {
            shown.truncate(start + "/blobs/uploads/".len());
            shown.push('…');
        }
        Self { method: method.clone(), url: shown, host: host.to_owned() }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

/// An answer with a status of 400 or above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub asked: Asked,
    pub status: StatusCode,
    pub reports: Vec<Report>,
    pub retry_after: Option<Duration>,
    /// We had credentials for the host.
    pub signed_in: bool,
}

/// One entry of the distribution-spec's error envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Report {
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    pub message: String,
}

impl Refusal {
    fn hints(&self) -> Vec<String> {
        let host = &self.asked.host;
        let has = |code: &str| self.reports.iter().any(|report| report.code == code);
        match self.status.as_u16() {
            429 => vec![format!(
                "{host} limits how many requests it answers: wait, log in, or pull through \
                 --registry-mirror."
            )],
            401 | 403 if self.signed_in => vec![format!(
                "The credentials for {host} do not allow this; check the image's name, or renew \
                 them with `docker login {host}`."
            )],
            401 | 403 => vec![format!(
                "Log in with `docker login {host}`. Where an image does not exist, {host} may say \
                 the same, so check its name too."
            )],
            404 if has("BLOB_UNKNOWN") => {
                vec!["The registry has lost a part of the image; push it there again.".to_owned()]
            }
            404 => vec!["Check the image's name and tag.".to_owned()],
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.status)?;
        for report in &self.reports {
            f.write_str(": ")?;
            match (report.code.as_str(), report.message.as_str()) {
                ("", text) | (text, "") => f.write_str(text)?,
                (code, message) => write!(f, "{code}: {message}")?,
            }
        }
        Ok(())
    }
}

/// The reports in an error's body: the distribution-spec's envelope, or what token servers send.
pub(super) fn reports(body: &[u8]) -> Vec<Report> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Envelope {
        errors: Vec<Report>,
        error: String,
        error_description: String,
        details: String,
    }
    let Ok(envelope) = serde_json::from_slice::<Envelope>(body) else { return Vec::new() };
    let mut reports = envelope.errors;
    let message = envelope.error_description + &envelope.details;
    if !envelope.error.is_empty() || !message.is_empty() {
        reports.push(Report { code: envelope.error, message });
    }
    reports.truncate(3);
    for report in &mut reports {
        report.code = plain(&report.code);
        report.message = plain(&report.message);
    }
    reports
}

/// Text of a peer, without anything that a terminal would obey, and not too long.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::new();
    for character in text.trim().chars().take(SHOWN_MESSAGE) {
        let _ = shown.write_char(if character.is_control() { ' ' } else { character });
    }
    if text.trim().chars().count() > SHOWN_MESSAGE {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_shown_without_its_session() {
        let url = "https://r.io/v2/a/b/blobs/uploads/1234-abcd?_state=secret".parse().unwrap();
        let asked = Asked::new(&Method::PUT, &url, "r.io");
        assert_eq!(asked.to_string(), "PUT https://r.io/v2/a/b/blobs/uploads/…");
    }

    #[test]
    fn bodies_of_errors_are_read() {
        let told = |body: &str| {
            let reports = reports(body.as_bytes());
            reports.iter().map(|r| format!("{}|{}", r.code, r.message)).collect::<Vec<_>>()
        };
        let body = r#"{"errors":[{"code":"DENIED","message":"no\u001b[31m","detail":{"a":1}}]}"#;
        assert_eq!(told(body), ["DENIED|no [31m"]);
        assert_eq!(
            told(r#"{"error":"invalid_grant","error_description":"x"}"#),
            ["invalid_grant|x"]
        );
        assert_eq!(
            told(r#"{"details":"incorrect username or password"}"#),
            ["|incorrect username or password"]
        );
        assert!(told("<html>").is_empty());
        let long = format!(r#"{{"details":"{}"}}"#, "x".repeat(1000));
        assert_eq!(reports(long.as_bytes())[0].message.chars().count(), SHOWN_MESSAGE + 1);
    }

    #[test]
    fn hints_fit_the_refusal() {
        let hint = |status: u16, signed_in| {
            let asked = Asked {
                method: Method::GET,
                url: "https://ghcr.io/v2/x/manifests/y".to_owned(),
                host: "ghcr.io".to_owned(),
            };
            let status = StatusCode::from_u16(status).unwrap();
            let reports = Vec::new();
            Refusal { asked, status, reports, retry_after: None, signed_in }.hints().concat()
        };
        for (status, signed_in, expected) in [
            (401, false, "`docker login ghcr.io`"),
            (403, true, "do not allow this"),
            (404, false, "name and tag"),
            (429, false, "--registry-mirror"),
            (500, false, ""),
        ] {
            assert!(hint(status, signed_in).contains(expected), "{status}");
        }
    }
}
