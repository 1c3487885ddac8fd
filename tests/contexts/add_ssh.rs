//! `ADD git@…` and `ADD ssh://…` with `--ssh` (L-146), an agent or a key, against an sshd of this
//! machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Place, run};

#[path = "../support/listening.rs"]
mod listening;

const SSHD: &str = "/usr/sbin/sshd";

/// A server that lets one key in, and an agent that has the key. Both end with this value.
struct Ssh {
    server: Child,
    agent: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Ssh {
    /// `None`, and a word of why, where this machine has no sshd.
    fn start() -> Option<Self> {
        if !Path::new(SSHD).exists() {
            eprintln!("skipped: there is no {SSHD} (Debian's openssh-server)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        // Where sshd, started as root, drops its rights.
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        for key in ["host", "user"] {
            run(path, &["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
        }
        let settings = format!(
            "HostKey {0}/host\nAuthorizedKeysFile {0}/user.pub\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n",
            path.display()
        );
        fs::write(path.join("settings"), settings).unwrap();
        let (server, port) = listening::start(SSHD, |port| {
            let address = format!("ListenAddress=127.0.0.1:{port}");
            quiet(
                Command::new(SSHD)
                    .args(["-D", "-e", "-o", &address, "-f"])
                    .arg(path.join("settings")),
            )
        });
        let agent = quiet(Command::new("ssh-agent").args(["-D", "-a"]).arg(path.join("agent")));
        let ssh = Self { server, agent, port, folder };
        wait_until(|| ssh.socket().exists());
        let add = Command::new("ssh-add")
            .arg(ssh.folder.path().join("user"))
            .env("SSH_AUTH_SOCK", ssh.socket())
            .output()
            .unwrap();
        assert!(add.status.success(), "{add:?}");
        Some(ssh)
    }

    /// Where the agent listens.
    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    /// A folder for PATH with an `ssh` that keeps the keys of hosts in this test's own file, and has
    /// this server for every host.
    fn client(&self) -> PathBuf {
        let bin = self.folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let found = run(&bin, &["sh", "-c", "command -v ssh"]);
        let script = format!(
            "#!/bin/sh\nexec {} -o UserKnownHostsFile={}/known -o Port={} \"$@\"\n",
            String::from_utf8(found).unwrap().trim(),
            self.folder.path().display(),
            self.port
        );
        fs::write(bin.join("ssh"), script).unwrap();
        fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        bin
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.agent] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn quiet(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < Duration::from_secs(30), "the agent did not start");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_repository_comes_over_ssh_with_the_key_of_an_agent_or_of_a_file() {
    let Some(ssh) = Ssh::start() else { return };
    let mut place = Place::new();
    let repository = place.path().join("r.git");
    fs::create_dir(&repository).unwrap();
    run(&repository, &["git", "init", "--quiet", "--initial-branch=main"]);
    fs::write(repository.join("f"), "over ssh").unwrap();
    run(&repository, &["git", "add", "f"]);
    let commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-mm"];
    run(&repository, &[&["git"][..], &commit].concat());
    let path = format!("{}:{}", ssh.client().display(), std::env::var("PATH").unwrap());
    place.variables.push(("PATH".to_owned(), path));

    let user = String::from_utf8(run(place.path(), &["id", "-un"])).unwrap();
    let (user, repository) = (user.trim(), repository.display());
    let key = ssh.folder.path().join("user");
    let sources = [ssh.socket(), key].map(|path| format!("--ssh=default={}", path.display()));
    for url in [
        format!("ssh://{user}@127.0.0.1:{}{repository}", ssh.port),
        format!("{user}@127.0.0.1:{repository}"),
    ] {
        let dockerfile = format!("FROM scratch\nADD {url} /\n");
        for source in &sources {
            let built = place.build(&dockerfile, &["--no-cache", source]).well();
            assert_eq!(built.text("f"), "over ssh", "{url} {source}");
        }
        place.build(&dockerfile, &["--no-cache"]).failed(1, "Permission denied", Some(2));
    }
}
