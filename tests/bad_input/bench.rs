//! A folder with a context, a store and places for outputs, and the program run in it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub struct Bench {
    folder: tempfile::TempDir,
}

/// How a run ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("context")).unwrap();
        Self { folder }
    }

    /// One whose context has a root file system in `root/`; `None`, loudly, where no RUN can be
    /// tried.
    pub fn with_root() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: a RUN needs root");
            return None;
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
        let Some(busybox) = busybox.into_iter().find(|path| path.exists()) else {
            eprintln!("SKIPPED: needs a static busybox (Debian package busybox-static)");
            return None;
        };
        let bench = Self::new();
        let bin = bench.context().join("root/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy(busybox, bin.join("busybox")).unwrap();
        for name in ["cat", "dd", "echo", "sh", "sleep", "true"] {
            symlink("busybox", bin.join(name)).unwrap();
        }
        Some(bench)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn context(&self) -> PathBuf {
        self.path("context")
    }

    /// `plimsoll build FLAGS context` with this Dockerfile, without the caller's environment.
    pub fn command(&self, dockerfile: &str, flags: &[&str]) -> Command {
        fs::write(self.path("Dockerfile"), dockerfile).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command
            .args(["build", "-f", "Dockerfile", "--store", "store", "--progress", "plain"])
            .args(flags)
            .arg("context")
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .stdin(Stdio::null());
        command
    }

    pub fn build(&self, dockerfile: &str, flags: &[&str]) -> Ended {
        Ended::of(self.command(dockerfile, flags).output().unwrap())
    }

    pub fn start(&self, dockerfile: &str, flags: &[&str]) -> Child {
        let mut command = self.command(dockerfile, flags);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// No mount of it is on this machine, and nothing but finished things in its store.
    #[track_caller]
    pub fn is_clean(&self) {
        let own = self.folder.path().to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mounted: Vec<&str> = mounts
            .lines()
            .filter(|line| line.contains(own) && !line.split(' ').nth(2).unwrap().eq("tmpfs"))
            .collect();
        assert_eq!(mounted, [""; 0], "mounts stay");
        assert_eq!(names(&self.path("store/tmp")), [""; 0], "work folders stay");
    }
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }

    /// It ended well.
    #[track_caller]
    pub fn well(&self) {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
    }

    /// The last words, behind the log of the steps: excerpts of the Dockerfile, the error, hints.
    pub fn message(&self) -> &str {
        let mut start = 0;
        for line in self.stderr.split_inclusive('\n') {
            if line.starts_with("Dockerfile:") || line.starts_with("ERROR: ") {
                break;
            }
            start += line.len();
        }
        &self.stderr[start..]
    }
}

/// What is in a folder, sorted; nothing if it isn't there.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries.map(|entry| name(entry).into_string().unwrap()).collect();
    names.sort();
    names
}
