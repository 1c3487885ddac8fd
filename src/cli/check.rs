//! `plimsoll check`: what `docker build --check` does.

use std::process::ExitCode;

use super::args::{CheckArgs, CheckFormat};
use super::environment::Environment;
use super::{build, fail, print, progress, signal::Signals};
use crate::error::Error;
use crate::ui::{Form, Ui, findings};

/// 0 where nothing was found, 1 where something was, or kept the checks from being made.
pub(super) fn run(args: &CheckArgs, environment: &Environment) -> ExitCode {
    let form = match progress::form(&args.build, environment) {
        Ok(form) => form,
        Err(error) => return fail(&Ui::new(Form::Plain), &error, None),
    };
    let ui = Ui::new(form);
    let request = match build::request(&args.build, environment, &mut std::io::stdin()) {
        Ok(request) => request,
        Err(error) => return fail(&ui, &error, None),
    };
    let signals = match Signals::watch() {
        Ok(signals) => signals,
        Err(error) => {
            return fail(&ui, &Error::build(format!("can't watch for signals: {error}")), None);
        }
    };
    let checked = crate::build::check(&request, &signals.cancel, &|event| ui.event(&event));
    let dockerfile = (request.dockerfile.name.as_str(), request.dockerfile.bytes.as_slice());
    print(&match args.format {
        CheckFormat::Text => findings::text(&checked, dockerfile),
        CheckFormat::Json => format!("{:#}\n", findings::json(&checked, dockerfile)),
        CheckFormat::Github => findings::github(&checked, dockerfile.0),
    });
    match checked.error {
        Some(error) => {
            let code = fail(&ui, &error, Some(&request));
            signals.exit_code().map_or(code, ExitCode::from)
        }
        None => ExitCode::from(u8::from(!checked.findings.is_empty())),
    }
}
