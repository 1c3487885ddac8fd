//! Convincing one host: its challenge, our credentials, and the tokens that it gave for them
//! (distribution, token authentication and its OAuth2 form).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::challenge::Challenge;
use super::check;
use super::credential::{self, Found};
use super::error::{Asked, Error};
use crate::http::{self, Clients, Peer};
use crate::request::{Credential, RegistryOptions, Secret};

/// What a token server may send; real ones stay under 10 KiB.
const TOKEN_ANSWER_LIMIT: usize = 1024 * 1024;
/// A token without a lifetime lives so long (distribution, token specification).
const DEFAULT_LIFETIME: u64 = 60;

/// What a request needs to be allowed: `repository:NAME:ACTIONS`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope {
    pub repository: String,
    pub push: bool,
}

impl Scope {
    pub(super) fn pull(repository: &str) -> Self {
        Self { repository: repository.to_owned(), push: false }
    }

    pub(super) fn push(repository: &str) -> Self {
        Self { repository: repository.to_owned(), push: true }
    }

    fn text(&self) -> String {
        let actions = if self.push { "pull,push" } else { "pull" };
        format!("repository:{}:{actions}", self.repository)
    }

    fn covers(&self, other: &Self) -> bool {
        self.repository == other.repository && (self.push || !other.push)
    }
}

/// One host that may want to know who we are.
#[derive(Debug)]
pub(super) struct Authority {
    /// As in references: `docker.io`, `localhost:5000`.
    host: String,
    insecure: bool,
    options: Arc<RegistryOptions>,
    clients: Arc<Clients>,
    /// Locked while a token is fetched, so that parallel transfers share one.
    state: Mutex<State>,
    signed_in: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// `None` as long as the host has not asked.
    challenge: Option<Challenge>,
    tokens: Vec<Token>,
    helper: Option<Found>,
}

#[derive(Debug)]
struct Token {
    scopes: Vec<Scope>,
    /// Whose it is.
    credential: Option<Credential>,
    header: HeaderValue,
    expires: Instant,
}

impl Authority {
    pub(super) fn new(
        host: &str,
        insecure: bool,
        options: Arc<RegistryOptions>,
        clients: Arc<Clients>,
    ) -> Self {
        let (host, state, signed_in) = (host.to_owned(), Mutex::default(), AtomicBool::new(false));
        Self { host, insecure, options, clients, state, signed_in }
    }

    /// There are credentials for this host.
    pub(super) fn signed_in(&self) -> bool {
        self.signed_in.load(Ordering::Relaxed)
    }

