//! Becoming the command.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::path::Path;

use super::orders::{Orders, Report};

/// Where programs are looked for if the environment doesn't say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What shells and Docker give for a command that isn't there, and for one that can't be run.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

/// Replaces this process by the command; comes back only with the reason why not.
pub(super) fn execute(orders: &Orders) -> Report {
    match try_execute(orders) {
        Ok(never) => match never {},
        Err(report) => report,
    }
}

fn try_execute(orders: &Orders) -> Result<Infallible, Report> {
    let program = orders.argv.first().map_or("", String::as_str);
    let refused = |reason: &str, code| Report::NotExecuted {
        message: format!("exec: {program:?}: {reason}"),
        code,
    };
    let strings = |strings: Vec<String>| {
        let strings: Result<Vec<_>, _> = strings.into_iter().map(CString::new).collect();
        strings.map_err(|_| refused("an argument or variable has a NUL byte in it", NOT_EXECUTABLE))
    };
    let argv = strings(orders.argv.clone())?;
    let env = strings(orders.env.iter().map(|(name, value)| format!("{name}={value}")).collect())?;

    if program.contains('/') {
        return Err(match try_path(program, &argv, &env) {
            error if error.kind() == io::ErrorKind::NotFound && Path::new(program).exists() => {
                refused("its interpreter or loader is missing", NOT_FOUND)
            }
            error => refused(&super::error::reason(&error), code(&error)),
        });
    }
    let path = orders.env.iter().rev().find(|(name, _)| name == "PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
    let mut denied = None;
    for directory in path.split(':').filter(|directory| directory.starts_with('/')) {
        let candidate = format!("{directory}/{program}");
        let error = try_path(&candidate, &argv, &env);
        if Path::new(&candidate).is_dir() {
            continue;
        }
        match error.kind() {
            io::ErrorKind::NotFound if Path::new(&candidate).exists() => {
                return Err(refused("its interpreter or loader is missing", NOT_FOUND));
            }
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {}
            io::ErrorKind::PermissionDenied => denied = Some(error),
            _ => return Err(refused(&super::error::reason(&error), code(&error))),
        }
    }
    Err(match denied {
        Some(error) => refused(&super::error::reason(&error), NOT_EXECUTABLE),
        None => refused("executable file not found in $PATH", NOT_FOUND),
    })
}

fn code(error: &io::Error) -> i32 {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    }
}

fn try_path(path: &str, argv: &[CString], env: &[CString]) -> io::Error {
    let Ok(path) = CString::new(path) else { return io::ErrorKind::InvalidInput.into() };
    let pointers = |strings: &[CString]| {
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(std::ptr::null());
        pointers
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end with a null pointer and point to strings that outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}
