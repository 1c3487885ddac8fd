//! One build, resolved and validated. The command line is one door to it, the inputs of the
//! action are another.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::attest::AttestOptions;
use crate::cache::github::GithubSettings;
use crate::context::Fetched;
use crate::inspect::ImageReference;
use crate::platform::Platform;
use crate::url::{self, GitUrl};

#[derive(Clone, Debug)]
pub struct BuildRequest {
    pub context: MainContext,
    pub dockerfile: DockerfileSource,
    /// `-t`: normalized references, `docker.io/library/app:latest`.
    pub tags: Vec<String>,
    pub target: Option<String>,
    pub build_args: BTreeMap<String, String>,
    pub build_contexts: BTreeMap<String, NamedContext>,
    pub labels: BTreeMap<String, String>,
    /// What the result says unless a `LABEL` of the file or `labels` does.
    pub default_labels: BTreeMap<String, String>,
    pub annotations: Vec<Annotation>,
    /// Never empty, each once.
    pub platforms: Vec<Platform>,
    /// What is said of the image beside it.
    pub attest: AttestOptions,
    /// `--platform` was given, so the image says it even where its base says another.
    pub explicit_platform: bool,
    pub no_cache: NoCache,
    /// `--pull`: the registries of base images must answer, whatever is known of their tags.
    pub pull: bool,
    /// Asked in order, after the local store.
    pub cache_from: Vec<CachePlace>,
    pub cache_to: Vec<CacheTarget>,
    /// Which cache mounts go there, and come from there.
    pub cache_mounts: CacheMountOptions,
    pub outputs: Vec<Output>,
    /// By id.
    pub secrets: BTreeMap<String, Secret>,
    /// By id.
    pub ssh: BTreeMap<String, SshSource>,
    /// What `git` gets of the environment: `PATH`, proxies, where certificates are.
    pub git_environment: Vec<(OsString, OsString)>,
    pub run: RunOptions,
    pub registry: RegistryOptions,
    /// Seconds since 1970 (L-056).
    pub source_date_epoch: Option<i64>,
    /// Seconds since 1970: the clock, read once.
    pub now: i64,
    /// The local store: blobs, unpacked layers, records, cache mounts.
    pub store: PathBuf,
    /// The machine ends with the build: the layers that a RUN stands on may be unpacked in memory,
    /// where there is enough of it, and not in the store.
    pub unpack_in_memory: bool,
    /// Threads for compression and hashing.
    pub threads: usize,
    /// Say what the image weighs, file by file.
    pub weigh: bool,
    pub size_baseline: SizeBaseline,
}

impl BuildRequest {
    /// What files say is wanted: for the weight, or for a list of packages.
    #[must_use]
    pub fn reads_contents(&self) -> bool {
        self.weigh || self.attest.sbom.is_some()
    }

    /// There is an image for each.
    #[must_use]
    pub fn has_several_platforms(&self) -> bool {
        self.platforms.len() > 1
    }

    /// Whether there is an index in any output.
    #[must_use]
    pub fn has_index(&self) -> bool {
        let of_output = || self.outputs.iter().any(|output| self.is_indexed(output));
        self.has_several_platforms() || of_output()
    }

    /// Whether what the names stand for in `output` is an index, not an image.
    #[must_use]
    pub fn is_indexed(&self, output: &Output) -> bool {
        self.has_several_platforms() || self.is_attested(output)
    }

    /// Whether `output` has attestations in its index.
    #[must_use]
    pub fn is_attested(&self, output: &Output) -> bool {
        match output.kind {
            OutputKind::Registry { .. } => !self.attest.is_empty(),
            OutputKind::Oci { .. } => self.attest.has_files(),
            // What `docker load` reads has no room for them.
            OutputKind::Docker { .. } | OutputKind::Local { .. } | OutputKind::Tar { .. } => false,
        }
    }

    /// The annotations of what `level` is, of one platform or of none.
    #[must_use]
    pub fn annotations(
        &self,
        level: AnnotationLevel,
        platform: Option<&Platform>,
    ) -> BTreeMap<String, String> {
        let of = |wanted: Option<&Platform>| {
            let all = self.annotations.iter().filter(move |annotation| {
                annotation.level == level && annotation.platform.as_ref() == wanted
            });
            let pairs = all.map(|annotation| (annotation.name.clone(), annotation.value.clone()));
            pairs.collect::<Vec<_>>()
        };
        // What is said of a platform comes before what is said of all.
        of(None).into_iter().chain(platform.map_or_else(Vec::new, |p| of(Some(p)))).collect()
    }
}

