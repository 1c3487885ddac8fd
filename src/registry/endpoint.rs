//! One place that answers for a registry's host: the host itself or a mirror of it.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Body, Method, Response, StatusCode, Url};

use super::auth::{Authority, Scope};
use super::challenge::Challenge;
use super::docker_config::normalize;
use super::error::{Asked, Error};
use super::{Shared, check, pause};
use crate::http::{self, Clients, Failure, Peer, RetryPolicy};

const HTTPS: &str = "https";
const HTTP: &str = "http";

#[derive(Debug)]
pub(super) struct Endpoint {
    /// As in references.
    host: String,
    pub mirror: bool,
    insecure: bool,
    /// Host, port and path of the API's root.
    place: String,
    /// What a mirror puts before the names of repositories; ends with `/` unless empty.
    prefix: String,
    /// Empty until an answer shows it, where both are possible.
    scheme: OnceLock<&'static str>,
    authority: Authority,
    clients: Arc<Clients>,
    policy: RetryPolicy,
}

/// One request. All that the protocol has may be sent twice, but for the bytes of an upload, whose
/// sender has to ask first what has arrived.
pub(super) struct Call<'a> {
    pub method: Method,
    pub url: Url,
    pub scopes: &'a [Scope],
    pub headers: HeaderMap,
    pub payload: Payload<'a>,
    /// By [`Endpoint::send`]; otherwise by its caller, who knows more.
    pub retried: bool,
}

#[derive(Clone)]
pub(super) enum Payload<'a> {
    Bytes(Bytes),
    Stream(&'a Counted<'a>),
}

/// A body that is opened anew for each attempt and counts what has left.
pub(super) struct Counted<'a> {
    pub open: &'a (dyn Fn() -> Body + Sync),
    /// Bytes.
    pub length: u64,
    pub sent: Arc<AtomicU64>,
    pub progress: &'a (dyn Fn(u64) + Sync),
}

impl<'a> Call<'a> {
    /// A request without a body.
    pub(super) fn new(method: Method, url: Url, scopes: &'a [Scope]) -> Self {
        let payload = Payload::Bytes(Bytes::new());
        Self { method, url, scopes, headers: HeaderMap::new(), payload, retried: true }
    }

    /// The same, leaving other attempts to the caller.
    pub(super) fn once(mut self) -> Self {
        self.retried = false;
        self
    }

    pub(super) fn header(
        mut self,
        name: reqwest::header::HeaderName,
        value: impl TryInto<HeaderValue>,
    ) -> Self {
        if let Ok(value) = value.try_into() {
            self.headers.insert(name, value);
        }
        self
    }
}

impl Endpoint {
    pub(super) fn host(shared: &Shared, host: &str) -> Self {
        // Docker Hub's API has another name than its images.
        let place = if host == "docker.io" { "registry-1.docker.io" } else { host };
        Self::new(shared, host, place.to_owned(), String::new(), None, false)
    }

    pub(super) fn mirror(shared: &Shared, host: &str, text: &str) -> Result<Self, Error> {
        let wrong = || Error::Mirror { host: host.to_owned(), text: text.to_owned() };
        let is_bare = !text.contains("://");
        let with_scheme = if is_bare { format!("https://{text}") } else { text.to_owned() };
        let url = Url::parse(&with_scheme).map_err(|_| wrong())?;
        let scheme = match url.scheme() {
            // As for any host: TLS, unless it is this machine or one called insecure.
            _ if is_bare => None,
            HTTPS => Some(HTTPS),
            HTTP => Some(HTTP),
            _ => return Err(wrong()),
        };
        let mut place = url.host_str().ok_or_else(wrong)?.to_owned();
        if let Some(port) = url.port() {
            place = format!("{place}:{port}");
        }
        let path = url.path().trim_matches('/');
        let path = path.strip_prefix("v2").unwrap_or(path).trim_matches('/');
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let name = normalize(&place);
        Ok(Self::new(shared, &name, place, prefix, scheme, true))
    }

