//! `--call`: what else a Dockerfile can be asked, as buildx has it.

use std::process::ExitCode;

use super::args::{BuildArgs, CheckFormat};
use super::environment::Environment;
use super::flag::{FlagError, boolean, unknown_key};
use super::{Prepared, build, check, csv, fail, print};
use crate::error::Error;
use crate::request::BuildRequest;
use crate::sandbox::Cancel;
use crate::ui::{Event, Form, Ui, outline};

/// A value of the flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub method: Method,
    pub is_json: bool,
    /// Findings of a check are no failure.
    pub ignores_status: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    Build,
    Check,
    Outline,
    Targets,
}

impl Call {
    /// `METHOD[,format=text|json][,ignorestatus=true]`; nothing is a build.
    pub fn parse(text: &str) -> Result<Self, FlagError> {
        let mut call = Self::default();
        if text.is_empty() {
            return Ok(call);
        }
        let mut is_named = false;
        for field in csv::fields(text)? {
            match field.split_once('=') {
                None if is_named => {
                    return Err(FlagError::new(format!(
                        "expected one method but found {field:?} too"
                    )));
                }
                None => {
                    call.method = method(&field)?;
                    is_named = true;
                }
                Some(("format", "text" | "")) => call.is_json = false,
                Some(("format", "json")) => call.is_json = true,
                Some(("format", other)) => {
                    let error = format!("expected format=text or format=json but found {other:?}");
                    return Err(FlagError::new(error));
                }
                Some(("ignorestatus", value)) => {
                    call.ignores_status = boolean("ignorestatus", value)?;
                }
                Some((key, _)) => return Err(unknown_key(key, &["format", "ignorestatus"])),
            }
        }
        Ok(call)
    }

    /// The exit code of a check that found something.
    pub fn code_of_findings(self) -> u8 {
        u8::from(!self.ignores_status)
    }

    /// What an outline or a list of targets says; nothing for the other methods.
    pub fn answer(
        self,
        request: &BuildRequest,
        cancel: &Cancel,
        events: &(dyn Fn(Event) + Sync),
    ) -> Result<String, Error> {
        let dockerfile = &request.dockerfile.bytes;
        Ok(match (self.method, self.is_json) {
            (Method::Outline, is_json) => {
                let found = crate::build::outline(request, cancel, events)?;
                match is_json {
                    true => outline::outline_json(&found, dockerfile),
                    false => outline::outline_text(&found),
                }
            }
            (Method::Targets, true) => {
                outline::targets_json(&crate::build::targets(request)?, dockerfile)
            }
            (Method::Targets, false) => outline::targets_text(&crate::build::targets(request)?),
            (Method::Build | Method::Check, _) => String::new(),
        })
    }
}

fn method(name: &str) -> Result<Method, FlagError> {
    Ok(match name {
        "build" => Method::Build,
        // The older name.
        "check" | "lint" => Method::Check,
        "outline" => Method::Outline,
        "targets" => Method::Targets,
        other => {
            let error = format!("expected build, check, outline or targets but found {other:?}");
            return Err(FlagError::new(error));
        }
    })
}

/// `plimsoll build`: what was typed says what is done.
pub(super) fn run(args: &BuildArgs, environment: &Environment) -> ExitCode {
    let mut call = match Call::parse(&args.call) {
        Ok(call) => call,
        Err(error) => return fail(&Ui::new(Form::Plain), &error.of("--call", &args.call), None),
    };
    if args.check {
        call.method = Method::Check;
    }
    if call.method == Method::Build {
        return build(args, environment);
    }
    if call.method == Method::Check {
        let format = if call.is_json { CheckFormat::Json } else { CheckFormat::Text };
        return check::run(args, format, call.code_of_findings(), environment);
    }
    let prepared = match Prepared::new(args, environment) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let Prepared { ui, request, signals } = &prepared;
    match call.answer(request, &signals.cancel, &|event| ui.event(&event)) {
        Ok(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(error) => prepared.fail(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_buildx() {
        for (text, method, is_json, ignores_status) in [
            ("", Method::Build, false, false),
            ("build", Method::Build, false, false),
            ("check", Method::Check, false, false),
            ("lint,format=json,ignorestatus=true", Method::Check, true, true),
            ("format=json,outline", Method::Outline, true, false),
            ("targets,format=text", Method::Targets, false, false),
            ("format=json", Method::Build, true, false),
        ] {
            let expected = Call { method, is_json, ignores_status };
            assert_eq!(Call::parse(text), Ok(expected), "{text}");
        }
        for bad in ["outlines", "outline,targets", "outline,format=xml", "check,x=y", "\"a"] {
            assert!(Call::parse(bad).is_err(), "{bad}");
        }
    }
}
