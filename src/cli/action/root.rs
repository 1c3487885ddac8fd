//! Root: steps need it for their mounts, and a hosted runner's user has it by `sudo` without a
//! password. The program starts itself again with it.
//!
//! sudo empties the environment, and its arguments are for all to see. So everything goes through a
//! pipe, the standard input: the variables first, then a byte for each signal, since sudo passes on
//! some signals and not others. Its end says that the first process is dead.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rustix::fs::{AtFlags, CWD, chownat};
use rustix::process::{Gid, Signal, Uid, getegid, geteuid, getpid, kill_process};
use tokio::io::AsyncWriteExt as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::args::ActionArgs;
use crate::cli::environment::Environment;
use crate::error::Error;
use crate::sandbox;
use crate::snapshot::WorkDir;

/// Who started the process that started this one: `UID:GID`.
const OWNER: &str = "PLIMSOLL_OWNER";
const STORE: &str = "PLIMSOLL_STORE";
/// Root's, where nothing else is said: in the user's own cache, root's files would be in the way.
const ROOT_STORE: &str = "/var/cache/plimsoll";
/// The environment of a process can't be larger.
const VARIABLES_LIMIT: u64 = 64 << 20;

/// What came of looking for root.
pub enum Rights {
    /// Steps can run, or nothing more can be had: then why, in words.
    Here { refused: Option<String> },
    /// The other process has done the work.
    Elsewhere(ExitCode),
}

/// Goes on here where steps can run, or where there is no way to root; else starts the program as
/// root and waits for it.
pub fn enter(args: &ActionArgs, environment: &Environment) -> Rights {
    if environment.root || args.elevated || steps_can_run() {
        return Rights::Here { refused: None };
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return Rights::Here { refused: Some(error.to_string()) },
    };
    if let Some(refused) = refusal(&program) {
        return Rights::Here { refused: Some(refused) };
    }
    match relay(&program, args, environment) {
        Ok(code) => Rights::Elsewhere(ExitCode::from(code)),
        Err(error) => Rights::Here { refused: Some(format!("can't run sudo: {error}")) },
    }
}

/// What the user of a runner can do who has no rights for steps.
pub fn hints(refused: &str) -> [String; 2] {
    [
        format!(
            "The steps of a build need root for their mounts, and sudo says: {refused}. On a runner \
             of your own add this line to /etc/sudoers.d/plimsoll: {} ALL=(root) NOPASSWD: ALL",
            user_name()
        ),
        "In a job with `container:` add to it: `options: --user root --privileged`".to_owned(),
    ]
}

fn user_name() -> String {
    let uid = geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}

fn steps_can_run() -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    WorkDir::create(folder.path()).is_ok_and(|work| sandbox::probe(&work).is_ok())
}

/// Why sudo does not start the program; `None` where it does.
fn refusal(program: &Path) -> Option<String> {
    let tried = Command::new("sudo")
        .args(["-n", "--"])
        .arg(program)
        .arg("--version")
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Some(said.lines().next().unwrap_or("nothing").trim().to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Some("there is no sudo".to_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}

/// Runs the program as root until it ends: its exit code.
fn relay(program: &Path, args: &ActionArgs, environment: &Environment) -> io::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut command = tokio::process::Command::new("sudo");
        command.args(["-n", "--"]).arg(program).args(["action", "--handed-over"]);
        if args.post {
            command.arg("--post");
        }
        // A group of its own: a signal to ours must not reach it twice.
        command.env_clear().envs(environment.get("PATH").map(|path| ("PATH", path)));
        let mut child = command.process_group(0).stdin(Stdio::piped()).spawn()?;
        let mut pipe = child.stdin.take();
        if let Some(pipe) = &mut pipe {
            // One that ended already has said why.
            let _ = pipe.write_all(&packed(&variables(environment))).await;
        }
        let status = loop {
            let signal = tokio::select! {
                status = child.wait() => break status?,
                _ = interrupt.recv() => Signal::INT,
                _ = terminate.recv() => Signal::TERM,
            };
            if let Some(pipe) = &mut pipe {
                let number = u8::try_from(signal.as_raw()).unwrap_or_default();
                let _ = pipe.write_all(&[number]).await;
            }
        };
        let code = std::os::unix::process::ExitStatusExt::signal(&status);
        let code = code.map(|signal| 128 + signal).or(status.code()).unwrap_or(1);
        Ok(u8::try_from(code).unwrap_or(1))
    })
}

