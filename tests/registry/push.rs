//! Pushing: what is there stays, what can be mounted is, the rest survives faults.

use std::io::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use plimsoll::digest::Digest;
use plimsoll::registry::{BlobSource, Error, ImageToPush, PushedBlobs, Registry, Transfer};
use tokio::runtime::Handle;

use super::fake::{Auth, FakeRegistry, Fault, FaultKind, Options};
use super::{Image, anonymous, layer, noise, password, push, reference, silent, with_credential};

fn fault(method: &'static str, path: &'static str, kind: FaultKind) -> Fault {
    Fault { method, path, skip: 0, times: 1, kind }
}

fn from_repository(server: &FakeRegistry, repository: &str) -> BlobSource {
    BlobSource::Registry { image: reference(&server.host(), repository), file: None }
}

async fn ensure(
    registry: &Registry,
    server: &FakeRegistry,
    bytes: &Bytes,
) -> Result<Transfer, Error> {
    let target = reference(&server.host(), "app/x");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let source = BlobSource::File(file.path().to_owned());
    registry.ensure_blob(&target, &layer(bytes), &source, None, &silent).await
}

#[tokio::test]
async fn an_image_is_pushed_blobs_first_and_tags_last() {
    let server = FakeRegistry::start(Options::default());
    let image = Image::new("amd64", &[noise(5000), noise(6000), noise(5000)]);
    let names = ["app/x:1", "app/x:latest"].map(|rest| reference(&server.host(), rest));
    let push = async || push(&anonymous(), &image, &names).await.unwrap();
    let expected = image.config.len() as u64 + 11_000;
    let pushed = PushedBlobs { uploaded: 3, bytes: expected, ..PushedBlobs::default() };
    assert_eq!(push().await, [pushed, PushedBlobs::default()], "two names of one repository");
    let digest = Digest::of(&image.manifest).to_string();
    for under in ["1", "latest", &digest] {
        assert_eq!(server.manifest("app/x", under).as_ref(), Some(&image.manifest), "{under}");
    }
    let puts: Vec<String> = server
        .log()
        .into_iter()
        .filter(|entry| entry.method == "PUT")
        .map(|entry| entry.path.rsplit_once('/').unwrap().1.to_owned())
        .collect();
    assert_eq!(puts[puts.len() - 3..], [digest, "1".to_owned(), "latest".to_owned()]);

    server.forget_log();
    assert_eq!(push().await[0], PushedBlobs { present: 3, ..PushedBlobs::default() });
    assert_eq!(server.count("POST", "/uploads/"), 0);
}

#[tokio::test]
async fn an_index_follows_what_it_refers_to() {
    let server = FakeRegistry::start(Options::default());
    let images = ["amd64", "arm64"].map(|name| Image::new(name, &[noise(5000)]));
    let index = Bytes::from_static(b"{\"manifests\": []}");
    let kind = "application/vnd.oci.image.index.v1+json";
    let parts = images.each_ref().map(Image::to_push);
    let whole = ImageToPush {
        manifest: index.clone(),
        media_type: kind.to_owned(),
        manifests: parts.iter().map(|p| (p.manifest.clone(), p.media_type.clone())).collect(),
        blobs: parts.into_iter().flat_map(|part| part.blobs).collect(),
    };
    let names = ["app/x:1", "app/y:2"].map(|rest| reference(&server.host(), rest));
    let push = anonymous().push(names.to_vec(), &Handle::current());
    push.finish(&whole, &silent).await.unwrap();
    let digest = |bytes: &Bytes| Digest::of(bytes).to_string();
    for (repository, tag) in [("app/x", "1"), ("app/y", "2")] {
        let puts: Vec<String> = server
            .log()
            .into_iter()
            .filter(|entry| entry.method == "PUT")
            .filter_map(|entry| {
                let under = entry.path.split_once(&format!("{repository}/manifests/"))?.1;
                Some(under.to_owned())
            })
            .collect();
        let [first, second] = images.each_ref().map(|image| digest(&image.manifest));
        assert_eq!(puts, [first, second, digest(&index), tag.to_owned()]);
    }
}

