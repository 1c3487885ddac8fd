//! What one step is, as the engine says it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::Cgroup;
use crate::request::{Network, Secret, Security, Ulimit};

/// One command and the world it runs in.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// Directories of the layers, the lowest first. They are read only.
    pub lowers: Vec<PathBuf>,
    /// An empty directory: what the step changes, as an overlay's upper directory.
    pub upper: PathBuf,
    /// An empty directory on the file system of `upper`, for the kernel.
    pub work: PathBuf,
    /// A directory on a disk for what writable bind mounts throw away; made if it is needed.
    pub scratch: PathBuf,
    /// The first word is looked up in the `PATH` of `env`, inside the root.
    pub argv: Vec<String>,
    /// The whole environment, `HOME` and `PATH` included.
    pub env: Vec<(String, String)>,
    /// Absolute; made if it isn't there (L-101).
    pub cwd: String,
    pub user: UserIds,
    pub hostname: String,
    /// `--add-host`: lines of `/etc/hosts` after those for this machine.
    pub hosts: Vec<(String, IpAddr)>,
    /// `--dns`: servers of `/etc/resolv.conf` in place of this machine's.
    pub dns: Vec<IpAddr>,
    pub network: Network,
    pub security: Security,
    /// Of `/dev/shm`, in bytes; 64 MiB unless said.
    pub shm_size: Option<u64>,
    pub ulimits: Vec<Ulimit>,
    /// In the order in which they are mounted.
    pub mounts: Vec<RunMount>,
    /// Executable files below `/dev/pipes`: name, content (L-104).
    pub scripts: Vec<(String, String)>,
    /// That the step's processes are in.
    pub cgroup: Option<Arc<Cgroup>>,
}

/// Whom the command runs as, already looked up in the root's `passwd` and `group`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserIds {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// One mount of the step.
#[derive(Clone, Debug)]
pub struct RunMount {
    /// Absolute, inside the root; symlinks are followed inside the root. Made if it isn't there, and
    /// removed after the step.
    pub target: String,
    pub kind: RunMountKind,
}

#[derive(Clone, Debug)]
pub enum RunMountKind {
    /// `subpath` of a directory of the host, resolved without leaving it; empty for all of it. What
    /// is written to a writable one is thrown away.
    Bind { source: PathBuf, subpath: String, writable: bool },
    /// The same out of a merged root: its layers, the lowest first.
    Tree { lowers: Vec<PathBuf>, subpath: String, writable: bool },
    /// `subpath` of a directory of the host that keeps what is written; as with [`Self::Bind`].
    Cache { directory: PathBuf, subpath: String, readonly: bool },
    /// Bytes; `None` for the system's default.
    Tmpfs { size: Option<u64> },
    /// A file in memory that is never swapped out.
    Secret { content: Secret, mode: u32, uid: u32, gid: u32 },
    /// A socket with this owner, through which the agent behind `socket` of the host is reached.
    Ssh { socket: PathBuf, mode: u32, uid: u32, gid: u32 },
}

/// Where output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 128 and the signal's number after a signal, as shells and Docker have it.
    pub code: i32,
    pub signal: Option<i32>,
    /// It was killed, and the kernel killed something for want of memory meanwhile.
    pub out_of_memory: bool,
}

impl Exit {
    #[must_use]
    pub fn success(self) -> bool {
        self.code == 0
    }
}
