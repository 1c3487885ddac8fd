//! `--ssh default`, `--ssh ID=SOCKET` and `--ssh ID=KEY,KEY`.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::environment::Environment;
use super::flag::FlagError;
use crate::context::small;
use crate::request::SshSource;

/// Bytes of a file with a private key.
const LIMIT: u64 = 100 << 10;

/// The id, and the agent that a RUN with that id reaches.
pub fn parse(text: &str, environment: &Environment) -> Result<(String, SshSource), FlagError> {
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    if id.is_empty() {
        return Err(FlagError::new("the id is empty")
            .hinted("Write default, ID=SOCKET, or ID=KEY with the file of a private key."));
    }
    let mut paths: Vec<PathBuf> = paths
        .split(',')
        .map(str::trim)
        .filter(|path| !path.is_empty())
        .map(|path| in_home(path, environment))
        .collect();
    if paths.is_empty() {
        paths.push(environment.path("SSH_AUTH_SOCK").ok_or_else(|| {
            FlagError::new("no SSH agent: SSH_AUTH_SOCK is not set").hinted(
                "Start one with `eval $(ssh-agent)` and add a key with `ssh-add`, or name the \
                 file of a key: ID=KEY.",
            )
        })?);
    }
    let mut keys = Vec::new();
    for path in &paths {
        let metadata = std::fs::metadata(path).map_err(|error| unusable(path, &error))?;
        match metadata.file_type().is_socket() {
            true if paths.len() == 1 => return Ok((id.to_owned(), SshSource::Agent(path.clone()))),
            true => {
                return Err(FlagError::new(format!(
                    "{} is a socket, beside which nothing else can be named",
                    path.display()
                )));
            }
            false => {
                check(path, metadata.uid(), metadata.mode())?;
                keys.push(path.clone());
            }
        }
    }
    Ok((id.to_owned(), SshSource::Keys(keys)))
}

/// No shell does it behind a `=`, or in a workflow.
fn in_home(path: &str, environment: &Environment) -> PathBuf {
    match (path.strip_prefix("~/"), environment.path("HOME")) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> FlagError {
    FlagError::new(format!("can't use {}: {error}", path.display()))
}

/// What an agent would refuse is told before anything runs.
fn check(path: &Path, owner: u32, mode: u32) -> Result<(), FlagError> {
    let bytes = small::read(path, LIMIT).map_err(|error| unusable(path, &error))?;
    let shown = path.display();
    match lock(&bytes) {
        None => Err(FlagError::new(format!(
            "{shown} is neither the socket of an agent nor a private key of OpenSSH"
        ))),
        Some(Lock::Passphrase) => {
            Err(FlagError::new(format!("{shown} has a passphrase, and nobody is asked for it"))
                .hinted("Add the key to an agent with `ssh-add`, and name the agent's socket."))
        }
        // OpenSSH's own rule: keys of others are no concern of who may read them.
        Some(Lock::None) if mode & 0o077 != 0 && owner == rustix::process::geteuid().as_raw() => {
            Err(FlagError::new(format!(
                "{shown} is open to other users (mode {:04o})",
                mode & 0o7777
            ))
            .hinted(format!("Make it yours alone with `chmod 600 {shown}`.")))
        }
        Some(Lock::None) => Ok(()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Lock {
    None,
    Passphrase,
}

/// How a private key is locked; `None` for what is no private key.
fn lock(bytes: &[u8]) -> Option<Lock> {
    let text = String::from_utf8_lossy(bytes);
    let (_, after) = text.split_once("-----BEGIN ")?;
    let (kind, body) = after.split_once("-----")?;
    let body = body.split("-----END").next()?;
    let is_locked = match kind {
        // PROTOCOL.key of OpenSSH: after the name of the format, that of the cipher.
        "OPENSSH PRIVATE KEY" => {
            let body: String = body.split_ascii_whitespace().collect();
            let decoded = STANDARD.decode(body).ok()?;
            let rest = decoded.strip_prefix(b"openssh-key-v1\0")?;
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            rest.get(..length)? != b"none"
        }
        "ENCRYPTED PRIVATE KEY" => true,
        kind if kind.ends_with("PRIVATE KEY") => {
            body.lines().any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
        }
        _ => return None,
    };
    Some(if is_locked { Lock::Passphrase } else { Lock::None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    /// What OpenSSH writes, up to the cipher's name.
    fn openssh(cipher: &str) -> String {
        let length = u32::try_from(cipher.len()).unwrap().to_be_bytes();
        let bytes = [b"openssh-key-v1\0", length.as_slice(), cipher.as_bytes()].concat();
        let kind = "OPENSSH PRIVATE KEY";
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(bytes))
    }

    #[test]
    fn a_socket_or_keys() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let socket = at("agent");
        let _listener = UnixListener::bind(&socket).unwrap();
        let write = |name: &str, text: &str, mode| {
            std::fs::write(at(name), text).unwrap();
            std::fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        };
        write("one", &openssh("none"), 0o600);
        write("two", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n", 0o400);
        write("locked", &openssh("aes256-ctr"), 0o600);
        write("open", &openssh("none"), 0o640);
        write("public", "ssh-ed25519 AAAA\n", 0o600);
        let home = directory.path().to_str().unwrap();
        let environment =
            Environment::of(&[("SSH_AUTH_SOCK", socket.to_str().unwrap()), ("HOME", home)]);
        let agent = |id: &str| Ok((id.to_owned(), SshSource::Agent(socket.clone())));
        let keys = |names: &[&str]| {
            Ok(("git".to_owned(), SshSource::Keys(names.iter().map(|name| at(name)).collect())))
        };

        assert_eq!(parse("default", &environment), agent("default"));
        assert_eq!(parse("git", &environment), agent("git"));
        let empty = Environment::of(&[]);
        assert_eq!(parse(&format!("git={home}/agent"), &empty), agent("git"));
        assert_eq!(parse(&format!("git={home}/one,{home}/two"), &empty), keys(&["one", "two"]));
        assert_eq!(parse("git=~/one", &environment), keys(&["one"]));
        for (bad, expected) in [
            ("default", "SSH_AUTH_SOCK is not set"),
            ("=x", "the id is empty"),
            ("git=/no/such/socket", "can't use /no/such/socket: "),
            (&format!("git={home}/agent,{home}/one"), "agent is a socket, beside which"),
            (&format!("git={home}/one,{home}/locked"), "locked has a passphrase"),
            (&format!("git={home}/open"), "open is open to other users (mode 0640)"),
            (&format!("git={home}/public"), "public is neither the socket of an agent nor"),
        ] {
            let error = parse(bad, &empty).unwrap_err();
            assert!(format!("{error:?}").contains(expected), "{bad}: {error:?}");
        }
    }

    #[test]
    fn passphrases_show_in_every_format() {
        for (text, expected) in [
            (openssh("none").as_str(), Some(Lock::None)),
            (&openssh("aes256-ctr"), Some(Lock::Passphrase)),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n", Some(Lock::None)),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n", Some(Lock::Passphrase)),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAAAA\n",
                Some(Lock::Passphrase),
            ),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END", None),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", None),
            ("", None),
        ] {
            assert_eq!(lock(text.as_bytes()), expected, "{text}");
        }
    }
}
