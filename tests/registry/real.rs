//! The same client against Debian's docker-registry: plain, with passwords, and with TLS.

use futures_util::TryStreamExt as _;
use plimsoll::http::{Clients, Peer};
use plimsoll::registry::{BlobSource, PushedBlobs, Registry, Transfer};

use super::docker_registry::{DockerRegistry, USER};
use super::{Image, anonymous, layer, noise, password, push, reference, silent, with_credential};

#[tokio::test]
async fn images_are_pushed_and_pulled() {
    let Some(server) = DockerRegistry::plain() else { return };
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
    let Some(server) = DockerRegistry::with_password() else { return };
    let image = Image::new("amd64", &[noise(1000)]);
    let names = [reference(&server.host, "a/b:1")];
    let push = async |registry: Registry| push(&registry, &image, &names).await;
    let pushed = push(with_credential(&server.host, password(USER.0, USER.1))).await.unwrap();
    assert_eq!(pushed[0].uploaded, 2);
    for registry in [anonymous(), with_credential(&server.host, password("me", "wrong"))] {
        let error = push(registry).await.unwrap_err();
        assert_eq!(error.status(), Some(401));
        assert!(error.hints().concat().contains(&format!("docker login {}", server.host)));
    }
}

#[tokio::test]
async fn its_certificate_counts_unless_it_is_declared_insecure() {
    let Some(server) = DockerRegistry::with_tls() else { return };
    // This machine's own registry is reached whatever its certificate is.
    let image = Image::new("amd64", &[noise(1000)]);
    let names = [reference(&server.host, "a/b:1")];
    let pushed = push(&anonymous(), &image, &names).await.unwrap();
    assert_eq!(pushed[0].uploaded, 2);

    let certificate = std::fs::read(server.certificate()).unwrap();
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