#[tokio::test]
async fn a_second_repository_takes_the_blobs_from_the_first() {
    let server = FakeRegistry::start(Options::default());
    let image = Image::new("amd64", &[noise(5000)]);
    let names = ["app/x:1", "app/y:1"].map(|rest| reference(&server.host(), rest));
    let pushed = push(&anonymous(), &image, &names).await.unwrap();
    assert_eq!((pushed[0].uploaded, pushed[1].mounted), (2, 2));
    assert_eq!(server.uploaded(), 5000 + image.config.len());
}

#[tokio::test]
async fn a_base_of_the_same_registry_is_mounted_with_both_scopes() {
    let auth = Auth::Token {
        user: "me".to_owned(),
        password: "p".to_owned(),
        identity_token: None,
        public: Vec::new(),
    };
    let server = FakeRegistry::start(Options { auth, ..Options::default() });
    let blob = noise(1000);
    server.add_blob("base/x", blob.clone());
    let registry = with_credential(&server.host(), password("me", "p"));
    let target = reference(&server.host(), "app/x");
    let source = from_repository(&server, "base/x");
    let ensure =
        async || registry.ensure_blob(&target, &layer(&blob), &source, None, &silent).await;
    assert_eq!(ensure().await.unwrap(), Transfer::Mounted);
    assert_eq!(ensure().await.unwrap(), Transfer::Present);
    assert_eq!(server.count("GET", "/blobs/"), 0, "nothing was transferred");
    let scopes = server.token_requests();
    assert_eq!(scopes.last().unwrap(), &["repository:app/x:pull,push", "repository:base/x:pull"]);
}

#[tokio::test]
async fn a_declined_mount_goes_on_as_an_upload() {
    let server = FakeRegistry::start(Options { decline_mounts: true, ..Options::default() });
    let blob = noise(1000);
    server.add_blob("base/x", blob.clone());
    let target = reference(&server.host(), "app/x");
    let source = from_repository(&server, "base/x");
    let registry = anonymous();
    let transfer = registry.ensure_blob(&target, &layer(&blob), &source, None, &silent).await;
    assert_eq!(transfer.unwrap(), Transfer::Uploaded);
    assert_eq!(server.count("POST", "/uploads/"), 1, "in the upload that was opened");

    server.fault(fault("POST", "/uploads/", FaultKind::Code(403, "DENIED")));
    let target = reference(&server.host(), "app/y");
    let transfer = registry.ensure_blob(&target, &layer(&blob), &source, None, &silent).await;
    assert_eq!(transfer.unwrap(), Transfer::Uploaded, "a refused mount is no failure");
}

#[tokio::test]
async fn a_blob_of_another_registry_passes_through() {
    let from = FakeRegistry::start(Options::default());
    let to = FakeRegistry::start(Options::default());
    let blob = noise(300_000);
    from.add_blob("base/x", blob.clone());
    // Each end breaks once in the middle.
    from.fault(fault("GET", "/blobs/", FaultKind::BreakAfterSending(100_000)));
    to.fault(fault("PATCH", "/uploads/", FaultKind::CloseAfterReading(30_000)));
    let registry = anonymous().with_chunk_size(100_000);
    let target = reference(&to.host(), "app/x");
    let source = from_repository(&from, "base/x");
    let ensure =
        async || registry.ensure_blob(&target, &layer(&blob), &source, None, &silent).await;
    assert_eq!(ensure().await.unwrap(), Transfer::Uploaded);
    assert_eq!(to.blob("app/x", Digest::of(&blob)), Some(blob.clone()));
    from.forget_log();
    assert_eq!(ensure().await.unwrap(), Transfer::Present);
    assert!(from.log().is_empty(), "what is there is not read from the source");
}

