//! `ADD https://…`: the fake registry's blobs serve as files.

use std::io::Read as _;

use plimsoll::context::http::{Error, download, validate};
use plimsoll::digest::Sha256Sum;

use super::fake::{FakeRegistry, Fault, FaultKind, Options};
use super::{IMPATIENT, clients, noise, silent};

fn fault(method: &'static str, times: usize, kind: FaultKind) -> Fault {
    Fault { method, path: "/blobs/", skip: 0, times, kind }
}

#[tokio::test]
async fn a_file_is_downloaded_whole_and_checked() {
    let server = FakeRegistry::start(Options::default());
    let content = noise(100_000);
    let digest = server.add_blob("files", content.clone());
    let url = format!("http://{}/v2/files/blobs/{digest}?secret=1", server.host());
    let spool = tempfile::tempdir().unwrap();
    let get = async |checksum| {
        download(&clients(), &IMPATIENT, &url, checksum, spool.path(), &silent).await
    };
    for kind in [FaultKind::Slow(1), FaultKind::Status(503), FaultKind::BreakAfterSending(50_000)] {
        server.fault(fault("GET", 1, kind));
        let downloaded = get(Some(Sha256Sum::of(&content))).await.unwrap();
        let mut bytes = Vec::new();
        downloaded.file.reopen().unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, content, "{kind:?}");
        assert_eq!(downloaded.digest, Sha256Sum::of(&content));
        assert_eq!(downloaded.name, digest.to_string());
        assert_eq!(downloaded.facts.length, Some(100_000));
    }

    let error = get(Some(Sha256Sum::of(b""))).await.unwrap_err();
    let (expected, found) = (Sha256Sum::of(b"").hex(), Sha256Sum::of(&content).hex());
    let text = error.to_string();
    assert!(text.contains(&expected) && text.contains(&found), "{text}");
    assert!(!text.contains("secret"), "{text}");

    server.fault(fault("GET", 99, FaultKind::BreakAfterSending(10)));
    let error = get(None).await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "a server that always breaks: {error}");
    assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn a_missing_file_is_said_as_buildkit_says_it() {
    let server = FakeRegistry::start(Options::default());
    let url = format!("http://{}/v2/files/blobs/none", server.host());
    let error = validate(&clients(), &IMPATIENT, &url).await.unwrap_err();
    assert!(error.to_string().ends_with("invalid response status 404"), "{error}");
    let spool = tempfile::tempdir().unwrap();
    let error =
        download(&clients(), &IMPATIENT, &url, None, spool.path(), &silent).await.unwrap_err();
    assert!(error.to_string().ends_with("invalid response status 404"), "{error}");
}

#[tokio::test]
async fn facts_come_from_head_or_else_from_get() {
    let server = FakeRegistry::start(Options::default());
    let digest = server.add_blob("files", noise(10));
    let url = format!("http://{}/v2/files/blobs/{digest}", server.host());
    let first = validate(&clients(), &IMPATIENT, &url).await.unwrap();
    assert_eq!((first.length, server.count("GET", "/blobs/")), (Some(10), 0));
    server.fault(fault("HEAD", 1, FaultKind::Status(403)));
    assert_eq!(validate(&clients(), &IMPATIENT, &url).await.unwrap(), first);
    assert_eq!(server.count("GET", "/blobs/"), 1);
}
