//! Programs of others that run on Node; `scripts/test` installs them.

use std::path::Path;
use std::process::{Command, Stdio};

/// `node` with a script that lies in `folder` of this repository; `None`, and the reason on the log,
/// where the folder's packages are not installed.
pub fn node(folder: &str, script: &str) -> Option<Command> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let installed = folder.join("node_modules").is_dir()
        && Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !installed {
        eprintln!("SKIPPED: run npm ci --ignore-scripts in {}", folder.display());
        return None;
    }
    let mut command = Command::new("node");
    command.arg(folder.join(script));
    Some(command)
}
