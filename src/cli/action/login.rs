//! Who pushes and pulls: the inputs of login-action, the job's token, and AWS's keys.

mod amazon;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::cli::build::Confided;
use crate::error::Error;
use crate::github::event::{Event, Variables};
use crate::github::inputs::{Inputs, is_on};
use crate::registry::{Ecr, parse_reference};
use crate::request::{Credential, Secret};

pub use amazon::AwsLogin;

use amazon::{ecr, endpoint, hosts, keys, keys_of};

/// GitHub's own registry, which takes the job's token.
const GHCR: &str = "ghcr.io";
const DOCKER_HUB: &str = "docker.io";
/// Whose tokens that registry takes.
const GITHUB: &str = "https://github.com";
/// The user of a password that AWS gave for keys.
const AWS: &str = "AWS";

/// Credentials as the inputs have them.
#[derive(Debug, Default)]
pub struct Logins {
    /// By host, and the repository where they are for one only.
    pub credentials: BTreeMap<String, Credential>,
    /// Likewise, for pushing alone.
    pub push_credentials: BTreeMap<String, Credential>,
    /// For those that nobody else has credentials for.
    pub spare_credentials: BTreeMap<String, Credential>,
    /// Those that must be exchanged first.
    pub aws: Vec<AwsLogin>,
    /// What to tell of the inputs.
    pub notices: Vec<String>,
}

impl Logins {
    /// Moves what needs no exchange.
    pub fn confide(self, confided: &mut Confided) -> Vec<AwsLogin> {
        confided.credentials = self.credentials;
        confided.push_credentials = self.push_credentials;
        confided.spare_credentials = self.spare_credentials;
        self.aws
    }
}

/// One entry of the `registry-auth` input; the other inputs are such an entry too.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Login {
    registry: String,
    #[serde(deserialize_with = "text")]
    username: String,
    #[serde(deserialize_with = "text")]
    password: String,
    ecr: Word,
    scope: String,
    /// Keys that login-action ignores, too.
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

/// A text, or nothing behind the colon.
fn text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(from)?.unwrap_or_default())
}

/// `true` and `false` without quotes are no text in YAML.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Truth(bool),
    Text(String),
}

impl Default for Word {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truth(truth) => truth.fmt(f),
            Self::Text(text) => f.write_str(text.trim()),
        }
    }
}

/// Reads the inputs. `tags` say which registry is meant where no input does.
pub fn logins(
    inputs: &Inputs,
    event: &Event,
    variables: &Variables,
    tags: &[String],
    left_out: &mut Vec<String>,
) -> Result<Logins, Error> {
    // A repository's secrets are empty to a run of a fork's pull request, and of a bot's.
    let mut has_secrets = |login: &Login, host: &str| {
        let missing = match (login.username.trim(), login.password.trim()) {
            ("", password) if !password.is_empty() => "username",
            (user, "") if !user.is_empty() => "password",
            _ => return true,
        };
        let may_miss = event.pull_request.is_some();
        if may_miss {
            left_out.push(format!("no login to {host}: there is no {missing} in this run"));
        }
        !may_miss
    };
    let mut logins = Logins { spare_credentials: token(inputs, event), ..Logins::default() };
    let auth = inputs.raw("registry-auth");
    if !auth.trim().is_empty() {
        // As login-action has it.
        if let Some(name) = ["registry", "username", "password", "scope", "ecr"]
            .into_iter()
            .find(|name| !["", "auto"].contains(&inputs.text(name)))
        {
            return Err(Error::usage(format!(
                "input registry-auth: the input {name} can't be used beside it"
            ))
            .hinted("Write that login as an entry of registry-auth."));
        }
        // The parser's own text shows the lines around a mistake, which may hold a password.
        let list: Vec<Login> = serde_yaml::from_str(auth).map_err(|_| {
            Error::usage(
                "input registry-auth: expected a YAML list of registry, username, password, ecr, \
                 scope",
            )
        })?;
        for login in list {
            let host = host(&login.registry).to_owned();
            if !login.unknown.is_empty() {
                // Their names are not shown: without a space behind its colon, a password is in one.
                logins.notices.push(format!(
                    "input registry-auth: the entry of {host} has a key that does nothing here; the \
                     keys are registry, username, password, ecr, scope"
                ));
            }
            if has_secrets(&login, &host) {
                logins.add(&login, &host, true, variables)?;
            }
        }
    }
    let text = |name| inputs.text(name).to_owned();
    let login = Login {
        registry: text("registry"),
        username: text("username"),
        password: text("password"),
        ecr: Word::Text(text("ecr")),
        scope: text("scope"),
        unknown: BTreeMap::new(),
    };
    let host = match login.registry.as_str() {
        "" => only_host(tags),
        registry => host(registry).to_owned(),
    };
    let named = !login.registry.is_empty() || !login.username.is_empty();
    if has_secrets(&login, &host) {
        logins.add(&login, &host, named, variables)?;
        if login.registry.is_empty() && !login.username.is_empty() && host != DOCKER_HUB {
            // login-action means Docker's.
            logins.notices.push(format!(
                "username is taken for {host}, the registry of the images; write `registry: docker.io` \
                 for Docker Hub"
            ));
        }
    }
    Ok(logins)
}

