//! SSH agents of our own, for the private keys that `--ssh` names by their files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::fetch::Access;
use crate::error::Error;
use crate::request::SshSource;

/// One for each id that something has asked for. All end when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Agents(Mutex<BTreeMap<String, Agent>>);

impl Agents {
    /// Where the agent of `id` listens, if there is one. For keys it is started now.
    ///
    /// # Errors
    /// When there is no program for it, or it does not take a key.
    pub(super) fn socket(&self, id: &str, access: Access<'_>) -> Result<Option<PathBuf>, Error> {
        let keys = match access.ssh.get(id) {
            None => return Ok(None),
            Some(SshSource::Agent(socket)) => return Ok(Some(socket.clone())),
            Some(SshSource::Keys(keys)) => keys,
        };
        let mut agents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(id) {
            return Ok(Some(agent.socket()));
        }
        let failed = |error: Error| error.about(format!("--ssh {id}"));
        let agent = Agent::start(access.git_environment).map_err(failed)?;
        for key in keys {
            agent.add(key, access.git_environment).map_err(failed)?;
        }
        let socket = agent.socket();
        agents.insert(id.to_owned(), agent);
        Ok(Some(socket))
    }
}

/// A process that ends when this is dropped, and with it all that it knows.
#[derive(Debug)]
struct Agent {
    id: Option<Pid>,
    /// The command that the agent was started for. It ends with its input, when this program is gone,
    /// even killed; and within seconds OpenSSH's agent misses it, and ends too.
    command: Child,
    /// Nobody else can look into it.
    folder: TempDir,
}

/// Says who the agent is, once it listens.
const COMMAND: [&str; 3] = ["/bin/sh", "-c", "echo \"$SSH_AGENT_PID\"; read -r _"];

impl Agent {
    fn start(environment: &[(OsString, OsString)]) -> Result<Self, Error> {
        let failed = |error: io::Error| unusable("ssh-agent", &error);
        let folder = tempfile::Builder::new()
            .prefix("plimsoll-ssh-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(failed)?;
        let said = folder.path().join("said");
        let command = command("ssh-agent", environment)
            .arg("-a")
            .arg(folder.path().join(SOCKET))
            .args(COMMAND)
            // A terminal's signals are for this program, which may have more to do with the agent.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&said).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let mut agent = Self { id: None, command, folder };
        let mut line = String::new();
        if let Some(stdout) = agent.command.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
        }
        agent.id = line.trim().parse().ok().and_then(Pid::from_raw);
        if agent.id.is_none() {
            let said = std::fs::read(&said).unwrap_or_default();
            return Err(Error::build(format!("ssh-agent does not start: {}", first_line(&said))));
        }
        Ok(agent)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    fn add(&self, key: &Path, environment: &[(OsString, OsString)]) -> Result<(), Error> {
        let added = command("ssh-add", environment)
            .env("SSH_AUTH_SOCK", self.socket())
            // Nobody is there to answer.
            .envs([("SSH_ASKPASS_REQUIRE", "force"), ("SSH_ASKPASS", "false")])
            .args(["-q", "--"])
            .arg(key)
            .output()
            .map_err(|error| unusable("ssh-add", &error))?;
        if added.status.success() {
            return Ok(());
        }
        let said = first_line(&added.stderr);
        Err(Error::build(format!("the agent does not take the key {}: {said}", key.display())))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // As long as its parent is there, no other process has its id.
        if let Some(id) = self.id {
            let _ = kill_process(id, Signal::KILL);
        }
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

/// In the agent's folder.
const SOCKET: &str = "agent";

fn command(name: &str, environment: &[(OsString, OsString)]) -> Command {
    let mut command = Command::new(name);
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null());
    command
}

fn unusable(program: &str, error: &io::Error) -> Error {
    if error.kind() != io::ErrorKind::NotFound {
        return Error::build(format!("can't run {program}: {error}"));
    }
    Error::build(format!("there is no {program} on this machine, which keys in files need")).hinted(
        "Install OpenSSH's client (openssh-client, on some systems openssh-clients), or name the \
         socket of an agent.",
    )
}

/// Of what a program wrote; it has no key in it.
fn first_line(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("it does not say why").chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn environment() -> Vec<(OsString, OsString)> {
        vec![("PATH".into(), std::env::var_os("PATH").unwrap())]
    }

    /// `None`, and a word of why, where this machine has no OpenSSH.
    fn key(folder: &Path, name: &str) -> Option<PathBuf> {
        let path = folder.join(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(&path)
            .status();
        if made.is_err() {
            eprintln!("skipped: there is no ssh-keygen (Debian's openssh-client)");
            return None;
        }
        Some(path)
    }

    fn access<'a>(
        ssh: &'a BTreeMap<String, SshSource>,
        environment: &'a [(OsString, OsString)],
    ) -> Access<'a> {
        static NONE: BTreeMap<String, crate::request::Secret> = BTreeMap::new();
        Access { secrets: &NONE, ssh, git_environment: environment }
    }

    #[test]
    fn an_agent_starts_when_it_is_asked_for_and_ends_with_the_build() {
        let folder = tempfile::tempdir().unwrap();
        let (Some(one), Some(two)) = (key(folder.path(), "one"), key(folder.path(), "two")) else {
            return;
        };
        let ssh = BTreeMap::from([("git".to_owned(), SshSource::Keys(vec![one, two]))]);
        let environment = environment();
        let agents = Agents::default();
        let ask = |id: &str| agents.socket(id, access(&ssh, &environment)).unwrap();
        assert_eq!(ask("default"), None);
        assert!(agents.0.lock().unwrap().is_empty());

        let socket = ask("git").unwrap();
        assert_eq!(ask("git").as_ref(), Some(&socket), "one is enough");
        let mode = socket.parent().unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
        let listed =
            Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &socket).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains(" one (") && listed.contains(" two ("), "{listed}");

        drop(agents);
        assert!(UnixStream::connect(&socket).is_err());
        assert!(!socket.parent().unwrap().exists());
    }

    #[test]
    fn what_goes_wrong_names_the_key_or_the_program() {
        let folder = tempfile::tempdir().unwrap();
        if key(folder.path(), "one").is_none() {
            return;
        }
        let broken = folder.path().join("broken");
        std::fs::write(&broken, "-----BEGIN RSA PRIVATE KEY-----\n").unwrap();
        std::fs::set_permissions(&broken, Permissions::from_mode(0o600)).unwrap();
        let ssh = BTreeMap::from([("git".to_owned(), SshSource::Keys(vec![broken.clone()]))]);
        let fails = |environment: &[(OsString, OsString)]| {
            Agents::default().socket("git", access(&ssh, environment)).unwrap_err()
        };
        let error = fails(&environment()).to_string();
        let expected = format!("--ssh git: the agent does not take the key {}: ", broken.display());
        assert!(error.starts_with(&expected), "{error}");
        let error = fails(&[("PATH".into(), folder.path().into())]);
        assert!(error.to_string().contains("there is no ssh-agent"), "{error}");
        assert!(error.hints[0].contains("openssh-client"), "{error:?}");
    }
}
