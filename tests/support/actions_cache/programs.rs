//! The programs of others that prove the fake and the client; `scripts/test` installs them.

#[path = "../node.rs"]
mod node;

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// `node` with a script of the folder.
pub fn node(script: &str) -> Option<Command> {
    node::node("tests/support/actions_cache/node", script)
}

/// Microsoft's emulation of Azure's blob store, in memory.
pub struct Azurite {
    child: Child,
    port: u16,
}

impl Azurite {
    pub fn start() -> Option<Self> {
        let mut command = node("node_modules/azurite/dist/src/blob/main.js")?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = command
            .args(["--blobPort", &port.to_string(), "--inMemoryPersistence", "--silent"])
            // The URLs are signed by a newer version than it knows.
            .arg("--skipApiVersionCheck")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let azurite = Self { child, port };
        let listens = (0..1500).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        assert!(listens, "Azurite does not listen");
        Some(azurite)
    }

    /// Of a blob that does not exist yet: a URL to write it, and two to read it, the first expired.
    pub fn signed_urls(&self, blob: &str) -> (String, Vec<String>) {
        let mut command = node("signed-urls.mjs").unwrap();
        let output = command.args([&self.port.to_string(), blob]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let urls: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        (text(&urls["write"]), urls["read"].as_array().unwrap().iter().map(text).collect())
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
