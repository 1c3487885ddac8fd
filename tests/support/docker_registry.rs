//! Debian's docker-registry on a free port of the loopback interface, until it is dropped.

#![allow(dead_code, reason = "no test uses all of it")]

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub struct DockerRegistry {
    child: Child,
    pub host: String,
    pub directory: TempDir,
}

impl DockerRegistry {
    /// With these lines in its configuration, in which `DIR` is its directory. `None`, and the
    /// reason on the log, where it is not installed.
    pub fn start(configuration: &str, prepare: impl FnOnce(&Path)) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("localhost:{port}");
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: \
             DIR/data}}}}\n{}",
            configuration.replace("ADDRESS", &format!("127.0.0.1:{port}"))
        );
        let file = directory.path().join("config.yml");
        std::fs::write(&file, text.replace("DIR", directory.path().to_str().unwrap())).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            eprintln!(
                "SKIPPED: docker-registry is not installed (apt-get install docker-registry)"
            );
            return None;
        };
        let registry = Self { child, host, directory };
        let listens = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        assert!(listens, "docker-registry does not listen");
        Some(registry)
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