#[tokio::test]
async fn a_source_that_fails_is_the_error() {
    let from = FakeRegistry::start(Options::default());
    let to = FakeRegistry::start(Options::default());
    let blob = noise(1000);
    let target = reference(&to.host(), "app/x");
    let source = from_repository(&from, "base/x");
    let error = anonymous().ensure_blob(&target, &layer(&blob), &source, None, &silent).await;
    let error = error.unwrap_err();
    assert!(error.has_code("BLOB_UNKNOWN"), "{error}");
    assert!(error.to_string().contains(&from.host()), "{error}");
    let gone = BlobSource::File("/nonexistent/spool".into());
    let error = anonymous().ensure_blob(&target, &layer(&blob), &gone, None, &silent).await;
    assert!(matches!(error, Err(Error::Spool { .. })), "{error:?}");
    let other = BlobSource::Bytes(noise(999));
    let error = anonymous().ensure_blob(&target, &layer(&blob), &other, None, &silent).await;
    assert!(matches!(error, Err(Error::Size { expected: 1000, found: 999, .. })), "{error:?}");
}

#[tokio::test]
async fn uploads_in_one_request_survive_faults() {
    let blob = noise(100_000);
    for (method, kind, uploads) in [
        ("PUT", FaultKind::Status(503), 2),
        ("PUT", FaultKind::StatusAfter(429, 0), 2),
        ("PUT", FaultKind::CloseAfterReading(30_000), 2),
        ("PUT", FaultKind::LoseAnswer, 1),
        ("PUT", FaultKind::Code(404, "BLOB_UPLOAD_UNKNOWN"), 2),
        ("POST", FaultKind::Status(502), 2),
        ("POST", FaultKind::LoseAnswer, 2),
        ("HEAD", FaultKind::Status(500), 1),
    ] {
        let server = FakeRegistry::start(Options::default());
        server.fault(fault(method, "/blobs/", kind));
        let transfer = ensure(&anonymous(), &server, &blob).await;
        assert_eq!(transfer.unwrap(), Transfer::Uploaded, "{method} {kind:?}");
        assert_eq!(server.blob("app/x", Digest::of(&blob)), Some(blob.clone()));
        assert_eq!(server.count("POST", "/uploads/"), uploads, "{method} {kind:?}");
    }
}

