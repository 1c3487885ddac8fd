//! What was typed, exactly as typed: the flags of `plimsoll`, named as `docker buildx build` names
//! them. What a value means is the business of the other files of this folder.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{
    Arg, ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};

#[derive(Debug, Parser)]
#[command(
    name = "plimsoll",
    version,
    about = "Builds multi-stage Dockerfiles without a daemon and says what the image weighs",
    propagate_version = true,
    disable_help_subcommand = true
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// Parses a command line, the program's name first.
    ///
    /// # Errors
    /// A mistake, or help that was asked for; either prints itself.
    pub fn of<I, T>(words: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<std::ffi::OsString> + Clone,
    {
        let mut command = Self::command().mut_subcommand("build", |build| build.mut_args(switch));
        for name in ["check", "plan"] {
            command = command.mut_subcommand(name, |sub| sub.mut_args(|arg| switch(quiet(arg))));
        }
        let matches = command.try_get_matches_from_mut(words)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

/// Every switch takes a value too, as Go's have it: `--push=false`.
fn switch(arg: Arg) -> Arg {
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        return arg;
    }
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_value("false")
        .default_missing_value("true")
        .value_name("true|false")
        .hide_default_value(true)
        .hide_possible_values(true)
}

/// Flags of a build that change what it would do. `check` and `plan` take the others too,
/// so that their names can stand in place of `build` in any command line, but don't show them.
const SHAPING: [&str; 15] = [
    "context",
    "file",
    "target",
    "build_args",
    "build_contexts",
    "platforms",
    "no_cache",
    "no_cache_filters",
    "progress",
    "mirrors",
    "insecure",
    "ca_certificates",
    "store",
    "format",
    "help",
];

fn quiet(arg: Arg) -> Arg {
    let shown = SHAPING.contains(&arg.get_id().as_str());
    if shown { arg } else { arg.hide(true) }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an image from a Dockerfile
    #[command(visible_alias = "b", args_override_self = true)]
    Build(Box<BuildArgs>),
    /// Say what an image weighs, and why
    Weigh(WeighArgs),
    /// Say what changed from one image to another
    Diff(DiffArgs),
    /// Check a Dockerfile for what is right but should be written otherwise
    ///
    /// Takes the flags of build. Without --target, all stages are checked.
    #[command(args_override_self = true)]
    Check(Box<CheckArgs>),
    /// Show the stages of a Dockerfile, what would run, and why
    ///
    /// Takes the flags of build. Nothing is run or written.
    #[command(args_override_self = true)]
    Plan(Box<PlanArgs>),
    /// Run as a step of GitHub Actions: what the action starts
    Action(ActionArgs),
    /// Comment on a pull request with the report of another workflow run
    ///
    /// For a workflow on `workflow_run`, which may comment where the token of a pull request from a
    /// fork may not. Reads the event and GITHUB_TOKEN.
    Comment(CommentArgs),
    /// Show or empty the local store, a folder of cache entries or GitHub's cache
    Cache(CacheArgs),
}

#[derive(Debug, Default, Args)]
pub struct BuildArgs {
    /// What COPY and ADD read from: a folder, the URL of a git repository (URL#REF:FOLDER), of a
    /// tar or of a Dockerfile, or "-" for a tar or a Dockerfile on standard input
    pub context: PathBuf,

    /// Dockerfile (default: CONTEXT/Dockerfile); "-" reads it from standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Name of the image, [REGISTRY/]REPOSITORY[:TAG]
    #[arg(short, long = "tag", value_name = "NAME")]
    pub tags: Vec<String>,

    /// Unknown keys of a cache are told, not refused.
    #[arg(skip)]
    pub lenient: bool,

    /// Nobody typed the tags: they are for outputs that have no `name=` of their own.
    #[arg(skip)]
    pub tags_are_made: bool,

    /// Stage to build (default: the last one)
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,

    /// Build argument; without a value it is taken from the environment
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub build_args: Vec<String>,

    /// Named context: a folder, the URL of a git repository or of a file, docker-image://REF or
    /// oci-layout://PATH[:TAG][@DIGEST]
    #[arg(long = "build-context", value_name = "NAME=SOURCE")]
    pub build_contexts: Vec<String>,

    /// Label of the image
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,

    /// Annotation of the manifest, or of another LEVEL: index, manifest-descriptor, index-descriptor;
    /// of one platform alone as manifest[OS/ARCH]
    #[arg(long = "annotation", value_name = "[LEVEL:]NAME=VALUE")]
    pub annotations: Vec<String>,

    /// Platform of the image (default: this machine's); of several there is an index
    #[arg(long = "platform", value_name = "OS/ARCH[/VARIANT][,…]")]
    pub platforms: Vec<String>,

    /// Run every step, even where its result is known
    #[arg(long)]
    pub no_cache: bool,

    /// Run the steps of these stages, even where their results are known
    #[arg(long = "no-cache-filter", value_name = "STAGE[,STAGE…]")]
    pub no_cache_filters: Vec<String>,

    /// Fail where the registry of a base image does not answer, even if its tag was resolved before
    #[arg(long)]
    pub pull: bool,

    /// Where to look for results of earlier builds: type=gha[,scope=NAME], type=local,src=DIR or
    /// type=registry,ref=NAME; can be repeated (default in GitHub Actions: type=gha)
    #[arg(long = "cache-from", value_name = "SPEC")]
    pub cache_from: Vec<String>,

    /// Where to keep results for later builds: type=gha[,scope=NAME], type=local,dest=DIR or
    /// type=registry,ref=NAME, each with [,mode=min|max]; can be repeated (default in GitHub
    /// Actions: type=gha)
    #[arg(long = "cache-to", value_name = "SPEC")]
    pub cache_to: Vec<String>,

    /// Which cache mounts of RUN are brought back from --cache-from and saved in --cache-to: off, auto
    /// (all, the default) or ids
    #[arg(long = "cache-mounts", value_name = "off|auto|ID[,ID…]")]
    pub cache_mounts: Vec<String>,

    /// The most that one cache mount may hold to be saved, and all of a build, such as 2g,8g
    /// (default: 1g,4g)
    #[arg(long = "cache-mount-budget", value_name = "SIZE[,SIZE]")]
    pub cache_mount_budget: Option<String>,

    /// Shorthand for --output=type=registry
    #[arg(long)]
    pub push: bool,

    /// Refused, with a word on what to do instead: there is no daemon to load into.
    #[arg(long, hide = true)]
    pub load: bool,

    /// Where the result goes: a folder, "-" (tar on standard output), or
    /// type=registry|oci|docker|local|tar[,dest=PATH][,NAME=VALUE…]; can be repeated
    #[arg(short, long = "output", value_name = "SPEC")]
    pub outputs: Vec<String>,

    /// What is said of the image beside it: type=provenance[,mode=min|max][,NAME=VALUE…] or
    /// type=sbom; can be repeated
    #[arg(long = "attest", value_name = "SPEC")]
    pub attests: Vec<String>,

    /// Say beside the image how it was made: true, false or the keys of --attest type=provenance
    /// (default: false)
    #[arg(long, value_name = "true|false|NAME=VALUE,…")]
    pub provenance: Option<String>,

    /// List the packages of the image beside it: true or false (default: false)
    #[arg(long, value_name = "true|false")]
    pub sbom: Option<String>,

    /// Secret for RUN --mount=type=secret: id=NAME[,src=FILE|env=VARIABLE]
    #[arg(long = "secret", value_name = "SPEC")]
    pub secrets: Vec<String>,

    /// SSH agent for RUN --mount=type=ssh: default, ID=SOCKET, or the files of keys
    #[arg(long = "ssh", value_name = "ID[=SOCKET|KEY,…]")]
    pub ssh: Vec<String>,

    /// Network of RUN
    #[arg(long, value_name = "MODE", default_value = "default")]
    pub network: NetworkMode,

    /// Let the Dockerfile's RUN --network=host or --security=insecure have it
    #[arg(long, value_name = "ENTITLEMENT")]
    pub allow: Vec<Entitlement>,

    /// Line of /etc/hosts for RUN
    #[arg(long = "add-host", value_name = "NAME:ADDRESS")]
    pub add_hosts: Vec<String>,

    /// Name server for RUN, in place of this machine's
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<IpAddr>,

    /// Control group that those of RUN are made below, so that its limits hold for them
    #[arg(long, value_name = "PATH")]
    pub cgroup_parent: Option<String>,

    /// Size of /dev/shm for RUN, such as 128m
    #[arg(long, value_name = "SIZE")]
    pub shm_size: Option<String>,

    /// Resource limit for RUN, such as nofile=1024:2048
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]")]
    pub ulimits: Vec<String>,

    /// Write the image ID to this file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,

    /// Write what was built to this file, as JSON with the keys of buildx
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,

    /// Write what the image weighs to this file, for weight:FILE of weigh and diff; of several
    /// platforms to one file each, as app.linux_arm64.weight for app.weight
    #[arg(long, value_name = "FILE")]
    pub output_weight: Option<PathBuf>,

    /// What to do in place of a build: check; outline, which shows the arguments and secrets that the
    /// target takes; or targets, which lists the stages
    #[arg(long, value_name = "METHOD[,format=text|json]", default_value = "build")]
    pub call: String,

    /// Shorthand for --call=check
    #[arg(long)]
    pub check: bool,

    /// How progress is shown; auto is tty on a terminal and plain elsewhere
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub progress: ProgressMode,

    /// Say of every step why it ran, and where results were looked for
    #[arg(long)]
    pub explain: bool,

    /// Print nothing but the image ID
    #[arg(short, long)]
    pub quiet: bool,

    /// Compare the weight with an image's, named as for weigh; with auto, with what the base commit
    /// or branch weighed, and keep this weight for later builds
    #[arg(long, value_name = "auto|none|IMAGE", help_heading = "Size limits")]
    pub size_baseline: Option<String>,

    /// Write what the image weighs, and how it changed, to a file.md, .html or .svg; can be repeated
    #[arg(long = "size-report", value_name = "FILE", help_heading = "Size limits")]
    pub size_reports: Vec<PathBuf>,

    #[command(flatten)]
    pub limits: LimitArgs,

    #[command(flatten)]
    pub registry: RegistryArgs,

    #[command(flatten)]
    pub store: StoreArgs,

    /// Where the layers are unpacked that a RUN stands on: in the store, or in memory as far as there
    /// is room, for this build alone; auto is memory on runners that GitHub hosts
    #[arg(long, value_name = "PLACE", default_value = "auto")]
    pub unpack_in: UnpackIn,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UnpackIn {
    #[default]
    Auto,
    Disk,
    Memory,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// How findings are printed; github is annotations of a workflow
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: CheckFormat,

    #[command(flatten)]
    pub build: BuildArgs,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// How the plan is printed; mermaid is for Markdown, svg a picture
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: PlanFormat,

    #[command(flatten)]
    pub build: BuildArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    #[default]
    Text,
    Json,
    Mermaid,
    Svg,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    #[default]
    Text,
    Json,
    Github,
}

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Registries")]
pub struct RegistryArgs {
    /// Ask URL for what HOST has, before HOST itself; can be repeated
    #[arg(long = "registry-mirror", value_name = "HOST=URL")]
    pub mirrors: Vec<String>,

    /// Talk to HOST over plain HTTP, or TLS without verification
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]")]
    pub insecure: Vec<String>,

    /// Log in to HOST as USER with the password in FILE; can be repeated
    #[arg(long = "registry-login", value_name = "HOST=USER,FILE")]
    pub logins: Vec<String>,

    /// Trust the certificates of this PEM file too
    #[arg(long = "ca-cert", value_name = "FILE")]
    pub ca_certificates: Vec<PathBuf>,
}

