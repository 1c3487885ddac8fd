use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};

use tempfile::TempDir;

use super::*;

/// Directories end with a slash, links have an arrow.
fn directory(entries: &[&str]) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    for entry in entries {
        let (path, target) = entry.split_once("->").unwrap_or((entry, ""));
        let full = directory.path().join(path);
        fs::create_dir_all(full.parent().expect("below")).expect("parents");
        if path.ends_with('/') {
            fs::create_dir_all(full).expect("a directory");
        } else if target.is_empty() {
            fs::write(full, path).expect("a file");
        } else {
            symlink(target, full).expect("a link");
        }
    }
    directory
}

fn context(directory: &TempDir, ignore: &str) -> DirectoryContext {
    let ignore = Patterns::parse(ignore.as_bytes()).expect("valid");
    DirectoryContext::open(directory.path(), &ignore, Ownership::Root).expect("readable")
}

fn paths(context: &DirectoryContext) -> String {
    let shown = |path: &TreePath| String::from_utf8_lossy(path).into_owned();
    context.tree().iter().map(|(path, _)| shown(path)).collect::<Vec<_>>().join(" ")
}

fn path(text: &str) -> TreePath {
    text.as_bytes().into()
}

fn file<'a>(context: &'a DirectoryContext, path: &str) -> &'a crate::tree::FileInfo {
    match context.tree().get(path.as_bytes()).map(|entry| &entry.kind) {
        Some(Kind::File(file)) => file,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn the_tree_is_what_is_on_disk() {
    let directory = directory(&["b/", "a", "a.d/x", "link->/etc/passwd", "ld->a.d"]);
    let on_disk = directory.path().join("a");
    fs::set_permissions(&on_disk, fs::Permissions::from_mode(0o4711)).expect("chmod");
    fs::hard_link(&on_disk, directory.path().join("b/hard")).expect("a hard link");
    let context = context(&directory, "");
    assert_eq!(paths(&context), "a a.d a.d/x b b/hard ld link");
    let entry = context.tree().get(b"a").expect("there");
    let metadata = fs::metadata(&on_disk).expect("there");
    assert_eq!((entry.mode, entry.uid, entry.gid), (0o4711, 0, 0));
    assert_eq!(entry.mtime, metadata.mtime());
    let link = context.tree().get(b"link").map(|entry| entry.kind.clone());
    assert_eq!(link, Some(Kind::Symlink(b"/etc/passwd"[..].into())));
    assert!(file(&context, "a").link.is_some());
    assert_eq!(file(&context, "a").link, file(&context, "b/hard").link);
    assert_eq!(file(&context, "a.d/x").link, None);

    let keep = DirectoryContext::open(directory.path(), &Patterns::default(), Ownership::Keep);
    let keep = keep.expect("readable");
    assert_eq!(keep.tree().get(b"a").map(|entry| entry.uid), Some(metadata.uid()));
}

#[test]
fn capabilities_are_read_and_notes_of_users_are_not() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a file capabilities");
        return;
    }
    let directory = directory(&["a"]);
    let on_disk = directory.path().join("a");
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let flags = rustix::fs::XattrFlags::empty();
    for (name, value) in [("security.capability", &capability[..]), ("user.color", b"blue")] {
        if rustix::fs::setxattr(&on_disk, name, value, flags).is_err() {
            eprintln!("skipped: the file system of {} has no attributes", on_disk.display());
            return;
        }
    }
    let mut context = context(&directory, "");
    context.hash(&[path("a")], 1).expect("readable");
    let xattrs = &context.tree().get(b"a").expect("there").xattrs;
    let expected = [(b"security.capability"[..].into(), capability[..].into())];
    assert_eq!(*xattrs, expected.into_iter().collect());
}

#[test]
fn ignored_files_are_not_there() {
    let directory =
        directory(&["a.md", "b", "node/x", "keep/no", "keep/deep/yes", "keep/deep/no", "d/a.md"]);
    fs::set_permissions(directory.path().join("keep"), fs::Permissions::from_mode(0o711))
        .expect("chmod");
    let context = context(&directory, "*.md\nnode\nkeep\n!keep/deep/yes\n");
    assert_eq!(paths(&context), "b d d/a.md keep keep/deep keep/deep/yes");
    assert_eq!(context.tree().get(b"keep").map(|entry| entry.mode), Some(0o711));
}

#[test]
fn only_the_files_asked_for_are_hashed() {
    let directory = directory(&["a", "b", "d/c", "l->a"]);
    fs::hard_link(directory.path().join("a"), directory.path().join("z")).expect("a hard link");
    for threads in [1, 8] {
        let mut context = context(&directory, "");
        context.hash(&["a", "d", "d/c", "l", "z"].map(path), threads).expect("readable");
        assert_eq!(file(&context, "a").digest, Some(ContentSum::of(b"a")));
        assert_eq!(file(&context, "z").digest, Some(ContentSum::of(b"a")));
        assert_eq!(file(&context, "d/c").digest, Some(ContentSum::of(b"d/c")));
        assert_eq!(file(&context, "b").digest, None);
    }
}

#[test]
fn what_changed_since_the_walk_is_named() {
    let directory = directory(&["d/grows", "d/link", "d/gone", "d/pipe", "out/secret", "same"]);
    let mut context = context(&directory, "");
    let at = |name: &str| directory.path().join(name);
    fs::write(at("d/grows"), "longer than before").expect("a file");
    fs::remove_file(at("d/link")).expect("there");
    symlink(at("out/secret"), at("d/link")).expect("a link");
    fs::remove_file(at("d/gone")).expect("there");
    fs::remove_file(at("d/pipe")).expect("there");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("d/pipe"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a pipe");
    for name in ["d/grows", "d/link", "d/gone", "d/pipe"] {
        assert!(context.open(&path(name)).is_err(), "{name}");
        let error = context.hash(&[path(name)], 2).expect_err(name).to_string();
        assert!(error.contains(name), "{error}");
    }
    // A directory that became a link leads nowhere.
    fs::rename(at("out"), at("moved")).expect("there");
    symlink("moved", at("out")).expect("a link");
    assert!(context.open(&path("out/secret")).is_err());
    let mut content = String::new();
    context.open(&path("same")).expect("there").read_to_string(&mut content).expect("text");
    assert_eq!(content, "same");
}

#[test]
fn a_file_cut_off_while_it_is_read_is_an_error() {
    let directory = directory(&["f"]);
    let on_disk = directory.path().join("f");
    fs::write(&on_disk, [7; 1 << 20]).expect("a file");
    let context = context(&directory, "");
    let mut reader = context.open(&path("f")).expect("there");
    reader.read_exact(&mut [0; 10]).expect("there");
    let disk = File::options().write(true).open(&on_disk).expect("there");
    disk.set_len(100).expect("shorter");
    disk.write_at(b"x", 0).expect("writable");
    let error = reader.read_to_end(&mut Vec::new()).expect_err("cut off").to_string();
    assert_eq!(error, "/f changed while it was read");
}

#[test]
fn a_missing_directory_is_named() {
    let error = DirectoryContext::open(
        Path::new("/no/such/directory"),
        &Patterns::default(),
        Ownership::Root,
    );
    let error = error.expect_err("missing").to_string();
    assert!(error.contains("/no/such/directory"), "{error}");
}
