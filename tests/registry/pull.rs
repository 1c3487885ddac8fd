//! Resolving and pulling: platforms, mirrors, authorization, broken transfers.

use std::future::pending;
use std::io::Read as _;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use plimsoll::digest::Digest;
use plimsoll::image::{Descriptor, media_type};
use plimsoll::platform::Platform;
use plimsoll::registry::{Error, Reference, Registry};
use plimsoll::request::{Credential, RegistryOptions, Secret};

use super::fake::{Auth, FakeRegistry, Fault, FaultKind, Options};
use super::{Image, anonymous, client, layer, noise, password, reference, with_credential};

fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

async fn bytes(registry: &Registry, image: &Reference, blob: &Descriptor) -> Result<Bytes, Error> {
    let whole: Vec<u8> = registry
        .blob(image, blob)
        .try_fold(Vec::new(), async |mut all: Vec<u8>, piece| {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await?;
    Ok(whole.into())
}

fn fault(method: &'static str, path: &'static str, times: usize, kind: FaultKind) -> Fault {
    Fault { method, path, skip: 0, times, kind }
}

fn failing(method: &'static str, path: &'static str, times: usize, kind: FaultKind) -> Options {
    Options { faults: vec![fault(method, path, times, kind)], ..Options::default() }
}

fn token_auth(public: &[&str]) -> Auth {
    Auth::Token {
        user: "me".to_owned(),
        password: "pa:ss".to_owned(),
        identity_token: Some("identity".to_owned()),
        public: public.iter().map(|name| (*name).to_owned()).collect(),
    }
}

#[tokio::test]
async fn a_tag_resolves_to_its_manifest_and_configuration() {
    let server = FakeRegistry::start(Options::default());
    let image = Image::new("amd64", &[noise(1000)]);
    let digest = image.store(&server, "a/b", "1");
    let name = reference(&server.host(), "a/b:1");
    let registry = anonymous();
    assert_eq!(registry.head(&name).await.unwrap(), digest);
    let resolved = registry.resolve(&name, &amd64()).await.unwrap();
    assert_eq!((resolved.digest, resolved.manifest_digest), (digest, digest));
    assert_eq!(resolved.manifest_bytes, image.manifest);
    assert_eq!(resolved.config_bytes, image.config);
    assert_eq!(resolved.config.platform, amd64());
    assert!(resolved.index.is_none() && !resolved.other_platform);
    assert_eq!(server.count("GET", "/blobs/"), 1, "only the configuration is read");

    let pinned = reference(&server.host(), &format!("a/b@{digest}"));
    server.forget_log();
    assert_eq!(registry.head(&pinned).await.unwrap(), digest);
    assert!(server.log().is_empty(), "a digest is not asked for");
    assert_eq!(registry.resolve(&pinned, &amd64()).await.unwrap().digest, digest);
}

#[tokio::test]
async fn head_does_without_the_header_that_the_spec_only_recommends() {
    let server = FakeRegistry::start(Options { no_digest_header: true, ..Options::default() });
    let digest = Image::new("amd64", &[]).store(&server, "a/b", "1");
    assert_eq!(anonymous().head(&reference(&server.host(), "a/b:1")).await.unwrap(), digest);
}

#[tokio::test]
async fn an_index_leads_to_the_nearest_platform() {
    let server = FakeRegistry::start(Options::default());
    let (x86, arm) = (Image::new("amd64", &[]), Image::new("arm64", &[]));
    let entry = |image: &Image, architecture: &str| {
        format!(
            r#"{{"mediaType":"{}","digest":"{}","size":{},
            "platform":{{"os":"linux","architecture":"{architecture}"}}}}"#,
            media_type::OCI_MANIFEST,
            image.store(&server, "a/b", ""),
            image.manifest.len()
        )
    };
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{},{}]}}"#,
        media_type::DOCKER_MANIFEST_LIST,
        entry(&arm, "arm64"),
        entry(&x86, "amd64")
    );
    let top = server.add_manifest("a/b", "1", media_type::DOCKER_MANIFEST_LIST, index);
    let name = reference(&server.host(), "a/b:1");
    let wanted = "linux/amd64/v3".parse().unwrap();
    let resolved = anonymous().resolve(&name, &wanted).await.unwrap();
    assert_eq!(resolved.digest, top);
    assert_eq!(resolved.manifest_digest, Digest::of(&x86.manifest));
    assert_eq!(resolved.index.as_ref().unwrap().manifests.len(), 2);
    assert!(!resolved.other_platform);

    // Who knows the documents asks what the tag leads to, and of a digest not even that.
    let (index, known) = (resolved.index_bytes.clone(), resolved.clone());
    let documents = [index.unwrap(), known.manifest_bytes, known.config_bytes];
    let known = |digest: &Digest| documents.iter().find(|d| Digest::of(d) == *digest).cloned();
    for (name, requests) in [(name.clone(), 1), (name.clone_with_digest(top.to_string()), 0)] {
        server.forget_log();
        let again = anonymous().resolve_knowing(&name, &wanted, &known).await.unwrap();
        assert_eq!(again.manifest_bytes, x86.manifest);
        assert_eq!(again.config, resolved.config);
        assert_eq!(
            (server.log().len(), server.count("HEAD", "/manifests/1")),
            (requests, requests)
        );
    }
    // What is not known is asked for, by its digest.
    server.forget_log();
    let other = anonymous().resolve_knowing(&name, &"linux/arm64".parse().unwrap(), &known).await;
    assert_eq!(other.unwrap().manifest_bytes, arm.manifest);
    assert_eq!(server.count("GET", "/manifests/"), 1);

    let error = anonymous().resolve(&name, &"linux/s390x".parse().unwrap()).await.unwrap_err();
    let expected =
        format!("{name} has no image for linux/s390x, only for linux/arm64, linux/amd64");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn an_image_for_another_platform_only_is_marked() {
    let server = FakeRegistry::start(Options::default());
    Image::new("arm64", &[]).store(&server, "a/b", "1");
    let name = reference(&server.host(), "a/b:1");
    assert!(anonymous().resolve(&name, &amd64()).await.unwrap().other_platform);
}