#[derive(Debug, Default, Args)]
pub struct StoreArgs {
    /// Local store (default: $PLIMSOLL_STORE, else $XDG_CACHE_HOME/plimsoll, else
    /// ~/.cache/plimsoll)
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct WeighArgs {
    /// A name in a registry, oci:PATH[:TAG], docker-archive:FILE or weight:FILE
    pub image: String,

    /// Dockerfile that it was built from: gives lines, stages and patches
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Write the weight to this file, for a later weight:FILE
    #[arg(long, value_name = "FILE")]
    pub output_weight: Option<PathBuf>,

    /// Fail with code 3 where the image breaks a rule of this file, which is dive's
    #[arg(long, value_name = "FILE")]
    pub ci_config: Option<PathBuf>,

    #[command(flatten)]
    pub limits: LimitArgs,

    #[command(flatten)]
    pub reading: ReadingArgs,
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The image as it was, named as for weigh
    pub old: String,

    /// The image as it is
    pub new: String,

    /// Dockerfile that the new one was built from: gives lines, stages and patches
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    #[command(flatten)]
    pub limits: LimitArgs,

    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// What an image may weigh.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Size limits")]
pub struct LimitArgs {
    /// Fail with code 3 above these: 250MB (compressed), +10MB or +5% (growth); commas between them
    #[arg(long, value_name = "LIMITS")]
    pub size_budget: Vec<String>,

    /// File with limits (default: .plimsoll.yml, if there is one)
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,

    /// What a broken limit does at most
    #[arg(long, value_name = "MODE", default_value = "fail")]
    pub size_gate: SizeGate,

    /// Accept broken limits; the reason stands in the report
    #[arg(long, value_name = "REASON")]
    pub size_waiver: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SizeGate {
    Off,
    Warn,
    #[default]
    Fail,
}

/// What weigh and diff have in common.
#[derive(Debug, Default, Args)]
pub struct ReadingArgs {
    /// How the result is written to standard output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ReportFormat,

    /// Platform, of an image for several (default: this machine's)
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<String>,

    #[command(flatten)]
    pub registry: RegistryArgs,
}

#[derive(Debug, Default, Args)]
pub struct ActionArgs {
    /// Clean up after the step, as its last act
    #[arg(long)]
    pub post: bool,

    /// The variables come through standard input, from a process that is not root.
    #[arg(long, hide = true)]
    pub handed_over: bool,

    /// They have come that way.
    #[arg(long, hide = true)]
    pub elevated: bool,
}

#[derive(Debug, Args)]
pub struct CommentArgs {
    /// Folder of the report, or one with such folders in it: what the output `size-report` is in
    pub folder: PathBuf,

    /// Comment only while sizes differ
    #[arg(long)]
    pub changed: bool,

    #[command(flatten)]
    pub limits: LimitArgs,
}

#[derive(Debug, Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    pub command: CacheCommand,
}

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List what the local store, a folder of cache entries or GitHub's cache holds
    Ls(HeldArgs),
    /// Tell how much room that takes, by kind
    Du(HeldArgs),
    /// Delete it, less what the flags keep
    Prune(PruneArgs),
    /// Delete of GitHub's cache what no job will read any more
    Gc(GcArgs),
}

#[derive(Debug, Args)]
pub struct GcArgs {
    /// The repository and a token that may delete (default: $GITHUB_REPOSITORY, $GITHUB_TOKEN)
    #[arg(
        long = "cache-from",
        value_name = "type=gha[,repository=OWNER/NAME][,ghtoken=TOKEN]",
        default_value = "type=gha"
    )]
    pub cache_from: String,

    /// Delete the least recently used, too, until what remains is at most this large, such as 5g
    #[arg(long = "max-used-space", value_name = "SIZE")]
    pub keep: Option<String>,

    /// Only say what would be deleted
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct HeldArgs {
    /// Instead of the local store, a folder of cache entries: type=local,src=DIR; or
    /// type=gha[,repository=OWNER/NAME][,ghtoken=TOKEN] (default: $GITHUB_REPOSITORY, $GITHUB_TOKEN)
    #[arg(long = "cache-from", value_name = "SPEC", conflicts_with = "store")]
    pub cache_from: Option<String>,

    #[command(flatten)]
    pub store: StoreArgs,
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Cache mounts too
    #[arg(short, long)]
    pub all: bool,

    /// Delete the least recently used until the store is at most this large, such as 10g
    #[arg(long = "max-used-space", value_name = "SIZE")]
    pub keep: Option<String>,

    #[command(flatten)]
    pub held: HeldArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    #[default]
    Text,
    Json,
    /// For a pull request
    Markdown,
    /// A page with a treemap that needs no network
    Html,
    /// The treemap alone
    Svg,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NetworkMode {
    #[default]
    Default,
    None,
    Host,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Entitlement {
    #[value(name = "network.host")]
    NetworkHost,
    #[value(name = "security.insecure")]
    SecurityInsecure,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    #[default]
    Auto,
    Plain,
    Tty,
    #[value(alias = "rawjson")]
    Json,
    Quiet,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(words: &[&str]) -> Result<BuildArgs, clap::Error> {
        match Arguments::of(["plimsoll", "build"].iter().chain(words))?.command {
            Command::Build(args) => Ok(*args),
            other => panic!("{other:?} is not a build"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn switches_are_go_s() {
        for (words, expected) in [
            (&["."][..], false),
            (&["--push", "."], true),
            (&[".", "--push"], true),
            (&["--push=true", "."], true),
            (&["--push=false", "."], false),
            (&["--push", "--push=false", "."], false),
        ] {
            let args = build(words).unwrap();
            assert_eq!(
                (args.push, args.context.as_os_str()),
                (expected, ".".as_ref()),
                "{words:?}"
            );
        }
        assert!(build(&["--push=maybe", "."]).is_err());
        assert!(build(&["-q", "."]).unwrap().quiet);
    }

    #[test]
    fn the_last_of_a_single_value_counts_and_lists_grow() {
        let args = build(&["--target", "a", "--target=b", "-t", "x", "-t", "y", "."]).unwrap();
        assert_eq!(args.target.as_deref(), Some("b"));
        assert_eq!(args.tags, ["x", "y"]);
    }
}
