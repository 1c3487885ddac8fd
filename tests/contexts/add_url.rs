//! `ADD https://…` (L-144, L-145, L-147 to L-149).

use plimsoll::digest::Digest;

use super::Place;
use super::web::{Page, WebServer};

const YEAR_2001: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

#[test]
fn a_download_is_private_and_as_old_as_the_server_says() {
    let (place, server) = (Place::new(), WebServer::start());
    let page = Page { last_modified: Some(YEAR_2001), ..Page::of("a") };
    server.put("/files/a%20b", page);
    server.put("/", Page::of("index"));
    let (file, index) = (server.url("/files/a%20b?x=1#y"), server.url("/"));
    let built = place
        .build(
            &format!(
                "FROM scratch\nADD {file} /d/\nADD {file} /renamed\nADD --chmod=751 --chown=3:4 {index} /e/\n"
            ),
            &[],
        )
        .well();
    assert_eq!(built.paths(), "d d/a b e e/__unnamed__ renamed");
    for path in ["d/a b", "renamed"] {
        let file = built.file(path);
        assert_eq!((file.mode, file.owner, file.mtime), (0o600, (0, 0), 1_000_000_000), "{path}");
        assert_eq!(file.content, b"a");
    }
    let unnamed = built.file("e/__unnamed__");
    assert_eq!((unnamed.mode, unnamed.owner, unnamed.mtime), (0o751, (3, 4), 0));
    assert_eq!(server.take_log().len(), 2, "each URL is asked for once");
}

#[test]
fn a_second_build_downloads_nothing() {
    for (etag, last_modified, second) in [
        (Some("\"1\""), None, 304),
        (Some("W/\"1\""), Some(YEAR_2001), 304),
        (None, Some(YEAR_2001), 304),
        (None, None, 200),
    ] {
        let (place, server) = (Place::new(), WebServer::start());
        server.put("/a", Page { etag, last_modified, ..Page::of("one") });
        let dockerfile = format!("FROM scratch\nADD {} /\n", server.url("/a"));
        let build = || place.build(&dockerfile, &[]).well();
        assert!(build().has_run("ADD"), "nothing is known at first");
        assert_eq!(server.take_statuses("/a"), [200]);
        let again = build();
        assert_eq!(server.take_statuses("/a"), [second], "{etag:?} {last_modified:?}");
        assert!(!again.has_run("ADD"), "{etag:?} {last_modified:?}: {}", again.log());

        server.put("/a", Page { etag: Some("\"2\""), ..Page::of("two") });
        let changed = build();
        assert!(changed.has_run("ADD"), "{etag:?} {last_modified:?}");
        assert_eq!(changed.text("a"), "two");
    }
}

#[test]
fn with_a_checksum_nobody_is_asked_again() {
    let (place, server) = (Place::new(), WebServer::start());
    server.put("/a", Page { last_modified: Some(YEAR_2001), ..Page::of("one") });
    let digest = Digest::of(b"one");
    let add = format!("FROM scratch\nADD --checksum={digest} {}", server.url("/a"));
    place.build(&format!("{add} /x\n"), &[]).well();
    assert_eq!(server.take_statuses("/a"), [200]);
    assert!(!place.build(&format!("{add} /x\n"), &[]).well().has_run("ADD"));
    // Another step with the same file: it is in the store.
    let elsewhere = place.build(&format!("{add} /y\n"), &[]).well();
    assert_eq!((elsewhere.text("y").as_str(), elsewhere.file("y").mtime), ("one", 1_000_000_000));
    assert_eq!(server.take_log(), []);
}

#[test]
fn redirects_are_followed_and_broken_transfers_go_on() {
    let (place, server) = (Place::new(), WebServer::start());
    let content = vec![b'x'; 300_000];
    let page = Page { etag: Some("\"1\""), broken: 1, ..Page::of(content.clone()) };
    server.put("/real", page);
    let moved = Page { status: Some(302), location: Some("/real".to_owned()), ..Page::default() };
    server.put("/moved", moved);
    let built = place.build(&format!("FROM scratch\nADD {} /\n", server.url("/moved")), &[]).well();
    assert_eq!(built.file("moved").content, content, "the name is that of the URL as written");
    let log = server.take_log();
    assert_eq!(log.last().unwrap().status, 206, "{log:?}");
    assert!(log.last().unwrap().range.as_ref().unwrap().starts_with("bytes="), "{log:?}");
}

