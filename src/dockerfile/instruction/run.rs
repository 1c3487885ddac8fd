//! `RUN` (L-100 to L-115).

use super::super::ast::{Heredoc, Run};
use super::super::error::{Fault, SyntaxErrorKind};
use super::super::flag::{Flags, Takes};
use super::super::mount;
use super::{Head, process};

const FLAGS: [(&str, Takes); 4] = [
    ("mount", Takes::List),
    ("network", Takes::Text),
    ("security", Takes::Text),
    ("device", Takes::List),
];

pub(super) fn parse(head: &Head<'_>, heredocs: Vec<Heredoc>) -> Result<Run, Fault> {
    let flags = Flags::check(head.flags.clone(), &FLAGS)?;
    let mounts = flags.list("mount");
    for value in &mounts {
        mount::check_unexpanded(&value.text).map_err(|error| Fault::at(error, value.span))?;
    }
    let network = flags.text("network");
    if let Some(value) = &network
        && !["default", "none", "host"].contains(&value.text.as_str())
    {
        return Err(Fault::at(SyntaxErrorKind::NetworkMode(value.text.clone()), value.span));
    }
    let security = flags.text("security");
    if let Some(value) = &security
        && !["sandbox", "insecure"].contains(&value.text.as_str())
    {
        return Err(Fault::at(SyntaxErrorKind::SecurityMode(value.text.clone()), value.span));
    }
    let devices = flags.list("device");
    let command = process::form(head)?;
    Ok(Run { mounts, network, security, devices, command, heredocs })
}
