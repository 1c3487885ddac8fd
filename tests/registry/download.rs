//! `ADD https://…`: the fake registry's blobs serve as files.

use std::io::{Read as _, Seek as _};

use plimsoll::context::http::{Downloaded, Error, Request, download};
use plimsoll::digest::Digest;

use super::fake::{FakeRegistry, Fault, FaultKind, Options};
use super::{IMPATIENT, clients, noise};

fn fault(method: &'static str, times: usize, kind: FaultKind) -> Fault {
    Fault { method, path: "/blobs/", skip: 0, times, kind }
}

#[tokio::test]
async fn a_file_is_downloaded_whole_and_checked() {
    let server = FakeRegistry::start(Options::default());
    let content = noise(100_000);
    let digest = server.add_blob("files", content.clone());
    let url = format!("http://{}/v2/files/blobs/{digest}?secret=1", server.host());
    let get = async |checksum| get(&url, checksum).await;
    for kind in [FaultKind::Slow(1), FaultKind::Status(503), FaultKind::BreakAfterSending(50_000)] {
        server.fault(fault("GET", 1, kind));
        let (bytes, downloaded) = get(Some(digest)).await.unwrap();
        assert_eq!(bytes, content, "{kind:?}");
        assert_eq!((downloaded.digest, downloaded.length), (digest, 100_000));
    }

    let text = get(Some(Digest::of(b""))).await.unwrap_err().to_string();
    let expected = format!(": {digest} (expected: {})", Digest::of(b""));
    assert!(text.starts_with("digest mismatch for http://127.0.0.1:"), "{text}");
    assert!(text.ends_with(&expected) && !text.contains("secret"), "{text}");

    server.fault(fault("GET", 99, FaultKind::BreakAfterSending(10)));
    let error = get(None).await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "a server that always breaks: {error}");
}

/// What is downloaded, and what is told of it.
async fn get(url: &str, checksum: Option<Digest>) -> Result<(Vec<u8>, Downloaded), Error> {
    let mut file = tempfile::tempfile().unwrap();
    let request = Request { url, authorization: None, known: None, checksum };
    let downloaded = download(&clients(), &IMPATIENT, &request, &file, &|_, _| {}).await?;
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    Ok((bytes, downloaded.expect("nothing was known")))
}

#[tokio::test]
async fn a_missing_file_is_said_as_buildkit_says_it() {
    let server = FakeRegistry::start(Options::default());
    let url = format!("http://{}/v2/files/blobs/none", server.host());
    let error = get(&url, None).await.unwrap_err();
    assert!(error.to_string().ends_with("invalid response status 404"), "{error}");
}
