//! Where files come from: URLs and repositories of ADD, and contexts of every kind, by the program
//! itself and against servers on the loopback interface.

#[path = "contexts/add_git.rs"]
mod add_git;
#[path = "contexts/add_ssh.rs"]
mod add_ssh;
#[path = "contexts/add_url.rs"]
mod add_url;
#[path = "contexts/kinds.rs"]
mod kinds;
#[path = "contexts/links.rs"]
mod links;
#[path = "contexts/provenance.rs"]
mod provenance;
#[path = "contexts/unusable.rs"]
mod unusable;
#[path = "support/web/mod.rs"]
mod web;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with a context, a store, and what builds write.
struct Place {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// How a build ended.
struct Built {
    output: Output,
    /// Path, mode, owner, group, time and content of what the image has, sorted by path; links have
    /// their target.
    files: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    path: String,
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    content: Vec<u8>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("context")).unwrap();
        Self { folder, variables: Vec::new() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn context(&self) -> PathBuf {
        self.path().join("context")
    }

    /// Writes a file of the context.
    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.context().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Builds this Dockerfile in the context.
    fn build(&self, dockerfile: &str, flags: &[&str]) -> Built {
        self.write("Dockerfile", dockerfile);
        self.run(&[flags, &["context"]].concat(), b"")
    }

    /// Runs `plimsoll build WORDS`.
    fn run(&self, words: &[&str], stdin: &[u8]) -> Built {
        let tar = self.path().join("out.tar");
        let _ = fs::remove_file(&tar);
        let output = format!("type=tar,dest={}", tar.display());
        let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["build", "--progress", "plain", "--store", "store", "-o", &output])
            .args(words)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        // A build that refuses its input does not read it.
        let _ = input.write_all(stdin);
        drop(input);
        let output = child.wait_with_output().unwrap();
        let files = if output.status.success() { entries(&tar) } else { Vec::new() };
        Built { output, files }
    }
}

fn entries(tar: &Path) -> Vec<Entry> {
    let mut archive = tar::Archive::new(fs::File::open(tar).unwrap());
    let mut entries = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let (mode, mtime) = (header.mode().unwrap(), header.mtime().unwrap());
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/').to_owned();
        let mut content = entry.link_name_bytes().map(|name| name.to_vec()).unwrap_or_default();
        entry.read_to_end(&mut content).unwrap();
        entries.push(Entry { path, mode, owner, mtime, content });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

impl Built {
    fn log(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    #[track_caller]
    fn well(self) -> Self {
        assert!(self.output.status.success(), "{}", self.log());
        self
    }

    /// The steps that were run, not had from the cache.
    fn has_run(&self, step: &str) -> bool {
        let log = self.log();
        let line = log.lines().find(|line| line.contains(step)).unwrap_or_else(|| panic!("{log}"));
        let number = line.split(' ').next().unwrap();
        !log.lines().any(|line| line == format!("{number} CACHED"))
    }

    #[track_caller]
    fn file(&self, path: &str) -> &Entry {
        let found = self.files.iter().find(|entry| entry.path == path);
        found.unwrap_or_else(|| panic!("{path} is not among {}", self.paths()))
    }

    #[track_caller]
    fn text(&self, path: &str) -> String {
        String::from_utf8(self.file(path).content.clone()).unwrap()
    }

    fn paths(&self) -> String {
        self.files.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// It failed with this code, and with a message that has `text`; where it is about a line of the
    /// Dockerfile, that line is marked.
    #[track_caller]
    fn failed(&self, code: i32, text: &str, line: Option<usize>) {
        let log = self.log();
        assert_eq!(self.output.status.code(), Some(code), "{log}");
        let error = log.lines().find(|line| line.starts_with("ERROR: ")).expect("an error");
        assert!(error.contains(text), "{text:?} is not in:\n{log}");
        let marked = line.map(|line| format!("{line:>4} | >>> "));
        let is_marked = |line: &str| marked.as_ref().is_some_and(|marked| line.starts_with(marked));
        assert_eq!(log.lines().any(is_marked), marked.is_some(), "{line:?} in:\n{log}");
    }
}

/// Runs a program that a test needs for its preparations.
fn run(folder: &Path, words: &[&str]) -> Vec<u8> {
    let output = Command::new(words[0])
        .args(&words[1..])
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The tar of a folder.
fn tar_of(folder: &Path) -> Vec<u8> {
    run(folder, &["tar", "-c", "."])
}
