//! `plimsoll build`: what was typed → a [`BuildRequest`].

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Read;
use std::num::IntErrorKind;

use super::args::{BuildArgs, Entitlement, NetworkMode, UnpackIn};
use super::caches::Caches;
use super::environment::Environment;
use super::flag::{FlagError, each};
use super::{
    add_host, annotation, attest, build_context, cache_mounts, docker_config, lineage,
    main_context, output, reference, registry, secret, size, ssh, store, ulimit,
};
use crate::build::{Access, Fetching};
use crate::error::Error;
use crate::platform::Platform;
use crate::request::{
    Annotation, BuildRequest, Credential, Destination, Entitlements, Lineage, Network, NoCache,
    Output, OutputKind, RunOptions, Secret, SizeBaseline,
};
use crate::sandbox::Cancel;
use crate::ui::Event;

/// Secrets that no argument holds, since arguments are for all to see.
#[derive(Debug, Default)]
pub struct Confided {
    /// By id; they come before those that were typed.
    pub secrets: BTreeMap<String, Secret>,
    /// By host, and the repository where they are for one only; they come before those of Docker's
    /// configuration.
    pub credentials: BTreeMap<String, Credential>,
    /// Likewise, for pushing alone.
    pub push_credentials: BTreeMap<String, Credential>,
    /// By host; for those that nobody else has credentials for.
    pub spare_credentials: BTreeMap<String, Credential>,
}

/// What a request may need besides what was typed.
pub struct Outside<'a> {
    pub confided: Confided,
    pub stdin: &'a mut (dyn Read + Send),
    /// Ends the fetching of a context.
    pub cancel: &'a Cancel,
    pub events: &'a (dyn Fn(Event) + Sync),
}

/// Resolves and checks everything that was typed, and brings the main context here if it is
/// elsewhere. Standard input is read for `-f -` and for the context `-` only.
///
/// # Errors
/// Of the kind [`Usage`](crate::error::ErrorKind::Usage), naming the flag; of the kind
/// [`Build`](crate::error::ErrorKind::Build) where a context can't be had.
pub fn request(
    args: &BuildArgs,
    environment: &Environment,
    outside: Outside<'_>,
) -> Result<BuildRequest, Error> {
    let config = docker_config::load(environment)?;
    let tags = each("--tag", &args.tags, reference::tag)?;
    let platforms = platforms(&args.platforms)?;
    let build_args = build_args(&args.build_args, environment, config.proxies)?;
    let source_date_epoch = source_date_epoch(&build_args)?;
    let mut secrets = secrets(&args.secrets, environment)?;
    secrets.extend(outside.confided.secrets);
    let ssh = collect("--ssh", &args.ssh, |text| ssh::parse(text, environment))?;
    let git_environment = environment.for_git();
    let mut registry = registry::options(&args.registry, config.registries)?;
    registry.credentials.extend(outside.confided.credentials);
    registry.push_credentials.extend(outside.confided.push_credentials);
    for (host, credential) in outside.confided.spare_credentials {
        let helped =
            registry.credential_store.is_some() || registry.credential_helpers.contains_key(&host);
        if !helped {
            registry.credentials.entry(host).or_insert(credential);
        }
    }
    let store = store::directory(args.store.store.as_ref(), environment)?;
    let threads = environment.threads.max(1);
    let outputs = outputs(args, &tags, environment)?;
    let caches = Caches::of(args, environment)?;
    registry.insecure.extend(caches.insecure.iter().cloned());
    let cache_mounts = cache_mounts::parse(&args.cache_mounts, args.cache_mount_budget.as_deref())?;
    let mut attest = attest::parse(args)?;
    let annotations = each("--annotation", &args.annotations, annotation::parse)?.concat();
    let build_contexts = collect("--build-context", &args.build_contexts, build_context::parse)?;
    // Last, since it may take long, and a mistake should be told at once.
    let fetching = Fetching {
        access: Access { secrets: &secrets, ssh: &ssh, git_environment: &git_environment },
        store: &store,
        ca_certificates: &registry.ca_certificates,
        threads,
        cancel: outside.cancel,
        events: outside.events,
    };
    let mut notices = caches.notices;
    notices.extend(args.outputs.iter().find_map(|text| output::notice(text)));
    if let Some(generator) = attest.sbom.as_ref().and_then(|sbom| sbom.generator.as_ref()) {
        notices.push(format!(
            "Plimsoll lists the packages itself: the generator {generator} does not run"
        ));
    }
    notices.into_iter().for_each(|text| (outside.events)(Event::Notice(text)));
    let commit_times = build_args.get("SOURCE_DATE_EPOCH").is_some_and(|text| !text.is_empty());
    let (context, dockerfile) = main_context::load(args, &fetching, outside.stdin, commit_times)?;
    let lineage = || lineage::of(environment, &context, outside.cancel);
    let size_baseline = size_baseline(args.size_baseline.as_deref(), lineage)?;
    if let Some(provenance) = &mut attest.provenance {
        provenance.vcs = lineage::vcs(environment, &context, outside.cancel);
    }
    let request = BuildRequest {
        context,
        dockerfile,
        outputs,
        tags,
        target: args.target.clone().filter(|target| !target.is_empty()),
        build_args,
        build_contexts,
        labels: collect("--label", &args.labels, label)?,
        default_labels: BTreeMap::new(),
        annotations,
        attest,
        explicit_platform: !platforms.is_empty(),
        platforms: if platforms.is_empty() { vec![Platform::host()] } else { platforms },
        no_cache: no_cache(args),
        pull: args.pull,
        cache_from: caches.from,
        cache_to: caches.to,
        cache_mounts,
        secrets,
        ssh,
        git_environment,
        run: run_options(args)?,
        registry,
        source_date_epoch,
        now: environment.now,
        store,
        unpack_in_memory: unpack_in_memory(args.unpack_in, environment),
        threads,
        weigh: args.output_weight.is_some()
            || !args.size_reports.is_empty()
            || size_baseline != SizeBaseline::None,
        size_baseline,
    };
    check_platforms(&request)?;
    Ok(request)
}