#[tokio::test]
async fn what_is_no_image_or_not_what_was_asked_for_is_refused() {
    let server = FakeRegistry::start(Options::default());
    let digest = Image::new("amd64", &[]).store(&server, "a/b", "1");
    let v1 = r#"{"schemaVersion":1,"fsLayers":[]}"#;
    server.add_manifest("a/b", "v1", "application/vnd.docker.distribution.manifest.v1+json", v1);
    server.add_manifest("a/b", "big", media_type::OCI_MANIFEST, vec![b' '; 5 << 20]);
    server.fault(fault("GET", "/manifests/1", 1, FaultKind::Corrupt));
    server.fault(fault("GET", "/manifests/sha256", 1, FaultKind::Corrupt));
    let registry = anonymous();
    for (rest, expected) in [
        ("a/b:v1".to_owned(), "schema 1"),
        ("a/b:big".to_owned(), "larger than 4194304 bytes"),
        ("a/b:none".to_owned(), "404 Not Found: MANIFEST_UNKNOWN"),
        ("a/b:1".to_owned(), "the manifest of"),
        (format!("a/b@{digest}"), "the manifest of"),
    ] {
        let name = reference(&server.host(), &rest);
        let error = registry.resolve(&name, &amd64()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{rest}: {error}");
    }
}

#[tokio::test]
async fn a_blob_goes_on_where_its_transfer_broke() {
    let blob = noise(200_000);
    for (ignore_ranges, expected) in [(false, "bytes=65536-199999"), (true, "bytes=65536-199999")] {
        let options = failing("GET", "/blobs/", 1, FaultKind::BreakAfterSending(65_536));
        let server = FakeRegistry::start(Options { ignore_ranges, ..options });
        server.add_blob("a/b", blob.clone());
        let name = reference(&server.host(), "a/b");
        assert_eq!(bytes(&anonymous(), &name, &layer(&blob)).await.unwrap(), blob);
        let ranges: Vec<_> = server.log().into_iter().map(|entry| entry.range).collect();
        assert_eq!(ranges, [None, Some(expected.to_owned())]);
    }
}

#[tokio::test]
async fn a_blob_that_is_not_what_it_should_be_ends_in_an_error() {
    let blob = noise(10_000);
    let longer = Descriptor { size: blob.len() as u64 + 1, ..layer(&blob) };
    let shorter = Descriptor { size: blob.len() as u64 - 1, ..layer(&blob) };
    let server = FakeRegistry::start(Options::default());
    server.add_blob("a/b", blob.clone());
    let name = reference(&server.host(), "a/b");
    let registry = anonymous();
    server.fault(fault("GET", "/blobs/", 1, FaultKind::Corrupt));
    let error = bytes(&registry, &name, &layer(&blob)).await.unwrap_err();
    assert!(matches!(error, Error::Digest { .. }), "{error}");
    let error = bytes(&registry, &name, &shorter).await.unwrap_err();
    assert!(matches!(error, Error::Size { found: 10_000, .. }), "{error}");
    // Asked for byte 10 000 on, the fake has none to give: the client gives up in the end.
    server.fault(fault("GET", "/blobs/", 9, FaultKind::BreakAfterSending(0)));
    let error = bytes(&registry, &name, &longer).await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error}");
}

