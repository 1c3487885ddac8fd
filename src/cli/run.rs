//! From the argument vector to the exit code.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{
    Arguments, BuildArgs, CacheCommand, Command, ProgressMode, PruneArgs, StoreArgs,
};
use super::environment::Environment;
use super::{build, size, store};
use crate::build::{BuildResult, build as run_build};
use crate::cache::{PruneFilter, Store};
use crate::error::Error;
use crate::report;
use crate::sandbox::Cancel;
use crate::ui::{self, Plain};

/// The program. Exit codes: 0 built, 1 failed, 2 usage.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let environment = Environment::of_process();
    let result = match &arguments.command {
        Command::Build(args) => return build_command(args, &environment),
        Command::Cache(args) => match &args.command {
            CacheCommand::Ls(args) => list(args, &environment),
            CacheCommand::Prune(args) => prune(args, &environment),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, None),
    }
}

fn fail(error: &Error, dockerfile: Option<(&str, &[u8])>) -> ExitCode {
    let _ = io::stderr().write_all(ui::failure(error, dockerfile).as_bytes());
    ExitCode::from(error.kind.exit_code())
}

fn build_command(args: &BuildArgs, environment: &Environment) -> ExitCode {
    let request = match build::request(args, environment, &mut io::stdin().lock()) {
        Ok(request) => request,
        Err(error) => return fail(&error, None),
    };
    let quiet = args.quiet || args.progress == ProgressMode::Quiet;
    let plain = Plain::default();
    let events = |event| {
        if !quiet {
            plain.show(event);
        }
    };
    let built = cancel_on_signals().and_then(|cancel| run_build(&request, &cancel, &events));
    let shown = built.and_then(|result| show(args, &result, quiet));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let source = &request.dockerfile;
            fail(&error, Some((&source.name, &source.bytes)))
        }
    }
}

fn show(args: &BuildArgs, result: &BuildResult, quiet: bool) -> Result<(), Error> {
    let id = result.image.config.to_string();
    if let Some(path) = &args.iidfile {
        write(path, id.as_bytes())?;
    }
    if let Some(path) = &args.metadata_file {
        let text = serde_json::to_string_pretty(&report::metadata(result)).map_err(Error::build)?;
        write(path, text.as_bytes())?;
    }
    if quiet {
        return writeln!(io::stdout(), "{id}").map_err(Error::build);
    }
    if result.written.is_empty() {
        let _ = writeln!(
            io::stderr(),
            "note: the image is in the local store only; say where to write it with --output or --push"
        );
    }
    let _ = write!(io::stderr(), "\n{}", report::text(result));
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes)
        .map_err(|e| Error::build(format!("can't write {}: {e}", path.display())))
}

/// The first SIGINT or SIGTERM cancels what runs, the second ends the program.
fn cancel_on_signals() -> Result<Cancel, Error> {
    let cancel = Cancel::new().map_err(Error::build)?;
    let switch = cancel.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|e| Error::build(format!("can't listen to signals: {e}")))?;
    thread::spawn(move || {
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            for again in [false, true] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if again {
                    std::process::exit(1);
                }
                switch.cancel();
            }
        });
    });
    Ok(cancel)
}

fn list(args: &StoreArgs, environment: &Environment) -> Result<(), Error> {
    let root = store::directory(args.store.as_ref(), environment)?;
    let items = Store::list(&root)?;
    let mut out = io::stdout().lock();
    let total: u64 = items.iter().map(|item| item.size).sum();
    for item in &items {
        let (kind, size) = (item.kind.name(), report::human(item.size));
        writeln!(out, "{kind:<12} {size:>10}  {}", item.name).map_err(Error::build)?;
    }
    writeln!(out, "{} items, {} on disk", items.len(), report::human(total)).map_err(Error::build)
}

fn prune(args: &PruneArgs, environment: &Environment) -> Result<(), Error> {
    let root = store::directory(args.store.store.as_ref(), environment)?;
    let keep_storage = match &args.keep {
        Some(text) => Some(size::parse(text).map_err(|e| e.of("--max-used-space", text))?),
        None => None,
    };
    let filter = PruneFilter { keep_storage, cache_mounts: args.all, unused_for: None };
    let removed = Store::prune(&root, &filter, std::time::SystemTime::now())?.ok_or_else(|| {
        Error::build(format!("a build is using {}", root.display()))
            .hinted("Try again when it has ended.")
    })?;
    let total: u64 = removed.iter().map(|item| item.size).sum();
    let count = removed.len();
    writeln!(io::stdout(), "removed {count} items, {} on disk", report::human(total))
        .map_err(Error::build)
}
