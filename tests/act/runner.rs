//! act, which runs workflows on this machine without a container engine: a repository with this
//! project's action and a workflow in it, and events for it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// None of these may show in a log.
pub const SECRETS: [(&str, &str); 3] = [
    ("GITHUB_TOKEN", "ghs-token-canary"),
    ("REGISTRY_PASSWORD", crate::docker_registry::USER.1),
    ("BUILD_SECRET", "build-secret-canary"),
];
/// The commit of the pull request, by the event.
pub const HEAD: &str = "5c1e4f4b2f0c5e9a7e0d3a5f1b6c8d9e0a1b2c3d";

pub struct Runner {
    folder: TempDir,
    variables: Vec<(String, String)>,
    secrets: Vec<(String, String)>,
}

/// A run of a workflow that has ended.
pub struct Ended {
    pub succeeded: bool,
    pub log: String,
}

impl Ended {
    /// What a step printed as `NAME=VALUE`.
    pub fn said(&self, name: &str) -> &str {
        let begin = format!("| {name}=");
        let line = self.log.lines().find_map(|line| Some(line.split_once(&begin)?.1));
        line.unwrap_or_else(|| panic!("no step said {name}: {}", self.log))
    }
}

impl Runner {
    /// `None`, and the reason on the log, where act is not installed or steps can't run.
    pub fn new(workflow: &str) -> Option<Self> {
        if !program().exists() {
            eprintln!("SKIPPED: act is not installed (scripts/test does that)");
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: the steps of a build need root");
            return None;
        }
        if !examples().exists() {
            eprintln!("SKIPPED: there is no {}", examples().display());
            return None;
        }
        let runner = Self {
            folder: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
            secrets: Vec::new(),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in ["action.yml", "action/main.cjs", "action/release.json"] {
            runner.write(file, fs::read(root.join(file)).unwrap());
        }
        runner.write("Dockerfile", include_str!("Dockerfile"));
        runner.write("busybox", fs::read("/bin/busybox").unwrap());
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(runner.path("repository/busybox"), mode).unwrap();
        runner.write("data", "a small file\n");
        runner.write(".github/workflows/image.yml", workflow);
        for name in ["home", "kept"] {
            fs::create_dir(runner.path(name)).unwrap();
        }
        runner.git(&["init", "--quiet", "--initial-branch=main"]);
        runner.git(&["remote", "add", "origin", "https://github.com/acme/boat.git"]);
        runner.commit();
        Some(runner)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of the repository.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path("repository").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "A commit"]);
    }

    /// In the environment of each step.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// A secret of the repository, besides [`SECRETS`].
    pub fn secret(&mut self, name: &str, value: &str) {
        self.secrets.push((name.to_owned(), value.to_owned()));
    }

    fn git(&self, words: &[&str]) {
        let status = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
            .args(words)
            .current_dir(self.path("repository"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status();
        assert!(status.unwrap().success(), "git {words:?}");
    }

    /// A run for an event as GitHub sends it, but for `changes`, on a machine that is born empty.
    /// Standard output is a pipe.
    pub fn command(&self, event: &str, changes: &Value) -> Command {
        let mut payload = example(event);
        merge(&mut payload, changes);
        let home = self.path("home");
        fs::remove_dir_all(&home).unwrap();
        fs::create_dir(&home).unwrap();
        let payload_file = self.path("event.json");
        fs::write(&payload_file, payload.to_string()).unwrap();
        let mut command = Command::new(program());
        command
            .args([event, "--platform", "ubuntu-latest=-self-hosted", "--no-cache-server"])
            .args(["--action-offline-mode", "--pull=false", "--rm", "--actor", "ada"])
            .arg("--eventpath")
            .arg(payload_file)
            .args(["--env", &format!("KEPT={}", self.path("kept").display())])
            .current_dir(self.path("repository"))
            .env_clear()
            .envs(SECRETS)
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", &home)
            .env("XDG_CACHE_HOME", home.join("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        for (name, _) in SECRETS {
            command.args(["--secret", name]);
        }
        for (name, value) in &self.secrets {
            command.args(["--secret", name]).env(name, value);
        }
        for (name, value) in &self.variables {
            command.args(["--env", &format!("{name}={value}")]);
        }
        command
    }

    /// See [`Runner::command`].
    pub fn run(&self, event: &str, changes: &Value) -> Ended {
        let output = self.command(event, changes).stderr(Stdio::piped()).output().unwrap();
        let log = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Ended { succeeded: output.status.success(), log: log.into_owned() }
    }

    pub fn push(&self) -> Ended {
        self.run("push", &json!({ "ref": "refs/heads/main", "repository": repository() }))
    }

    /// Of pull request 7, whose head is in this repository, such as `acme/boat`.
    pub fn pull_request(&self, head: &str) -> Ended {
        let side = |branch: &str, sha: &str, repository: &str| json!({ "ref": branch, "sha": sha, "repo": { "full_name": repository } });
        let payload = json!({
            "action": "synchronize",
            "number": 7,
            "pull_request": {
                "number": 7,
                "labels": [],
                "head": side("sails", HEAD, head),
                "base": side("main", "0123456789012345678901234567890123456789", "acme/boat"),
            },
            "repository": repository(),
        });
        self.run("pull_request", &payload)
    }
}

pub fn repository() -> Value {
    json!({ "full_name": "acme/boat", "name": "boat", "default_branch": "main" })
}

/// GitHub's own examples of events.
fn examples() -> PathBuf {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/github/node/node_modules");
    folder.join("@octokit/webhooks-examples/api.github.com/index.json")
}

fn example(event: &str) -> Value {
    let all: Vec<Value> = serde_json::from_slice(&fs::read(examples()).unwrap()).unwrap();
    let mut of_event = all.into_iter().filter(|of| of["name"] == event);
    of_event.next().expect("no such event")["examples"][0].clone()
}

/// Objects into objects; all else takes the place of what was there.
fn merge(into: &mut Value, changes: &Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (name, value) in changes {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, changes) => *into = changes.clone(),
    }
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/workflows/venv/bin/act")
}