/// `--annotation`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    pub level: AnnotationLevel,
    /// Of this one alone; never of an index.
    pub platform: Option<Platform>,
    pub name: String,
    pub value: String,
}

/// What an annotation is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnotationLevel {
    Manifest,
    /// What the index says of a manifest, or a layout where there is no other index.
    ManifestDescriptor,
    Index,
    /// What a layout says of the index.
    IndexDescriptor,
}

impl AnnotationLevel {
    /// An image that is no index has no place for it.
    #[must_use]
    pub fn is_of_index(self) -> bool {
        matches!(self, Self::Index | Self::IndexDescriptor)
    }
}

/// What the weight of the image is compared with (`--size-baseline`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SizeBaseline {
    None,
    Image(ImageReference),
    /// What an earlier build weighed, which is looked for; this one's is kept for later ones.
    Lineage(Lineage),
}

impl SizeBaseline {
    #[must_use]
    pub fn lineage(&self) -> Option<&Lineage> {
        match self {
            Self::Lineage(lineage) => Some(lineage),
            Self::None | Self::Image(_) => None,
        }
    }
}

/// Where a build stands among those of its project. What is not known is left out: whatever is done
/// with it does without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// What the logbook is of: a branch, or `pull/7`. Pull requests name their branches as they like,
    /// and that must not pass for another's.
    pub branch: Option<String>,
    /// That is built, whole: of a tree with changes there is none.
    pub commit: Option<String>,
    /// The branch that this build is compared with; maybe the same.
    pub base_branch: Option<String>,
    /// The commit of it that this build begins from.
    pub base_commit: Option<String>,
}

/// The text of the Dockerfile, read once, with the name that errors show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerfileSource {
    /// As the user would type it.
    pub name: String,
    pub bytes: Vec<u8>,
    /// The ignore file that applies to the main context: its name and bytes (L-190).
    pub ignore: Option<(String, Vec<u8>)>,
}

/// `--build-context NAME=…` (L-082).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    Directory(PathBuf),
    /// `docker-image://REF`, normalized.
    Image(String),
    /// `oci-layout://PATH[:TAG][@DIGEST]`
    Layout {
        path: PathBuf,
        tag: Option<String>,
        digest: Option<String>,
    },
    Remote(RemoteContext),
}

/// Where COPY and ADD read from (L-083).
#[derive(Clone, Debug)]
pub enum MainContext {
    Directory(PathBuf),
    /// From another machine, or standard input; brought here before the build.
    Fetched(Fetched),
    /// The Dockerfile came alone.
    Empty,
}

/// A context on another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteContext {
    Git(GitUrl),
    /// A file of the web: as the main context an archive or a Dockerfile, else just a file.
    Http(String),
}

impl RemoteContext {
    /// As a log may show it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Git(url) => url.shown(),
            Self::Http(url) => url::shown(url),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NoCache {
    #[default]
    Never,
    All,
    /// Lower-cased names of stages (K-09).
    Stages(Vec<String>),
}

/// `--cache-from`: where entries are kept from one build to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachePlace {
    /// `type=local`: a folder.
    Local(PathBuf),
    /// `type=registry`: a repository; a normalized reference, whose tag begins those of the entries.
    Registry(String),
    /// `type=gha`: the cache service of GitHub Actions. Builds of one `scope` find each other's index.
    Github { settings: GithubSettings, scope: Option<String> },
}

/// `--cache-to`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheTarget {
    pub place: CachePlace,
    /// `mode=min`: nothing of the stages that are left behind.
    pub only_result: bool,
}

/// `--cache-mounts`, `--cache-mount-budget`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheMountOptions {
    pub kept: KeptMounts,
    /// Of one; bytes of its files.
    pub each: u64,
    /// Of all together; bytes of their files.
    pub all: u64,
}

impl Default for CacheMountOptions {
    fn default() -> Self {
        Self { kept: KeptMounts::default(), each: 1 << 30, all: 4 << 30 }
    }
}

/// Cache mounts that outlive the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeptMounts {
    None,
    #[default]
    All,
    /// Those with these ids.
    Ids(Vec<String>),
}

impl KeptMounts {
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Ids(ids) => ids.iter().any(|kept| kept == id),
        }
    }
}

