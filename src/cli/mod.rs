//! One file per subcommand; exactly what was typed.

mod action;
mod add_host;
mod annotation;
mod args;
mod build;
mod build_context;
mod cache;
mod csv;
mod diff;
mod dive_ci;
mod docker_config;
mod dockerfile;
mod environment;
mod file;
mod flag;
mod output;
mod progress;
mod reading;
mod reference;
mod registry;
mod secret;
mod signal;
mod size;
mod ssh;
mod store;
mod ulimit;
mod weigh;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::build::BuildResult;
use crate::error::Error;
use crate::report;
use crate::request::BuildRequest;
use crate::ui::{Event, Form, Ui};

use args::{Arguments, BuildArgs, Command, WeighArgs};
use environment::Environment;
use signal::Signals;

/// The whole program: what was typed → the exit code (see
/// [`ErrorKind::exit_code`](crate::error::ErrorKind::exit_code)).
#[must_use]
pub fn run() -> ExitCode {
    let arguments = match Arguments::of(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help goes to standard output with code 0, a mistake to standard error with code 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let environment = Environment::of_process();
    match arguments.command {
        Command::Build(args) => build(&args, &environment),
        Command::Weigh(args) => weigh(&args, &environment),
        Command::Diff(args) => match diff::run(&args, &environment) {
            Ok(text) => {
                print(&text);
                ExitCode::SUCCESS
            }
            Err(error) => fail(&Ui::new(Form::Plain), &error, None),
        },
        Command::Cache(args) => match cache::run(&args, &environment) {
            Ok(text) => {
                print(&text);
                ExitCode::SUCCESS
            }
            Err(error) => fail(&Ui::new(Form::Plain), &error, None),
        },
    }
}

fn build(args: &BuildArgs, environment: &Environment) -> ExitCode {
    let form = match progress::form(args, environment) {
        Ok(form) => form,
        Err(error) => return fail(&Ui::new(Form::Plain), &error, None),
    };
    let ui = Ui::new(form);
    let request = match build::request(args, environment, &mut std::io::stdin()) {
        Ok(request) => request,
        Err(error) => return fail(&ui, &error, None),
    };
    if request.outputs.is_empty() {
        let text = "no output was asked for: the image will only be in the local store; \
                    add --push or --output";
        ui.event(&Event::Notice(text.to_owned()));
    }
    let signals = match Signals::watch() {
        Ok(signals) => signals,
        Err(error) => {
            return fail(&ui, &Error::build(format!("can't watch for signals: {error}")), None);
        }
    };
    let built = crate::build::build(&request, &signals.cancel, &|event| ui.event(&event));
    match built.and_then(|result| publish(args, &result).map(|()| result)) {
        Ok(result) => {
            ui.result(&report::text(&result), &report::json(&result));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let code = fail(&ui, &error, Some(&request));
            signals.exit_code().map_or(code, ExitCode::from)
        }
    }
}

/// The report comes first, also where a rule is broken: it says why.
fn weigh(args: &WeighArgs, environment: &Environment) -> ExitCode {
    let weighed = weigh::run(args, environment).and_then(|(text, verdict)| {
        print(&text);
        verdict
    });
    match weighed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&Ui::new(Form::Plain), &error, None),
    }
}

/// What the user asked to be told of the result: the files, and the ID on standard output.
fn publish(args: &BuildArgs, result: &BuildResult) -> Result<(), Error> {
    let id = result.image.config.to_string();
    if let Some(path) = &args.iidfile {
        write_file("--iidfile", path, &id)?;
    }
    if let Some(path) = &args.metadata_file {
        write_file("--metadata-file", path, &format!("{:#}", report::metadata(result)))?;
    }
    if progress::is_quiet(args) {
        print(&format!("{id}\n"));
    }
    Ok(())
}

fn write_file(flag: &str, path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text)
        .map_err(|error| Error::build(format!("{flag}: can't write {}: {error}", path.display())))
}

fn fail(ui: &Ui, error: &Error, request: Option<&BuildRequest>) -> ExitCode {
    let dockerfile = request.map(|request| &request.dockerfile);
    ui.error(error, dockerfile.map(|file| (file.name.as_str(), file.bytes.as_slice())));
    ExitCode::from(error.kind.exit_code())
}

/// A reader of standard output that went away is no failure.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