#[tokio::test]
async fn passing_faults_pass() {
    for kind in [
        FaultKind::Status(503),
        FaultKind::StatusAfter(429, 0),
        FaultKind::Status(500),
        FaultKind::LoseAnswer,
        FaultKind::Slow(50),
    ] {
        let server = FakeRegistry::start(failing("GET", "/manifests/", 2, kind));
        let digest = Image::new("amd64", &[]).store(&server, "a/b", "1");
        let name = reference(&server.host(), "a/b:1");
        let resolved = anonymous().resolve(&name, &amd64()).await;
        assert_eq!(resolved.unwrap().digest, digest, "{kind:?}");
    }
}

#[tokio::test]
async fn lasting_faults_end_after_some_attempts() {
    let server = FakeRegistry::start(failing("GET", "/manifests/", 99, FaultKind::Status(503)));
    let name = reference(&server.host(), "a/b:1");
    let error = anonymous().resolve(&name, &amd64()).await.unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert_eq!(server.count("GET", "/manifests/"), 4);
}

#[tokio::test]
async fn a_broken_token_server_is_not_asked_forever() {
    let options = failing("GET", "/token", 99, FaultKind::Status(503));
    let server = FakeRegistry::start(Options { auth: token_auth(&[]), ..options });
    let name = reference(&server.host(), "a/b:1");
    let error = anonymous().resolve(&name, &amd64()).await.unwrap_err();
    assert!(error.to_string().contains("/token: 503"), "{error}");
    assert_eq!(server.count("GET", "/token"), 4);
}

#[tokio::test]
async fn a_peer_that_wants_too_much_patience_gets_none() {
    let kind = FaultKind::StatusAfter(429, 3600);
    let server = FakeRegistry::start(failing("GET", "/manifests/", 99, kind));
    let error =
        anonymous().resolve(&reference(&server.host(), "a/b:1"), &amd64()).await.unwrap_err();
    assert_eq!(server.count("GET", "/manifests/"), 1);
    assert!(error.hints().concat().contains("limits how many requests"));
}

#[tokio::test]
async fn mirrors_are_asked_first_and_passed_over() {
    let host = FakeRegistry::start(Options::default());
    let image = Image::new("amd64", &[noise(100)]);
    let digest = image.store(&host, "a/b", "1");
    let empty = FakeRegistry::start(Options::default());
    let broken = FakeRegistry::start(failing("GET", "/v2/", 99, FaultKind::Status(500)));
    let good = FakeRegistry::start(Options::default());
    let gone = FakeRegistry::start(Options::default()).host();
    let mirrors = [&empty.host(), &broken.host(), &gone, &good.host()]
        .map(|mirror| (host.host(), format!("http://{mirror}")));
    let registry =
        client(RegistryOptions { mirrors: mirrors.into(), ..RegistryOptions::default() });
    let name = reference(&host.host(), "a/b:1");
    assert_eq!(registry.resolve(&name, &amd64()).await.unwrap().digest, digest);
    assert_eq!(empty.count("GET", "/manifests/"), 1);
    assert_eq!(broken.count("GET", "/manifests/"), 1, "a mirror is not waited for");

    image.store(&good, "a/b", "1");
    host.forget_log();
    assert_eq!(registry.resolve(&name, &amd64()).await.unwrap().digest, digest);
    let blob = layer(&image.layers[0]);
    assert_eq!(bytes(&registry, &name, &blob).await.unwrap(), image.layers[0]);
    assert!(host.log().is_empty(), "the last mirror had all");

    good.fault(fault("GET", "/blobs/", 1, FaultKind::BreakAfterSending(10)));
    assert_eq!(bytes(&registry, &name, &blob).await.unwrap(), image.layers[0]);
    assert_eq!(host.log()[0].range.as_deref(), Some("bytes=10-99"), "the host had the rest");
}

