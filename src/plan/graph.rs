//! What has to be true at the end: stages, their steps, and what each step does.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::path;
use crate::digest::Digest;
use crate::dockerfile::Command;
use crate::dockerfile::outline::Outline;
use crate::error::Location;
use crate::image::ImageConfig;
use crate::platform::Platform;
use crate::request::{Network, Security};
use crate::url::{self, GitUrl};

/// Index into [`Plan::stages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StageId(pub usize);

/// Index into [`Plan::images`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(pub usize);

/// The stages that the target needs, in an order in which each stands after all that it uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub stages: Vec<Stage>,
    /// The last of `stages`.
    pub target: StageId,
    pub images: Vec<ImageRequest>,
    /// The platform of the result.
    pub platform: Platform,
    /// Of those of the result, what the request gave.
    pub labels: BTreeMap<String, String>,
    /// Build arguments that no `ARG` consumed (L-053).
    pub unused_args: Vec<String>,
    /// What the target takes from outside.
    pub outline: Outline,
}

/// An image whose configuration the planner must know, or whose files a step reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageRequest {
    pub source: ImageSource,
    pub platform: Platform,
    /// Where it was first asked for.
    pub lines: Lines,
}

impl ImageRequest {
    /// The request without its place.
    #[must_use]
    pub fn key(&self) -> ImageKey {
        ImageKey { source: self.source.clone(), platform: self.platform.clone() }
    }
}

/// What an image is known by while a plan is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageKey {
    pub source: ImageSource,
    pub platform: Platform,
}

/// Lines of the Dockerfile, counted from one; ordered and hashed by nothing but their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lines {
    pub first: usize,
    pub last: usize,
}

impl From<Lines> for Location {
    fn from(lines: Lines) -> Self {
        Self::lines(lines.first..=lines.last)
    }
}

impl From<RangeInclusive<usize>> for Lines {
    fn from(range: RangeInclusive<usize>) -> Self {
        Self { first: *range.start(), last: *range.end() }
    }
}

