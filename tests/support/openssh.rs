//! Private keys of OpenSSH, and its `ssh-add` as a step can run it: what an agent has is told by the
//! program that everyone asks.

#![allow(dead_code, reason = "no test uses all of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A private key without a passphrase, in a file.
pub struct Key {
    pub file: PathBuf,
    /// As `ssh-add -l` shows it.
    pub fingerprint: String,
}

impl Key {
    /// `None`, and the reason on the log, where there is no OpenSSH.
    pub fn new(file: PathBuf) -> Option<Self> {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "a key of a test", "-f"])
            .arg(&file)
            .output();
        let Ok(made) = made else {
            eprintln!("SKIPPED: OpenSSH is not installed (apt-get install openssh-client)");
            return None;
        };
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let shown = said(Command::new("ssh-keygen").arg("-lf").arg(&file));
        let fingerprint = shown.split(' ').nth(1).unwrap().to_owned();
        Some(Self { file, fingerprint })
    }

    /// The lines of the file that hold the key.
    pub fn secret(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.file).unwrap();
        // The first line has the names of the format and of the ciphers, as in every such key.
        let lines = text.lines().filter(|line| !line.starts_with("-----")).skip(1);
        lines.map(str::to_owned).collect()
    }
}

/// This machine's `ssh-add` and the libraries that it needs, each at its own place below `root`.
pub fn client(root: &Path) {
    let program = "/usr/bin/ssh-add";
    let libraries = said(Command::new("ldd").arg(program));
    let is_path = |word: &&str| word.starts_with('/');
    for file in libraries.split_whitespace().filter(is_path).chain([program]) {
        let copy = root.join(&file[1..]);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        // A link is followed: its target has another name.
        fs::copy(file, copy).unwrap();
    }
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
