//! Debian's docker-registry on a free port of the loopback interface, until it is dropped. What it
//! was asked is read from its access log.

#![allow(dead_code, reason = "no test uses all of it")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

#[path = "listening.rs"]
mod listening;

/// Whom [`DockerRegistry::with_password`] lets in: the name and the password.
pub const USER: (&str, &str) = ("me", "pa:ss");
/// `USER` (bcrypt, the only form that it takes).
const HTPASSWD: &str = "me:$2b$04$Hw/mRfAwf02j/AdCx5DBF.vcRJgD.4IrxjbGpBV1GKPhD45yPp.la\n";

const LOG: &str = "access.log";

pub struct DockerRegistry {
    child: Option<Child>,
    port: u16,
    /// `localhost:PORT`, as it stands in references.
    pub host: String,
    pub directory: TempDir,
}

/// One line of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    pub status: u16,
}

impl DockerRegistry {
    pub fn plain() -> Option<Self> {
        Self::start("http: {addr: ADDRESS}\n", |_| {})
    }

    /// It wants the password of [`USER`].
    pub fn with_password() -> Option<Self> {
        let configuration =
            "http: {addr: ADDRESS}\nauth: {htpasswd: {realm: test, path: DIR/htpasswd}}\n";
        Self::start(configuration, |directory| {
            std::fs::write(directory.join("htpasswd"), HTPASSWD).unwrap();
        })
    }

    /// It speaks TLS with a certificate of its own, for `localhost` and `registry.localhost`.
    pub fn with_tls() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("SKIPPED: openssl is not installed (apt-get install openssl)");
            return None;
        }
        Self::start(
            "http: {addr: ADDRESS, tls: {certificate: DIR/certificate.pem, key: DIR/key.pem}}\n",
            make_certificate,
        )
    }

    /// With these lines in its configuration, in which `DIR` is its directory. `None`, and the
    /// reason on the log, where it is not installed.
    pub fn start(configuration: &str, prepare: impl FnOnce(&Path)) -> Option<Self> {
        if Command::new("docker-registry").arg("--version").output().is_err() {
            eprintln!(
                "SKIPPED: docker-registry is not installed (apt-get install docker-registry)"
            );
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: \
             DIR/data}}}}\n{configuration}"
        );
        let text = text.replace("DIR", directory.path().to_str().unwrap());
        let (child, port) = listening::start("docker-registry", |port| {
            let text = text.replace("ADDRESS", &format!("127.0.0.1:{port}"));
            std::fs::write(directory.path().join("config.yml"), text).unwrap();
            serve(directory.path())
        });
        Some(Self { child: Some(child), port, host: format!("localhost:{port}"), directory })
    }

    /// Ends it; what it has stays.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again in the same place.
    pub fn resume(&mut self) {
        let serve = || serve(self.directory.path());
        self.child = Some(listening::resume("docker-registry", self.port, serve));
    }

    /// The same place by a name that does not say that it is this machine.
    pub fn distant_host(&self) -> String {
        format!("registry.localhost:{}", self.port)
    }

    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// All that it has answered since the last [`DockerRegistry::forget_requests`].
    pub fn requests(&self) -> Vec<Request> {
        let log = std::fs::read_to_string(self.log_file()).unwrap();
        log.lines().filter_map(request).collect()
    }

    /// Requests with this method whose path, query included, contains `part`.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let requests = self.requests();
        requests.iter().filter(|r| r.method == method && r.path.contains(part)).count()
    }

    pub fn forget_requests(&self) {
        File::create(self.log_file()).unwrap();
    }

    /// It has something that a tag points to.
    pub fn has_tag(&self, repository: &str, tag: &str) -> bool {
        let of_tag = format!("_manifests/tags/{tag}/current/link");
        self.directory
            .path()
            .join("data/docker/registry/v2/repositories")
            .join(repository)
            .join(of_tag)
            .exists()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join(LOG)
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts it in its directory.
fn serve(directory: &Path) -> Child {
    let log = File::options().create(true).append(true).open(directory.join(LOG)).unwrap();
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(directory.join("config.yml")).stdout(log).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// `127.0.0.1 - - [DATE] "GET /v2/ HTTP/1.1" 200 2 "" "plimsoll/0.1.0"`
fn request(line: &str) -> Option<Request> {
    let mut parts = line.split('"').skip(1);
    let (asked, answered) = (parts.next()?, parts.next()?);
    let mut asked = asked.split(' ').map(str::to_owned);
    let (method, path) = (asked.next()?, asked.next()?);
    let status = answered.split_whitespace().next()?.parse().ok()?;
    Some(Request { method, path, status })
}

fn make_certificate(directory: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "subjectAltName=DNS:localhost,DNS:registry.localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
