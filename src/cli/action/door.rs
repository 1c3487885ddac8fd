//! The action's inputs → the arguments of a build, as if they had been typed: from there on there is
//! one way to read a value, and one text for each mistake.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::cli::args::{BuildArgs, Entitlement, LimitArgs, NetworkMode, RegistryArgs, SizeGate};
use crate::cli::build::Confided;
use crate::cli::environment::Environment;
use crate::cli::secret::{self, SecretSource};
use crate::error::Error;
use crate::github::event::{Event, Variables};
use crate::github::inputs::{InputError, Inputs};
use crate::github::list::ListRules;
use crate::github::naming::Naming;

use super::attests::Attests;
use super::caching::{Cache, Caches};
use super::login::{AwsLogin, logins};
use super::outputs::{Names, Outputs};
use super::secrets::Secrets;

/// A build as the inputs want it.
#[derive(Debug)]
pub struct Wanted {
    pub args: BuildArgs,
    /// Labels that no flag has, since those come before the Dockerfile's.
    pub default_labels: BTreeMap<String, String>,
    /// `LEVEL:NAME=VALUE`, of the input `outputs`. Whether there is an index to annotate is known when
    /// it is settled where the image goes.
    pub annotations: Vec<String>,
    pub confided: Confided,
    pub aws: Vec<AwsLogin>,
    pub push: Push,
    /// Outputs for the runner's Docker.
    pub loads: Vec<String>,
    pub cache: Cache,
    /// How many RUNs go on at once, and how many threads compress and hash.
    pub threads: Option<usize>,
    /// How often a request to a registry is tried.
    pub attempts: Option<u32>,
    /// What was given and is left out, and why.
    pub left_out: Vec<String>,
    /// What else to tell of the inputs.
    pub notices: Vec<String>,
    /// What of that may be a secret.
    pub masked: Vec<String>,
}

