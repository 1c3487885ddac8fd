//! Running one command isolated. All `unsafe` lives here.
//!
//! Three processes take part. [`run`] is called in the main program, which has threads; it starts
//! the program again as the *keeper*, over a socket that carries the orders one way and reports the
//! other, and whose end means "stop". The keeper has one thread, makes the overlay and forks *init*,
//! process 1 of a new pid namespace, which makes the other namespaces, mounts what the step sees,
//! gives up its rights and becomes the command. When the command ends the kernel ends every process
//! it left behind. Every mount lives in init's namespace, so nothing is left even after a SIGKILL.

mod agent;
mod cancel;
mod capabilities;
mod cgroup;
mod dev;
mod error;
mod exec;
mod files;
mod foreign;
mod init;
mod keeper;
mod mounts;
mod orders;
mod overlay;
mod parent;
mod probe;
mod rlimit;
mod root;
mod seccomp;
mod spec;
mod stubs;

use std::ffi::OsStr;
use std::path::PathBuf;

pub use cancel::Cancel;
pub use cgroup::{Cgroup, CgroupParent};
pub use error::{RunError, Unavailable};
pub use foreign::probe_platform;
pub use parent::run;
pub use probe::{probe, probe_with};
pub use spec::{Exit, RunMount, RunMountKind, RunSpec, Stream, UserIds};

/// The name under which the program starts itself as a keeper.
const KEEPER: &str = "plimsoll-step";

/// A machine on which steps can run, as [`probe`] found it.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// What is executed as the keeper: this program, unless a test says otherwise.
    executable: PathBuf,
    /// The kernel takes an overlay's layers one by one (Linux 6.7 or so).
    layers_one_by_one: bool,
}

impl Sandbox {
    /// Mounts overlays the way that older kernels need.
    #[must_use]
    pub fn with_classic_overlay(mut self) -> Self {
        self.layers_one_by_one = false;
        self
    }
}

/// The keeper, if this process was started as one, which its name tells: its exit code. To be called
/// first thing in `main`, while there is one thread.
#[must_use]
pub fn child_main(name: &OsStr) -> Option<u8> {
    (name == OsStr::new(KEEPER)).then(keeper::main)
}
