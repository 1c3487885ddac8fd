//! The credentials in Docker's `config.json`, which podman's `auth.json` shares, and in those that
//! buildx has for parts of a registry. **Pure.**

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::request::{Credential, Secret};

/// What the file says about registries, by the keys that
/// [`RegistryOptions`](crate::request::RegistryOptions) has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerConfig {
    /// By host, or, in podman's file, by host and the first parts of a repository's name.
    pub credentials: BTreeMap<String, Credential>,
    /// Likewise, for pushing alone.
    pub push_credentials: BTreeMap<String, Credential>,
    pub credential_helpers: BTreeMap<String, String>,
    pub credential_store: Option<String>,
}

impl DockerConfig {
    /// Adds what a file says that is for a part of a registry, as login-action writes it for its
    /// `scope`. The part is the name of the file's folder: `HOST[/REPOSITORY][@ACTION,…]`.
    pub fn add_scoped(&mut self, part: &str, scoped: Self) {
        let (place, actions) = part.split_once('@').unwrap_or((part, ""));
        let mut to_push = false;
        for action in actions.split(',').map(str::trim).filter(|action| !action.is_empty()) {
            match action {
                "push" => to_push = true,
                // Whoever pushes pulls too.
                "pull" => {}
                // Nobody here does it.
                _ => return,
            }
        }
        let place = normalize(place);
        let host = place.split('/').next().unwrap_or_default().to_owned();
        let Self { mut credentials, credential_store, mut credential_helpers, .. } = scoped;
        if let Some(credential) = credentials.remove(&host) {
            let of = if to_push { &mut self.push_credentials } else { &mut self.credentials };
            of.insert(place, credential);
        } else if let Some(helper) = credential_helpers.remove(&host).or(credential_store) {
            // A helper keeps one login for a host, whichever file names it.
            self.credential_helpers.entry(host).or_insert(helper);
        }
    }
}

/// No message repeats anything of the file but the name of a host: the rest may be secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DockerConfigError {
    #[error("expected an object of JSON with strings in `auths`, line {line}, column {column}")]
    Json { line: usize, column: usize },
    #[error("the entry of {host} is not base64 of USER:PASSWORD")]
    Entry { host: String },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    creds_store: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

/// Reads the file's bytes.
///
/// # Errors
/// [`DockerConfigError`] when it is not JSON of that shape, or an entry can't be decoded.
pub fn parse_docker_config(bytes: &[u8]) -> Result<DockerConfig, DockerConfigError> {
    let file: File = serde_json::from_slice(bytes)
        .map_err(|error| DockerConfigError::Json { line: error.line(), column: error.column() })?;
    let mut config = DockerConfig {
        credential_store: Some(file.creds_store).filter(|name| !name.is_empty()),
        ..DockerConfig::default()
    };
    for (key, entry) in file.auths {
        let host = normalize(&key);
        let credential =
            credential(entry).ok_or_else(|| DockerConfigError::Entry { host: host.clone() })?;
        if let Some(credential) = credential {
            config.credentials.insert(host, credential);
        }
    }
    for (key, helper) in file.cred_helpers {
        config.credential_helpers.insert(normalize(&key), helper);
    }
    Ok(config)
}

/// `Some(None)` for an entry without credentials (a helper has them), `None` for an unreadable one.
fn credential(entry: Entry) -> Option<Option<Credential>> {
    let secret = |text: String| Secret(text.into_bytes());
    if !entry.identitytoken.is_empty() {
        return Some(Some(Credential::IdentityToken(secret(entry.identitytoken))));
    }
    if !entry.registrytoken.is_empty() {
        return Some(Some(Credential::RegistryToken(secret(entry.registrytoken))));
    }
    if !entry.username.is_empty() {
        let password = secret(entry.password);
        return Some(Some(Credential::Basic { user: entry.username, password }));
    }
    if entry.auth.is_empty() {
        return Some(None);
    }
    let decoded = STANDARD.decode(entry.auth.trim()).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    // Old versions of Docker padded with NUL.
    let password = decoded[colon + 1..].strip_suffix(b"\0").unwrap_or(&decoded[colon + 1..]);
    Some(Some(Credential::Basic { user, password: Secret(password.to_vec()) }))
}