/// What the process as root gets: everything, who we are, and a store of its own.
fn variables(environment: &Environment) -> Vec<(OsString, OsString)> {
    let mut variables = environment.all();
    let owner = format!("{}:{}", geteuid().as_raw(), getegid().as_raw());
    variables.push((OWNER.into(), owner.into()));
    if environment.path(STORE).is_none() {
        variables.push((STORE.into(), ROOT_STORE.into()));
    }
    variables
}

/// `NAME=VALUE` and a zero byte for each, behind the length of it all.
fn packed(variables: &[(OsString, OsString)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in variables {
        for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
            block.extend_from_slice(part);
        }
    }
    let mut bytes = (block.len() as u64).to_be_bytes().to_vec();
    bytes.extend(block);
    bytes
}

fn unpacked(mut from: impl Read) -> io::Result<Vec<(OsString, OsString)>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_be_bytes(length);
    if length > VARIABLES_LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut block = vec![0; usize::try_from(length).unwrap_or_default()];
    from.read_exact(&mut block)?;
    let pairs = block.split(|&byte| byte == 0).filter_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((text(&pair[..at]), text(&pair[at + 1..])))
    });
    Ok(pairs.collect())
}

/// As root: becomes the same program with the variables that come through the pipe. Returns only if
/// that fails.
pub fn take_over(post: bool) -> Error {
    let become_it = || -> io::Result<Error> {
        // Byte by byte: what follows is for the next program.
        let variables = unpacked(Unbuffered)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["action", "--elevated"]).env_clear().envs(variables);
        if post {
            command.arg("--post");
        }
        Err(command.exec())
    };
    let error = match become_it() {
        Ok(error) => return error,
        Err(error) => error,
    };
    Error::build(format!("can't take over the environment: {error}"))
}

/// Standard input without a buffer, so that nothing is read that the next program needs.
struct Unbuffered;

impl Read for Unbuffered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(rustix::stdio::stdin(), buffer)?)
    }
}

/// Sends this process the signals that come through the pipe, and one when it ends.
pub fn obey_pipe() -> io::Result<()> {
    let listen = || {
        loop {
            let mut byte = [0];
            let heard = Unbuffered.read(&mut byte).unwrap_or(0);
            let is_interrupt = heard == 1 && i32::from(byte[0]) == Signal::INT.as_raw();
            let signal = if is_interrupt { Signal::INT } else { Signal::TERM };
            let _ = kill_process(getpid(), signal);
            if heard == 0 {
                return;
            }
        }
    };
    std::thread::Builder::new().name("pipe".to_owned()).spawn(listen).map(drop)
}

/// Makes files of the workspace and of the runner's temporary folder those of the user again who
/// started us. Whatever else root has written stays root's.
pub fn give_back<'p>(environment: &Environment, paths: impl IntoIterator<Item = &'p Path>) {
    let owner = environment.get(OWNER).and_then(OsStr::to_str);
    let Some((uid, gid)) = owner.and_then(|owner| owner.split_once(':')) else { return };
    let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else { return };
    let owner = (Uid::from_raw(uid), Gid::from_raw(gid));
    let users: Vec<PathBuf> = ["GITHUB_WORKSPACE", "RUNNER_TEMP"]
        .into_iter()
        .filter_map(|name| environment.path(name)?.canonicalize().ok())
        .collect();
    for path in paths.into_iter().filter_map(|path| path.canonicalize().ok()) {
        if users.iter().any(|folder| path.starts_with(folder)) {
            // A file that is gone meanwhile needs no owner.
            let _ = give(&path, owner);
        }
    }
}

fn give(path: &Path, owner: (Uid, Gid)) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() {
        for entry in path.read_dir()? {
            give(&entry?.path(), owner)?;
        }
    }
    chownat(CWD, path, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_through_the_pipe_as_they_are() {
        let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let variables = vec![
            (text(b"INPUT_SECRETS"), text(b"a=1\nb=\"x=y\"")),
            (text(b"ODD"), text(b"\xff\xfe")),
            (text(b"EMPTY"), text(b"")),
        ];
        let mut bytes = packed(&variables);
        bytes.push(15);
        let mut rest = &bytes[..];
        assert_eq!(unpacked(&mut rest).unwrap(), variables);
        assert_eq!(rest, [15], "a signal stays in the pipe");
        assert!(unpacked(&bytes[..bytes.len() - 2]).is_err());
        assert!(unpacked(&[0xff; 16][..]).is_err());
    }
}
