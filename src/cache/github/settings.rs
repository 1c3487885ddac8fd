//! Where the cache service is and who we are, from the variables that the runner sets.

use std::fmt;

use reqwest::Url;

use super::access::{Access, CacheMode};

/// Where version 2 of the service is, and the token for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubSettings {
    /// Ends with `/`.
    pub(super) url: Url,
    pub(super) token: Token,
    pub(super) access: Access,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(pub Box<str>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why there is no service to use; each says what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoService {
    #[error(
        "{} not set: GitHub gives them to actions, not to `run:` steps; pass them on from an \
         action that exports them, or use type=registry or type=local", missing(.0)
    )]
    Missing(Vec<&'static str>),
    #[error(
        "{0} is a GitHub Enterprise Server, whose cache service is of version 1, which Plimsoll \
         does not speak; use type=registry or type=local"
    )]
    EnterpriseServer(String),
    #[error("ACTIONS_RESULTS_URL is no http or https URL")]
    Url,
    #[error("the job's cache mode is none (`cache-mode:` in the workflow)")]
    Off,
}

fn missing(names: &[&str]) -> String {
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(" and "))
}

impl GithubSettings {
    /// `variable` answers for the environment; what is empty counts as not set.
    ///
    /// `ACTIONS_CACHE_SERVICE_V2` is not asked: the runner sets it for some kinds of actions only.
    ///
    /// # Errors
    /// [`NoService`] with the reason.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, NoService> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(host) = variable("GITHUB_SERVER_URL").and_then(|url| enterprise_server(&url)) {
            return Err(NoService::EnterpriseServer(host));
        }
        let names = ["ACTIONS_RESULTS_URL", "ACTIONS_RUNTIME_TOKEN"];
        let [Some(url), Some(token)] = names.map(&variable) else {
            return Err(NoService::Missing(
                names.into_iter().filter(|name| variable(name).is_none()).collect(),
            ));
        };
        let mode = variable("ACTIONS_CACHE_MODE").map(|mode| CacheMode::parse(&mode));
        let mode = mode.unwrap_or_default();
        if mode == CacheMode::None {
            return Err(NoService::Off);
        }
        let url = if url.ends_with('/') { url } else { format!("{url}/") };
        let url = Url::parse(&url).map_err(|_| NoService::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NoService::Url);
        }
        let access = Access::of(&token, mode);
        Ok(Self { url, token: Token(token.into()), access })
    }

    /// What the token lets this job do, known before anything is asked.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }
}

/// The host of a server that is not GitHub's own, by the rule of the service's own client.
fn enterprise_server(url: &str) -> Option<String> {
    let host = Url::parse(url).ok()?.host_str()?.to_ascii_lowercase();
    let own = host == "github.com" || host.ends_with(".ghe.com") || host.ends_with(".localhost");
    (!own).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: [(&str, &str); 3] = [
        ("ACTIONS_RESULTS_URL", "https://results.example/base"),
        ("ACTIONS_RUNTIME_TOKEN", "canary"),
        ("GITHUB_SERVER_URL", "https://github.com"),
    ];

    fn settings(changes: &[(&str, &str)]) -> Result<GithubSettings, NoService> {
        GithubSettings::from_variables(|name| {
            let all = changes.iter().chain(&COMPLETE);
            all.clone().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_variables_of_an_action_are_enough() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.url.as_str(), "https://results.example/base/");
        assert!(!format!("{settings:?}").contains("canary"));
    }

    #[test]
    fn only_githubs_own_hosts_have_version_2() {
        for (url, enterprise) in [
            ("https://github.com", false),
            ("https://Tenant.GHE.com", false),
            ("http://act.localhost:3000", false),
            ("", false),
            ("https://git.corp.example", true),
            ("https://github.com.evil.example", true),
        ] {
            let found = settings(&[("GITHUB_SERVER_URL", url)]);
            assert_eq!(matches!(found, Err(NoService::EnterpriseServer(_))), enterprise, "{url}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        let both = [("ACTIONS_RESULTS_URL", ""), ("ACTIONS_RUNTIME_TOKEN", "")];
        let text = settings(&both).unwrap_err().to_string();
        assert!(
            text.starts_with("ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN are not"),
            "{text}"
        );
        assert!(text.contains("`run:` steps") && text.contains("type=registry"), "{text}");
        let text = settings(&both[1..]).unwrap_err().to_string();
        assert!(text.starts_with("ACTIONS_RUNTIME_TOKEN is not set"), "{text}");
        let server = [("GITHUB_SERVER_URL", "https://git.corp.example")];
        let text = settings(&server).unwrap_err().to_string();
        assert!(text.starts_with("git.corp.example") && text.contains("type=registry"), "{text}");
    }

    #[test]
    fn a_cache_that_is_off_or_nowhere_is_said() {
        for (name, value, expected) in [
            ("ACTIONS_CACHE_MODE", "none", NoService::Off),
            ("ACTIONS_RESULTS_URL", "results.example", NoService::Url),
            ("ACTIONS_RESULTS_URL", "ftp://results.example", NoService::Url),
        ] {
            assert_eq!(settings(&[(name, value)]).unwrap_err(), expected, "{value}");
        }
    }
}