#[tokio::test]
async fn basic_authorization_is_given_when_asked_for() {
    let auth = Auth::Basic { user: "me".to_owned(), password: "pa:ss".to_owned() };
    let server = FakeRegistry::start(Options { auth, ..Options::default() });
    Image::new("amd64", &[]).store(&server, "a/b", "1");
    let (host, name) = (server.host(), reference(&server.host(), "a/b:1"));
    let registry = with_credential(&host, password("me", "pa:ss"));
    registry.resolve(&name, &amd64()).await.unwrap();
    let log = server.log();
    let asked: Vec<_> = log.iter().map(|entry| (entry.authorized, entry.status)).collect();
    assert_eq!(asked, [(false, 401), (true, 200), (true, 200)], "asked once");

    for registry in [anonymous(), with_credential(&host, password("me", "wrong"))] {
        server.forget_log();
        let error = registry.resolve(&name, &amd64()).await.unwrap_err();
        assert_eq!(error.status(), Some(401));
        assert!(server.log().len() <= 2, "no loop");
        assert!(error.hints().concat().contains(&format!("docker login {host}")));
        assert!(!format!("{error} {error:?}").contains("wrong"));
    }
}

#[tokio::test]
async fn tokens_are_fetched_once_and_renewed() {
    let auth = token_auth(&["open/x"]);
    let server = FakeRegistry::start(Options { auth, ..Options::default() });
    let image = Image::new("amd64", &[noise(10)]);
    image.store(&server, "open/x", "1");
    image.store(&server, "shut/x", "1");
    let host = server.host();
    let open = reference(&host, "open/x:1");
    let registry = anonymous();
    registry.resolve(&open, &amd64()).await.unwrap();
    bytes(&registry, &open, &layer(&image.layers[0])).await.unwrap();
    assert_eq!(server.token_requests(), [["repository:open/x:pull"]]);
    server.expire_tokens();
    registry.resolve(&open, &amd64()).await.unwrap();
    assert_eq!(server.token_requests().len(), 2);

    let shut = reference(&host, "shut/x:1");
    let error = registry.resolve(&shut, &amd64()).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert!(!error.to_string().contains("token-"), "{error}");
    for credential in
        [password("me", "pa:ss"), Credential::IdentityToken(Secret(b"identity".to_vec()))]
    {
        with_credential(&host, credential).resolve(&shut, &amd64()).await.unwrap();
    }
    let error =
        with_credential(&host, password("me", "no")).resolve(&shut, &amd64()).await.unwrap_err();
    assert!(error.to_string().contains("incorrect username or password"), "{error}");
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is() {
    let auth = token_auth(&["open/x"]);
    let server = FakeRegistry::start(Options { auth, ..Options::default() });
    let name = reference(&server.host(), "open/x:1");
    let token = Credential::RegistryToken(Secret(b"mine".to_vec()));
    let error = with_credential(&server.host(), token).resolve(&name, &amd64()).await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(server.token_requests().len(), 0);
    assert!(server.log()[1].authorized);
}

#[tokio::test]
async fn parallel_requests_share_a_token() {
    let auth = token_auth(&["open/x"]);
    let server = FakeRegistry::start(Options { auth, ..Options::default() });
    let blob = noise(10);
    server.add_blob("open/x", blob.clone());
    let (registry, name) = (anonymous(), reference(&server.host(), "open/x"));
    bytes(&registry, &name, &layer(&blob)).await.unwrap();
    server.expire_tokens();
    server.forget_log();
    let blob = layer(&blob);
    let all = (0..8).map(|_| bytes(&registry, &name, &blob));
    futures_util::future::try_join_all(all).await.unwrap();
    assert_eq!(server.token_requests().len(), 1);
}

#[test]
fn a_synchronous_reader_gets_the_bytes_or_the_error() {
    let blob = noise(300_000);
    let server = FakeRegistry::start(Options::default());
    server.add_blob("a/b", blob.clone());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (registry, name) = (anonymous(), reference(&server.host(), "a/b"));
    let mut whole = Vec::new();
    let mut reader = registry.blob_reader(runtime.handle(), &name, &layer(&blob), pending());
    reader.read_to_end(&mut whole).unwrap();
    assert_eq!(whole, blob);
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0, "the end stays the end");

    server.fault(fault("GET", "/blobs/", 1, FaultKind::Corrupt));
    let mut reader = registry.blob_reader(runtime.handle(), &name, &layer(&blob), pending());
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("expected sha256:"), "{error}");

    server.fault(fault("GET", "/blobs/", 1, FaultKind::Slow(60_000)));
    let mut stopped = registry.blob_reader(runtime.handle(), &name, &layer(&blob), async {});
    assert!(stopped.read_to_end(&mut Vec::new()).is_err(), "asked to stop");

    server.fault(fault("GET", "/blobs/", 1, FaultKind::Slow(60_000)));
    let mut abandoned = registry.blob_reader(runtime.handle(), &name, &layer(&blob), pending());
    runtime.shutdown_background();
    assert!(abandoned.read_to_end(&mut Vec::new()).is_err(), "no end without its word");
}
