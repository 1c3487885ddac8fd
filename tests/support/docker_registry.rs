//! Debian's docker-registry on a free port of the loopback interface, until it is dropped. What it
//! was asked is read from its access log.

#![allow(dead_code, reason = "no test uses all of it")]

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// Whom [`Options::password`] lets in: the name and the password.
pub const USER: (&str, &str) = ("me", "pa:ss");
/// `USER` (bcrypt, the only form that it takes).
const HTPASSWD: &str = "me:$2b$04$Hw/mRfAwf02j/AdCx5DBF.vcRJgD.4IrxjbGpBV1GKPhD45yPp.la\n";

#[derive(Clone, Copy, Default)]
pub struct Options {
    /// It wants the password of [`USER`].
    pub password: bool,
    /// It speaks TLS with a certificate of its own, for `localhost` and `registry.localhost`.
    pub tls: bool,
}

pub struct DockerRegistry {
    child: Option<Child>,
    options: Options,
    port: u16,
    directory: TempDir,
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
    /// `None`, and the reason on the log, where it (or openssl, for a certificate) is missing.
    pub fn start(options: Options) -> Option<Self> {
        for (needed, program) in [(true, "docker-registry"), (options.tls, "openssl")] {
            let version = if program == "openssl" { "version" } else { "--version" };
            if needed && Command::new(program).arg(version).output().is_err() {
                eprintln!("SKIPPED: {program} is not installed (apt-get install {program})");
                return None;
            }
        }
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("htpasswd"), HTPASSWD).unwrap();
        if options.tls {
            make_certificate(directory.path());
        }
        let mut registry = Self { child: None, options, port: 0, directory };
        registry.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        registry.resume();
        Some(registry)
    }

    /// Ends it; what it has stays.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on the same port.
    pub fn resume(&mut self) {
        let root = self.directory.path().display();
        let mut text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: \
             {root}/data}}}}\nhttp: {{addr: '127.0.0.1:{}'",
            self.port
        );
        if self.options.tls {
            text += &format!(", tls: {{certificate: {root}/certificate.pem, key: {root}/key.pem}}");
        }
        text += "}\n";
        if self.options.password {
            text += &format!("auth: {{htpasswd: {{realm: test, path: {root}/htpasswd}}}}\n");
        }
        let file = self.directory.path().join("config.yml");
        std::fs::write(&file, text).unwrap();
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(file)
            .stdout(log)
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        let listens = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        assert!(listens, "docker-registry does not listen");
    }

    /// `localhost:PORT`, as it stands in references.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
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
        self.directory.path().join("access.log")
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        self.stop();
    }
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
