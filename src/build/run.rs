//! RUN: a root file system out of layers, one command in it, and what it changed as a layer.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::copy;
use super::files::Files;
use super::inputs::Selection;
use super::layers::{self, StageLayer};
use super::mounts::Wanted;
use super::progress::Running;
use super::stage::Work;
use crate::cache::{CacheMount, MountLease};
use crate::error::Error;
use crate::layer::{self, Stubs};
use crate::plan::{CopyFrom, Input, Mount, MountKind, RunOp};
use crate::platform::Platform;
use crate::sandbox::{self, RunError, RunMount, RunMountKind, RunSpec, UserIds};
use crate::tree::{CopyOptions, User, What, clean_path};
use crate::ui::{Masker, Stream};

/// Where an SSH agent's socket is told.
const SSH_AUTH_SOCK: &str = "SSH_AUTH_SOCK";

/// Runs the command of `op` on top of `files`.
pub(super) fn run(
    work: &Work<'_, '_>,
    op: &RunOp,
    platform: &Platform,
    files: &Files,
    running: &Running<'_>,
) -> Result<StageLayer, Error> {
    let session = work.session;
    let sandbox = work.sandbox.ok_or_else(|| Error::build("no sandbox was made for this RUN"))?;
    let lowers = lower_directories(work, files)?;
    let dirs = session.step_directories()?;
    let mut user = copy::user(work, files, &op.user).map_err(|e| failed(op, &e.message))?;
    // As runc has it: the user's own group is among the supplementary ones.
    if !user.groups.contains(&user.gid) {
        user.groups.push(user.gid);
    }
    let mut mounts = Mounts::default();
    for mount in &op.mounts {
        mounts.add(work, mount, platform)?;
    }
    let secrets: Vec<&[u8]> = session.request.secrets.values().map(|s| s.0.as_slice()).collect();
    let spec = RunSpec {
        lowers,
        upper: dirs.upper.clone(),
        work: dirs.work.clone(),
        scratch: dirs.scratch.clone(),
        argv: op.argv.clone(),
        env: environment(op, &user, mounts.env),
        cwd: op.cwd.clone(),
        user: UserIds { uid: user.uid, gid: user.gid, groups: user.groups },
        hostname: op.hostname.clone(),
        hosts: session.request.run.add_hosts.clone(),
        dns: session.request.run.dns.clone(),
        network: op.network,
        security: op.security,
        shm_size: session.request.run.shm_size,
        ulimits: session.request.run.ulimits.clone(),
        mounts: mounts.list,
        scripts: op.scripts.clone(),
        cgroup: session.cgroup(),
    };
    let mut masker = Masker::new(secrets.iter().copied());
    let mut last = Stream::Stdout;
    let turn = session.turns.take(session.cancel)?;
    let exit = sandbox::run(sandbox, &spec, session.cancel, &mut |stream, bytes| {
        last = stream.into();
        running.output(last, masker.push(bytes));
    });
    drop(turn);
    running.output(last, masker.finish());
    drop(mounts.leases);
    if let Some(why) = spec.cgroup.as_ref().and_then(|cgroup| cgroup.refused()) {
        session.no_cgroup(&why);
    }
    // What can't be removed now goes with the build.
    let _ = dirs.remove_scratch();
    session.check_canceled()?;
    let exit = exit.map_err(|error| match error {
        RunError::Exec { message, .. } => failed(op, &message),
        error => Error::build(error),
    })?;
    if !exit.success() {
        let memory = if exit.out_of_memory { " (out of memory)" } else { "" };
        return Err(failed(op, &format!("exit code: {}{memory}", exit.code)));
    }
    changes_of(work, files, dirs.upper)
}

/// The directories that overlayfs lays over each other, the lowest first.
fn lower_directories(work: &Work<'_, '_>, files: &Files) -> Result<Vec<PathBuf>, Error> {
    let session = work.session;
    let mut lowers = layers::directories(session, work.images, &files.layers)?;
    let top = session.scratch_directory()?;
    if files.write_top(session, work.images, &top)? {
        lowers.push(top);
    }
    if lowers.is_empty() {
        lowers.push(session.scratch_directory()?);
    }
    Ok(lowers)
}

