//! A BuildKit daemon with nothing in it, until it is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct BuildKit {
    daemon: Child,
    /// `None` once it has ended.
    folder: Option<tempfile::TempDir>,
}

impl BuildKit {
    /// Returns when it answers. `certificate` is the one of `registry`.
    pub fn start(registry: &str, certificate: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let configuration = format!(
            "root = {:?}\n[grpc]\naddress = [\"{}\"]\n[worker.oci]\nenabled = true\n\
             networkMode = \"host\"\n[worker.containerd]\nenabled = false\n\
             [registry.\"{registry}\"]\nhttp = false\nca = [{certificate:?}]\n",
            path("root"),
            format_args!("unix://{}", path("socket").display()),
        );
        fs::write(path("buildkitd.toml"), configuration).unwrap();
        let daemon = Command::new("buildkitd")
            .arg("--config")
            .arg(path("buildkitd.toml"))
            .stdout(Stdio::null())
            .stderr(File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        let started = Self { daemon, folder: Some(folder) };
        let answers = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            let asked = started.control().args(["debug", "workers"]).output();
            asked.is_ok_and(|asked| asked.status.success())
        });
        assert!(answers, "buildkitd does not answer: {}", started.log());
        started
    }

    /// A build as a workflow has it: the cache is read and written, the image pushed.
    pub fn build(&self, context: &Path, repository: &str) -> Command {
        let cache = format!("type=registry,ref={repository}:cache");
        let context = context.display();
        let mut command = self.control();
        command
            .args(["build", "--progress=plain", "--frontend=dockerfile.v0"])
            .arg(format!("--local=context={context}"))
            .arg(format!("--local=dockerfile={context}"))
            .arg(format!("--import-cache={cache}"))
            .arg(format!("--export-cache={cache},mode=max"))
            .arg(format!("--output=type=image,name={repository}:1,push=true"))
            .stderr(File::create(self.path("build.log")).unwrap());
        command
    }

    /// Ends it; what it has is in the folder.
    pub fn end(mut self) -> tempfile::TempDir {
        self.stop();
        self.folder.take().unwrap()
    }

    fn stop(&mut self) {
        let id = i32::try_from(self.daemon.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id.filter(|_| self.folder.is_some()) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
            let _ = self.daemon.wait();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.as_ref().unwrap().path().join(name)
    }

    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.path(name));
        format!("{}{}", read("log").unwrap_or_default(), read("build.log").unwrap_or_default())
    }

    fn control(&self) -> Command {
        let mut command = Command::new("buildctl");
        command.env("BUILDKIT_HOST", format!("unix://{}", self.path("socket").display()));
        command
    }
}

impl Drop for BuildKit {
    fn drop(&mut self) {
        self.stop();
    }
}
