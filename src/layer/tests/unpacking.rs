//! Layers on a real file system.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::*;
use crate::layer::{
    LayerError, Marks, Selection, UnpackOptions, open_inside, scan_layer, unpack, unpack_archive,
};

fn unpacked(members: &[Member]) -> (tempfile::TempDir, Changes) {
    let directory = tempfile::tempdir().unwrap();
    let tar = raw_tar(members);
    let options = UnpackOptions { marks: Marks::User, only: None };
    let found = unpack(&tar[..], directory.path(), &options).unwrap();
    assert_eq!(found, scan_layer(&tar[..]).unwrap(), "the table of contents is that of a scan");
    (directory, found)
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    Some(value[..length].to_vec())
}

#[test]
fn an_ordinary_user_can_unpack_what_is_theirs() {
    let (directory, _) = unpacked(&[
        ("d/", TarKind::Directory, b""),
        ("d/file", FILE, b"content"),
        ("d/hard", hard("d/file"), b""),
        ("d/link", to("file"), b""),
        ("d/fifo", TarKind::Fifo, b""),
        ("implied/file", FILE, b""),
    ]);
    let at = |path: &str| directory.path().join(path);
    assert_eq!(fs::read(at("d/file")).unwrap(), b"content");
    let metadata = |path: &str| fs::symlink_metadata(at(path)).unwrap();
    assert_eq!(metadata("d/file").ino(), metadata("d/hard").ino());
    assert_eq!(fs::read_link(at("d/link")).unwrap(), Path::new("file"));
    assert!(metadata("d/fifo").file_type().is_fifo());
    for path in ["d", "d/file", "d/link", "d/fifo"] {
        assert_eq!(metadata(path).mtime(), 1_000_000, "{path}");
    }
    assert_eq!(metadata("d/file").permissions().mode() & 0o7777, 0o644);
    for path in ["", "implied"] {
        assert_eq!(metadata(path).permissions().mode() & 0o7777, 0o755, "{path:?}");
        assert_eq!(metadata(path).mtime(), 0, "{path:?}");
    }
}

#[test]
fn later_entries_replace_earlier_ones_of_another_kind() {
    let (directory, _) = unpacked(&[
        ("a/", TarKind::Directory, b""),
        ("a/b/c", FILE, b"gone"),
        ("a", FILE, b"file"),
        ("l", to("/etc"), b""),
        ("l/", TarKind::Directory, b""),
        ("l/passwd", FILE, b"inside"),
        ("f", FILE, b"1"),
        ("f", FILE, b"2"),
    ]);
    let read = |path: &str| fs::read(directory.path().join(path)).unwrap();
    assert_eq!(
        (read("a"), read("l/passwd"), read("f")),
        (b"file".into(), b"inside".into(), b"2".into())
    );
}

#[test]
fn nothing_leaves_the_directory() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap().to_owned();
    let relative = format!("{}{target}", "../".repeat(30));
    for link in [target.clone(), relative] {
        let (directory, found) = unpacked(&[("out", to(&link), b""), ("out/file", FILE, b"x")]);
        let inside = format!("{}/file", target.trim_start_matches('/'));
        assert_eq!(fs::read(directory.path().join(&inside)).unwrap(), b"x");
        assert!(found.changes.iter().any(|(path, _)| **path == *inside.as_bytes()));
    }
    for evil in [&[("../x", FILE, &b"x"[..])][..], &[("h", hard("../../../etc/passwd"), b"")]] {
        let directory = tempfile::tempdir().unwrap();
        assert!(unpack(&raw_tar(evil)[..], directory.path(), &UnpackOptions::default()).is_err());
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    // What is on disk is not trusted either.
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), directory.path().join("planted")).unwrap();
    let tar = raw_tar(&[("planted/file", FILE, b"x")]);
    assert!(unpack(&tar[..], directory.path(), &UnpackOptions::default()).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert!(open_inside(directory.path(), b"planted").is_err());
    assert!(open_inside(directory.path(), b"planted/x").is_err());
    assert!(open_inside(directory.path(), b"../x").is_err());
}

