//! Whether steps can run here, found out by running one that does nothing.

use std::path::{Path, PathBuf};

use super::error::{Phase, RunError, Unavailable};
use super::orders::Orders;
use super::parent::run_orders;
use super::spec::{RunSpec, UserIds};
use super::{Cancel, Sandbox};
use crate::request::{Network, Security};
use crate::snapshot::{StepDirs, WorkDir};

const OVERLAYFS_MAGIC: u64 = 0x794c_7630;

/// Goes through everything that a step needs, in `work`, where the steps will have their directories.
/// Takes a few milliseconds.
pub fn probe(work: &WorkDir) -> Result<Sandbox, Unavailable> {
    probe_with(PathBuf::from("/proc/self/exe"), work)
}

/// [`probe`] with another executable as the keeper; its `main` must begin with
/// [`super::child_main`].
pub fn probe_with(executable: PathBuf, work: &WorkDir) -> Result<Sandbox, Unavailable> {
    let sandbox = Sandbox { executable, layers_one_by_one: true };
    let error = match attempt(&sandbox, work) {
        Ok(()) => return Ok(sandbox),
        Err(error) => error,
    };
    let older = sandbox.with_classic_overlay();
    if matches!(error, RunError::Setup { phase: Phase::Overlay, .. })
        && attempt(&older, work).is_ok()
    {
        return Ok(older);
    }
    Err(explain(&error, work.path()))
}

fn attempt(sandbox: &Sandbox, work: &WorkDir) -> Result<(), RunError> {
    let step = work.step().map_err(RunError::Start)?;
    let spec = empty_spec(&step);
    let cancel = Cancel::new().map_err(RunError::Start)?;
    let exit = run_orders(sandbox, &Orders::new(sandbox, &spec)?, None, &cancel, &mut |_, _| {});
    step.remove().map_err(RunError::Start)?;
    let exit = exit?;
    if exit.success() { Ok(()) } else { Err(RunError::NoReport) }
}

/// A step that does nothing, in `step`.
pub(super) fn empty_spec(step: &StepDirs) -> RunSpec {
    RunSpec {
        lowers: Vec::new(),
        upper: step.upper.clone(),
        work: step.work.clone(),
        scratch: step.scratch.clone(),
        argv: Vec::new(),
        env: Vec::new(),
        cwd: "/".into(),
        user: UserIds::default(),
        hostname: "probe".into(),
        hosts: Vec::new(),
        dns: Vec::new(),
        network: Network::None,
        security: Security::Sandbox,
        shm_size: None,
        ulimits: Vec::new(),
        mounts: Vec::new(),
        scripts: Vec::new(),
        cgroup: None,
    }
}

fn explain(error: &RunError, work_dir: &Path) -> Unavailable {
    let mut hints = Vec::new();
    let phase = match error {
        RunError::Setup { phase, .. } => Some(*phase),
        _ => None,
    };
    if !rustix::process::geteuid().is_root() {
        hints.push("Run as root: sudo plimsoll build …".to_string());
    } else if phase == Some(Phase::Overlay) && is_overlay(work_dir) {
        hints.push(format!(
            "{} is on an overlay file system, on which there can be no other: put it on a volume or \
             a tmpfs.",
            work_dir.display()
        ));
    } else if phase.is_some() && in_container() {
        hints.push(
            "In a container, give it the rights: docker run --privileged, or --cap-add SYS_ADMIN \
             --security-opt apparmor=unconfined --security-opt seccomp=unconfined. In a GitHub \
             workflow: container: options: --privileged."
                .to_string(),
        );
        hints.push(
            "In Kubernetes: securityContext.privileged: true, or capabilities.add: [SYS_ADMIN] with \
             appArmorProfile and seccompProfile of type Unconfined."
                .to_string(),
        );
    }
    Unavailable { message: error.to_string(), hints }
}

fn is_overlay(directory: &Path) -> bool {
    rustix::fs::statfs(directory).is_ok_and(|stat| stat.f_type as u64 == OVERLAYFS_MAGIC)
}

/// Docker and Podman leave a mark; elsewhere process 1's root file system gives it away.
fn in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists())
        || is_overlay(Path::new("/"))
}