#[test]
fn a_token_is_for_its_host_alone() {
    let (place, server) = (Place::new(), WebServer::start());
    server.put("/a", Page { authorization: Some("Bearer hunter2"), ..Page::of("a") });
    let other = format!("http://localhost:{}/b", server.port());
    server.put("/b", Page::of("b"));
    server.put("/moved", Page { status: Some(302), location: Some(other), ..Page::default() });
    let (a, moved) = (server.url("/a"), server.url("/moved"));
    let dockerfile = format!("FROM scratch\nADD {a} {moved} /d/\n");
    place.build(&dockerfile, &[]).failed(1, "invalid response status 401", Some(2));
    server.take_log();

    std::fs::write(place.path().join("token"), "hunter2\n").unwrap();
    let secret = "id=HTTP_AUTH_TOKEN_127.0.0.1,src=token";
    let built = place.build(&dockerfile, &["--secret", secret]).well();
    assert_eq!(built.text("d/a"), "a");
    for logged in server.take_log() {
        assert_eq!(logged.authorization.is_some(), logged.path != "/b", "{logged:?}");
    }
    for file in walk(&place.path().join("store")) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"hunter2"), "{}", file.display());
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn downloads_are_unpacked_only_on_request() {
    let (place, server) = (Place::new(), WebServer::start());
    place.write("inside/f", "f");
    let tar = super::tar_of(&place.context().join("inside"));
    server.put("/t.tar", Page::of(tar.clone()));
    server.put("/text", Page::of("text"));
    let (tar_url, text) = (server.url("/t.tar"), server.url("/text"));
    let built = place
        .build(
            &format!(
                "FROM scratch\nADD {tar_url} /plain/\nADD --unpack {tar_url} {text} /unpacked/\n\
                 ADD --unpack=false {tar_url} /kept/\n"
            ),
            &[],
        )
        .well();
    assert_eq!(
        built.paths(),
        "kept kept/t.tar plain plain/t.tar unpacked unpacked/f unpacked/text"
    );
    assert_eq!(built.file("plain/t.tar").content, tar);
}

#[test]
fn several_sources_are_copied_in_their_order() {
    let (place, server) = (Place::new(), WebServer::start());
    server.put("/1/name", Page::of("first"));
    server.put("/2/name", Page::of("second"));
    let (one, two) = (server.url("/1/name"), server.url("/2/name"));
    place.write("name", "local");
    let text =
        |add: &str| place.build(&format!("FROM scratch\n{add}\n"), &[]).well().text("d/name");
    assert_eq!(text(&format!("ADD {one} {two} /d/")), "second");
    assert_eq!(text(&format!("ADD {two} {one} /d/")), "first");
    assert_eq!(text(&format!("ADD {two} name {one} /d/")), "first");
    assert_eq!(text(&format!("ADD {one} name /d/")), "local");
    assert_eq!(text(&format!("ADD <<name {one} /d/\nheredoc\nname")), "heredoc\n");
}

#[test]
fn what_can_not_be_downloaded_is_told_with_its_line() {
    let (place, server) = (Place::new(), WebServer::start());
    server.put("/a", Page::of("a"));
    server.put(
        "/loop",
        Page { status: Some(302), location: Some("/loop".into()), ..Page::default() },
    );
    let (expected, found) = (Digest::of(b"b"), Digest::of(b"a"));
    let url = |path: &str| server.url(path);
    for (add, message) in [
        (
            format!("ADD {} /", url("/none?token=secret")),
            format!("failed to load {}: invalid response status 404", url("/none")),
        ),
        (
            format!("ADD --checksum={expected} {} /", url("/a")),
            format!("digest mismatch for {}: {found} (expected: {expected})", url("/a")),
        ),
        (
            format!("ADD --checksum=sha256:1 {} /", url("/a")),
            "invalid checksum: expected sha256: and 64 hexadecimal digits".to_owned(),
        ),
        (
            format!("ADD --checksum={expected} {} {} /", url("/a"), url("/b")),
            "checksum can't be specified for multiple sources".to_owned(),
        ),
        (
            format!("ADD --checksum={expected} a /"),
            "checksum requires HTTP(S) or Git sources".to_owned(),
        ),
        (format!("COPY {} /", url("/a")), "source can't be a URL for COPY".to_owned()),
        (
            format!("ADD {} /", url("/loop")),
            format!("failed to load {}: too many redirects", url("/loop")),
        ),
    ] {
        let built = place.build(&format!("FROM scratch\n\n{add}\n"), &[]);
        built.failed(1, &message, Some(3));
        assert!(!built.log().lines().any(|line| line.contains("secret") && !line.contains("ADD")));
    }
}

#[test]
fn a_connection_that_always_ends_early_is_given_up() {
    let (place, server) = (Place::new(), WebServer::start());
    server.put("/broken", Page { broken: usize::MAX, ..Page::of("abcdef") });
    let url = server.url("/broken");
    let built = place.build(&format!("FROM scratch\nADD {url} /\n"), &[]);
    built.failed(1, &format!("failed to load {url}: the connection broke"), Some(2));
}