#[test]
fn marks_are_what_overlayfs_wants() {
    if !is_root() {
        return;
    }
    let tar = raw_tar(&[
        ("d/", TarKind::Directory, b""),
        ("d/.wh..wh..opq", FILE, b""),
        ("d/.wh.gone", FILE, b""),
        ("new/", TarKind::Directory, b""),
        (".wh.new", FILE, b""),
        ("file", FILE, b""),
        (".wh.file", FILE, b""),
        ("d/link", hard("/etc/passwd"), b""),
    ]);
    for (marks, name) in
        [(Marks::Trusted, "trusted.overlay.opaque"), (Marks::User, "user.overlay.opaque")]
    {
        let directory = tempfile::tempdir().unwrap();
        let options = UnpackOptions { marks, only: None };
        unpack(&tar[..], directory.path(), &options).unwrap();
        for hidden in ["d/gone", "d/link"] {
            let hidden = fs::symlink_metadata(directory.path().join(hidden)).unwrap();
            assert!(hidden.file_type().is_char_device() && hidden.rdev() == 0);
        }
        for opaque in ["d", "new"] {
            let value = xattr(&directory.path().join(opaque), name);
            assert_eq!(value.as_deref(), Some(&b"y"[..]), "{opaque}");
        }
        assert!(directory.path().join("file").is_file());
    }
}

#[test]
fn owners_modes_capabilities_and_devices_are_kept() {
    if !is_root() {
        return;
    }
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let Change::Set(mut special) = file(b"content", None) else { unreachable!() };
    (special.mode, special.uid, special.gid) = (0o6755, 1000, 2000);
    special.xattrs.insert(b"security.capability".as_slice().into(), capability.as_slice().into());
    let Change::Set(mut locked) = directory() else { unreachable!() };
    (locked.mode, locked.uid) = (0o1500, 7);
    let null = Kind::CharDevice { major: 1, minor: 3 };
    let list = changes([
        ("locked", Change::Set(locked)),
        ("locked/file", Change::Set(special)),
        ("locked/null", Change::Set(entry(null))),
    ]);
    let contents = Contents::from([(path("locked/file"), b"content".to_vec())]);
    let (tar, _) = layer_tar(&list, &contents);
    let directory = tempfile::tempdir().unwrap();
    unpack(&tar[..], directory.path(), &UnpackOptions::default()).unwrap();
    let metadata = |path: &str| fs::symlink_metadata(directory.path().join(path)).unwrap();
    let file = metadata("locked/file");
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (0o6755, 1000, 2000));
    let found = xattr(&directory.path().join("locked/file"), "security.capability");
    assert_eq!(found.as_deref(), Some(&capability[..]));
    let locked = metadata("locked");
    assert_eq!((locked.mode() & 0o7777, locked.uid(), locked.mtime()), (0o1500, 7, 1_000_000));
    let null = metadata("locked/null");
    if null.file_type().is_char_device() {
        assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
    } else {
        panic!("no device");
    }
}

