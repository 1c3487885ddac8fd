//! `plimsoll check`: what `docker build --check` does.

use std::process::ExitCode;

use super::args::{BuildArgs, CheckFormat};
use super::environment::Environment;
use super::{Prepared, print};
use crate::ui::findings;

/// 0 where nothing was found, `found` where something was, 1 where something kept the checks from
/// being made.
pub(super) fn run(
    args: &BuildArgs,
    format: CheckFormat,
    found: u8,
    environment: &Environment,
) -> ExitCode {
    let prepared = match Prepared::new(args, environment) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let Prepared { ui, request, signals } = &prepared;
    let checked = crate::build::check(request, &signals.cancel, &|event| ui.event(&event));
    let dockerfile = (request.dockerfile.name.as_str(), request.dockerfile.bytes.as_slice());
    print(&match format {
        CheckFormat::Text => findings::text(&checked, dockerfile),
        CheckFormat::Json => format!("{:#}\n", findings::json(&checked, dockerfile)),
        CheckFormat::Github => findings::github(&checked, dockerfile.0),
    });
    match checked.error {
        Some(error) => prepared.fail(&error),
        None if checked.findings.is_empty() => ExitCode::SUCCESS,
        None => ExitCode::from(found),
    }
}
