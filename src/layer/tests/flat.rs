//! All layers as one: `type=tar` and `type=local`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;
use crate::layer::{DirectoryOutput, LayerError, TarOutput, flatten, scan_layer};

struct Image {
    tars: Vec<Vec<u8>>,
    tables: Vec<Changes>,
    merged: Vec<(TreePath, Entry)>,
}

/// Two layers, and what they make together: the lower's `a` is covered, but not its other name.
fn image() -> Image {
    let tars = vec![
        raw_tar(&[
            ("a", FILE, b"lower"),
            ("z/", TarKind::Directory, b""),
            ("z/b", hard("a"), b""),
            ("z/c", hard("a"), b""),
            ("link", to("z"), b""),
            ("removed", FILE, b"gone"),
        ]),
        raw_tar(&[("a", FILE, b"upper"), (".wh.removed", FILE, b""), ("z/d", FILE, b"new")]),
    ];
    let tables: Vec<Changes> = tars.iter().map(|tar| scan_layer(&tar[..]).unwrap()).collect();
    let mut merged = BTreeMap::new();
    for (layer, table) in (0..).zip(&tables) {
        for (path, change) in &table.changes {
            match change {
                Change::Set(entry) => {
                    merged.insert(path.clone(), Entry { layer, ..entry.clone() });
                }
                _ => drop(merged.remove(path)),
            }
        }
    }
    Image { tars, tables, merged: merged.into_iter().collect() }
}

fn flat(output: &mut dyn crate::layer::Output, mtime: Option<i64>) -> Result<(), LayerError> {
    let Image { tars, tables, merged } = image();
    let tables: Vec<&Changes> = tables.iter().collect();
    let mut open = |layer: usize| -> Result<Box<dyn Read>, LayerError> {
        Ok(Box::new(Cursor::new(tars[layer].clone())))
    };
    flatten(
        merged.iter().map(|(path, entry)| (path, entry)),
        &tables,
        &|_| None,
        &mut open,
        mtime,
        output,
    )
}

#[test]
fn a_tar_has_every_file_once_with_what_is_left_of_its_links() {
    let mut output = TarOutput::new(Vec::new());
    flat(&mut output, Some(5)).unwrap();
    let found = scan_layer(&output.finish().unwrap()[..]).unwrap();
    let mut expected = changes([
        ("a", file(b"upper", None)),
        ("link", symlink("z")),
        ("z", directory()),
        ("z/b", file(b"lower", Some(0))),
        ("z/c", file(b"lower", Some(0))),
        ("z/d", file(b"new", None)),
    ]);
    for (_, change) in &mut expected.changes {
        if let Change::Set(entry) = change {
            entry.mtime = 5;
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn a_directory_is_merged_and_its_links_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("d"), b"theirs").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    std::os::unix::fs::symlink(outside.path(), at("z")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("d"), at("a")).unwrap();
    fs::write(at("kept"), b"kept").unwrap();
    for _ in 0..2 {
        let mut output = DirectoryOutput::new(directory.path()).unwrap();
        flat(&mut output, None).unwrap();
        output.finish().unwrap();
        let read = |path: &str| String::from_utf8(fs::read(at(path)).unwrap()).unwrap();
        let found = ["a", "z/b", "z/c", "z/d", "link/d", "kept"].map(read);
        assert_eq!(found, ["upper", "lower", "lower", "new", "new", "kept"]);
        let [b, c, z] = ["z/b", "z/c", "z"].map(|path| fs::symlink_metadata(at(path)).unwrap());
        assert_eq!(b.ino(), c.ino());
        assert_eq!((z.mtime(), b.mtime()), (1_000_000, 1_000_000));
        assert_eq!((z.permissions().mode(), b.permissions().mode()), (0o40755, 0o100_644));
    }
    assert_eq!(fs::read(outside.path().join("d")).unwrap(), b"theirs");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_of_the_user_is_never_removed_for_a_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("a/theirs")).unwrap();
    let mut output = DirectoryOutput::new(directory.path()).unwrap();
    let error = flat(&mut output, None).unwrap_err();
    assert!(error.to_string().contains("can't create /a"), "{error}");
    assert!(directory.path().join("a/theirs").is_dir());
}

#[test]
fn a_layer_without_its_file_is_an_error() {
    let Image { tables, merged, .. } = image();
    let tables: Vec<&Changes> = tables.iter().collect();
    let mut open = |_: usize| -> Result<Box<dyn Read>, LayerError> {
        Ok(Box::new(Cursor::new(raw_tar(&[("other", FILE, b"")]))))
    };
    let tree = merged.iter().map(|(path, entry)| (path, entry));
    let mut output = TarOutput::new(io::sink());
    let error = flatten(tree, &tables, &|_| None, &mut open, None, &mut output).unwrap_err();
    assert!(matches!(error, LayerError::NotInLayer { .. }), "{error}");
}
