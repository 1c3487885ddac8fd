//! What the process was given besides its arguments, read once, so that everything after it is a
//! function of values.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// Seconds since 1970.
    pub now: i64,
    /// How many the machine offers.
    pub threads: usize,
    pub stdout_is_terminal: bool,
    pub stderr_is_terminal: bool,
    /// The effective user is root.
    pub root: bool,
}

impl Environment {
    pub fn of_process() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            variables: std::env::vars_os().collect(),
            now: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            root: rustix::process::geteuid().is_root(),
        }
    }

    /// An environment for a test.
    #[cfg(test)]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let variables =
            variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Self { variables: variables.collect(), threads: 1, ..Self::default() }
    }

    /// A variable that is set, even to nothing.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    pub fn all(&self) -> Vec<(OsString, OsString)> {
        self.variables.clone().into_iter().collect()
    }

    /// Those that are text.
    pub fn texts(&self) -> BTreeMap<String, String> {
        let texts = self.variables.iter();
        texts.filter_map(|(n, v)| Some((n.to_str()?.to_owned(), v.to_str()?.to_owned()))).collect()
    }

    /// A path from a variable that is set to something.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// What git gets of it: where programs are, proxies, and where certificates are.
    pub fn for_git(&self) -> Vec<(OsString, OsString)> {
        const NAMES: [&str; 12] = [
            "PATH",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "NO_PROXY",
            "ALL_PROXY",
            "http_proxy",
            "https_proxy",
            "no_proxy",
            "all_proxy",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "GIT_SSL_CAINFO",
        ];
        self.only(&NAMES)
    }

    /// What Docker's program gets of it: where its daemon is, and nothing that is secret.
    pub fn for_docker(&self) -> Vec<(OsString, OsString)> {
        self.only(&[
            "PATH",
            "HOME",
            "DOCKER_CONFIG",
            "DOCKER_CONTEXT",
            "DOCKER_HOST",
            "DOCKER_TLS",
            "DOCKER_TLS_VERIFY",
            "DOCKER_CERT_PATH",
            "SSH_AUTH_SOCK",
            "XDG_RUNTIME_DIR",
        ])
    }

    fn only(&self, names: &[&str]) -> Vec<(OsString, OsString)> {
        let given = |name: &&str| Some((OsString::from(name), self.get(name)?.to_owned()));
        names.iter().filter_map(given).collect()
    }

    /// Whether a variable is exactly `true`, as continuous integration sets its markers.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some(OsStr::new("true"))
    }
}
