//! The same client against Debian's docker-registry: plain, with passwords, and with TLS.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::docker_registry::DockerRegistry;
use super::{Image, anonymous, layer, noise, password, reference, silent, with_credential};
use futures_util::TryStreamExt as _;
use plimsoll::http::{Clients, Peer};
use plimsoll::registry::{BlobSource, PushedBlobs, Transfer};

/// `me` with the password `pa:ss` (bcrypt, the only form that it takes).
const HTPASSWD: &str = "me:$2b$04$Hw/mRfAwf02j/AdCx5DBF.vcRJgD.4IrxjbGpBV1GKPhD45yPp.la\n";

#[tokio::test]
async fn images_are_pushed_and_pulled() {
    let Some(server) = DockerRegistry::start("http: {addr: ADDRESS}\n", |_| {}) else { return };
    // Pieces of 100 kB, so that the larger layer is sent in several.
    let registry = anonymous().with_chunk_size(100_000);
    let image = Image::new("amd64", &[noise(50_000), noise(350_000)]);
    let names = ["a/b:1", "c/d:1"].map(|rest| reference(&server.host, rest));
    let push = async || registry.push_image(&image.to_push(), &names, &|_, _| {}).await.unwrap();
    let bytes = 400_000 + image.config.len() as u64;
    assert_eq!(push().await, PushedBlobs { present: 0, mounted: 3, uploaded: 3, bytes });
    assert_eq!(push().await, PushedBlobs { present: 6, ..PushedBlobs::default() });
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
    let push = async |registry: plimsoll::registry::Registry| {
        registry.push_image(&image.to_push(), &names, &|_, _| {}).await
    };
    let pushed = push(with_credential(&server.host, password("me", "pa:ss"))).await.unwrap();
    assert_eq!(pushed.uploaded, 2);
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
    let pushed = anonymous().push_image(&image.to_push(), &names, &|_, _| {}).await.unwrap();
    assert_eq!(pushed.uploaded, 2);

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
