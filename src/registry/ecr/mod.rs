//! Amazon's registries know no passwords of their own: AWS's API gives one for its keys, for some
//! hours (ECR and ECR Public API, `GetAuthorizationToken`).

mod signature;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::error::{Asked, Error, plain};
use super::pause;
use crate::http::{self, Clients, Peer, RetryPolicy};
use crate::request::{Credential, Secret};
use signature::{Scope, authorization};

/// A token of 12 hours is some 2 KB.
const ANSWER_LIMIT: usize = 256 * 1024;

/// AWS's name of somebody, and the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKeys {
    pub id: String,
    pub secret: Secret,
    /// Of keys that live for a while only.
    pub session_token: Option<Secret>,
}

/// A part of AWS that has registries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ecr {
    Private { region: String },
    Public,
}

impl Ecr {
    /// Whose registry has this name: `123456789012.dkr.ecr.eu-west-1.amazonaws.com`,
    /// `123456789012.dkr-ecr.eu-west-1.on.aws`, `public.ecr.aws`.
    #[must_use]
    pub fn of_host(host: &str) -> Option<Self> {
        if matches!(host, "public.ecr.aws" | "ecr-public.aws.com") {
            return Some(Self::Public);
        }
        let (account, rest) = host.split_once('.')?;
        let domains = [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".on.aws"];
        let rest = rest.strip_prefix("dkr.ecr.").or_else(|| rest.strip_prefix("dkr-ecr."))?;
        let region = domains.iter().find_map(|domain| rest.strip_suffix(domain))?;
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_region = !region.is_empty() && !region.contains('.');
        (is_account && is_region).then(|| Self::Private { region: region.to_owned() })
    }

    fn service(&self) -> &'static str {
        match self {
            Self::Private { .. } => "ecr",
            Self::Public => "ecr-public",
        }
    }

    fn region(&self) -> &str {
        match self {
            Self::Private { region } => region,
            // All of it is signed for there.
            Self::Public => "us-east-1",
        }
    }

    /// Where the API is.
    fn url(&self) -> String {
        let (service, region) = (self.service(), self.region());
        let domain = match region.split('-').next() {
            Some("cn") => "amazonaws.com.cn",
            Some("eusc") => "amazonaws.eu",
            _ => "amazonaws.com",
        };
        format!("https://api.{service}.{region}.{domain}/")
    }

    fn target(&self) -> &'static str {
        match self {
            Self::Private { .. } => "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
            Self::Public => "SpencerFrontendService.GetAuthorizationToken",
        }
    }

    /// Asks for a password; `endpoint` takes the place of AWS's own address. `at` is now: AWS believes
    /// it if it is right by five minutes.
    ///
    /// # Errors
    /// [`Error::Aws`] where AWS refuses; of the network.
    pub async fn password(
        &self,
        keys: &AwsKeys,
        endpoint: Option<&str>,
        at: Timestamp,
        clients: &Clients,
    ) -> Result<Credential, Error> {
        let text = endpoint.map_or_else(|| self.url(), str::to_owned);
        let url = Url::parse(&text).and_then(|url| url.join("/"));
        let url = url.map_err(|_| Error::Endpoint { text: plain(&text) })?;
        let mut attempt = 0;
        loop {
            let error = match self.attempt(keys, &url, at, clients).await {
                Ok(credential) => return Ok(credential),
                Err(error) => error,
            };
            attempt += 1;
            if !pause(&RetryPolicy::default(), attempt, &error).await {
                return Err(error);
            }
        }
    }

    async fn attempt(
        &self,
        keys: &AwsKeys,
        url: &Url,
        at: Timestamp,
        clients: &Clients,
    ) -> Result<Credential, Error> {
        const BODY: &str = "{}";
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        let asked = Asked::new(&Method::POST, url, &host);
        let transport = |failure| Error::Transport { asked: asked.clone(), failure };
        let scope = Scope { at, region: self.region(), service: self.service() };
        let time = scope.time();
        let token = keys.session_token.as_ref().map(|token| String::from_utf8_lossy(&token.0));
        let mut headers = vec![
            (CONTENT_TYPE.as_str(), "application/x-amz-json-1.1"),
            ("host", host.as_str()),
            ("x-amz-date", &time),
        ];
        headers.extend(token.as_deref().map(|token| ("x-amz-security-token", token)));
        headers.push(("x-amz-target", self.target()));
        let authorization = authorization(keys, scope, &headers, BODY.as_bytes());
        let client = clients.client(Peer::of(url, false)).await.map_err(transport)?;
        let mut request = client.post(url.clone()).body(BODY);
        for (name, value) in headers.into_iter().chain([(AUTHORIZATION.as_str(), &*authorization)])
        {
            let mut value = HeaderValue::from_str(value).map_err(|_| Error::Aws {
                asked: asked.clone(),
                status: None,
                what: "a key has characters that no key has".to_owned(),
            })?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let answer = http::send(request).await.map_err(transport)?;
        let status = answer.status();
        let body = http::small_body(answer, ANSWER_LIMIT).await.map_err(transport)?;
        let body = body.unwrap_or_default();
        let refused = |what| Error::Aws { asked: asked.clone(), status: Some(status), what };
        if !status.is_success() {
            return Err(refused(refusal(&body)));
        }
        credential(&body).ok_or_else(|| refused("no token in the answer".to_owned()))
    }
}