/// What the command changed, as a layer. The upper directory stays as it is: it is a lower
/// directory of the next step, and the layer's bytes are read from it meanwhile.
fn changes_of(work: &Work<'_, '_>, files: &Files, upper: PathBuf) -> Result<StageLayer, Error> {
    let session = work.session;
    let changes = layer::scan_upper(&upper, &files.tree, &Stubs::new(), &mut |path| {
        let reader = files.reader(session, work.images, std::iter::once(path));
        reader.map_err(std::io::Error::other)?.open(path)
    })?;
    let changes = Arc::new(changes);
    let (listed, directory) = (Arc::clone(&changes), upper.clone());
    let open = move |position: usize| {
        let path = listed.changes.get(position).map(|(path, _)| path);
        let path = path.ok_or(std::io::ErrorKind::NotFound)?;
        layer::open_inside(&directory, path).map(|file: File| Box::new(file) as _)
    };
    Ok(StageLayer::built(changes, Arc::new(open), Some(upper), session.time()))
}

fn environment(
    op: &RunOp,
    user: &User,
    secrets: BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = op.proxy_env.clone();
    env.extend(op.env.iter().cloned());
    env.extend(secrets);
    if !env.iter().any(|(name, _)| name == "HOME") {
        let home = user.home.clone().unwrap_or_else(|| "/".to_owned());
        env.push(("HOME".to_owned(), home));
    }
    env
}

/// The command, and why it came to nothing (L-103).
fn failed(op: &RunOp, reason: &str) -> Error {
    let command = op.argv.join(" ");
    Error::build(format!("process {command:?} did not complete successfully: {reason}"))
}

/// The mounts of one RUN, and what must live as long as they do.
#[derive(Default)]
struct Mounts {
    list: Vec<RunMount>,
    leases: Vec<MountLease>,
    /// Environment that holds a secret's value or an agent's socket.
    env: BTreeMap<String, String>,
    agents: u32,
}

impl Mounts {
    fn add(
        &mut self,
        work: &Work<'_, '_>,
        mount: &Mount,
        platform: &Platform,
    ) -> Result<(), Error> {
        let (session, request) = (work.session, work.session.request);
        match &mount.kind {
            MountKind::Bind { from, source, writable } => {
                let (lowers, subpath) = bind_source(work, from, source)?;
                let writable = *writable;
                self.push(mount, RunMountKind::Tree { lowers, subpath, writable });
            }
            MountKind::Tmpfs { size } => self.push(mount, RunMountKind::Tmpfs { size: *size }),
            MountKind::Cache { id, seed, subpath, sharing, readonly, mode, uid, gid } => {
                // Another seed makes another cache.
                let own = match seed {
                    Some((from, source)) => &format!("{id} of {}", seed_key(work, from, source)?),
                    None => id,
                };
                let (sharing, mode, uid, gid) = (*sharing, *mode, *uid, *gid);
                let folder = CacheMount { id: own, sharing, mode, uid, gid };
                let wanted = Wanted { id, folder, platform, readonly: *readonly };
                let lease = session.mounts.lease(session, wanted, |directory| match seed {
                    Some((from, source)) => fill(work, from, source, directory),
                    None => Ok(()),
                })?;
                let directory = lease.path.clone();
                let (subpath, readonly) = (subpath.clone(), *readonly);
                self.push(mount, RunMountKind::Cache { directory, subpath, readonly });
                self.leases.push(lease);
            }
            MountKind::Secret { id, env, required, mode, uid, gid } => {
                let Some(secret) = request.secrets.get(id) else {
                    return missing(*required, format!("secret {id}: not found"))
                        .map_err(|e| e.hinted(format!("Add `--secret id={id},src=FILE`.")));
                };
                if let Some(name) = env {
                    let value = String::from_utf8(secret.0.clone()).map_err(|_| {
                        Error::build(format!("secret {id}: the value for ${name} is not UTF-8"))
                    })?;
                    self.env.insert(name.clone(), value);
                }
                let (content, mode, uid, gid) = (secret.clone(), *mode, *uid, *gid);
                self.push(mount, RunMountKind::Secret { content, mode, uid, gid });
            }
            MountKind::Ssh { id, required, mode, uid, gid } => {
                let default = format!("/run/buildkit/ssh_agent.{}", self.agents);
                let target = mount.target.clone().unwrap_or(default);
                self.agents += 1;
                // Even where there will be no socket, as BuildKit has it.
                self.env.entry(SSH_AUTH_SOCK.to_owned()).or_insert_with(|| target.clone());
                let Some(socket) = session.agent(id)? else {
                    let message = format!("no SSH key {id:?} forwarded from the client");
                    return missing(*required, message)
                        .map_err(|e| e.hinted(format!("Add `--ssh {id}`.")));
                };
                let (mode, uid, gid) = (*mode, *uid, *gid);
                let kind = RunMountKind::Ssh { socket, mode, uid, gid };
                self.list.push(RunMount { target, kind });
            }
        }
        Ok(())
    }