/// The host of a key: Docker writes `https://index.docker.io/v1/` for its own registry, others
/// write a bare host, a URL, or a host with a path.
pub(super) fn normalize(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    let (host, path) = bare.split_once('/').map_or((bare, ""), |(host, path)| (host, path));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    };
    if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(user: &str, password: &str) -> Credential {
        Credential::Basic { user: user.to_owned(), password: Secret(password.into()) }
    }

    #[test]
    fn every_form_of_entry_is_read() {
        let text = format!(
            r#"{{"auths": {{
                "https://index.docker.io/v1/": {{"auth": "{hub}"}},
                "ghcr.io": {{"auth": "{nul}"}},
                "https://r.example/v2/": {{"username": "u", "password": "p"}},
                "x.azurecr.io": {{"auth": "{azure}", "identitytoken": "it"}},
                "gitlab.example:5050": {{"registrytoken": "rt"}},
                "quay.io/team": {{"auth": "{hub}"}},
                "empty.example": {{}}
            }}, "credsStore": "secretservice",
               "credHelpers": {{"gcr.io": "gcloud"}}, "HttpHeaders": {{"a": "b"}} }}"#,
            hub = STANDARD.encode("me:pa:ss"),
            nul = STANDARD.encode("me:x\0"),
            azure = STANDARD.encode("00000000-0000-0000-0000-000000000000:"),
        );
        let config = parse_docker_config(text.as_bytes()).unwrap();
        let expected = [
            ("docker.io", basic("me", "pa:ss")),
            ("ghcr.io", basic("me", "x")),
            ("gitlab.example:5050", Credential::RegistryToken(Secret(b"rt".to_vec()))),
            ("quay.io/team", basic("me", "pa:ss")),
            ("r.example", basic("u", "p")),
            ("x.azurecr.io", Credential::IdentityToken(Secret(b"it".to_vec()))),
        ];
        let expected = expected.map(|(host, credential)| (host.to_owned(), credential));
        assert_eq!(config.credentials, expected.into());
        assert_eq!(config.credential_store.as_deref(), Some("secretservice"));
        assert_eq!(config.credential_helpers, [("gcr.io".to_owned(), "gcloud".to_owned())].into());
    }

    #[test]
    fn a_part_of_a_registry_has_its_own_login() {
        let login = |user: &str, host: &str| DockerConfig {
            credentials: [(host.to_owned(), basic(user, "p"))].into(),
            ..DockerConfig::default()
        };
        let mut config = login("all", "ghcr.io");
        for (part, user, host) in [
            ("registry-1.docker.io/acme/boat@push", "pusher", "docker.io"),
            ("registry-1.docker.io/acme/boat", "hub", "docker.io"),
            ("ghcr.io/acme@pull", "reader", "ghcr.io"),
            ("ghcr.io@pull, push", "writer", "ghcr.io"),
            ("quay.io@delete", "nobody", "quay.io"),
            ("quay.io/acme", "stranger", "elsewhere.example"),
        ] {
            config.add_scoped(part, login(user, host));
        }
        let store =
            DockerConfig { credential_store: Some("pass".to_owned()), ..DockerConfig::default() };
        config.add_scoped("quay.io/acme", store);
        let of = |list: &[(&str, &str)]| -> BTreeMap<String, Credential> {
            list.iter().map(|(place, user)| ((*place).to_owned(), basic(user, "p"))).collect()
        };
        let all = [("docker.io/acme/boat", "hub"), ("ghcr.io", "all"), ("ghcr.io/acme", "reader")];
        assert_eq!(config.credentials, of(&all));
        let push = [("docker.io/acme/boat", "pusher"), ("ghcr.io", "writer")];
        assert_eq!(config.push_credentials, of(&push));
        assert_eq!(config.credential_helpers, [("quay.io".to_owned(), "pass".to_owned())].into());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_content() {
        let error = parse_docker_config(br#"{"auths": {"h": {"auth": "c2VjcmV0"}}}"#).unwrap_err();
        assert_eq!(error, DockerConfigError::Entry { host: "h".to_owned() });
        for bad in ["", "7", r#"{"auths": {"h": {"auth": 7}}}"#] {
            let error = parse_docker_config(bad.as_bytes()).unwrap_err();
            assert!(matches!(error, DockerConfigError::Json { .. }), "{bad}");
        }
        assert_eq!(parse_docker_config(b"{}"), Ok(DockerConfig::default()));
    }
}