/// Two words are no image.
fn size_baseline(
    typed: Option<&str>,
    lineage: impl FnOnce() -> Lineage,
) -> Result<SizeBaseline, Error> {
    Ok(match typed {
        None | Some("" | "none") => SizeBaseline::None,
        Some("auto") => SizeBaseline::Lineage(lineage()),
        Some(image) => SizeBaseline::Image(
            image.parse().map_err(|e| Error::usage(format!("--size-baseline: {e}")))?,
        ),
    })
}

/// As [`each`], by name; the last of a name counts.
fn collect<T>(
    flag: &str,
    values: &[String],
    parse: impl Fn(&str) -> Result<(String, T), FlagError>,
) -> Result<BTreeMap<String, T>, Error> {
    Ok(each(flag, values, parse)?.into_iter().collect())
}

/// Each once; none where none was named.
fn platforms(values: &[String]) -> Result<Vec<Platform>, Error> {
    let parse = |text: &str| text.parse::<Platform>().map_err(FlagError::new);
    let names: Vec<String> = values
        .iter()
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    let mut platforms: Vec<Platform> = Vec::new();
    for platform in each("--platform", &names, parse)? {
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}

/// What an image of one platform can't have, and one of several.
///
/// # Errors
/// Of the kind [`Usage`](crate::error::ErrorKind::Usage).
pub fn check_platforms(request: &BuildRequest) -> Result<(), Error> {
    let is_docker = |output: &Output| matches!(output.kind, OutputKind::Docker { .. });
    if request.has_several_platforms() && request.outputs.iter().any(is_docker) {
        return Err(Error::usage(
            "--output: type=docker does not support manifest lists, which several platforms are",
        )
        .hinted("Write type=oci, or name one --platform."));
    }
    let of_index = |annotation: &&Annotation| annotation.level.is_of_index();
    let is_old = |output: &&Output| !output.oci_media_types && request.is_attested(output);
    if request.outputs.iter().any(|output| is_old(&output)) {
        return Err(Error::usage("--output: oci-mediatypes=false has no place for attestations")
            .hinted("Leave it out, or write --provenance=false and --sbom=false."));
    }
    match request.annotations.iter().find(of_index).filter(|_| !request.has_index()) {
        Some(Annotation { name, .. }) => Err(Error::usage(format!(
            "--annotation: {name} is of an index, and an image of one platform has none"
        ))
        .hinted("Annotate the manifest: --annotation manifest:NAME=VALUE.")),
        None => Ok(()),
    }
}

/// `NAME=VALUE`, and `NAME` with the environment's value, if it has one (L-058). The environment's
/// `SOURCE_DATE_EPOCH` comes along by itself (L-056), as do the proxies of Docker's configuration
/// unless one was typed in any case (L-055).
fn build_args(
    values: &[String],
    environment: &Environment,
    proxies: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Error> {
    let from_environment = |name: &str| -> Result<Option<String>, FlagError> {
        let Some(value) = environment.get(name) else { return Ok(None) };
        match value.to_str() {
            Some(value) => Ok(Some(value.to_owned())),
            None => Err(FlagError::new(format!("the environment's {name} is not UTF-8"))),
        }
    };
    let mut args = BTreeMap::new();
    for text in values.iter().filter(|text| !text.is_empty()) {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Ok(Some(value.to_owned()))),
            None => (text.as_str(), from_environment(text)),
        };
        // The value may be a token, whatever it should be.
        let fail = |error: FlagError| error.of_flag_alone("--build-arg");
        if name.is_empty() {
            return Err(fail(FlagError::new("the name is empty").hinted("Write NAME=VALUE.")));
        }
        if let Some(value) = value.map_err(fail)? {
            args.insert(name.to_owned(), value);
        }
    }
    if !args.contains_key("SOURCE_DATE_EPOCH") {
        let epoch = from_environment("SOURCE_DATE_EPOCH")
            .map_err(|error| Error::usage(error.message))?
            .filter(|value| !value.is_empty());
        args.extend(epoch.map(|value| ("SOURCE_DATE_EPOCH".to_owned(), value)));
    }
    for (name, value) in proxies {
        if !args.keys().any(|typed| typed.eq_ignore_ascii_case(&name)) {
            args.insert(name, value);
        }
    }
    Ok(args)
}

