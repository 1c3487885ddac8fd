//! The program itself, run as a user runs it: in a home of its own, without the caller's
//! environment.

#![allow(dead_code, reason = "no test uses all of it")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A home, a context and a store.
pub struct Home {
    directory: TempDir,
    variables: Vec<(String, String)>,
}

impl Home {
    /// With this Dockerfile in the context.
    pub fn new(dockerfile: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = Self { directory, variables: Vec::new() };
        home.write("context/Dockerfile", dockerfile);
        home
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// `plimsoll build FLAGS CONTEXT` with plain progress.
    pub fn build(&self, flags: &[&str]) -> Output {
        self.command(flags).output().unwrap()
    }

    /// The same, expected to go well; standard error.
    pub fn built(&self, flags: &[&str]) -> String {
        let output = self.build(flags);
        let said = stderr(&output);
        assert!(output.status.success(), "{said}");
        said
    }

    /// The same in the background.
    pub fn start(&self, flags: &[&str]) -> Child {
        self.command(flags).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command
            .args(["build", "--progress", "plain"])
            .args(flags)
            .arg("context")
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .envs(self.variables.iter().cloned());
        command
    }

    /// A file of the store, or a folder above one, has this name.
    pub fn stores(&self, name: &str) -> bool {
        fn below(directory: &Path, name: &str) -> bool {
            let Ok(entries) = std::fs::read_dir(directory) else { return false };
            entries.flatten().any(|entry| {
                entry.file_name().to_string_lossy().contains(name)
                    || entry.file_type().is_ok_and(|kind| kind.is_dir())
                        && below(&entry.path(), name)
            })
        }
        below(&self.path().join(".cache/plimsoll"), name)
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The layout of a small base image with a shell, made once from Debian's busybox.
pub fn busybox() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bases");
    std::fs::create_dir_all(&directory).unwrap();
    // Tests are processes of their own, and only one of them shall make it.
    let lock = File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    let made = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/stand-ins"))
        .arg(&directory)
        .arg("busybox")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    directory.join("busybox")
}

/// The flag that gives `FROM busybox` that base.
pub fn with_busybox() -> String {
    format!("--build-context=busybox=oci-layout://{}", busybox().display())
}
