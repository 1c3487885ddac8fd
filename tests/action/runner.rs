//! A runner of GitHub Actions, as far as a step sees it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// The commit of every event.
pub const SHA: &str = "860c1904a1ce19322e91ac35af1ab07466440c37";
/// The head of the pull request.
pub const HEAD: &str = "5c1e4f4b2f0c5e9a7e0d3a5f1b6c8d9e0a1b2c3d";
/// The job's token; it must never be shown.
pub const TOKEN: &str = "ghs-token-canary";
/// When the commit was made.
pub const COMMITTED: &str = "2026-01-02T03:04:05Z";
/// The same in seconds since 1970.
pub const EPOCH: i64 = 1_767_323_045;

/// A workspace with a context whose image is one file, and the files that the runner reads.
pub struct Runner {
    folder: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

/// A step that has ended.
pub struct Ended {
    pub code: i32,
    pub log: String,
    pub outputs: BTreeMap<String, String>,
    pub summary: String,
    pub state: BTreeMap<String, String>,
}

impl Ended {
    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).map_or("", String::as_str)
    }

    /// Lines that the runner obeys and that begin so.
    pub fn commands(&self, begin: &str) -> Vec<&str> {
        let mut stopped: Option<String> = None;
        let mut found = Vec::new();
        for line in self.log.lines() {
            if let Some(token) = &stopped {
                if line == format!("::{token}::") {
                    stopped = None;
                }
            } else if let Some(token) = line.strip_prefix("::stop-commands::") {
                stopped = Some(token.to_owned());
            } else if line.starts_with(begin) {
                found.push(line);
            }
        }
        found
    }

    pub fn notices(&self) -> Vec<&str> {
        self.commands("::notice::")
    }
}

impl Runner {
    /// On a push to `main`.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut runner = Self { folder, variables: BTreeMap::new() };
        for name in ["workspace", "temp"] {
            fs::create_dir(runner.path(name)).unwrap();
        }
        runner.write("Dockerfile", "FROM scratch\nCOPY data /\n");
        runner.data(10_000);
        let paths = [
            ("GITHUB_OUTPUT", "output"),
            ("GITHUB_STATE", "state"),
            ("GITHUB_STEP_SUMMARY", "summary"),
            ("GITHUB_EVENT_PATH", "event.json"),
            ("GITHUB_WORKSPACE", "workspace"),
            ("RUNNER_TEMP", "temp"),
            ("PLIMSOLL_STORE", "store"),
            ("HOME", "home"),
        ];
        for (name, path) in paths {
            let path = runner.path(path);
            runner.set(name, path.to_str().unwrap());
        }
        for (name, value) in [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_ACTOR", "ada"),
            ("GITHUB_REPOSITORY", "acme/boat"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            // Nothing listens there: no test leaves this machine.
            ("GITHUB_API_URL", "http://127.0.0.1:9"),
        ] {
            runner.set(name, value);
        }
        runner.push("refs/heads/main");
        runner.input("github-token", TOKEN);
        // A test that wants more says so.
        runner.input("cache", "off");
        runner.input("push", "false");
        // To find one, the registry would be asked, which is ghcr.io unless said.
        runner.input("size-baseline", "none");
        runner
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of the workspace.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path("workspace").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Bytes that no compression makes smaller by much.
    pub fn data(&self, bytes: usize) {
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        });
        self.write("data", noise.take(bytes).collect::<Vec<u8>>());
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    pub fn unset(&mut self, name: &str) {
        self.variables.remove(name);
    }

    /// As the runner names it.
    pub fn input(&mut self, name: &str, value: &str) {
        self.set(&format!("INPUT_{}", name.to_uppercase()), value);
    }

    fn event(&mut self, name: &str, git_ref: &str, payload: &Value) {
        self.set("GITHUB_EVENT_NAME", name);
        self.set("GITHUB_REF", git_ref);
        self.set("GITHUB_SHA", SHA);
        fs::write(self.path("event.json"), payload.to_string()).unwrap();
    }

    pub fn push(&mut self, git_ref: &str) {
        self.push_saying(git_ref, "Add sails");
    }

    /// A push whose commit has this message.
    pub fn push_saying(&mut self, git_ref: &str, message: &str) {
        let commit = json!({"id": SHA, "timestamp": COMMITTED, "message": message});
        let payload = json!({
            "ref": git_ref, "before": "0".repeat(40), "head_commit": commit,
            "repository": {"default_branch": "main", "html_url": "https://github.com/acme/boat"},
        });
        self.event("push", git_ref, &payload);
    }

    /// Pull request 7, from this repository or another.
    pub fn pull_request(&mut self, from: &str, labels: &[&str]) {
        let labels: Vec<Value> = labels.iter().map(|name| json!({"name": name})).collect();
        let payload = json!({
            "action": "synchronize", "number": 7,
            "pull_request": {
                "number": 7, "labels": labels,
                "head": {"ref": "sails", "sha": HEAD, "repo": {"full_name": from}},
                "base": {"ref": "main", "sha": "b".repeat(40), "repo": {"full_name": "acme/boat"}},
            },
            "repository": {"default_branch": "main"},
        });
        self.event("pull_request", "refs/pull/7/merge", &payload);
    }

    /// The end of a run for that pull request.
    pub fn workflow_run(&mut self, from: &str, sha: &str) {
        let payload = json!({
            "action": "completed",
            "workflow_run": {
                "event": "pull_request", "head_sha": sha, "head_branch": "sails",
                "head_repository": {"full_name": from},
            },
            "repository": {"default_branch": "main"},
        });
        self.event("workflow_run", "refs/heads/main", &payload);
    }

    pub fn command(&self, words: &[&str]) -> Command {
        for name in ["output", "state", "summary"] {
            fs::write(self.path(name), "").unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command
            .args(words)
            .current_dir(self.path("workspace"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(&self.variables);
        command
    }

    /// Runs the step.
    pub fn run(&self) -> Ended {
        self.ended(&self.command(&["action"]).output().unwrap())
    }

    pub fn ended(&self, output: &Output) -> Ended {
        let log = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        let masked = log.lines().filter(|line| !line.starts_with("::add-mask::"));
        assert!(!masked.clone().any(|line| line.contains(TOKEN)), "{log}");
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap();
        Ended {
            code: output.status.code().unwrap(),
            log,
            outputs: assigned(&read("output")),
            summary: read("summary"),
            state: assigned(&read("state")),
        }
    }

    /// The same, expected to go well.
    pub fn built(&self) -> Ended {
        let ended = self.run();
        assert_eq!(ended.code, 0, "{}", ended.log);
        ended
    }

    /// The folder of the report.
    pub fn report(&self, ended: &Ended) -> PathBuf {
        Path::new(ended.output("size-report")).parent().unwrap().to_path_buf()
    }
}

/// As the runner reads `GITHUB_OUTPUT`.
fn assigned(text: &str) -> BTreeMap<String, String> {
    let mut lines = text.lines();
    let mut values = BTreeMap::new();
    while let Some(line) = lines.next() {
        let (name, delimiter) = line.split_once("<<").unwrap_or_else(|| panic!("{text}"));
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
        values.insert(name.to_owned(), value.join("\n"));
    }
    values
}
