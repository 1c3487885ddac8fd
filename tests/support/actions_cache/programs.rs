//! The programs of others that prove the fake and the client; `scripts/test` installs them.

#[allow(clippy::duplicate_mod, reason = "a test may use the registry too, which has its own")]
#[path = "../listening.rs"]
mod listening;
#[path = "../node.rs"]
mod node;

use std::process::{Child, Command, Stdio};

const AZURITE: &str = "node_modules/azurite/dist/src/blob/main.js";

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
        node(AZURITE)?;
        let (child, port) = listening::start("Azurite", |port| {
            node(AZURITE)
                .unwrap()
                .args(["--blobPort", &port.to_string(), "--inMemoryPersistence", "--silent"])
                // The URLs are signed by a newer version than it knows.
                .arg("--skipApiVersionCheck")
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        });
        Some(Self { child, port })
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
