//! What travels over the socket between [`super::run`] and the keeper.
//!
//! Orders go first, as a length (8 bytes, native order) and JSON; reports come back the same way.
//! The socket, not a file, an argument or the environment, because secrets are among the orders.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{Failure, RunError};
use super::spec::{RunMountKind, RunSpec};
use super::{Sandbox, agent, files, rlimit};
use crate::request::{Network, Security};

/// Everything that the child has to know, ready to be done.
#[derive(Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) lowers: Vec<PathBuf>,
    pub(super) upper: PathBuf,
    pub(super) work: PathBuf,
    pub(super) scratch: PathBuf,
    /// Nothing is executed if it is empty: the child ends where it would.
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) cwd: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) hostname: String,
    pub(super) hosts: String,
    pub(super) resolv_conf: String,
    /// A network with nothing but `lo`.
    pub(super) no_network: bool,
    pub(super) insecure: bool,
    pub(super) shm_size: u64,
    /// Name, soft, hard.
    pub(super) ulimits: Vec<(String, i64, i64)>,
    pub(super) mounts: Vec<(String, MountOrder)>,
    pub(super) scripts: Vec<(String, String)>,
    pub(super) layers_one_by_one: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) enum MountOrder {
    Bind { source: PathBuf, subpath: String, writable: bool },
    Tree { lowers: Vec<PathBuf>, subpath: String, writable: bool },
    Cache { directory: PathBuf, subpath: String, readonly: bool },
    Tmpfs { size: Option<u64> },
    Secret { content: Vec<u8>, mode: u32, uid: u32, gid: u32 },
    Ssh { socket: PathBuf },
}

const SHM_SIZE: u64 = 64 << 20;

impl Orders {
    pub(super) fn new(sandbox: &Sandbox, spec: &RunSpec) -> Result<Self, RunError> {
        rlimit::check(&spec.ulimits)?;
        let ulimits = spec.ulimits.iter().map(|limit| (limit.name.clone(), limit.soft, limit.hard));
        let mounts = spec.mounts.iter().enumerate().map(|(number, mount)| {
            let order = MountOrder::new(&mount.kind, agent::socket(&spec.scratch, number));
            (mount.target.clone(), order)
        });
        Ok(Self {
            lowers: spec.lowers.clone(),
            upper: spec.upper.clone(),
            work: spec.work.clone(),
            scratch: spec.scratch.clone(),
            argv: spec.argv.clone(),
            env: spec.env.clone(),
            cwd: spec.cwd.clone(),
            uid: spec.user.uid,
            gid: spec.user.gid,
            groups: spec.user.groups.clone(),
            hostname: spec.hostname.clone(),
            hosts: files::hosts(&spec.hostname, &spec.hosts),
            resolv_conf: files::resolv_conf(
                std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
                &spec.dns,
            ),
            no_network: spec.network == Network::None,
            insecure: spec.security == Security::Insecure,
            shm_size: spec.shm_size.unwrap_or(SHM_SIZE),
            ulimits: ulimits.collect(),
            mounts: mounts.collect(),
            scripts: spec.scripts.clone(),
            layers_one_by_one: sandbox.layers_one_by_one,
        })
    }

    /// A path that isn't UTF-8 can't be written down; which one it is.
    pub(super) fn unwritable_path(&self) -> Option<&Path> {
        let own = [&self.upper, &self.work, &self.scratch];
        let mounted = self.mounts.iter().flat_map(|(_, mount)| match mount {
            MountOrder::Bind { source: path, .. }
            | MountOrder::Cache { directory: path, .. }
            | MountOrder::Ssh { socket: path } => std::slice::from_ref(path),
            MountOrder::Tree { lowers, .. } => lowers,
            MountOrder::Tmpfs { .. } | MountOrder::Secret { .. } => &[],
        });
        let mut paths = own.into_iter().chain(&self.lowers).chain(mounted);
        paths.find(|path| path.to_str().is_none()).map(PathBuf::as_path)
    }
}

impl MountOrder {
    /// `socket` is the one of an agent's mount.
    fn new(kind: &RunMountKind, socket: PathBuf) -> Self {
        match kind.clone() {
            RunMountKind::Bind { source, subpath, writable } => {
                Self::Bind { source, subpath, writable }
            }
            RunMountKind::Tree { lowers, subpath, writable } => {
                Self::Tree { lowers, subpath, writable }
            }
            RunMountKind::Cache { directory, subpath, readonly } => {
                Self::Cache { directory, subpath, readonly }
            }
            RunMountKind::Tmpfs { size } => Self::Tmpfs { size },
            RunMountKind::Secret { content, mode, uid, gid } => {
                Self::Secret { content: content.0, mode, uid, gid }
            }
            RunMountKind::Ssh { .. } => Self::Ssh { socket },
        }
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Report {
    /// Mount points that weren't there before, in the order in which they were made. Comes before
    /// the command starts.
    Stubs(Vec<Stub>),
    Failed(Failure),
    NotExecuted {
        message: String,
        code: i32,
    },
    /// How the command ended; the last report.
    Exited(i32),
    Killed(i32),
}

/// A mount point that was made for the step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stub {
    /// Below the root, without a symlink in it.
    pub(super) path: PathBuf,
    pub(super) directory: bool,
}

pub(super) fn send(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut frame = vec![0; 8];
    serde_json::to_writer(&mut frame, message)?;
    let length = (frame.len() - 8) as u64;
    frame[..8].copy_from_slice(&length.to_ne_bytes());
    to.write_all(&frame)
}

/// `None` at the end of the stream.
pub(super) fn receive<T: DeserializeOwned>(mut from: impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 8];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut message = Vec::new();
    let length = u64::from_ne_bytes(length);
    from.take(length).read_to_end(&mut message)?;
    Ok(Some(serde_json::from_slice(&message)?))
}
