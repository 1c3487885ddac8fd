//! `RUN` (section 1.5): the process, what it sees, and what is mounted.

use std::borrow::Cow;

use crate::dockerfile::{Command, Run};

use super::config::{Scope, State};
use super::{CopyFrom, MountKind, Network, PlanErrorKind, RunOp, Security, mounts, title};

/// BuildKit's name of the machine in a RUN (L-102).
const HOSTNAME: &str = "buildkitsandbox";

/// Where the script of `RUN <<EOF` with `#!` is found (L-104).
const SCRIPTS: &str = "/dev/pipes";

/// `sources` has what each mount reads, in the order of the mounts.
pub(super) fn plan(
    run: &Run,
    sources: Vec<CopyFrom>,
    state: &State,
    scope: &Scope<'_>,
) -> Result<RunOp, PlanErrorKind> {
    if !run.devices.is_empty() {
        return Err(PlanErrorKind::Device);
    }
    if matches!(&run.command, Command::Exec(argv) if argv.is_empty()) {
        return Err(PlanErrorKind::NoCommand);
    }
    let entitlements = scope.request.entitlements;
    let network = match run.network.as_ref().map(|word| word.text.as_str()) {
        None | Some("default") => scope.request.network,
        Some("none") => Network::None,
        Some("host") if entitlements.network_host => Network::Host,
        Some("host") => return Err(PlanErrorKind::NotAllowed("network.host")),
        Some(other) => return Err(PlanErrorKind::Network(other.to_owned())),
    };
    let security = match run.security.as_ref().map(|word| word.text.as_str()) {
        None | Some("sandbox") => Security::Sandbox,
        Some("insecure") if entitlements.security_insecure => Security::Insecure,
        Some("insecure") => return Err(PlanErrorKind::NotAllowed("security.insecure")),
        Some(other) => return Err(PlanErrorKind::Security(other.to_owned())),
    };
    let mut agents = 0;
    let mounts = std::iter::zip(&run.mounts, sources)
        .map(|(flag, source)| mounts::plan(&flag.text, source, &mut agents, state, scope))
        .collect::<Result<_, _>>()?;
    let (argv, scripts) = process(run, state);
    let hostname = scope.request.build_args.get("BUILDKIT_SANDBOX_HOSTNAME");
    Ok(RunOp {
        command: run.command.clone(),
        argv,
        env: state.environment.variables().to_vec(),
        proxy_env: scope.proxies.to_vec(),
        cwd: state.directory(),
        user: state.image.config.user.clone(),
        hostname: hostname.map_or(HOSTNAME, String::as_str).to_owned(),
        hosts: scope.request.hosts.to_vec(),
        network,
        security,
        mounts,
        scripts,
    })
}

/// The argument vector, and the scripts that have to be there for it (L-100, L-104).
fn process(run: &Run, state: &State) -> (Vec<String>, Vec<(String, String)>) {
    if let Command::Exec(argv) = &run.command {
        return (argv.clone(), Vec::new());
    }
    let Some(heredoc) = run.script() else {
        // Other heredocs are the shell's to read.
        return (state.in_shell(&run.shell_text().unwrap_or_default()), Vec::new());
    };
    let body = heredoc.text().into_owned();
    if !body.starts_with("#!") {
        return (state.in_shell(&body), Vec::new());
    }
    let file = format!("{SCRIPTS}/{}", heredoc.name);
    (state.in_shell(&file), vec![(heredoc.name.clone(), body)])
}

/// `RUN echo 1`, for a RUN that was written with `$A`.
pub(super) fn title(run: &Run, text: &str, op: &RunOp, state: &State) -> String {
    let mut text = text.to_owned();
    if let Some(heredoc) = run.script() {
        text = format!("{text} ({})", title::summary(&heredoc.content));
    }
    // A variable that comes from a secret is shown as such.
    let mut environment = Cow::Borrowed(&state.environment);
    for mount in &op.mounts {
        if let MountKind::Secret { env: Some(name), .. } = &mount.kind {
            environment.to_mut().set(name, "****");
        }
    }
    title::uppercased(&title::with_variables(&text, &environment))
}