/// A name is for the build to look up.
fn source_date_epoch(build_args: &BTreeMap<String, String>) -> Result<Option<i64>, Error> {
    match build_args.get("SOURCE_DATE_EPOCH").map(String::as_str) {
        None | Some("") => Ok(None),
        Some(text) => match text.parse::<i64>() {
            Ok(seconds) if seconds >= 0 => Ok(Some(seconds)),
            Err(error) if *error.kind() == IntErrorKind::InvalidDigit => Ok(None),
            _ => Err(Error::usage(format!("invalid SOURCE_DATE_EPOCH: {text}")).hinted(
                "It is a number of seconds since 1970; `git log -1 --format=%ct` gives that of \
                 the last commit.",
            )),
        },
    }
}

/// `NAME=VALUE`, or `NAME` for an empty one, as Docker has it.
fn label(text: &str) -> Result<(String, String), FlagError> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() {
        return Err(FlagError::new("the name is empty").hinted("Write NAME=VALUE."));
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn no_cache(args: &BuildArgs) -> NoCache {
    let stages: Vec<String> = args
        .no_cache_filters
        .iter()
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_lowercase())
        .filter(|name| !name.is_empty())
        .collect();
    match (args.no_cache, stages.is_empty()) {
        (true, _) => NoCache::All,
        (false, true) => NoCache::Never,
        (false, false) => NoCache::Stages(stages),
    }
}

