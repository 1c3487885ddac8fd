//! The action's shim, on both versions of Node that runners have for actions: finding, checking and
//! starting the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[path = "support/loopback.rs"]
mod loopback;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use loopback::{Loopback, Reply};
use plimsoll::digest::Digest;
use rustix::process::{Pid, Signal};

macro_rules! on_each_node {
    ($($test:ident,)*) => {
        mod node20 {
            $(#[test] fn $test() { super::$test("node20"); })*
        }
        mod node24 {
            $(#[test] fn $test() { super::$test("node24"); })*
        }
    };
}

on_each_node! {
    a_named_program_is_started_with_the_runner_s_environment,
    the_program_of_the_release_commit_must_have_its_checksum,
    the_tool_cache_comes_before_the_release_commit,
    what_is_missing_is_said,
    signals_reach_the_program,
    a_signal_before_the_program_is_there_ends_the_shim,
    a_program_that_a_signal_ends_is_told_as_shells_do,
    an_asset_of_the_release_is_downloaded_once,
    an_asset_with_another_checksum_is_not_kept,
    a_server_that_is_down_for_a_moment_is_asked_again,
    a_program_that_has_lost_its_mode_is_started,
}

/// A version of Node, such as `node20`; the one that is here, and a word about it, where that is not
/// installed.
fn program_of(node: &str) -> PathBuf {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/nodes");
    let program = folder.join(format!("node_modules/{node}-{architecture}/bin/node"));
    if program.exists() {
        return program;
    }
    eprintln!("SKIPPED: {node}; run npm ci --ignore-scripts in {}", folder.display());
    "node".into()
}

/// The shim in a folder of its own, as it is on a release commit.
struct Shim {
    folder: tempfile::TempDir,
    node: PathBuf,
}

impl Shim {
    /// With this table of checksums.
    fn new(node: &str, sha256: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("action")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(root.join("action/main.cjs"), folder.path().join("action/main.cjs")).unwrap();
        let release = format!("{{\"version\": \"1.2.3\", \"sha256\": {{{sha256}}}}}");
        fs::write(folder.path().join("action/release.json"), release).unwrap();
        fs::write(folder.path().join("state"), "").unwrap();
        Self { folder, node: program_of(node) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.node);
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

fn a_named_program_is_started_with_the_runner_s_environment(node: &str) {
    let shim = Shim::new(node, "");
    let program = shim.program("mine", "echo \"$1|$2|$INPUT_TAGS\"; exit 3");
    let output =
        shim.command().env("INPUT_BINARY", &program).env("INPUT_TAGS", "a:1").output().unwrap();
    assert_eq!(stdout(&output), "action||a:1\n");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(fs::read_to_string(shim.path("state")).unwrap(), "started=true\n");
    let post = shim.command().env("INPUT_BINARY", &program).env("STATE_started", "true").output();
    assert_eq!(stdout(&post.unwrap()), "action|--post|\n");
}

fn the_program_of_the_release_commit_must_have_its_checksum(node: &str) {
    let made = Shim::new(node, "");
    let program = made.program("program", "echo whole");
    let checksum = checksum(&program);
    let shim = Shim::new(node, &checksum);
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

fn the_tool_cache_comes_before_the_release_commit(node: &str) {
    let made = Shim::new(node, "");
    let checksum = checksum(&made.program("program", "echo cached"));
    let shim = Shim::new(node, &checksum);
    let arch = platform().split('-').nth(1).unwrap().to_owned();
    shim.program(&format!("tools/plimsoll/1.2.3/{arch}/plimsoll"), "echo cached");
    let output = shim.command().env("RUNNER_TOOL_CACHE", shim.path("tools")).output().unwrap();
    assert_eq!(stdout(&output), "cached\n");
}

fn what_is_missing_is_said(node: &str) {
    let output = Shim::new(node, "").command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("has no program for"), "{}", stdout(&output));

    let shim = Shim::new(node, &format!("\"{}\": \"00\"", platform()));
    let output = shim.command().output().unwrap();
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("releases/download/v1.2.3/plimsoll-"), "{text}");

    let output = shim.command().env("INPUT_BINARY", "/nowhere/plimsoll").output().unwrap();
    assert!(stdout(&output).contains("can't start /nowhere/plimsoll"), "{}", stdout(&output));
    assert_eq!(output.status.code(), Some(1));
}

/// As a runner sends them: SIGINT, then SIGTERM.
fn signals_reach_the_program(node: &str) {
    use std::io::{BufRead as _, BufReader};
    let shim = Shim::new(node, "");
    let script = "trap 'echo asked' INT; trap 'echo told; exit 9' TERM; echo ready
        while :; do sleep 0.05; done";
    let program = shim.program("mine", script);
    let mut child =
        shim.command().env("INPUT_BINARY", &program).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    assert_eq!(line(), "ready");
    for (signal, answer) in [(Signal::INT, "asked"), (Signal::TERM, "told")] {
        rustix::process::kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(line(), answer);
    }
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

/// While it downloads, there is nobody to forward a signal to.
fn a_signal_before_the_program_is_there_ends_the_shim(node: &str) {
    let server = Loopback::start(Duration::from_secs(60), |_| |_| Reply::new(404, ""));
    let shim = Shim::new(node, &format!("\"{}\": \"00\"", platform()));
    let begun = Instant::now();
    let mut child = shim
        .command()
        .env("GITHUB_SERVER_URL", format!("http://{}", server.address))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // It listens to signals as soon as it has said that it has started.
    while fs::read_to_string(shim.path("state")).unwrap().is_empty()
        || begun.elapsed() < Duration::from_millis(300)
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(begun.elapsed() < Duration::from_secs(30));
}

fn a_program_that_a_signal_ends_is_told_as_shells_do(node: &str) {
    let shim = Shim::new(node, "");
    let program = shim.program("mine", "kill -KILL $$");
    let output = shim.command().env("INPUT_BINARY", &program).output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 9));
}

/// A server of releases that has this text for every asset, and how often it was asked.
fn releases(asset: &'static str) -> (Loopback, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Loopback::start(Duration::ZERO, |_| {
        move |request| {
            count.fetch_add(1, Ordering::Relaxed);
            let asset_of = format!(
                "/plimsoll-build/plimsoll/releases/download/v1.2.3/plimsoll-{}",
                platform()
            );
            if request.path == asset_of { Reply::new(200, asset) } else { Reply::new(404, "") }
        }
    });
    (server, asked)
}