/// The job's token serves for GitHub's registry.
fn token(inputs: &Inputs, event: &Event) -> BTreeMap<String, Credential> {
    let token = inputs.some("github-token").filter(|_| event.server == GITHUB);
    token.map(|token| (GHCR.to_owned(), basic(&event.actor, token))).into_iter().collect()
}

fn basic(user: &str, password: &str) -> Credential {
    Credential::Basic { user: user.to_owned(), password: Secret(password.into()) }
}

impl Logins {
    /// `named`: the inputs ask for it.
    fn add(
        &mut self,
        login: &Login,
        host: &str,
        named: bool,
        variables: &Variables,
    ) -> Result<(), Error> {
        let is_scoped = !is_on(variables, "DOCKER_LOGIN_SCOPE_DISABLED");
        let scope = if is_scoped { Scope::parse(&login.scope)? } else { Scope::default() };
        let pair = match (login.username.trim(), login.password.trim()) {
            ("", "") => None,
            ("", _) => return Err(Error::usage("input password: there is no username with it")),
            (_, "") => return Err(Error::usage("input username: there is no password with it")),
            pair => Some(pair),
        };
        let (ecr, asked) = match login.ecr.to_string().to_ascii_lowercase().as_str() {
            "" | "auto" if login.username.trim() == AWS => (None, false),
            "" | "auto" => (Ecr::of_host(host), false),
            "true" => (Some(ecr(host, variables)?), true),
            "false" => (None, false),
            found => {
                return Err(Error::usage(format!(
                    "input ecr: expected auto, true, false but found {found:?}"
                )));
            }
        };
        if let Some(ecr) = ecr {
            let keys = pair.map(|(id, secret)| keys(id, secret, None));
            self.aws.push(AwsLogin {
                hosts: hosts(host, variables),
                scope,
                endpoint: endpoint(&ecr, variables),
                ecr,
                keys: keys.or_else(|| keys_of(variables)),
                named: named || asked,
            });
        } else if let Some((user, password)) = pair {
            let place = scope.place(host);
            scope
                .of(&mut self.credentials, &mut self.push_credentials)
                .insert(place, basic(user, password));
        }
        Ok(())
    }
}

/// What credentials are for: `REPOSITORY`, `REPOSITORY@push` or `@push`. Whoever pushes pulls too, so
/// `@pull` is for both.
#[derive(Debug, Default)]
struct Scope {
    repository: String,
    push_only: bool,
}

type Credentials = BTreeMap<String, Credential>;

impl Scope {
    fn parse(text: &str) -> Result<Self, Error> {
        let (repository, actions) = text.trim().split_once('@').unwrap_or((text.trim(), ""));
        let mut scope =
            Self { repository: repository.trim_matches('/').to_owned(), push_only: false };
        for action in actions.split(',').map(str::trim).filter(|action| !action.is_empty()) {
            match action {
                "push" => scope.push_only = true,
                "pull" => {}
                _ => {
                    return Err(Error::usage(format!(
                        "input scope: expected REPOSITORY, REPOSITORY@push or @push but found {text:?}"
                    )));
                }
            }
        }
        Ok(scope)
    }

    fn place(&self, host: &str) -> String {
        match self.repository.as_str() {
            "" => host.to_owned(),
            repository => format!("{host}/{repository}"),
        }
    }

    fn of<'a>(&self, all: &'a mut Credentials, push: &'a mut Credentials) -> &'a mut Credentials {
        if self.push_only { push } else { all }
    }
}

