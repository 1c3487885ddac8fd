//! Prism in front of the fake: each request and each answer is held against GitHub's own
//! description of its API, and what does not fit fails the test.

use std::fs::{self, File};
use std::process::{Child, Stdio};

use tempfile::TempDir;

use self::listening::start;
use crate::github::FakeGithub;
use crate::node::node;

#[path = "../listening.rs"]
mod listening;

const FOLDER: &str = "tests/support/github/node";

pub struct Prism {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl Prism {
    /// `None`, and the reason on the log, where it is not installed.
    pub fn before(fake: &FakeGithub) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let description = directory.path().join("description.json");
        let trimmed = node(FOLDER, "trim.mjs")?.arg(&description).status().unwrap();
        assert!(trimmed.success(), "trim.mjs: {trimmed}");
        let (child, port) = start("Prism", |port| {
            node(FOLDER, "node_modules/@stoplight/prism-cli/dist/index.js")
                .unwrap()
                .args(["proxy", "--errors", "--verboseLevel", "warn"])
                .args(["--port", &port.to_string()])
                .arg(&description)
                .arg(fake.url())
                .stdout(File::create(directory.path().join("log")).unwrap())
                .stderr(Stdio::inherit())
                .spawn()
                .unwrap()
        });
        let prism = Self { child, port, directory };
        fake.state().public = Some(prism.url());
        Some(prism)
    }

    /// As in `GITHUB_API_URL`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What did not fit so far.
    pub fn complaints(&self) -> String {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap();
        // It says so at every level.
        log.lines().filter(|line| !line.ends_with("Starting Prism…")).collect()
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let complaints = self.complaints();
            assert!(complaints.is_empty(), "not as GitHub describes its API:\n{complaints}");
        }
    }
}