const ASSET: &str = "#!/bin/sh\necho downloaded\n";

fn an_asset_of_the_release_is_downloaded_once(node: &str) {
    let (server, asked) = releases(ASSET);
    let made = Shim::new(node, "");
    let shim = Shim::new(node, &checksum(&made.program("program", "echo downloaded")));
    for _ in 0..2 {
        let output = shim
            .command()
            .env("GITHUB_SERVER_URL", format!("http://{}", server.address))
            .env("RUNNER_TOOL_CACHE", shim.path("tools"))
            .output()
            .unwrap();
        assert_eq!(stdout(&output), "downloaded\n");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

fn an_asset_with_another_checksum_is_not_kept(node: &str) {
    let (server, asked) = releases("#!/bin/sh\necho forged\n");
    let made = Shim::new(node, "");
    let shim = Shim::new(node, &checksum(&made.program("program", "echo downloaded")));
    let output = shim
        .command()
        .env("GITHUB_SERVER_URL", format!("http://{}", server.address))
        .env("RUNNER_TOOL_CACHE", shim.path("tools"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("but the release has"), "{}", stdout(&output));
    assert!(!shim.path("tools").exists());
    // What was forged once will be again.
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

fn a_server_that_is_down_for_a_moment_is_asked_again(node: &str) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Loopback::start(Duration::ZERO, |_| {
        move |_| match count.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::new(503, ""),
            _ => Reply::new(200, ASSET),
        }
    });
    let made = Shim::new(node, "");
    let shim = Shim::new(node, &checksum(&made.program("program", "echo downloaded")));
    let output = shim
        .command()
        .env("GITHUB_SERVER_URL", format!("http://{}", server.address))
        .env("RUNNER_TEMP", shim.folder.path())
        .output()
        .unwrap();
    assert_eq!(stdout(&output), "downloaded\n");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

fn a_program_that_has_lost_its_mode_is_started(node: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let made = Shim::new(node, "");
    let shim = Shim::new(node, &checksum(&made.program("program", "echo whole")));
    let program = shim.program(&format!("bin/plimsoll-{}", platform()), "echo whole");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(stdout(&shim.command().output().unwrap()), "whole\n");
}

/// What `scripts/release` commits is what the shim looks for.
#[test]
fn a_release_commit_carries_its_program() {
    let repository = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = |name: &str| repository.path().join(name);
    for folder in ["action", "scripts", "dist"] {
        fs::create_dir(path(folder)).unwrap();
    }
    let files = [
        "action/main.cjs",
        "action/release.json",
        "scripts/release",
        "scripts/machine.sh",
        "Cargo.toml",
    ];
    for file in files {
        fs::copy(root.join(file), path(file)).unwrap();
    }
    for platform in ["linux-x64", "linux-arm64"] {
        fs::write(path(&format!("dist/plimsoll-{platform}")), ASSET).unwrap();
    }
    fs::write(path(".gitignore"), "/dist\n").unwrap();
    let script = "git init --quiet && git add . && git -c user.name=a -c user.email=a@b commit --quiet \
        --message one && scripts/release commit dist && git clone --quiet --branch v\"$1\" . clone \
        2>/dev/null && (cd dist && sha256sum --check --quiet SHA256SUMS)";
    let released = Command::new("sh")
        .args(["-ec", script, "sh", env!("CARGO_PKG_VERSION")])
        .current_dir(repository.path())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(released.status.success(), "{}", String::from_utf8_lossy(&released.stderr));
    let output = Command::new("node")
        .arg(path("clone/action/main.cjs"))
        .env("GITHUB_STATE", path("state"))
        .env_remove("RUNNER_TOOL_CACHE")
        .env("GITHUB_SERVER_URL", "http://127.0.0.1:9")
        .output()
        .unwrap();
    assert_eq!(stdout(&output), "downloaded\n");
}
