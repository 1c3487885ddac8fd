use std::process::ExitCode;

use plimsoll::sandbox::child_main;

fn main() -> ExitCode {
    // Before any thread starts: this process may be the keeper of a RUN.
    if let Some(code) = std::env::args_os().next().and_then(|name| child_main(&name)) {
        return code.into();
    }
    plimsoll::cli::run()
}
