use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any thread starts: this process may be the keeper of a RUN.
    if let Some(code) = plimsoll::sandbox::child_main() {
        return code.into();
    }
    plimsoll::cli::run()
}