#[tokio::test]
async fn uploads_in_pieces_go_on_where_they_broke() {
    let blob = noise(250_000);
    for (kind, received) in [
        (None, 250_000),
        // Sent again as a whole, as nothing of it has arrived.
        (Some(FaultKind::Status(500)), 350_000),
        // The rest of the piece follows, then the pieces are as long as before.
        (Some(FaultKind::LoseAnswer), 250_000),
    ] {
        let server = FakeRegistry::start(Options::default());
        if let Some(kind) = kind {
            server.fault(Fault { skip: 1, ..fault("PATCH", "/uploads/", kind) });
        }
        let registry = anonymous().with_chunk_size(100_000);
        let transfer = ensure(&registry, &server, &blob).await;
        assert_eq!(transfer.unwrap(), Transfer::Uploaded, "{kind:?}");
        assert_eq!(server.blob("app/x", Digest::of(&blob)), Some(blob.clone()));
        assert_eq!(server.uploaded(), received, "{kind:?}");
        assert_eq!(server.count("POST", "/uploads/"), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn a_registry_that_never_takes_a_blob_ends_the_attempts() {
    let blob = noise(250_000);
    for (method, kind, count) in [
        ("POST", FaultKind::Status(503), 4),
        ("PATCH", FaultKind::Status(503), 4),
        ("PATCH", FaultKind::CloseAfterReading(0), 4),
        // Each time after all pieces have arrived.
        ("PUT", FaultKind::Status(500), 4),
        ("PUT", FaultKind::Code(404, "BLOB_UPLOAD_UNKNOWN"), 4),
    ] {
        let server = FakeRegistry::start(Options::default());
        server.fault(Fault { times: 99, ..fault(method, "/uploads/", kind) });
        let error = ensure(&anonymous().with_chunk_size(100_000), &server, &blob).await;
        assert!(error.is_err(), "{method} {kind:?}");
        assert_eq!(server.count(method, "/uploads/"), count, "{method} {kind:?}");
    }
}

#[tokio::test]
async fn a_piece_that_broke_off_is_continued() {
    let blob = noise(250_000);
    let server = FakeRegistry::start(Options::default());
    server.fault(fault("PATCH", "/uploads/", FaultKind::CloseAfterReading(40_000)));
    let registry = anonymous().with_chunk_size(200_000);
    assert_eq!(ensure(&registry, &server, &blob).await.unwrap(), Transfer::Uploaded);
    assert_eq!(server.blob("app/x", Digest::of(&blob)), Some(blob));
    assert_eq!(server.uploaded(), 250_000, "no byte twice");
}

#[tokio::test]
async fn the_way_that_a_registry_refuses_is_left() {
    let blob = noise(250_000);
    let refuse_chunks = Options { refuse_chunks: true, ..Options::default() };
    let limited = Options { body_limit: Some(150_000), ..Options::default() };
    for (options, chunk_size) in [(refuse_chunks, 100_000), (limited, 1_000_000)] {
        let server = FakeRegistry::start(options);
        let registry = anonymous().with_chunk_size(chunk_size);
        assert_eq!(ensure(&registry, &server, &blob).await.unwrap(), Transfer::Uploaded);
        assert_eq!(server.blob("app/x", Digest::of(&blob)), Some(blob.clone()));
    }
    let neither = Options { body_limit: Some(150_000), refuse_chunks: true, ..Options::default() };
    let server = FakeRegistry::start(neither);
    let error = ensure(&anonymous(), &server, &blob).await.unwrap_err();
    assert_eq!(error.status(), Some(413));
}

#[tokio::test]
async fn pieces_are_as_large_as_the_registry_wants() {
    let blob = noise(250_000);
    let server = FakeRegistry::start(Options { chunk_minimum: 100_000, ..Options::default() });
    let registry = anonymous().with_chunk_size(30_000);
    assert_eq!(ensure(&registry, &server, &blob).await.unwrap(), Transfer::Uploaded);
    assert_eq!(server.count("PATCH", "/uploads/"), 3);
    assert_eq!(server.uploaded(), 250_000);
}

#[tokio::test]
async fn a_registry_is_not_asked_before_it_wants_to_be() {
    let server = FakeRegistry::start(Options::default());
    server.fault(fault("PUT", "/uploads/", FaultKind::StatusAfter(429, 1)));
    let begun = Instant::now();
    let transfer = ensure(&anonymous(), &server, &noise(1000)).await;
    assert_eq!(transfer.unwrap(), Transfer::Uploaded);
    // IMPATIENT itself would come again after 5 ms.
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn manifests_and_tags_survive_faults() {
    let image = Image::new("amd64", &[noise(1000)]);
    for skip in [0, 1] {
        for kind in [FaultKind::Status(503), FaultKind::StatusAfter(429, 0), FaultKind::LoseAnswer]
        {
            let server = FakeRegistry::start(Options::default());
            server.fault(Fault { skip, ..fault("PUT", "/manifests/", kind) });
            push(&anonymous(), &image, &[reference(&server.host(), "app/x:1")]).await.unwrap();
            assert_eq!(server.manifest("app/x", "1").as_ref(), Some(&image.manifest), "{kind:?}");
            assert_eq!(server.count("PUT", "/manifests/"), 3, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn what_failed_early_is_tried_again_at_the_end() {
    let server = FakeRegistry::start(Options::default());
    let image = Image::new("amd64", &[noise(5000)]);
    let names = [reference(&server.host(), "app/x:1")];
    for (times, succeeds) in [(1, true), (2, false)] {
        server.forget_log();
        let refuse = FaultKind::Code(400, "DIGEST_INVALID");
        server.fault(Fault { times, ..fault("PUT", "/uploads/", refuse) });
        let image = if succeeds { &image } else { &Image::new("amd64", &[noise(6000)]) };
        let push = anonymous().push(names.to_vec(), &Handle::current());
        let (blob, source) = image.to_push().blobs.remove(0);
        push.begin(&blob, &source);
        push.begin(&blob, &source);
        while server.count("PUT", "/uploads/") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The answer has left; that it has been read takes another moment.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let pushed = push.finish(&image.to_push(), &silent).await;
        if succeeds {
            assert_eq!(pushed.unwrap()[0].uploaded, 2);
            assert_eq!(server.count("PUT", "/uploads/"), 3, "the layer twice");
        } else {
            assert!(pushed.unwrap_err().has_code("DIGEST_INVALID"));
            assert_eq!(server.count("PUT", "/manifests/"), 0);
        }
    }
}

#[tokio::test]
async fn a_file_of_a_base_saves_reading_its_registry() {
    let from = FakeRegistry::start(Options::default());
    let to = FakeRegistry::start(Options::default());
    let blob = noise(1000);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&blob).unwrap();
    let image = reference(&from.host(), "base/x");
    let source = BlobSource::Registry { image, file: Some(file.path().to_owned()) };
    let target = reference(&to.host(), "app/x");
    let transfer = anonymous().ensure_blob(&target, &layer(&blob), &source, None, &silent).await;
    assert_eq!(transfer.unwrap(), Transfer::Uploaded);
    assert!(from.log().is_empty());
}

#[tokio::test]
async fn tokens_that_expire_in_the_middle_are_renewed() {
    let auth = Auth::Token {
        user: "me".to_owned(),
        password: "p".to_owned(),
        identity_token: None,
        public: Vec::new(),
    };
    for method in ["PATCH", "PUT"] {
        let server = FakeRegistry::start(Options { auth: auth.clone(), ..Options::default() });
        server.fault(fault(method, "/uploads/", FaultKind::ExpireTokens));
        let registry =
            with_credential(&server.host(), password("me", "p")).with_chunk_size(100_000);
        let blob = noise(150_000);
        assert_eq!(ensure(&registry, &server, &blob).await.unwrap(), Transfer::Uploaded);
        assert_eq!(server.blob("app/x", Digest::of(&blob)), Some(blob), "{method}");
    }
}

#[tokio::test]
async fn a_refusal_shows_neither_session_nor_token() {
    let server = FakeRegistry::start(Options::default());
    server.fault(fault("PUT", "/uploads/", FaultKind::Code(400, "DIGEST_INVALID")));
    let error = ensure(&anonymous(), &server, &noise(10)).await.unwrap_err();
    let expected = format!(
        "PUT http://{}/v2/app/x/blobs/uploads/…: 400 Bad Request: DIGEST_INVALID: refused by the fake",
        server.host()
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let server = FakeRegistry::start(Options::default());
    assert_eq!(ensure(&anonymous(), &server, &Bytes::new()).await.unwrap(), Transfer::Uploaded);
    assert_eq!(server.blob("app/x", Digest::of(b"")), Some(Bytes::new()));
}

#[tokio::test]
async fn progress_ends_at_the_size_of_the_blob() {
    let server = FakeRegistry::start(Options::default());
    let blob = noise(250_000);
    let seen = std::sync::Mutex::new(Vec::new());
    let progress = |sent| seen.lock().unwrap().push(sent);
    let (target, source) = (reference(&server.host(), "app/x"), BlobSource::Bytes(blob.clone()));
    let registry = anonymous().with_chunk_size(100_000);
    registry.ensure_blob(&target, &layer(&blob), &source, None, &progress).await.unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted() && seen.last() == Some(&250_000), "{seen:?}");
}