impl Wanted {
    /// Of the secrets that were given. A variable that is not set or empty gives none: that is what a
    /// secret of the repository is to a run of a fork.
    pub fn secret_ids(&self, environment: &Environment) -> Vec<String> {
        let specs = self.args.secrets.iter().filter_map(|text| secret::parse(text).ok());
        let given = specs.filter(|spec| match &spec.source {
            SecretSource::Variable(name) => {
                environment.get(name).is_some_and(|value| !value.is_empty())
            }
            _ => true,
        });
        given.map(|spec| spec.id).chain(self.confided.secrets.keys().cloned()).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// On branches and tags, where there are credentials.
    Auto,
    Yes,
    No,
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
    let (labels, default_labels) = naming.labels();
    let labels = labels.iter().map(|(name, value)| format!("{name}={value}"));
    let push =
        inputs.choice("push", &[("auto", Push::Auto), ("true", Push::Yes), ("false", Push::No)])?;
    let cache = inputs
        .choice("cache", &[("auto", Cache::Auto), ("read", Cache::Read), ("off", Cache::Off)])?;
    let mut left_out = Vec::new();
    let records = |name| inputs.list(name, ListRules::RECORDS);
    let attests = Attests::of(inputs, variables);
    let caches = Caches::of(cache, records("cache-from"), records("cache-to"));
    left_out.extend(caches.left_out);
    let network = inputs.choice(
        "network",
        &[
            ("", NetworkMode::Default),
            ("default", NetworkMode::Default),
            ("none", NetworkMode::None),
            ("host", NetworkMode::Host),
        ],
    )?;
    let output_lines = inputs.list("outputs", ListRules { quotes: false, ..ListRules::RECORDS });
    let is_named = ["tags", "images"].iter().any(|name| inputs.some(name).is_some());
    let names = match is_named {
        true => Names::given(&naming.names),
        false => Names::made(&naming.names, &output_lines, push == Push::Yes),
    };
    let outputs = Outputs::of(&output_lines, &names);
    outputs.check()?;
    let mut loads = outputs.loads;
    if inputs.switch("load")? && loads.is_empty() {
        loads.push("type=docker".to_owned());
    }
    let secrets = Secrets::of(inputs);
    left_out.extend(secrets.left_out);
    let args = BuildArgs {
        context,
        file: inputs.some("file").map(PathBuf::from),
        tags: names.tags,
        tags_are_made: names.are_made,
        lenient: true,
        target: inputs.some("target").map(str::to_owned),
        build_args,
        build_contexts: lines("build-contexts"),
        labels: labels.collect(),
        attests: attests.attests,
        provenance: attests.provenance,
        sbom: attests.sbom,
        platforms: commas("platforms"),
        pull: inputs.switch("pull")?,
        cache_from: caches.from,
        cache_to: caches.to,
        allow: entitlements(commas("allow"), &mut left_out)?,
        cache_mounts: commas("cache-mounts"),
        cache_mount_budget: inputs.some("cache-budget").map(str::to_owned),
        size_baseline: inputs.some("size-baseline").map(str::to_owned),
        limits: limits(inputs)?,
        no_cache: inputs.switch("no-cache")?,
        no_cache_filters: commas("no-cache-filters"),
        outputs: outputs.lines,
        secrets: secrets.places,
        ssh: ssh(commas("ssh")),
        network,
        dns: addresses(commas("dns"))?,
        add_hosts: commas("add-hosts").iter().map(|host| with_colon(host)).collect(),
        cgroup_parent: inputs.some("cgroup-parent").map(str::to_owned),
        shm_size: inputs.some("shm-size").map(str::to_owned),
        ulimits: commas("ulimit"),
        registry: RegistryArgs {
            mirrors: lines("registry-mirrors"),
            insecure: [commas("insecure-registries"), outputs.insecure].concat(),
            ca_certificates: lines("ca-certs").into_iter().map(PathBuf::from).collect(),
            ..RegistryArgs::default()
        },
        ..BuildArgs::default()
    };
    let attempts = inputs.number("push-retries")?.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let mut confided = Confided { secrets: secrets.values, ..Confided::default() };
    let mut logins = logins(inputs, event, variables, &names.all, &mut left_out)?;
    let notices = std::mem::take(&mut logins.notices);
    let aws = logins.confide(&mut confided);
    Ok(Wanted {
        confided,
        aws,
        args,
        default_labels,
        annotations: outputs.annotations,
        push,
        loads,
        cache,
        threads: inputs.number("max-parallelism")?.filter(|&threads| threads > 0),
        attempts,
        left_out,
        notices,
        masked: secrets.masked,
    })
}

/// One id with several keys is cut at its commas: what has no `=`, and is a path, belongs to the id
/// before.
fn ssh(pieces: Vec<String>) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for piece in pieces {
        match ids.last_mut() {
            Some(id) if id.contains('=') && piece.contains('/') && !piece.contains('=') => {
                id.push(',');
                id.push_str(&piece);
            }
            _ => ids.push(piece),
        }
    }
    ids
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

/// Entitlements that buildx has besides: nothing here asks for them.
const NEEDLESS: [&str; 4] = ["device", "fs", "image.load", "ssh"];

fn entitlements(
    names: Vec<String>,
    left_out: &mut Vec<String>,
) -> Result<Vec<Entitlement>, InputError> {
    let known = [
        ("network.host", Entitlement::NetworkHost),
        ("security.insecure", Entitlement::SecurityInsecure),
    ];
    let mut entitlements = Vec::new();
    for name in names {
        // `fs.read=PATH`, `device=NAME`
        let kind = name.split('=').next().unwrap_or_default();
        let kind = if kind.starts_with("fs.") { "fs" } else { kind };
        if let Some((_, entitlement)) = known.iter().find(|(known, _)| *known == name) {
            entitlements.push(*entitlement);
        } else if NEEDLESS.contains(&kind) {
            left_out.push(format!("allow: {name} does nothing here: no RUN asks for it"));
        } else {
            return Err(InputError {
                name: "allow",
                expected: known.map(|(known, _)| known).join(", "),
                found: name,
            });
        }
    }
    Ok(entitlements)
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
        assert_eq!(wanted.default_labels["org.opencontainers.image.revision"], "860c190");
        assert_eq!(wanted.args.labels, Vec::<String>::new());
        let wanted = of(&[("INPUT_IMAGES", "acme/boat")]).unwrap();
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
        assert_eq!(wanted.args.secrets, ["\"id=token\",\"env=MY_TOKEN\""]);
        assert_eq!(wanted.left_out, ["the secret key is left out: there is no file a,b"]);
        assert_eq!(wanted.confided.secrets["spaced"].0, b" x ");
        assert_eq!(wanted.confided.secrets["many"].0, b"1\n2");
        assert_eq!((wanted.args.network, wanted.push), (NetworkMode::None, Push::No));
    }

