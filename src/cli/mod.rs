//! One file per subcommand; exactly what was typed.

mod action;
mod add_host;
mod annotation;
mod args;
mod attest;
mod build;
mod build_context;
mod cache;
mod cache_github;
mod cache_mounts;
mod cache_spec;
mod caches;
mod call;
mod check;
mod csv;
mod diff;
mod dive_ci;
mod docker_config;
mod dockerfile;
mod environment;
mod flag;
mod limits;
mod lineage;
mod main_context;
mod output;
mod plan;
mod progress;
mod reading;
mod reference;
mod registry;
mod secret;
mod signal;
mod size;
mod sized;
mod ssh;
mod store;
mod ulimit;
mod weigh;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::build::Built;
use crate::error::Error;
use crate::report;
use crate::request::BuildRequest;
use crate::ui::{Event, Form, Ui};

use args::{Arguments, BuildArgs, Command};
use environment::Environment;
use limits::Limits;
use signal::Signals;
use sized::ReportFile;

/// What GitHub takes for a comment, in characters; bytes are never fewer.
const COMMENT_LIMIT: usize = 65_536;

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
        Command::Build(args) => call::run(&args, &environment),
        Command::Weigh(args) => told(weigh::run(&args, &environment)),
        Command::Diff(args) => told(diff::run(&args, &environment)),
        Command::Check(args) => check::run(&args.build, args.format, 1, &environment),
        Command::Plan(args) => plan::run(&args, &environment),
        Command::Action(args) => action::run(&args, &environment),
        Command::Comment(args) => action::comment(&args, &environment),
        Command::Cache(args) => match cache::run(&args, &environment) {
            Ok(text) => {
                print(&text);
                ExitCode::SUCCESS
            }
            Err(error) => fail(&Ui::new(Form::Plain), &error.of_command(), None),
        },
    }
}

/// What every command on a Dockerfile begins with.
struct Prepared {
    ui: Ui,
    request: BuildRequest,
    signals: Arc<Signals>,
}

impl Prepared {
    /// The exit code where something typed can't be used, which has been told.
    fn new(args: &BuildArgs, environment: &Environment) -> Result<Self, ExitCode> {
        let form = progress::form(args, environment)
            .map_err(|error| fail(&Ui::new(Form::Plain), &error, None))?;
        let ui = Ui::new(form);
        let signals = Signals::watch().map_err(|error| {
            fail(&ui, &Error::build(format!("can't watch for signals: {error}")), None)
        })?;
        let outside = build::Outside {
            confided: build::Confided::default(),
            stdin: &mut std::io::stdin(),
            cancel: &signals.cancel,
            events: &|event| ui.event(&event),
        };
        let request = build::request(args, environment, outside).map_err(|error| {
            let code = fail(&ui, &error, None);
            signals.exit_code().map_or(code, ExitCode::from)
        })?;
        Ok(Self { ui, request, signals })
    }

    /// Tells the error. Its exit code, or that of the signal that was its cause.
    fn fail(&self, error: &Error) -> ExitCode {
        let code = fail(&self.ui, error, Some(&self.request));
        self.signals.exit_code().map_or(code, ExitCode::from)
    }
}

fn build(args: &BuildArgs, environment: &Environment) -> ExitCode {
    let mut prepared = match Prepared::new(args, environment) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let limits = match Limits::read(&args.limits) {
        Ok(limits) => limits,
        Err(error) => return prepared.fail(&error),
    };
    let reports = match ReportFile::all(args) {
        Ok(reports) => reports,
        Err(error) => return prepared.fail(&error),
    };
    prepared.request.weigh |= limits.is_some();
    let Prepared { ui, request, signals } = &prepared;
    if request.outputs.is_empty() {
        let text = "no output was asked for: the image will only be in the local store; \
                    add --push or --output";
        ui.event(&Event::Notice(text.to_owned()));
    }
    let built = crate::build::build(request, &signals.cancel, &|event| ui.event(&event));
    match built.and_then(|built| publish(args, &built, environment).map(|()| built)) {
        Ok(built) => {
            let mut text = report::text(&built);
            if args.explain {
                text.push_str(&format!("\n{}", report::explanation(&built)));
            }
            let sizes = sized::size(request, limits.as_ref(), &built, &|notice| {
                ui.event(&Event::Notice(notice));
            });
            text.push_str(&sizes.text());
            ui.result(&text, &sizes.with_verdicts(report::json(&built)));
            let weights = args.output_weight.as_ref();
            let written = weights.map_or(Ok(()), |path| sizes.write_weights(path));
            match written.and(sizes.write(&reports)).and(sizes.outcome()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => prepared.fail(&error),
            }
        }
        Err(error) => prepared.fail(&error),
    }
}

/// The report comes first, also where a limit is broken: it says why.
fn told(weighed: Result<(String, Result<(), Error>), Error>) -> ExitCode {
    let kept = weighed.and_then(|(text, kept)| {
        print(&text);
        kept
    });
    match kept {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&Ui::new(Form::Plain), &error.of_command(), None),
    }
}

/// What the user asked to be told of the result: the files, and the ID on standard output.
fn publish(args: &BuildArgs, built: &Built, environment: &Environment) -> Result<(), Error> {
    let id = built.id().to_string();
    if let Some(path) = &args.iidfile {
        write_file("--iidfile", path, &id)?;
    }
    if let Some(path) = &args.metadata_file {
        let mut metadata = report::metadata(built);
        let wanted = environment.get("BUILDX_METADATA_WARNINGS").and_then(|value| value.to_str());
        let wanted = wanted.filter(|value| !value.is_empty());
        if !wanted.is_some_and(|value| flag::boolean("", value).unwrap_or(false))
            && let Some(keys) = metadata.as_object_mut()
        {
            keys.remove(report::WARNINGS);
        }
        write_file("--metadata-file", path, format!("{metadata:#}"))?;
    }
    if progress::is_quiet(args) {
        print(&format!("{id}\n"));
    }
    Ok(())
}

fn write_file(flag: &str, path: &Path, content: impl AsRef<[u8]>) -> Result<(), Error> {
    std::fs::write(path, content).map_err(|error| {
        // Half of it is worse than none. A device or a pipe stays.
        if path.is_file() {
            let _ = std::fs::remove_file(path);
        }
        Error::build(format!("{flag}: can't write {}: {error}", path.display()))
    })
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