    fn new(
        shared: &Shared,
        host: &str,
        place: String,
        prefix: String,
        scheme: Option<&'static str>,
        mirror: bool,
    ) -> Self {
        let insecure = shared.options.insecure.iter().any(|insecure| insecure == host);
        // A mirror that does not answer is passed over, not waited for.
        let policy = if mirror { RetryPolicy::NEVER } else { shared.policy };
        let (options, clients) = (Arc::clone(&shared.options), Arc::clone(&shared.clients));
        Self {
            host: host.to_owned(),
            mirror,
            insecure,
            scheme: scheme.map_or_else(OnceLock::new, OnceLock::from),
            place,
            prefix,
            authority: Authority::new(host, insecure, options, Arc::clone(&clients)),
            clients,
            policy,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.host
    }

    /// The name under which this endpoint knows a repository.
    pub(super) fn repository(&self, repository: &str) -> String {
        format!("{}{repository}", self.prefix)
    }

    /// The URL of something of a repository: `manifests/latest`, `blobs/sha256:…`.
    ///
    /// # Errors
    /// [`Error::Protocol`] where that is no path.
    pub(super) fn url(&self, repository: &str, rest: &str) -> Result<Url, Error> {
        let root = self.root()?;
        let path = format!("{}{repository}/{rest}", self.prefix);
        root.join(&path).map_err(|error| Error::Protocol {
            asked: Asked::new(&Method::GET, &root, &self.host),
            what: format!("{path} is no path: {error}"),
        })
    }

    fn root(&self) -> Result<Url, Error> {
        let scheme = self.scheme.get().unwrap_or(&HTTPS);
        let text = format!("{scheme}://{}/v2/", self.place);
        Url::parse(&text).map_err(|error| Error::Reference {
            text: self.place.clone(),
            reason: error.to_string(),
        })
    }

    /// A URL of this endpoint's without TLS, where that may be right: an insecure host, which this
    /// machine always is, may speak it or not.
    fn without_tls(&self, url: &Url) -> Option<Url> {
        let secure = Url::parse(&format!("{HTTPS}://{}/", self.place)).ok()?;
        let may_be = self.scheme.get() != Some(&HTTPS)
            && url.origin() == secure.origin()
            && Peer::of(url, self.insecure) != Peer::Verified;
        let path = url.as_str().strip_prefix(secure.as_str()).filter(|_| may_be)?;
        Url::parse(&format!("{HTTP}://{}/{path}", self.place)).ok()
    }

    async fn client(&self, url: &Url, method: &Method) -> Result<&reqwest::Client, Error> {
        let peer = Peer::of(url, self.insecure);
        self.clients.client(peer).await.map_err(|failure| Error::Transport {
            asked: Asked::new(method, url, &self.host),
            failure,
        })
    }

    /// Sends a request, with authorization, as often as the policy allows.
    ///
    /// # Errors
    /// [`Error::Refused`] for any answer that is not a success, [`Error::Transport`] for none.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, Error> {
        let mut attempt = 0;
        let mut renewed = false;
        let mut url = call.url.clone();
        loop {
            let error = match self.attempt(call, &mut url, &mut renewed).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => continue,
                Err(error) => error,
            };
            attempt += 1;
            if !call.retried || !pause(&self.policy, attempt, &error).await {
                return Err(error);
            }
        }
    }

    /// `None` when the registry asked who we are and there is something to say, once.
    async fn attempt(
        &self,
        call: &Call<'_>,
        url: &mut Url,
        renewed: &mut bool,
    ) -> Result<Option<Response>, Error> {
        let authorization = match self.is_ours(url) {
            true => self.authority.header(call.scopes).await?,
            false => None,
        };
        let mut sent = self.transmit(call, url, authorization.clone()).await?;
        if sent.is_err()
            && let Some(plain) = self.without_tls(url)
        {
            *url = plain;
            sent = self.transmit(call, url, authorization.clone()).await?;
        }
        let asked = Asked::new(&call.method, url, &self.host);
        let answer = sent.map_err(|failure| Error::Transport { asked: asked.clone(), failure })?;
        let _ = self.scheme.set(if url.scheme() == HTTP { HTTP } else { HTTPS });
        // After a redirect to a store elsewhere, that store's opinion of us does not matter.
        if answer.status() == StatusCode::UNAUTHORIZED && !*renewed && self.is_ours(answer.url()) {
            let headers = answer.headers().get_all(WWW_AUTHENTICATE);
            let challenge = Challenge::choose(headers.iter().filter_map(|h| h.to_str().ok()));
            if let Some(challenge) = challenge {
                *renewed = true;
                let used = authorization.as_ref();
                if self.authority.challenged(challenge, used, call.scopes).await? {
                    return Ok(None);
                }
            }
        }
        check(answer, asked, self.authority.signed_in()).await.map(Some)
    }

    async fn transmit(
        &self,
        call: &Call<'_>,
        url: &Url,
        authorization: Option<HeaderValue>,
    ) -> Result<Result<Response, Failure>, Error> {
        let client = self.client(url, &call.method).await?;
        let mut request =
            client.request(call.method.clone(), url.clone()).headers(call.headers.clone());
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        Ok(match &call.payload {
            Payload::Bytes(bytes) if bytes.is_empty() && !takes_body(&call.method) => {
                http::send(request).await
            }
            Payload::Bytes(bytes) => {
                let request = request.header(CONTENT_LENGTH, bytes.len()).body(bytes.clone());
                http::send(request).await
            }
            Payload::Stream(body) => {
                body.sent.store(0, std::sync::atomic::Ordering::Relaxed);
                let request = request.header(CONTENT_LENGTH, body.length).body((body.open)());
                http::send_counted(request, &body.sent, body.length, body.progress).await
            }
        })
    }

    /// Our authorization is for this host alone, and never for a less safe way to it.
    fn is_ours(&self, url: &Url) -> bool {
        self.root().is_ok_and(|root| root.origin() == url.origin())
    }

    /// Where an upload goes on: a `Location` may be relative, and a registry behind a proxy that
    /// ends TLS may take itself for `http`.
    pub(super) fn location(&self, asked: &Url, answer: &Response) -> Result<Url, Error> {
        let location = answer.headers().get(reqwest::header::LOCATION);
        let mut url = location
            .and_then(|value| value.to_str().ok())
            .and_then(|text| asked.join(text).ok())
            .ok_or_else(|| Error::Protocol {
                asked: Asked::new(&Method::POST, asked, &self.host),
                what: "no Location for the upload".to_owned(),
            })?;
        if asked.scheme() == "https" && url.scheme() == "http" && url.host() == asked.host() {
            let port = asked.port();
            // Neither can fail: both URLs have a host, and https is a scheme for one.
            let _ = url.set_scheme("https");
            let _ = url.set_port(port);
        }
        Ok(url)
    }
}

