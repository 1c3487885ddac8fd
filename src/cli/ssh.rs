//! `--ssh default` and `--ssh ID=SOCKET`.

use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use super::environment::Environment;
use super::flag::FlagError;
use crate::request::SshSource;

/// The id, and the agent that a RUN with that id reaches.
pub fn parse(text: &str, environment: &Environment) -> Result<(String, SshSource), FlagError> {
    let (id, path) = match text.split_once('=') {
        Some((id, path)) => (id, Some(path)),
        None => (text, None),
    };
    if id.is_empty() {
        return Err(FlagError::new("the id is empty").hinted("Write default, or ID=SOCKET."));
    }
    let path = match path.filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => environment.path("SSH_AUTH_SOCK").ok_or_else(|| {
            FlagError::new("no SSH agent: SSH_AUTH_SOCK is not set")
                .hinted("Start one with `eval $(ssh-agent)` and add a key with `ssh-add`.")
        })?,
    };
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.file_type().is_socket() => {
            Ok((id.to_owned(), SshSource::Agent(path)))
        }
        Ok(_) => Err(FlagError::new(format!("{} is not the socket of an agent", path.display()))
            .hinted("Key files are not supported yet: add the key to an agent with `ssh-add`.")),
        Err(error) => Err(FlagError::new(format!("can't use {}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn an_agent_is_a_socket() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent");
        let _listener = UnixListener::bind(&socket).unwrap();
        let key = directory.path().join("id_ed25519");
        std::fs::write(&key, "").unwrap();
        let environment = Environment::of(&[("SSH_AUTH_SOCK", socket.to_str().unwrap())]);
        let agent = |id: &str| Ok((id.to_owned(), SshSource::Agent(socket.clone())));

        assert_eq!(parse("default", &environment), agent("default"));
        assert_eq!(parse("git", &environment), agent("git"));
        let empty = Environment::of(&[]);
        assert_eq!(parse(&format!("git={}", socket.display()), &empty), agent("git"));
        for bad in ["default", "=x", &format!("git={}", key.display()), "git=/no/such/socket"] {
            assert!(parse(bad, &empty).is_err(), "{bad}");
        }
    }
}