/// `-o` (several at once).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub kind: OutputKind,
    pub compression: Compression,
    /// Make base layers anew in this compression too.
    pub force_compression: bool,
    /// Clamp the times inside new layers to SOURCE_DATE_EPOCH too.
    pub rewrite_timestamp: bool,
    /// OCI or Docker media types.
    pub oci_media_types: bool,
    /// Push without tags, for whoever makes an index of several images.
    pub by_digest: bool,
    /// A folder for each platform; unless said, where there are several.
    pub platform_split: Option<bool>,
}

impl Output {
    /// The defaults: gzip, OCI media types except for what `docker load` reads.
    #[must_use]
    pub fn new(kind: OutputKind) -> Self {
        Self {
            oci_media_types: !matches!(kind, OutputKind::Docker { .. }),
            kind,
            compression: Compression::default(),
            force_compression: false,
            rewrite_timestamp: false,
            by_digest: false,
            platform_split: None,
        }
    }
}

impl OutputKind {
    /// Where it is written, unless that is a registry.
    #[must_use]
    pub fn destination(&self) -> Option<Destination> {
        match self {
            Self::Registry { .. } => None,
            Self::Oci { destination, .. }
            | Self::Docker { destination, .. }
            | Self::Tar { destination } => Some(destination.clone()),
            Self::Local { directory } => Some(Destination::Directory(directory.clone())),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// `type=registry`, or `type=image,push=true`.
    Registry { names: Vec<String> },
    /// `type=oci`
    Oci { destination: Destination, names: Vec<String> },
    /// `type=docker`: what `docker load` reads.
    Docker { destination: Destination, names: Vec<String> },
    /// `type=local`: the files, into a directory.
    Local { directory: PathBuf },
    /// `type=tar`: the files, as one tar.
    Tar { destination: Destination },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `tar=false`
    Directory(PathBuf),
    File(PathBuf),
    /// `dest=-`
    Stdout,
}

/// `compression=` and `compression-level=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    /// 0 to 9; 6 unless said.
    Gzip(u8),
    /// 1 to 22; 3 unless said.
    Zstd(u8),
}

impl Default for Compression {
    fn default() -> Self {
        Self::Gzip(6)
    }
}

/// Bytes that no log, layer, key or argument vector may hold. Its debug form hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// `--ssh id=…`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SshSource {
    /// The socket of an agent.
    Agent(PathBuf),
    /// Files with private keys, for an agent of our own.
    Keys(Vec<PathBuf>),
}

/// What every RUN of the build gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// `--network`
    pub network: Network,
    /// `--allow`
    pub entitlements: Entitlements,
    /// `--add-host NAME:ADDRESS`
    pub add_hosts: Vec<(String, IpAddr)>,
    pub dns: Vec<IpAddr>,
    /// Bytes; 64 MiB unless said.
    pub shm_size: Option<u64>,
    /// How many RUNs of several stages may go on at once; all that can unless said.
    pub at_once: Option<usize>,
    /// What the control group of a RUN is made below.
    pub cgroup_parent: Option<String>,
    pub ulimits: Vec<Ulimit>,
}

/// The network of a RUN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    #[default]
    Default,
    None,
    Host,
}

/// What a RUN is kept from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    #[default]
    Sandbox,
    Insecure,
}

/// What the user lets the RUNs of a Dockerfile have besides the sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entitlements {
    /// `RUN --network=host` (L-113).
    pub network_host: bool,
    /// `RUN --security=insecure` (L-114).
    pub security_insecure: bool,
}

/// `--ulimit NAME=SOFT[:HARD]`; -1 is unlimited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// `nofile`, `nproc` …, as in Docker.
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryOptions {
    /// `--registry-mirror HOST=URL`, tried in order before the host itself.
    pub mirrors: Vec<(String, String)>,
    /// `--insecure-registry HOST[:PORT]`: plain HTTP, or TLS without verification.
    pub insecure: Vec<String>,
    /// `--ca-cert FILE`: PEM.
    pub ca_certificates: Vec<Vec<u8>>,
    /// By host, or by host and the first parts of a repository's name; from Docker's configuration
    /// file and from flags.
    pub credentials: BTreeMap<String, Credential>,
    /// Likewise, for what pushes and nothing else; they come before those.
    pub push_credentials: BTreeMap<String, Credential>,
    /// By host: the name of a helper program, `docker-credential-NAME`.
    pub credential_helpers: BTreeMap<String, String>,
    /// The helper for every other host.
    pub credential_store: Option<String>,
    /// How often a request is tried, unless as often as usual.
    pub attempts: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    Basic {
        user: String,
        password: Secret,
    },
    /// An OAuth2 refresh token.
    IdentityToken(Secret),
    /// A bearer token for the registry itself.
    RegistryToken(Secret),
}
