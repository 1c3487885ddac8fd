//! `--ulimit`: Docker's names for the kernel's limits.

use rustix::process::{Resource, Rlimit, setrlimit};

use super::error::RunError;
use crate::request::Ulimit;

const NAMES: &[(&str, Resource)] = &[
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// Fails for a name that is none.
pub(super) fn check(ulimits: &[Ulimit]) -> Result<(), RunError> {
    let unknown = ulimits.iter().find(|ulimit| resource(&ulimit.name).is_none());
    unknown.map_or(Ok(()), |ulimit| Err(RunError::UnknownUlimit(ulimit.name.clone())))
}

/// Sets one limit of this process and of what it executes; -1 is unlimited.
pub(super) fn set(name: &str, soft: i64, hard: i64) -> rustix::io::Result<()> {
    let resource = resource(name).ok_or(rustix::io::Errno::INVAL)?;
    let limit = |value| u64::try_from(value).ok();
    setrlimit(resource, Rlimit { current: limit(soft), maximum: limit(hard) })
}

fn resource(name: &str) -> Option<Resource> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, resource)| *resource)
}