    /// The `Authorization` for a request to the repository of the first of `scopes`. A host that
    /// has never asked gets none.
    pub(super) async fn header(&self, scopes: &[Scope]) -> Result<Option<HeaderValue>, Error> {
        let mut state = self.state.lock().await;
        let Some(challenge) = state.challenge.clone() else { return Ok(None) };
        let credential = self.credential(&mut state, scopes).await?;
        match (challenge, credential) {
            (_, Some(Credential::RegistryToken(token))) => Ok(Some(bearer(&token.0))),
            (Challenge::Basic, Some(Credential::Basic { user, password })) => {
                Ok(Some(basic(&user, &password)))
            }
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { realm, service, scope }, credential) => {
                let now = Instant::now();
                let fits = |token: &&Token| {
                    now < token.expires
                        && token.credential == credential
                        && scopes.iter().all(|scope| token.scopes.iter().any(|t| t.covers(scope)))
                };
                if let Some(token) = state.tokens.iter().find(fits) {
                    return Ok(Some(token.header.clone()));
                }
                let realm = Realm { url: realm, service, scope };
                let token = self.fetch_token(&realm, scopes, credential).await?;
                let header = token.header.clone();
                state.tokens.retain(|token| now < token.expires);
                state.tokens.push(token);
                Ok(Some(header))
            }
        }
    }

    /// Takes note of a challenge that answered a request with the header `used`. `false` when
    /// another attempt would send the same again.
    pub(super) async fn challenged(
        &self,
        challenge: Challenge,
        used: Option<&HeaderValue>,
        scopes: &[Scope],
    ) -> Result<bool, Error> {
        let mut state = self.state.lock().await;
        let credential = self.credential(&mut state, scopes).await?;
        let able = match (&challenge, &credential) {
            (_, Some(Credential::RegistryToken(_))) | (Challenge::Basic, _) => {
                used.is_none() && credential.is_some()
            }
            (Challenge::Bearer { .. }, _) => true,
        };
        state.challenge = Some(challenge);
        state.tokens.retain(|token| Some(&token.header) != used);
        Ok(able)
    }

    async fn credential(
        &self,
        state: &mut State,
        scopes: &[Scope],
    ) -> Result<Option<Credential>, Error> {
        let (repository, push) =
            scopes.first().map_or(("", false), |scope| (&scope.repository, scope.push));
        if let Some(given) = credential::given(&self.options, &self.host, repository, push) {
            self.signed_in.store(true, Ordering::Relaxed);
            return Ok(Some(given.clone()));
        }
        if state.helper.is_none() {
            state.helper = Some(credential::from_helper(&self.options, &self.host).await?);
        }
        match &state.helper {
            Some(Found::Credential(credential)) => {
                self.signed_in.store(true, Ordering::Relaxed);
                Ok(Some(credential.clone()))
            }
            Some(Found::NoHelper(name)) => {
                self.clients.notice(format!(
                    "docker-credential-{name} is not installed: {} is asked without credentials",
                    self.host
                ));
                Ok(None)
            }
            Some(Found::Nothing) | None => Ok(None),
        }
    }

    /// One attempt; the request that needs the token is what is tried again.
    async fn fetch_token(
        &self,
        realm: &Realm,
        scopes: &[Scope],
        credential: Option<Credential>,
    ) -> Result<Token, Error> {
        let url = self.realm_url(realm, credential.as_ref())?;
        let peer = Peer::of(&url, self.insecure);
        let method = match &credential {
            Some(Credential::IdentityToken(_)) => Method::POST,
            _ => Method::GET,
        };
        let asked = Asked::new(&method, &url, &self.host);
        let transport = |failure| Error::Transport { asked: asked.clone(), failure };
        let client = self.clients.client(peer).await.map_err(transport)?;
        let request = match &credential {
            Some(Credential::IdentityToken(token)) => client
                .post(url.clone())
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(refresh_form(url, realm, scopes, token)),
            Some(Credential::Basic { user, password }) => client
                .get(with_query(url, realm, scopes, Some(user)))
                .header(AUTHORIZATION, basic(user, password)),
            _ => client.get(with_query(url, realm, scopes, None)),
        };
        let answer = http::send(request).await.map_err(transport)?;
        let answer = check(answer, asked.clone(), self.signed_in()).await?;
        let body = http::small_body(answer, TOKEN_ANSWER_LIMIT).await.map_err(transport)?;
        let protocol = || Error::Protocol { asked: asked.clone(), what: "no token".to_owned() };
        token(&body.ok_or_else(protocol)?, scopes, credential).ok_or_else(protocol)
    }

    /// Where to ask; refused when a password would travel in the clear, unless the user allowed it.
    fn realm_url(&self, realm: &Realm, credential: Option<&Credential>) -> Result<Url, Error> {
        let clear = || Error::ClearRealm {
            host: self.host.clone(),
            realm: super::error::plain(&realm.url),
        };
        let url = Url::parse(&realm.url).map_err(|_| clear())?;
        let local = Peer::of(&url, self.insecure) != Peer::Verified;
        match url.scheme() {
            "https" => Ok(url),
            "http" if local || credential.is_none() => Ok(url),
            _ => Err(clear()),
        }
    }
}

/// The parameters of a Bearer challenge.
struct Realm {
    url: String,
    service: Option<String>,
    scope: Option<String>,
}

