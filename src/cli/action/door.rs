//! The action's inputs → the arguments of a build, as if they had been typed: from there on there is
//! one way to read a value, and one text for each mistake.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::cli::args::{BuildArgs, Entitlement, LimitArgs, NetworkMode, RegistryArgs, SizeGate};
use crate::cli::build::Confided;
use crate::error::Error;
use crate::github::event::{Event, Variables};
use crate::github::inputs::{InputError, Inputs};
use crate::github::list::{ListRules, list};
use crate::github::naming::Naming;
use crate::request::Secret;

use super::login::{AwsLogin, logins};

/// A build as the inputs want it.
#[derive(Debug)]
pub struct Wanted {
    pub args: BuildArgs,
    pub confided: Confided,
    pub aws: Vec<AwsLogin>,
    pub push: Push,
    pub cache: Cache,
    /// How many threads compress and hash.
    pub threads: Option<usize>,
    /// How often a request to a registry is tried.
    pub attempts: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// On branches and tags, where there are credentials.
    Auto,
    Yes,
    No,
}

/// The `cache` input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    Auto,
    Read,
    Off,
}

impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        Self::usage(error)
    }
}

/// Reads the inputs of a build. `context` is where it is, once that is settled; `epoch` is the time
/// of the commit in seconds since 1970.
pub fn wanted(
    inputs: &Inputs,
    event: &Event,
    variables: &Variables,
    naming: &Naming,
    context: PathBuf,
    epoch: Option<i64>,
) -> Result<Wanted, Error> {
    let lines = |name| inputs.list(name, ListRules::LINES);
    let commas = |name| inputs.list(name, ListRules::COMMAS);
    let mut build_args = lines("build-args");
    let has_epoch = build_args.iter().any(|arg| arg.starts_with("SOURCE_DATE_EPOCH"));
    if let (Some(epoch), true, false) = (epoch, inputs.switch("reproducible")?, has_epoch) {
        build_args.push(format!("SOURCE_DATE_EPOCH={epoch}"));
    }
    let pairs = |map: &BTreeMap<String, String>| {
        map.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    let push =
        inputs.choice("push", &[("auto", Push::Auto), ("true", Push::Yes), ("false", Push::No)])?;
    let cache = inputs
        .choice("cache", &[("auto", Cache::Auto), ("read", Cache::Read), ("off", Cache::Off)])?;
    let (cache_from, cache_to) = caches(cache, lines("cache-from"), lines("cache-to"));
    let network = inputs.choice(
        "network",
        &[
            ("", NetworkMode::Default),
            ("default", NetworkMode::Default),
            ("none", NetworkMode::None),
            ("host", NetworkMode::Host),
        ],
    )?;
    let mut secret_specs = Vec::new();
    let files = lines("secret-files");
    for (name, key, list) in
        [("secret-envs", "env", commas("secret-envs")), ("secret-files", "src", files)]
    {
        for line in list {
            let (id, place) = split(name, &line)?;
            secret_specs.push(format!(
                "{},{}",
                quoted(&format!("id={id}")),
                quoted(&format!("{key}={place}"))
            ));
        }
    }
    let args = BuildArgs {
        context,
        file: inputs.some("file").map(PathBuf::from),
        tags: naming.names.clone(),
        target: inputs.some("target").map(str::to_owned),
        build_args,
        build_contexts: lines("build-contexts"),
        labels: pairs(&naming.metadata.labels),
        annotations: pairs(&naming.metadata.annotations),
        platforms: commas("platforms"),
        pull: inputs.switch("pull")?,
        cache_from,
        cache_to,
        allow: entitlements(commas("allow"))?,
        cache_mounts: commas("cache-mounts"),
        cache_mount_budget: inputs.some("cache-budget").map(str::to_owned),
        size_baseline: inputs.some("size-baseline").map(str::to_owned),
        limits: limits(inputs)?,
        no_cache: inputs.switch("no-cache")?,
        no_cache_filters: commas("no-cache-filters"),
        outputs: lines("outputs"),
        secrets: secret_specs,
        ssh: lines("ssh"),
        network,
        dns: addresses(commas("dns"))?,
        add_hosts: commas("add-hosts").iter().map(|host| with_colon(host)).collect(),
        shm_size: inputs.some("shm-size").map(str::to_owned),
        ulimits: commas("ulimit"),
        registry: RegistryArgs {
            mirrors: lines("registry-mirrors"),
            insecure: commas("insecure-registries"),
            ca_certificates: lines("ca-certs").into_iter().map(PathBuf::from).collect(),
            ..RegistryArgs::default()
        },
        ..BuildArgs::default()
    };
    let attempts = inputs.number("push-retries")?.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let mut confided = Confided { secrets: secrets(inputs)?, ..Confided::default() };
    let aws = logins(inputs, event, variables, &args.tags)?.confide(&mut confided);
    Ok(Wanted {
        confided,
        aws,
        args,
        push,
        cache,
        threads: inputs.number("max-parallelism")?.filter(|&threads| threads > 0),
        attempts,
    })
}

/// What the image may weigh.
pub fn limits(inputs: &Inputs) -> Result<LimitArgs, Error> {
    let gates = [("fail", SizeGate::Fail), ("warn", SizeGate::Warn), ("off", SizeGate::Off)];
    Ok(LimitArgs {
        size_budget: inputs.list("size-budget", ListRules::COMMAS),
        size_gate: inputs.choice("size-gate", &gates)?,
        ..LimitArgs::default()
    })
}

/// `--cache-from` and `--cache-to`. What is the default is typed too, so that its absence is told.
fn caches(cache: Cache, from: Vec<String>, to: Vec<String>) -> (Vec<String>, Vec<String>) {
    let github = || vec!["type=gha".to_owned()];
    let (from, to) =
        if from.is_empty() && to.is_empty() { (github(), github()) } else { (from, to) };
    match cache {
        Cache::Auto => (from, to),
        Cache::Read => (from, Vec::new()),
        Cache::Off => (Vec::new(), Vec::new()),
    }
}

fn entitlements(names: Vec<String>) -> Result<Vec<Entitlement>, InputError> {
    let known = [
        ("network.host", Entitlement::NetworkHost),
        ("security.insecure", Entitlement::SecurityInsecure),
    ];
    let entitlement = |name: String| {
        known.iter().find(|(known, _)| *known == name).map(|(_, entitlement)| *entitlement).ok_or(
            InputError {
                name: "allow",
                expected: known.map(|(known, _)| known).join(", "),
                found: name,
            },
        )
    };
    names.into_iter().map(entitlement).collect()
}

fn addresses(servers: Vec<String>) -> Result<Vec<IpAddr>, Error> {
    let address = |text: String| {
        let address = text.parse();
        address
            .map_err(|_| Error::usage(format!("input dns: expected an address but found {text:?}")))
    };
    servers.into_iter().map(address).collect()
}

/// `NAME=ADDRESS` is as good as `NAME:ADDRESS`.
fn with_colon(host: &str) -> String {
    match host.split_once('=') {
        Some((name, address)) if !name.contains(':') => format!("{name}:{address}"),
        _ => host.to_owned(),
    }
}

/// A field of CSV.
fn quoted(field: &str) -> String {
    if field.contains([',', '"']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

fn split<'a>(input: &'static str, line: &'a str) -> Result<(&'a str, &'a str), Error> {
    line.split_once('=').filter(|(id, _)| !id.trim().is_empty()).ok_or_else(|| {
        // What stands there instead may be the secret itself.
        Error::usage(format!("input {input}: expected ID=… in every line"))
    })
}

/// The `secrets` input: `ID=VALUE`, values with every space that they have.
fn secrets(inputs: &Inputs) -> Result<BTreeMap<String, Secret>, Error> {
    let rules = ListRules { trim: false, ..ListRules::LINES };
    let mut secrets = BTreeMap::new();
    for line in list(inputs.raw("secrets"), rules) {
        let (id, value) = split("secrets", &line)?;
        secrets.insert(id.trim().to_owned(), Secret(value.as_bytes().to_vec()));
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::github::naming::naming;

    fn variables(rows: &[(&str, &str)]) -> Variables {
        let common = [
            ("GITHUB_REPOSITORY", "acme/boat"),
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_SHA", "860c190"),
            ("GITHUB_ACTOR", "ada"),
        ];
        let all = common.iter().chain(rows);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn of(rows: &[(&str, &str)]) -> Result<Wanted, Error> {
        let variables = variables(rows);
        let event = Event::read(&variables, b"").unwrap();
        let inputs = Inputs::of(&variables);
        let naming = naming(&inputs, &event, &variables, Timestamp::UNIX_EPOCH, None).unwrap();
        wanted(&inputs, &event, &variables, &naming, PathBuf::from("."), Some(1_700_000_000))
    }

    #[test]
    fn nothing_given_is_a_build_of_the_workspace() {
        let wanted = of(&[("INPUT_GITHUB-TOKEN", "t")]).unwrap();
        assert_eq!(wanted.args.tags, ["ghcr.io/acme/boat:main"]);
        assert_eq!(wanted.args.build_args, ["SOURCE_DATE_EPOCH=1700000000"]);
        assert_eq!(wanted.push, Push::Auto);
        assert!(wanted.confided.spare_credentials.contains_key("ghcr.io"));
        assert!(
            wanted.args.labels.contains(&"org.opencontainers.image.revision=860c190".to_owned())
        );
    }

    #[test]
    fn lists_and_switches_become_flags() {
        let wanted = of(&[
            ("INPUT_BUILD-ARGS", "A=1,2\nSOURCE_DATE_EPOCH=5\n\"B=x\ny\""),
            ("INPUT_PLATFORMS", "linux/amd64"),
            ("INPUT_NO-CACHE", "true"),
            ("INPUT_NO-CACHE-FILTERS", "a,b"),
            ("INPUT_SECRET-ENVS", "token=MY_TOKEN"),
            ("INPUT_SECRET-FILES", "key=a,b\n"),
            ("INPUT_SECRETS", "  spaced = x \n\"many=1\n2\""),
            ("INPUT_ADD-HOSTS", "db=10.0.0.1\nfront:10.0.0.2"),
            ("INPUT_DNS", "10.0.0.53, ::1"),
            ("INPUT_NETWORK", "none"),
            ("INPUT_PUSH", "false"),
        ])
        .unwrap();
        assert_eq!(wanted.args.build_args, ["A=1,2", "SOURCE_DATE_EPOCH=5", "B=x\ny"]);
        assert!(wanted.args.no_cache);
        assert_eq!(wanted.args.no_cache_filters, ["a", "b"]);
        assert_eq!(wanted.args.dns.len(), 2);
        assert!(of(&[("INPUT_DNS", "dns.acme.example")]).is_err());
        assert_eq!(wanted.args.add_hosts, ["db:10.0.0.1", "front:10.0.0.2"]);
        assert_eq!(wanted.args.secrets[0], "id=token,env=MY_TOKEN");
        assert_eq!(wanted.confided.secrets["spaced"].0, b" x ");
        assert_eq!(wanted.confided.secrets["many"].0, b"1\n2");
        assert_eq!((wanted.args.network, wanted.push), (NetworkMode::None, Push::No));
    }

    #[test]
    fn a_mistake_repeats_no_secret() {
        for rows in [
            &[("INPUT_SECRETS", "hunter2")][..],
            &[("INPUT_PASSWORD", "hunter2")],
            &[("INPUT_REGISTRY-AUTH", "- registry: x\n  pass: hunter2\n")],
            &[("INPUT_SECRET-FILES", "hunter2")],
        ] {
            let error = of(rows).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.contains("input "), "{error}");
        }
        assert!(of(&[("INPUT_PUSH", "perhaps")]).is_err());
    }
}
