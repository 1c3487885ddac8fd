//! The action's shim, on the Node that is here: finding, checking and starting the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use plimsoll::digest::Digest;

/// The shim in a folder of its own, as it is on a release commit.
struct Shim {
    folder: tempfile::TempDir,
}

impl Shim {
    /// With this table of checksums.
    fn new(sha256: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("action")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(root.join("action/main.cjs"), folder.path().join("action/main.cjs")).unwrap();
        let release = format!("{{\"version\": \"1.2.3\", \"sha256\": {{{sha256}}}}}");
        fs::write(folder.path().join("action/release.json"), release).unwrap();
        fs::write(folder.path().join("state"), "").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("node");
        command
            .arg(self.path("action/main.cjs"))
            .env("GITHUB_STATE", self.path("state"))
            .env_remove("RUNNER_TOOL_CACHE")
            .env_remove("STATE_started")
            // Nothing listens there: no test leaves this machine.
            .env("GITHUB_SERVER_URL", "http://127.0.0.1:9");
        command
    }

    fn program(&self, name: &str, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

fn platform() -> String {
    let output = Command::new("node").args(["-p", "process.platform+'-'+process.arch"]).output();
    String::from_utf8(output.expect("node is needed").stdout).unwrap().trim().to_owned()
}

fn checksum(path: &Path) -> String {
    let digest = Digest::of(&fs::read(path).unwrap());
    format!("\"{}\": \"{}\"", platform(), digest.hex())
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_named_program_is_started_with_the_runner_s_environment() {
    let shim = Shim::new("");
    let program = shim.program("mine", "echo \"$1|$2|$INPUT_TAGS\"; exit 3");
    let output =
        shim.command().env("INPUT_BINARY", &program).env("INPUT_TAGS", "a:1").output().unwrap();
    assert_eq!(stdout(&output), "action||a:1\n");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(fs::read_to_string(shim.path("state")).unwrap(), "started=true\n");
    let post = shim.command().env("INPUT_BINARY", &program).env("STATE_started", "true").output();
    assert_eq!(stdout(&post.unwrap()), "action|--post|\n");
}

#[test]
fn the_program_of_the_release_commit_must_have_its_checksum() {
    let made = Shim::new("");
    let program = made.program("program", "echo whole");
    let checksum = checksum(&program);
    let shim = Shim::new(&checksum);
    let name = format!("bin/plimsoll-{}", platform());
    shim.program(&name, "echo whole");
    assert_eq!(stdout(&shim.command().output().unwrap()), "whole\n");

    shim.program(&name, "echo forged");
    let output = shim.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.starts_with("::error title=plimsoll::"), "{text}");
    assert!(text.contains("but the release has"), "{text}");
    assert!(!text.contains("forged"), "{text}");
}

#[test]
fn the_tool_cache_comes_before_the_release_commit() {
    let made = Shim::new("");
    let checksum = checksum(&made.program("program", "echo cached"));
    let shim = Shim::new(&checksum);
    let arch = platform().split('-').nth(1).unwrap().to_owned();
    shim.program(&format!("tools/plimsoll/1.2.3/{arch}/plimsoll"), "echo cached");
    let output = shim.command().env("RUNNER_TOOL_CACHE", shim.path("tools")).output().unwrap();
    assert_eq!(stdout(&output), "cached\n");
}

#[test]
fn what_is_missing_is_said() {
    let output = Shim::new("").command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("has no program for"), "{}", stdout(&output));

    let shim = Shim::new(&format!("\"{}\": \"00\"", platform()));
    let output = shim.command().output().unwrap();
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("releases/download/v1.2.3/plimsoll-"), "{text}");

    let output = shim.command().env("INPUT_BINARY", "/nowhere/plimsoll").output().unwrap();
    assert!(stdout(&output).contains("can't start /nowhere/plimsoll"), "{}", stdout(&output));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn signals_reach_the_program() {
    use std::io::{BufRead as _, BufReader};
    let shim = Shim::new("");
    let script = "trap 'echo told; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let program = shim.program("mine", script);
    let mut child =
        shim.command().env("INPUT_BINARY", &program).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "told");
    assert_eq!(child.wait().unwrap().code(), Some(9));
}