/// What an error of AWS's says: a type, perhaps with a namespace, and mostly a message.
fn refusal(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Fault {
        #[serde(rename = "__type")]
        kind: String,
        #[serde(alias = "Message")]
        message: String,
    }
    let fault: Fault = serde_json::from_slice(body).unwrap_or_default();
    let kind = fault.kind.rsplit('#').next().unwrap_or_default();
    match (kind, fault.message.as_str()) {
        ("", "") => "no reason given".to_owned(),
        ("", text) | (text, "") => plain(text),
        (kind, message) => plain(&format!("{kind}: {message}")),
    }
}

/// The token is base64 of `AWS:PASSWORD`. ECR gives a list of one, ECR Public the thing itself.
fn credential(body: &[u8]) -> Option<Credential> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        authorization_token: String,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Tokens {
        One(Data),
        Some(Vec<Data>),
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        authorization_data: Tokens,
    }
    let data = match serde_json::from_slice::<Answer>(body).ok()?.authorization_data {
        Tokens::One(data) => data,
        Tokens::Some(list) => list.into_iter().next()?,
    };
    let text = String::from_utf8(STANDARD.decode(data.authorization_token).ok()?).ok()?;
    let (user, password) = text.split_once(':').filter(|(_, password)| !password.is_empty())?;
    Some(Credential::Basic { user: user.to_owned(), password: Secret(password.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amazon_s_registries_have_names_of_their_own() {
        let api = |host: &str| Ecr::of_host(host).map(|ecr| ecr.url());
        for (host, expected) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "ecr.eu-west-1.amazonaws.com"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "ecr.cn-north-1.amazonaws.com.cn"),
            ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "ecr.eusc-de-east-1.amazonaws.eu"),
            ("123456789012.dkr-ecr.us-east-2.on.aws", "ecr.us-east-2.amazonaws.com"),
            ("public.ecr.aws", "ecr-public.us-east-1.amazonaws.com"),
        ] {
            assert_eq!(api(host), Some(format!("https://api.{expected}/")), "{host}");
        }
        for host in [
            "docker.io",
            "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
            "123456789012.dkr.ecr.evil.example/.amazonaws.com",
            "123456789012.dkr.ecr.amazonaws.com",
            "x.public.ecr.aws",
        ] {
            assert_eq!(api(host), None, "{host}");
        }
    }

    #[test]
    fn tokens_are_read() {
        let token = STANDARD.encode("AWS:pass:word");
        let expected =
            Credential::Basic { user: "AWS".to_owned(), password: Secret(b"pass:word".to_vec()) };
        for (body, found) in [
            (format!(r#"{{"authorizationData":[{{"authorizationToken":"{token}"}}]}}"#), true),
            (format!(r#"{{"authorizationData":{{"authorizationToken":"{token}"}}}}"#), true),
            (r#"{"authorizationData":[]}"#.to_owned(), false),
            (r#"{"authorizationData":[{"authorizationToken":"QVdT"}]}"#.to_owned(), false),
            ("<html>".to_owned(), false),
        ] {
            let expected = found.then(|| expected.clone());
            assert_eq!(credential(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn refusals_are_read() {
        for (body, expected) in [
            (
                r#"{"__type":"com.amazon#ExpiredTokenException","message":"It is late."}"#,
                "ExpiredTokenException: It is late.",
            ),
            (r#"{"__type":"ServerException"}"#, "ServerException"),
            (r#"{"Message":"Missing Authentication Token"}"#, "Missing Authentication Token"),
            ("<html>", "no reason given"),
        ] {
            assert_eq!(refusal(body.as_bytes()), expected);
        }
    }
}