    /// A secret that is only wanted as a variable has no target.
    fn push(&mut self, mount: &Mount, kind: RunMountKind) {
        if let Some(target) = &mount.target {
            self.list.push(RunMount { target: target.clone(), kind });
        }
    }
}

/// A secret or agent that was not given is left out, unless it is required.
fn missing(required: bool, message: String) -> Result<(), Error> {
    if required { Err(Error::build(message)) } else { Ok(()) }
}

/// The directories that show what a bind mount reads, and the path in them. Files of a context are
/// brought into a directory of their own first, so that what is ignored is not there and owners
/// are as COPY has them.
fn bind_source(
    work: &Work<'_, '_>,
    from: &CopyFrom,
    source: &str,
) -> Result<(Vec<PathBuf>, String), Error> {
    let files = match from {
        CopyFrom::Context | CopyFrom::Named(_) => {
            let selection = context_selection(from, source);
            let layer = copy::context_layer(work, &selection)?;
            let directory = layers::directory(work.session, work.images, &layer)?;
            return Ok((vec![directory], source.to_owned()));
        }
        CopyFrom::Stage(stage) => work.files_of(*stage)?,
        CopyFrom::Image(image) => Arc::new(Files::of_image(work.session, work.images, *image)?),
        CopyFrom::Empty => return Ok((vec![work.session.scratch_directory()?], "/".to_owned())),
    };
    Ok((lower_directories(work, &files)?, source.to_owned()))
}

/// The files of a context at their own path.
fn context_selection<'a>(from: &'a CopyFrom, source: &str) -> Selection<'a> {
    let path = clean_path(source.as_bytes());
    let destination = if path.is_empty() {
        "/".to_owned()
    } else {
        format!("/{}", String::from_utf8_lossy(&path))
    };
    Selection {
        from,
        what: What::Path(path),
        options: CopyOptions { destination, cwd: "/".to_owned(), ..CopyOptions::default() },
    }
}

/// What a cache mount is seeded with.
fn seed_key(work: &Work<'_, '_>, from: &CopyFrom, source: &str) -> Result<String, Error> {
    let key = match from {
        CopyFrom::Context | CopyFrom::Named(_) => {
            match work.inputs.content(&seed_selection(from, source))? {
                Input::Content(sum) => sum.hex(),
                Input::Definition(key) => key.to_string(),
            }
        }
        CopyFrom::Stage(stage) => work.keys[stage.0].last().to_string(),
        CopyFrom::Image(image) => work.images[image.0].key().to_string(),
        CopyFrom::Empty => String::new(),
    };
    Ok(format!("{source} in {key}"))
}

/// Puts the seed of a new cache mount into it.
fn fill(work: &Work<'_, '_>, from: &CopyFrom, source: &str, directory: &Path) -> Result<(), Error> {
    let selection = seed_selection(from, source);
    let layer = copy::context_layer(work, &selection)?;
    layers::unpack_into(&layer, directory)
}

fn seed_selection<'a>(from: &'a CopyFrom, source: &str) -> Selection<'a> {
    Selection {
        from,
        what: What::Path(clean_path(source.as_bytes())),
        options: CopyOptions {
            destination: "/".to_owned(),
            cwd: "/".to_owned(),
            ..CopyOptions::default()
        },
    }
}

impl From<sandbox::Stream> for Stream {
    fn from(stream: sandbox::Stream) -> Self {
        match stream {
            sandbox::Stream::Stdout => Self::Stdout,
            sandbox::Stream::Stderr => Self::Stderr,
        }
    }
}