    #[test]
    fn a_mistake_repeats_no_secret() {
        for rows in [
            &[("INPUT_REGISTRY-AUTH", "- registry: x\n  password: hunter2\n")][..],
            &[("INPUT_REGISTRY-AUTH", "- registry: x\n  password: [hunter2]\n")],
        ] {
            let error = of(rows).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.contains("input ") || error.contains("login to x"), "{error}");
        }
        assert!(of(&[("INPUT_PUSH", "perhaps")]).is_err());
        assert!(of(&[("INPUT_PASSWORD", "hunter2")]).is_err());
    }

    #[test]
    fn what_is_no_secret_is_left_out_and_not_shown() {
        let wanted = of(&[
            ("INPUT_SECRETS", "a=1\n\nhunter2\n=hunter3"),
            ("INPUT_SECRET-ENVS", "A=,B=C"),
            ("INPUT_SECRET-FILES", "hunter4"),
        ])
        .unwrap();
        assert_eq!(wanted.args.secrets, ["\"id=B\",\"env=C\""]);
        assert_eq!(wanted.confided.secrets.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(wanted.masked, ["A=", "hunter4", "hunter2", "hunter3"]);
        assert_eq!(
            wanted.left_out,
            [
                "entry 1 of the input secret-envs is left out: it is no ID=VARIABLE",
                "entry 1 of the input secret-files is left out: it is no ID=PATH",
                "entry 2 of the input secrets is left out: it is no ID=VALUE",
                "entry 3 of the input secrets is left out: it is no ID=VALUE",
            ]
        );
    }

    /// The secrets of a repository are empty texts to a run of a fork.
    #[test]
    fn what_a_fork_does_not_get_is_left_out() {
        let variables = variables(&[
            ("GITHUB_EVENT_NAME", "pull_request"),
            ("GITHUB_REF", "refs/pull/3/merge"),
            (
                "INPUT_REGISTRY-AUTH",
                "- registry: quay.io\n  username: ada\n  password:\n- username: ada\n",
            ),
            ("INPUT_SECRETS", "empty=\nother=x"),
            ("INPUT_TAGS", "acme/boat"),
        ]);
        let payload = br#"{"pull_request": {"number": 3,
            "head": {"ref": "sails", "sha": "h"}, "base": {"ref": "main", "sha": "b"}}}"#;
        let event = Event::read(&variables, payload).unwrap();
        let inputs = Inputs::of(&variables);
        let naming = naming(&inputs, &event, &variables, Timestamp::UNIX_EPOCH, None).unwrap();
        let context = PathBuf::from(".");
        let wanted = wanted(&inputs, &event, &variables, &naming, context, None).unwrap();
        assert!(wanted.confided.credentials.is_empty());
        assert_eq!(wanted.confided.secrets.keys().collect::<Vec<_>>(), ["other"]);
        assert_eq!(
            wanted.left_out,
            [
                "the secret empty is left out: it is empty",
                "no login to quay.io: there is no password in this run",
                "no login to docker.io: there is no password in this run",
            ]
        );
    }

    #[test]
    fn what_has_no_meaning_here_is_left_out() {
        let wanted = of(&[
            ("INPUT_ALLOW", "device=x,fs.read=/a,security.insecure"),
            ("INPUT_SSH", "default,git=/run/agent\nkeys=~/.ssh/one,/two,other"),
        ])
        .unwrap();
        assert_eq!(wanted.args.allow, [Entitlement::SecurityInsecure]);
        assert_eq!(wanted.args.ssh, ["default", "git=/run/agent", "keys=~/.ssh/one,/two", "other"]);
        assert_eq!(wanted.left_out.len(), 2, "{:?}", wanted.left_out);
        assert!(of(&[("INPUT_ALLOW", "everything")]).is_err());
    }
}