impl Realm {
    /// What we need, and what the host says we need, where that is something else.
    fn scopes(&self, scopes: &[Scope]) -> Vec<String> {
        let mut texts: Vec<String> = scopes.iter().map(Scope::text).collect();
        if let Some(theirs) = &self.scope {
            let known =
                |scope: &Scope| theirs.starts_with(&format!("repository:{}:", scope.repository));
            if texts.is_empty() || !scopes.iter().any(known) {
                texts.push(theirs.clone());
            }
        }
        texts
    }
}

fn with_query(mut url: Url, realm: &Realm, scopes: &[Scope], account: Option<&str>) -> Url {
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &realm.service {
            query.append_pair("service", service);
        }
        for scope in realm.scopes(scopes) {
            query.append_pair("scope", &scope);
        }
        if let Some(account) = account {
            query.append_pair("account", account);
        }
    }
    url
}

/// The body of the OAuth2 form: an identity token buys an access token.
fn refresh_form(mut url: Url, realm: &Realm, scopes: &[Scope], token: &Secret) -> String {
    // A query is encoded as a form is.
    url.set_query(None);
    url.query_pairs_mut()
        .append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", &String::from_utf8_lossy(&token.0))
        .append_pair("service", realm.service.as_deref().unwrap_or_default())
        .append_pair("scope", &realm.scopes(scopes).join(" "))
        .append_pair("client_id", "plimsoll");
    url.query().unwrap_or_default().to_owned()
}

fn token(body: &[u8], scopes: &[Scope], credential: Option<Credential>) -> Option<Token> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        token: String,
        #[serde(default)]
        access_token: String,
        expires_in: Option<u64>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let text = if answer.token.is_empty() { answer.access_token } else { answer.token };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    // Some time before its end, as it has to arrive there.
    let lifetime = answer.expires_in.unwrap_or(DEFAULT_LIFETIME).min(24 * 3600);
    let usable = Duration::from_secs(lifetime).saturating_sub(Duration::from_secs(10));
    let expires = Instant::now() + usable.max(Duration::from_secs(1));
    let header = bearer(text.as_bytes());
    Some(Token { scopes: scopes.to_vec(), credential, header, expires })
}

fn basic(user: &str, password: &Secret) -> HeaderValue {
    let pair = [user.as_bytes(), b":", &password.0].concat();
    sensitive(format!("Basic {}", STANDARD.encode(pair)).as_bytes())
}

fn bearer(token: &[u8]) -> HeaderValue {
    sensitive(&[b"Bearer ", token].concat())
}

/// A value that no debug output shows; empty if it could not be sent at all.
fn sensitive(bytes: &[u8]) -> HeaderValue {
    let mut value = HeaderValue::from_bytes(bytes).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pushers_token_also_pulls() {
        let (pull, push) = (Scope::pull("a/b"), Scope::push("a/b"));
        assert!(push.covers(&pull) && !pull.covers(&push) && !push.covers(&Scope::pull("a")));
        assert_eq!(push.text(), "repository:a/b:pull,push");
    }

    #[test]
    fn the_hosts_own_scope_is_added_where_it_names_another_repository() {
        let realm = |scope: &str| Realm {
            url: "https://t".to_owned(),
            service: None,
            scope: Some(scope.to_owned()),
        };
        let ours = [Scope::pull("a/b")];
        assert_eq!(realm("repository:a/b:pull").scopes(&ours), ["repository:a/b:pull"]);
        assert_eq!(
            realm("repository:proxy/a/b:pull").scopes(&ours),
            ["repository:a/b:pull", "repository:proxy/a/b:pull"]
        );
    }

    #[test]
    fn answers_of_token_servers_are_read() {
        for (body, header) in [
            (r#"{"token":"t","expires_in":300,"issued_at":"x"}"#, Some("Bearer t")),
            (r#"{"access_token":"a"}"#, Some("Bearer a")),
            (r#"{"token":"","access_token":"a"}"#, Some("Bearer a")),
            (r#"{"token":"a\nb"}"#, None),
            (r#"{}"#, None),
            ("<html>", None),
        ] {
            let read = token(body.as_bytes(), &[], None).map(|token| token.header);
            assert_eq!(read.as_ref().map(|value| value.to_str().unwrap()), header, "{body}");
        }
    }
}
