//! Which credentials a repository gets: those given, or else a helper program's.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::Error;
use super::error::plain;
use crate::request::{Credential, RegistryOptions, Secret};

/// A helper may ask a person or a keychain; longer than this nobody is there.
const HELPER_LIMIT: Duration = Duration::from_secs(60);

/// What a helper had for a host.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Credential(Credential),
    Nothing,
    /// The configuration names a helper that is not installed, as a copied configuration does. That
    /// must not keep a public image from being pulled, but a refusal is explained by it.
    NoHelper(String),
}

/// What the helper for `host` (`docker.io`, `localhost:5000`) says.
///
/// # Errors
/// [`Error::Helper`] when a helper ran and failed.
pub(super) async fn from_helper(options: &RegistryOptions, host: &str) -> Result<Found, Error> {
    let helper = options.credential_helpers.get(host).or(options.credential_store.as_ref());
    // An empty name turns the store off for one host.
    match helper.filter(|name| !name.is_empty()) {
        Some(helper) if helper.contains('/') => Err(Error::Helper {
            helper: plain(helper),
            host: host.to_owned(),
            message: "the name of a helper is not a path".to_owned(),
        }),
        Some(helper) => {
            ask(Command::new(format!("docker-credential-{helper}")), helper, host).await
        }
        None => Ok(Found::Nothing),
    }
}

/// The given credentials for `repository` on `host`, to push or not: those of the longest key that is
/// a prefix, by whole parts, of host and repository (containers-auth.json(5)).
pub(super) fn given<'a>(
    options: &'a RegistryOptions,
    host: &str,
    repository: &str,
    push: bool,
) -> Option<&'a Credential> {
    let whole = format!("{host}/{repository}");
    let mut key = whole.as_str();
    loop {
        let to_push = push.then(|| options.push_credentials.get(key)).flatten();
        if let Some(credential) = to_push.or_else(|| options.credentials.get(key)) {
            return Some(credential);
        }
        key = &key[..key.rfind('/')?];
    }
}

/// What a helper prints (docker-credential-helpers, `get`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

async fn ask(mut command: Command, helper: &str, host: &str) -> Result<Found, Error> {
    let failed = |message: &str| Error::Helper {
        helper: helper.to_owned(),
        host: host.to_owned(),
        message: plain(message),
    };
    let mut child = match command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
    {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Found::NoHelper(helper.to_owned()));
        }
        Err(error) => return Err(failed(&error.to_string())),
    };
    // Docker Hub's credentials have been stored under this name since before there were others.
    let server = if host == "docker.io" { "https://index.docker.io/v1/" } else { host };
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that ends without reading says why on its output.
        let _ = stdin.write_all(server.as_bytes()).await;
    }
    let output = match tokio::time::timeout(HELPER_LIMIT, child.wait_with_output()).await {
        Ok(output) => output.map_err(|error| failed(&error.to_string()))?,
        Err(_) => return Err(failed(&format!("no answer in {} s", HELPER_LIMIT.as_secs()))),
    };
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stdout);
        if message.contains("credentials not found") {
            return Ok(Found::Nothing);
        }
        return Err(failed(if message.trim().is_empty() { "no message" } else { &message }));
    }
    // The answer is never shown: it holds the secret.
    let answer: HelperAnswer =
        serde_json::from_slice(&output.stdout).map_err(|_| failed("the answer is not JSON"))?;
    let secret = Secret(answer.secret.into_bytes());
    Ok(match answer.username.as_str() {
        "" if secret.0.is_empty() => Found::Nothing,
        "<token>" => Found::Credential(Credential::IdentityToken(secret)),
        _ => Found::Credential(Credential::Basic { user: answer.username, password: secret }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(user: &str) -> Credential {
        Credential::Basic { user: user.to_owned(), password: Secret(Vec::new()) }
    }

    #[test]
    fn the_longest_key_wins() {
        let keys = ["quay.io", "quay.io/team", "quay.io/team/app"];
        let options = RegistryOptions {
            credentials: keys.iter().map(|key| ((*key).to_owned(), named(key))).collect(),
            ..RegistryOptions::default()
        };
        for (repository, expected) in [
            ("team/app", "quay.io/team/app"),
            ("team/other", "quay.io/team"),
            ("teams/app", "quay.io"),
        ] {
            assert_eq!(given(&options, "quay.io", repository, false), Some(&named(expected)));
        }
        assert_eq!(given(&options, "ghcr.io", "team/app", true), None);
    }

    #[test]
    fn who_pushes_may_be_somebody_else() {
        let options = RegistryOptions {
            credentials: [("quay.io".to_owned(), named("all"))].into(),
            push_credentials: [("quay.io/team".to_owned(), named("pusher"))].into(),
            ..RegistryOptions::default()
        };
        for (repository, push, expected) in
            [("team/app", true, "pusher"), ("team/app", false, "all"), ("other", true, "all")]
        {
            assert_eq!(given(&options, "quay.io", repository, push), Some(&named(expected)));
        }
    }

    #[tokio::test]
    async fn a_helper_that_is_not_installed_is_nothing_fatal() {
        let options = RegistryOptions {
            credential_store: Some("no-such-helper".to_owned()),
            ..RegistryOptions::default()
        };
        let found = from_helper(&options, "ghcr.io").await.unwrap();
        assert!(matches!(found, Found::NoHelper(name) if name == "no-such-helper"));
    }

    /// What a helper that is this shell script makes of it.
    async fn asked(script: &str, host: &str) -> Result<Found, Error> {
        let mut command = Command::new("sh");
        command.args(["-c", script, "docker-credential-test"]);
        ask(command, "test", host).await
    }

    #[tokio::test]
    async fn a_helper_is_asked_for_the_host_over_its_input() {
        let echo = r#"[ "$1" = get ] && printf '{"Username":"me","Secret":"%s"}' "$(cat)""#;
        for (host, server) in [("ghcr.io", "ghcr.io"), ("docker.io", "https://index.docker.io/v1/")]
        {
            let Found::Credential(Credential::Basic { user, password }) =
                asked(echo, host).await.unwrap()
            else {
                panic!("no password")
            };
            assert_eq!((user.as_str(), password.0.as_slice()), ("me", server.as_bytes()));
        }
        let token = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        let found = asked(token, "ghcr.io").await.unwrap();
        assert!(matches!(found, Found::Credential(Credential::IdentityToken(_))), "{found:?}");
    }

    #[tokio::test]
    async fn a_helper_without_an_entry_is_nothing_and_a_broken_one_is_an_error() {
        let empty = "echo credentials not found in native keychain; exit 1";
        assert!(matches!(asked(empty, "ghcr.io").await, Ok(Found::Nothing)));
        for (script, expected) in [
            ("echo locked; exit 1", "docker-credential-test failed for ghcr.io: locked"),
            ("exit 1", "docker-credential-test failed for ghcr.io: no message"),
            ("echo s3cret", "docker-credential-test failed for ghcr.io: the answer is not JSON"),
        ] {
            let error = asked(script, "ghcr.io").await.unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
