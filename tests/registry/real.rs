//! The same client against Debian's docker-registry: plain, with passwords, and with TLS.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use plimsoll::http::{Clients, Peer};
use plimsoll::registry::{BlobSource, PushedBlobs, Registry, Transfer};
use tempfile::TempDir;

use super::{Image, anonymous, layer, noise, password, push, reference, silent, with_credential};

/// `me` with the password `pa:ss` (bcrypt, the only form that it takes).
const HTPASSWD: &str = "me:$2b$04$Hw/mRfAwf02j/AdCx5DBF.vcRJgD.4IrxjbGpBV1GKPhD45yPp.la\n";

struct DockerRegistry {
    child: Child,
    host: String,
    directory: TempDir,
}

impl DockerRegistry {
    /// With these lines in its configuration, in which `DIR` is its directory. `None`, and the
    /// reason on the log, where it is not installed.
    fn start(configuration: &str, prepare: impl FnOnce(&Path)) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = format!("localhost:{port}");
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: \
             DIR/data}}}}\n{}",
            configuration.replace("ADDRESS", &format!("127.0.0.1:{port}"))
        );
        let file = directory.path().join("config.yml");
        std::fs::write(&file, text.replace("DIR", directory.path().to_str().unwrap())).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            eprintln!(
                "SKIPPED: docker-registry is not installed (apt-get install docker-registry)"
            );
            return None;
        };
        let registry = Self { child, host, directory };
        let listens = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        assert!(listens, "docker-registry does not listen");
        Some(registry)
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn images_are_pushed_and_pulled() {
    let Some(server) = DockerRegistry::start("http: {addr: ADDRESS}\n", |_| {}) else { return };
    // Pieces of 100 kB, so that the larger layer is sent in several.
    let registry = anonymous().with_chunk_size(100_000);
    let image = Image::new("amd64", &[noise(50_000), noise(350_000)]);
    let names = ["a/b:1", "c/d:1"].map(|rest| reference(&server.host, rest));
    let push = async || push(&registry, &image, &names).await.unwrap();
    let bytes = 400_000 + image.config.len() as u64;
    let sent = PushedBlobs { uploaded: 3, bytes, ..PushedBlobs::default() };
    let mounted = PushedBlobs { mounted: 3, ..PushedBlobs::default() };
    assert_eq!(push().await, [sent, mounted]);
    let present = PushedBlobs { present: 3, ..PushedBlobs::default() };
    assert_eq!(push().await, [present; 2]);
    for name in &names {
        let resolved = registry.resolve(name, &"linux/amd64".parse().unwrap()).await.unwrap();
        assert_eq!(resolved.manifest_bytes, image.manifest);
        assert_eq!(registry.head(name).await.unwrap(), resolved.digest);
        for (blob, expected) in resolved.manifest.layers.iter().zip(&image.layers) {
            let pieces: Vec<_> = registry.blob(name, blob).try_collect().await.unwrap();
            assert_eq!(&pieces.concat(), expected);
        }
    }
    let empty = layer(b"");
    let source = BlobSource::Bytes(bytes::Bytes::new());
    let transfer = registry.ensure_blob(&names[0], &empty, &source, None, &silent).await;
    assert_eq!(transfer.unwrap(), Transfer::Uploaded);
    let missing = reference(&server.host, "a/b:2");
    let error = registry.head(&missing).await.unwrap_err();
    assert_eq!(error.status(), Some(404));
}

#[tokio::test]
async fn passwords_are_given_to_it() {
    let configuration =
        "http: {addr: ADDRESS}\nauth: {htpasswd: {realm: test, path: DIR/htpasswd}}\n";
    let server = DockerRegistry::start(configuration, |directory| {
        std::fs::write(directory.join("htpasswd"), HTPASSWD).unwrap();
    });
    let Some(server) = server else { return };
    let image = Image::new("amd64", &[noise(1000)]);
    let names = [reference(&server.host, "a/b:1")];
    let push = async |registry: Registry| push(&registry, &image, &names).await;
    let pushed = push(with_credential(&server.host, password("me", "pa:ss"))).await.unwrap();
    assert_eq!(pushed[0].uploaded, 2);
    for registry in [anonymous(), with_credential(&server.host, password("me", "wrong"))] {
        let error = push(registry).await.unwrap_err();
        assert_eq!(error.status(), Some(401));
        assert!(error.hints().concat().contains(&format!("docker login {}", server.host)));
    }
}

/// A certificate of its own for `localhost`; `false` without openssl.
fn make_certificate(directory: &Path) -> bool {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(directory)
        .stderr(Stdio::null())
        .status();
    made.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn its_certificate_counts_unless_it_is_declared_insecure() {
    let mut made = false;
    let server = DockerRegistry::start(
        "http: {addr: ADDRESS, tls: {certificate: DIR/certificate.pem, key: DIR/key.pem}}\n",
        |directory| {
            made = make_certificate(directory);
            if !made {
                // Without it the registry would end at once.
                std::fs::File::create(directory.join("config.yml")).unwrap().flush().unwrap();
            }
        },
    );
    let Some(server) = server.filter(|_| made) else {
        eprintln!("SKIPPED: needs docker-registry and openssl");
        return;
    };
    // This machine's own registry is reached whatever its certificate is.
    let image = Image::new("amd64", &[noise(1000)]);
    let names = [reference(&server.host, "a/b:1")];
    let pushed = push(&anonymous(), &image, &names).await.unwrap();
    assert_eq!(pushed[0].uploaded, 2);

    let certificate = std::fs::read(server.directory.path().join("certificate.pem")).unwrap();
    let url = format!("https://{}/v2/", server.host);
    for (certificates, trusted) in [(vec![certificate], true), (Vec::new(), false)] {
        let clients = Clients::new(certificates);
        let client = clients.client(Peer::Verified).await.unwrap();
        let answer = plimsoll::http::send(client.get(&url)).await;
        assert_eq!(answer.is_ok(), trusted);
        if let Err(failure) = answer {
            assert!(failure.is_distrust(), "{failure}");
        }
    }
}