#[test]
fn selected_files_are_found_whichever_name_carries_them() {
    let tar = raw_tar(&[
        ("a", FILE, b"shared"),
        ("b/c", hard("a"), b""),
        ("d/large", FILE, b"not wanted"),
        ("d/wanted", FILE, b"wanted"),
        ("never read", to("x"), b""),
    ]);
    let contents = scan_layer(&tar[..]).unwrap();
    let paths = |paths: &[&str]| -> BTreeSet<TreePath> { paths.iter().map(path).collect() };
    let only = Some(Selection::new(&contents, &paths(&["b/c", "d/wanted", "d", "absent"])));
    let options = UnpackOptions { only, marks: Marks::default() };
    // Nothing behind the last wanted file is needed.
    let cut = &tar[..tar.len() - 1024 - 512];
    let directory = tempfile::tempdir().unwrap();
    unpack(cut, directory.path(), &options).unwrap();
    let read = |path: &[u8]| {
        let mut content = Vec::new();
        open_inside(directory.path(), path)?.read_to_end(&mut content)?;
        io::Result::Ok(content)
    };
    assert_eq!(read(b"b/c").unwrap(), b"shared");
    assert_eq!(read(b"d/wanted").unwrap(), b"wanted");
    assert!(read(b"d/large").is_err());

    let other =
        raw_tar(&[("a", FILE, b"shared"), ("b/c", hard("a"), b""), ("d/wanted", FILE, b"other")]);
    let directory = tempfile::tempdir().unwrap();
    let error = unpack(&other[..], directory.path(), &options).unwrap_err();
    assert!(matches!(&error, LayerError::NotInLayer { path } if path == "d/wanted"), "{error}");
}

#[test]
fn an_archive_of_add_has_no_marks_and_gives_only_content() {
    let tar = raw_tar(&[
        ("d/", TarKind::Directory, b""),
        ("d/.wh.kept", FILE, b"a plain file"),
        ("d/hard", hard("d/.wh.kept"), b""),
        ("link", to("/etc/passwd"), b""),
        ("null", TarKind::CharDevice { major: 1, minor: 3 }, b""),
    ]);
    let archive = zstd::encode_all(&tar[..], 1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let found = unpack_archive(&archive[..], directory.path()).unwrap();
    let expected = changes([
        ("d", super::directory()),
        ("d/.wh.kept", file(b"a plain file", Some(0))),
        ("d/hard", file(b"a plain file", Some(0))),
        ("link", symlink("/etc/passwd")),
        ("null", Change::Set(entry(Kind::CharDevice { major: 1, minor: 3 }))),
    ]);
    assert_eq!(found, expected);
    assert!(open_inside(directory.path(), b"d/hard").is_ok());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "files and their directories");
}

#[test]
fn a_layer_that_is_cut_is_an_error() {
    let tar = raw_tar(&[("file", FILE, &[1; 5000])]);
    let directory = tempfile::tempdir().unwrap();
    let error = unpack(&tar[..3000], directory.path(), &UnpackOptions::default()).unwrap_err();
    assert!(error.to_string().contains("ends inside a body"), "{error}");
}

/// As `umoci insert` writes it.
#[test]
fn an_archive_may_end_with_its_last_file() {
    let tar = raw_tar(&[("one", FILE, b"1"), ("two", FILE, &[2; 700])]);
    let end = 512 + 512 + 512 + 700;
    let directory = tempfile::tempdir().unwrap();
    unpack(&tar[..end], directory.path(), &UnpackOptions::default()).unwrap();
    assert_eq!(fs::read(directory.path().join("two")).unwrap(), [2; 700]);
    let directory = tempfile::tempdir().unwrap();
    assert!(unpack(&tar[..end - 1], directory.path(), &UnpackOptions::default()).is_err());
}

/// On a small memory file system that is mounted for this test.
#[test]
fn a_full_disk_has_its_own_error() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mount = |program: &[&str]| {
        let status = std::process::Command::new(program[0])
            .args(&program[1..])
            .arg(directory.path())
            .status();
        status.is_ok_and(|status| status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"]) {
        eprintln!("SKIPPED: this machine does not mount a tmpfs");
        return;
    }
    let small = raw_tar(&[("file", FILE, &vec![1; 2 << 20])]);
    let options = UnpackOptions::default();
    let full = unpack(&small[..], directory.path(), &options).unwrap_err();
    let large = raw_tar(&[("large", FILE, &vec![1; 65 << 20])]);
    let refused = unpack(&large[..], directory.path(), &options).unwrap_err();
    assert!(mount(&["umount"]));
    assert!(matches!(full, LayerError::NoSpace { .. }), "{full}");
    assert!(matches!(refused, LayerError::TooLargeForDisk { .. }), "{refused}");
}