fn takes_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;
    use crate::request::RegistryOptions;

    async fn urls(host: &str, mirrors: &[(&str, &str)]) -> Vec<String> {
        let options = RegistryOptions {
            mirrors: mirrors.iter().map(|(h, u)| ((*h).to_owned(), (*u).to_owned())).collect(),
            ..RegistryOptions::default()
        };
        let registry = Registry::new(options, Arc::default());
        let mut urls = Vec::new();
        for endpoint in registry.endpoints(host).unwrap().iter() {
            let url = endpoint.url("library/alpine", "manifests/latest").unwrap();
            urls.push(url.to_string());
        }
        urls
    }

    #[tokio::test]
    async fn mirrors_come_first_and_may_have_a_path() {
        let mirrors = [
            ("docker.io", "https://mirror.example"),
            ("ghcr.io", "https://other.example"),
            ("docker.io", "http://cache.lan:5000/hub/"),
            ("docker.io", "harbor.example/v2/proxy"),
        ];
        assert_eq!(
            urls("docker.io", &mirrors).await,
            [
                "https://mirror.example/v2/library/alpine/manifests/latest",
                "http://cache.lan:5000/v2/hub/library/alpine/manifests/latest",
                "https://harbor.example/v2/proxy/library/alpine/manifests/latest",
                "https://registry-1.docker.io/v2/library/alpine/manifests/latest",
            ]
        );
    }

    #[test]
    fn a_mirror_that_is_no_url_is_an_error() {
        let mirrors = vec![("a.io".to_owned(), "ftp://x".to_owned())];
        let options = RegistryOptions { mirrors, ..RegistryOptions::default() };
        let registry = Registry::new(options, Arc::default());
        assert!(matches!(registry.endpoints("a.io"), Err(Error::Mirror { .. })));
        assert!(registry.endpoints("b.io").is_ok());
    }
}