impl From<Lines> for RangeInclusive<usize> {
    fn from(lines: Lines) -> Self {
        lines.first..=lines.last
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ImageSource {
    /// A normalized reference, `docker.io/library/alpine:latest` (L-074).
    Registry(String),
    /// A named context that is an image (`oci-layout://`, `docker-image://`), by its name (L-082).
    Context(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Lower-cased name, or `stage-N` as BuildKit shows a stage without one.
    pub name: String,
    /// Position in the Dockerfile, from zero.
    pub index: usize,
    pub lines: Lines,
    pub from: StageFrom,
    /// `[builder 1/4] FROM docker.io/library/golang:1.12`; `None` where the base is not an image
    /// (L-086).
    pub title: Option<String>,
    pub platform: Platform,
    pub steps: Vec<Step>,
    /// At the end of the stage. `history` and `rootfs` hold what the base image has, and `created`
    /// is none; the engine appends what the steps of this stage, and of the stages of the file that
    /// it stands on, produce.
    pub config: ImageConfig,
    /// `--no-cache`, or `--no-cache-filter` with its name (K-09).
    pub no_cache: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageFrom {
    Scratch,
    Image(ImageId),
    Stage(StageId),
    /// The files of a named context that is a directory, by its name.
    Context(String),
}

/// One instruction with everything expanded.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub lines: Lines,
    /// `[builder 2/4] RUN go build`: what the log shows (L-086). Heredoc bodies are not in it.
    pub title: String,
    pub op: Op,
    /// `created_by` of the history entry (1.11); `None` where the instruction leaves none.
    pub created_by: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Run(RunOp),
    Copy(CopyOp),
    Workdir(WorkdirOp),
    /// Changes the configuration only; its history entry has no layer. `WORKDIR /` is one.
    Config,
}

/// `RUN` (L-100 to L-116).
#[derive(Clone, Debug, PartialEq)]
pub struct RunOp {
    /// As written, for the error text.
    pub command: Command,
    /// The shell of the shell form included; the first word is looked up in `PATH` inside the root.
    pub argv: Vec<String>,
    /// `NAME`, value; `ENV` and `ARG` in effect, in order of declaration, without proxy arguments.
    pub env: Vec<(String, String)>,
    /// Proxy arguments (L-055): in the environment, not in the key.
    pub proxy_env: Vec<(String, String)>,
    pub cwd: String,
    /// As `USER` has it; empty for root.
    pub user: String,
    pub hostname: String,
    /// The names of `--add-host`, which are in the key; the addresses are not.
    pub hosts: Vec<String>,
    pub network: Network,
    pub security: Security,
    pub mounts: Vec<Mount>,
    /// Scripts of `RUN <<EOF` whose body starts with `#!`: name below `/dev/pipes`, content (L-104).
    pub scripts: Vec<(String, String)>,
}

/// `RUN --mount` (L-106 to L-112), expanded and validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    /// Absolute and clean. For a secret with only `env`, `None`.
    pub target: Option<String>,
    pub kind: MountKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MountKind {
    Bind {
        from: CopyFrom,
        source: String,
        writable: bool,
    },
    Cache {
        /// The namespace of `BUILDKIT_CACHE_MOUNT_NS` included.
        id: String,
        /// What an empty cache starts with. A cache with a seed is another one than that without.
        seed: Option<(CopyFrom, String)>,
        /// What of the cache is shown; empty for all. `source` means this where there is no seed.
        subpath: String,
        sharing: Sharing,
        readonly: bool,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// Bytes; `None` for the system's default.
    Tmpfs {
        size: Option<u64>,
    },
    Secret {
        id: String,
        env: Option<String>,
        required: bool,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// `env` is `SSH_AUTH_SOCK` of the first.
    Ssh {
        id: String,
        required: bool,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    #[default]
    Shared,
    Private,
    Locked,
}

/// Where COPY, ADD and a bind mount read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CopyFrom {
    /// The main context.
    Context,
    /// A named context that is a directory.
    Named(String),
    Stage(StageId),
    Image(ImageId),
    /// Nothing: heredocs, URLs and repositories only.
    Empty,
}

/// `COPY` and `ADD` (L-130 to L-149).
#[derive(Clone, Debug, PartialEq)]
pub struct CopyOp {
    pub from: CopyFrom,
    /// In the order written.
    pub sources: Vec<CopySource>,
    /// Files written in place, after the others (L-149).
    pub inline: Vec<InlineFile>,
    /// As written after expansion; relative to `cwd`.
    pub destination: String,
    pub cwd: String,
    /// As written after expansion: `user[:group]`.
    pub chown: Option<String>,
    pub chmod: Option<String>,
    pub link: bool,
    pub parents: bool,
    pub exclude: Vec<String>,
    /// `ADD`: archives are unpacked, unless `--unpack` says otherwise (L-144).
    pub unpack: Unpack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpack {
    /// `COPY`.
    Never,
    /// `ADD`: local archives, but not downloads.
    Local,
    /// `ADD --unpack`: downloads too.
    Always,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CopySource {
    /// A path or pattern of `from`, as written after expansion.
    Path(String),
    /// `ADD https://…` (L-145).
    Http { url: String, checksum: Option<Digest> },
    /// `ADD https://….git` (L-146).
    Git {
        /// As written after expansion.
        text: String,
        url: GitUrl,
    },
}

impl CopySource {
    /// As written after expansion.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Path(text) | Self::Http { url: text, .. } | Self::Git { text, .. } => text,
        }
    }

    /// What a file that the source names is called: the last part of the path or URL; nothing for
    /// a repository, which is a directory.
    #[must_use]
    pub fn file_name(&self) -> Cow<'_, str> {
        match self {
            Self::Path(path) => Cow::Borrowed(path::base(path)),
            Self::Http { url, .. } => Cow::Owned(url::file_name(url)),
            Self::Git { .. } => Cow::Borrowed(""),
        }
    }
}

/// A heredoc of COPY or ADD, expanded (L-141).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineFile {
    pub name: String,
    pub content: String,
}

/// `WORKDIR` (L-165).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkdirOp {
    /// Absolute and clean.
    pub path: String,
    pub user: String,
}
