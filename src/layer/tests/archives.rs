//! What an archive means, however strange: whiteouts, repeated paths, links, and attempts to leave.

use super::*;
use crate::layer::{LayerError, decode, encode, scan_layer};

fn scan(members: &[Member]) -> Result<Changes, LayerError> {
    scan_layer(&raw_tar(members)[..])
}

#[test]
fn whiteouts_are_changes() {
    let found = scan(&[
        ("a/", TarKind::Directory, b""),
        ("a/.wh..wh..opq", FILE, b""),
        ("a/.wh.gone", FILE, b""),
        ("a/new", FILE, b"new"),
        (".wh.top", FILE, b""),
        ("b/.wh..wh..opq", FILE, b""),
        (".wh..wh.plnk/12.34", FILE, b"aufs"),
        ("again", FILE, b"2"),
        (".wh.again", FILE, b""),
        ("c", TarKind::CharDevice { major: 0, minor: 0 }, b""),
    ]);
    let expected = changes([
        ("a", directory()),
        ("a", Change::Opaque),
        ("a/gone", Change::Remove),
        ("a/new", file(b"new", None)),
        ("again", Change::Remove),
        ("again", file(b"2", None)),
        ("b", Change::Opaque),
        ("c", Change::Remove),
        ("top", Change::Remove),
    ]);
    assert_eq!(found.unwrap(), expected);
}

#[test]
fn paths_are_cleaned_and_led_through_links_of_the_archive() {
    let found = scan(&[
        ("./", TarKind::Directory, b""),
        ("/usr//./bin/", TarKind::Directory, b""),
        ("bin", to("usr/bin"), b""),
        ("bin/sh", FILE, b"sh"),
        ("deep", to("/bin/../lib"), b""),
        ("deep/x/../lib.so", FILE, b"so"),
        ("./bin/.wh.old", FILE, b""),
        ("name", hard("/bin/sh"), b""),
    ]);
    let expected = changes([
        ("", directory()),
        ("bin", symlink("usr/bin")),
        ("deep", symlink("/bin/../lib")),
        ("name", file(b"sh", Some(0))),
        ("usr/bin", directory()),
        ("usr/bin/old", Change::Remove),
        ("usr/bin/sh", file(b"sh", Some(0))),
        ("usr/lib/lib.so", file(b"so", None)),
    ]);
    assert_eq!(found.unwrap(), expected);
}

#[test]
fn the_last_of_repeated_paths_counts() {
    let found = scan(&[
        ("file", FILE, b"first"),
        ("link", hard("file"), b""),
        ("file", FILE, b"second"),
        ("d/", TarKind::Directory, b""),
        ("d/below", FILE, b"below"),
        ("d", FILE, b"a file now"),
        ("e", to("/"), b""),
        ("e", TarKind::Directory, b""),
        ("e/in", FILE, b"in"),
    ]);
    let expected = changes([
        ("d", file(b"a file now", None)),
        ("e", directory()),
        ("e/in", file(b"in", None)),
        ("file", file(b"second", None)),
        ("link", file(b"first", None)),
    ]);
    assert_eq!(found.unwrap(), expected);
}

#[test]
fn evil_archives_are_errors() {
    let cases: [(&str, &[Member]); 16] = [
        ("leads out", &[("../escape", FILE, b"x")]),
        ("leads out", &[("a/../../escape", FILE, b"x")]),
        ("leads out", &[("/../escape", FILE, b"x")]),
        ("leads out", &[("a", FILE, b""), ("b", hard("../../etc/passwd"), b"")]),
        ("does not have before it", &[(".wh.a", FILE, b""), ("b", hard("a"), b"")]),
        ("does not have before it", &[("a/", TarKind::Directory, b""), ("b", hard("a"), b"")]),
        ("does not have before it", &[("a", FILE, b""), ("a", hard("a"), b"")]),
        ("does not have before it", &[("a/b", FILE, b""), ("a", hard("a/b"), b"")]),
        ("whiteout of nothing", &[("a/.wh.", FILE, b"")]),
        ("whiteout of nothing", &[(".wh...", FILE, b"")]),
        ("below a whiteout", &[(".wh.a/b", FILE, b"")]),
        ("not a directory", &[("a", FILE, b""), ("a/b", FILE, b"")]),
        ("too many levels", &[("a", to("b"), b""), ("b", to("a"), b""), ("a/c", FILE, b"")]),
        ("the root, but not", &[("./", to("/etc"), b"")]),
        ("the root, but not", &[("a", FILE, b""), ("/", hard("a"), b"")]),
        ("the root, but not", &[(".", TarKind::CharDevice { major: 0, minor: 0 }, b"")]),
    ];
    for (expected, members) in cases {
        let error = scan(members).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} is not about {expected}");
    }
}

#[test]
fn a_hard_link_to_what_the_layer_has_not_is_one_to_a_lower_file() {
    let found = scan(&[
        ("in", to("d"), b""),
        ("b", FILE, b"gone"),
        ("b", hard("in/low"), b""),
        ("c", hard("b"), b""),
        ("late", hard("e"), b""),
        ("e", FILE, b""),
    ]);
    let link = |target| Change::Link(path(target));
    let expected = changes([
        ("b", link("d/low")),
        ("c", link("d/low")),
        ("e", file(b"", None)),
        ("in", symlink("d")),
        ("late", link("e")),
    ]);
    assert_eq!(found.unwrap(), expected);
    assert_eq!((expected.unpacked_size(), decode(&encode(&expected))), (0, Ok(expected)));
    let below = scan(&[("b", hard("low"), b""), ("b/c", FILE, b"")]).unwrap_err().to_string();
    assert!(below.contains("not a directory"), "{below}");
}

#[test]
fn a_link_that_leads_out_stays_inside() {
    let found = scan(&[("out", to("../../../tmp"), b""), ("out/file", FILE, b"x")]).unwrap();
    let expected = changes([("out", symlink("../../../tmp")), ("tmp/file", file(b"x", None))]);
    assert_eq!(found, expected);
}

#[test]
fn attributes_that_would_steer_the_overlay_are_dropped() {
    let mut tar = TarWriter::new(Vec::new());
    let names = ["trusted.overlay.redirect", "user.overlay.metacopy", "user.kept"];
    let value = || b"/".as_slice().into();
    let xattrs = names.iter().map(|name| (name.as_bytes().into(), value())).collect();
    let path = b"d/".as_slice().into();
    let kind = TarKind::Directory;
    tar.entry(&TarEntry { path, kind, mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs }).unwrap();
    let found = scan_layer(&tar.finish().unwrap()[..]).unwrap();
    let Change::Set(entry) = &found.changes[0].1 else { panic!("{found:?}") };
    assert_eq!(entry.xattrs.keys().map(|name| &**name).collect::<Vec<_>>(), [b"user.kept"]);
}