/// `https://index.docker.io/v1/` is an old name of Docker's registry.
fn host(registry: &str) -> &str {
    let host = registry.trim().trim_start_matches("https://").trim_start_matches("http://");
    match host.split('/').next().unwrap_or_default() {
        "" | "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        host => host,
    }
}

/// The registry of the images, where they have one in common besides GitHub's; else Docker's.
fn only_host(tags: &[String]) -> String {
    let mut hosts: Vec<String> = tags
        .iter()
        .filter_map(|tag| parse_reference(tag).ok())
        .map(|reference| reference.registry().to_owned())
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.len() > 1 {
        hosts.retain(|host| host != GHCR);
    }
    match hosts.as_slice() {
        [host] => host.clone(),
        _ => DOCKER_HUB.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    const PAIR: [(&str, &str); 2] = [("INPUT_USERNAME", "u"), ("INPUT_PASSWORD", "p")];

    fn of(rows: &[(&str, &str)], tags: &[&str]) -> Result<Logins, Error> {
        let common = [
            ("GITHUB_REPOSITORY", "acme/boat"),
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_SHA", "860c190"),
            ("GITHUB_ACTOR", "ada"),
        ];
        let all = common.iter().chain(rows);
        let variables =
            all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let event = Event::read(&variables, b"").unwrap();
        let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        logins(&Inputs::of(&variables), &event, &variables, &tags, &mut Vec::new())
    }

    #[test]
    fn scopes_can_be_turned_off_as_in_login_action() {
        for (value, place) in [("false", "docker.io/acme/boat"), ("true", "docker.io")] {
            let rows = [("INPUT_SCOPE", "acme/boat"), ("DOCKER_LOGIN_SCOPE_DISABLED", value)];
            assert_eq!(users(&with_pair(&rows, &[]).credentials), [(place, "u")], "{value}");
        }
    }

    fn with_pair(rows: &[(&str, &str)], tags: &[&str]) -> Logins {
        of(&PAIR.iter().chain(rows).copied().collect::<Vec<_>>(), tags).unwrap()
    }

    /// Users by place.
    fn users(credentials: &Credentials) -> Vec<(&str, &str)> {
        let users = credentials.iter().filter_map(|(place, credential)| match credential {
            Credential::Basic { user, .. } => Some((place.as_str(), user.as_str())),
            _ => None,
        });
        users.collect()
    }

    #[test]
    fn credentials_find_their_registry() {
        for (rows, tags, place) in [
            (&[][..], &["quay.io/a/b:1"][..], "quay.io"),
            (&[], &["ghcr.io/a/b:1", "acme/b:1"], "docker.io"),
            (&[], &["ghcr.io/a/b:1"], "ghcr.io"),
            (&[("INPUT_REGISTRY", "https://index.docker.io/v1/")], &["quay.io/a/b:1"], "docker.io"),
            (&[("INPUT_ECR", "false"), ("INPUT_REGISTRY", ECR)], &[], ECR),
        ] {
            assert_eq!(users(&with_pair(rows, tags).credentials), [(place, "u")], "{rows:?}");
        }
        let list = "- registry: quay.io\n  username: a\n  password: b\n  ecr: false\n  scope: team@push\n\
                    - username: c\n  password: d\n";
        let logins = of(&[("INPUT_REGISTRY-AUTH", list)], &[]).unwrap();
        assert_eq!(users(&logins.push_credentials), [("quay.io/team", "a")]);
        assert_eq!(users(&logins.credentials), [("docker.io", "c")]);
        let error = of(&[("INPUT_REGISTRY-AUTH", list), PAIR[1]], &[]).unwrap_err();
        assert_eq!(
            error.message,
            "input registry-auth: the input password can't be used beside it"
        );
        let logins = of(&[("INPUT_GITHUB-TOKEN", "t")], &[]).unwrap();
        assert_eq!(users(&logins.spare_credentials), [("ghcr.io", "ada")]);
    }

    #[test]
    fn who_logs_in_elsewhere_than_with_login_action_is_told() {
        let said = "username is taken for ghcr.io, the registry of the images; write `registry: \
                    docker.io` for Docker Hub";
        for (rows, tags, notices) in [
            (&[][..], &["ghcr.io/a/b:1"][..], &[said][..]),
            (&[], &["acme/b:1"], &[]),
            (&[], &["ghcr.io/a/b:1", "acme/b:1"], &[]),
            (&[("INPUT_REGISTRY", "ghcr.io")], &["ghcr.io/a/b:1"], &[]),
        ] {
            assert_eq!(with_pair(rows, tags).notices, notices, "{rows:?} {tags:?}");
        }
        assert_eq!(of(&[], &["ghcr.io/a/b:1"]).unwrap().notices, [""; 0], "nobody logs in");
    }

    #[test]
    fn an_unknown_key_is_told_and_not_shown() {
        for key in ["pass: hunter2", "password:hunter2:", "logout: [a, {b: c}]"] {
            let list = format!("- registry: quay.io\n  username: a\n  password: 12\n  {key}\n");
            let logins = of(&[("INPUT_REGISTRY-AUTH", &list)], &[]).unwrap();
            assert_eq!(users(&logins.credentials), [("quay.io", "a")], "{key}");
            let [notice] = logins.notices.as_slice() else { panic!("{:?}", logins.notices) };
            assert!(notice.starts_with("input registry-auth: the entry of quay.io has a key"));
            assert!(!notice.contains("hunter2"), "{notice}");
        }
    }

    #[test]
    fn a_scope_is_a_repository_and_what_is_done_there() {
        for (scope, to_push, place) in [
            ("acme/boat", false, "docker.io/acme/boat"),
            ("acme/boat@push", true, "docker.io/acme/boat"),
            ("acme@pull, push", true, "docker.io/acme"),
            ("@pull", false, "docker.io"),
            ("@push", true, "docker.io"),
        ] {
            let logins = with_pair(&[("INPUT_SCOPE", scope)], &[]);
            let (some, none) = match to_push {
                true => (logins.push_credentials, logins.credentials),
                false => (logins.credentials, logins.push_credentials),
            };
            assert_eq!(users(&some), [(place, "u")], "{scope}");
            assert!(none.is_empty(), "{scope}");
        }
        let error = of(&[("INPUT_SCOPE", "acme@delete")], &[]).unwrap_err().to_string();
        assert!(error.contains("input scope: expected REPOSITORY"), "{error}");
    }

    #[test]
    fn keys_are_those_of_the_inputs_or_the_environment() {
        let env = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_SESSION_TOKEN", "session"),
            ("AWS_ACCOUNT_IDS", "210987654321"),
        ];
        let image = format!("{ECR}/boat:1");
        let logins = of(&env, &[&image]).unwrap();
        let [login] = logins.aws.as_slice() else { panic!("{logins:?}") };
        assert!(!login.named);
        assert_eq!(login.hosts, [ECR, "210987654321.dkr.ecr.eu-west-1.amazonaws.com"]);
        assert_eq!(login.keys, Some(keys("id", "secret", Some("session"))));
        assert_eq!(login.secrets().count(), 2);

        let logins = with_pair(&env, &[&image]);
        assert_eq!(logins.aws[0].keys, Some(keys("u", "p", None)));
        assert!(logins.aws[0].named && logins.credentials.is_empty());

        let logins = of(&[("INPUT_REGISTRY", "public.ecr.aws")], &[]).unwrap();
        assert_eq!((&logins.aws[0].ecr, &logins.aws[0].keys), (&Ecr::Public, &None));
    }

    #[test]
    fn a_password_that_aws_gave_is_one() {
        let rows = [("INPUT_USERNAME", "AWS"), ("INPUT_PASSWORD", "p"), ("INPUT_REGISTRY", ECR)];
        let logins = of(&rows, &[]).unwrap();
        assert_eq!((users(&logins.credentials), logins.aws.len()), (vec![(ECR, "AWS")], 0));
    }

    #[test]
    fn what_is_asked_for_must_be_possible() {
        let yes = ("INPUT_ECR", "true");
        let host = ("INPUT_REGISTRY", "images.acme.example");
        for (rows, expected) in [
            (&[yes][..], "no registry of Amazon's is named"),
            (&[yes, host], "images.acme.example does not say in which region it is"),
            (&[("INPUT_ECR", "perhaps")], "expected auto, true, false but found \"perhaps\""),
            (&[("INPUT_USERNAME", "u")], "input username: there is no password with it"),
        ] {
            let error = of(rows, &[]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let logins = of(&[yes, host, ("AWS_REGION", "eu-west-1")], &[]).unwrap();
        assert_eq!(logins.aws[0].ecr, Ecr::Private { region: "eu-west-1".to_owned() });
    }
}