fn secrets(
    values: &[String],
    environment: &Environment,
) -> Result<BTreeMap<String, Secret>, Error> {
    collect("--secret", values, |text| {
        let spec = secret::parse(text)?;
        let value = secret::load(&spec, environment)?;
        Ok((spec.id, value))
    })
}

/// A runner of GitHub's is thrown away after its job; one of one's own may keep its store.
fn unpack_in_memory(place: UnpackIn, environment: &Environment) -> bool {
    match place {
        UnpackIn::Auto => {
            environment.get("RUNNER_ENVIRONMENT").is_some_and(|kind| kind == "github-hosted")
        }
        UnpackIn::Disk => false,
        UnpackIn::Memory => true,
    }
}

fn run_options(args: &BuildArgs) -> Result<RunOptions, Error> {
    let shm_size: Vec<String> = args.shm_size.iter().cloned().collect();
    Ok(RunOptions {
        network: match args.network {
            NetworkMode::Default => Network::Default,
            NetworkMode::None => Network::None,
            NetworkMode::Host => Network::Host,
        },
        entitlements: Entitlements {
            // As with buildx, what the user asks for himself is allowed.
            network_host: args.network == NetworkMode::Host
                || args.allow.contains(&Entitlement::NetworkHost),
            security_insecure: args.allow.contains(&Entitlement::SecurityInsecure),
        },
        add_hosts: each("--add-host", &args.add_hosts, add_host::parse)?.concat(),
        dns: args.dns.clone(),
        // No flag of buildx says it; the action has it of buildkitd's configuration.
        at_once: None,
        cgroup_parent: args.cgroup_parent.clone().filter(|path| !path.is_empty()),
        shm_size: each("--shm-size", &shm_size, size::parse)?.pop(),
        ulimits: each("--ulimit", &args.ulimits, ulimit::parse)?,
    })
}

/// All `-o`, and `--push`.
fn outputs(
    args: &BuildArgs,
    tags: &[String],
    environment: &Environment,
) -> Result<Vec<Output>, Error> {
    if args.load {
        return Err(Error::usage("--load: there is no daemon to load the image into")
            .hinted("Write -o type=docker,dest=- and pipe it into `docker load`."));
    }
    let parse = |text: &str| {
        let is_own = args.tags_are_made && output::is_named(text);
        output::parse(text, if is_own { &[] } else { tags }, args.push)
    };
    let mut outputs: Vec<Output> =
        each("--output", &args.outputs, parse)?.into_iter().flatten().collect();
    let pushes = |output: &Output| matches!(output.kind, OutputKind::Registry { .. });
    if args.push && !outputs.iter().any(pushes) {
        let pushed = output::parse("type=registry", tags, true);
        outputs.extend(pushed.map_err(|error| error.of_flag_alone("--push"))?);
    }
    check_destinations(&outputs, args.quiet, environment)?;
    Ok(outputs)
}

/// Two outputs can't share a place, and a terminal is no place for a tar.
fn check_destinations(
    outputs: &[Output],
    quiet: bool,
    environment: &Environment,
) -> Result<(), Error> {
    let destinations: Vec<Destination> =
        outputs.iter().filter_map(|output| output.kind.destination()).collect();
    let fault = |what: &dyn Display| Error::usage(format!("--output: {what}"));
    for (index, destination) in destinations.iter().enumerate() {
        if !destinations[..index].contains(destination) {
            continue;
        }
        return Err(match destination {
            Destination::Stdout => fault(&"two outputs go to standard output"),
            Destination::File(path) | Destination::Directory(path) => {
                fault(&format_args!("two outputs go to {}", path.display()))
            }
        }
        .hinted("Give each output a dest= of its own."));
    }
    if destinations.contains(&Destination::Stdout) {
        if environment.stdout_is_terminal {
            return Err(fault(&"a tar does not go to a terminal")
                .hinted("Name a file with dest=FILE, or pipe standard output somewhere."));
        }
        if quiet {
            return Err(fault(&"standard output can't hold both the tar and --quiet's image ID")
                .hinted("Use --iidfile FILE for the ID."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
