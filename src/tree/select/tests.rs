use super::*;
use crate::digest::ContentSum;
use crate::ignore::Patterns;
use crate::tree::copy::tests::tree;
use crate::tree::{Tree, What};

fn hashed(lines: &[&str]) -> Tree {
    let mut tree = tree(lines);
    let paths: Vec<TreePath> = tree.iter().map(|(path, _)| path.clone()).collect();
    for path in paths {
        if let Some(Entry { kind: Kind::File(file), .. }) = tree.get_mut(&path) {
            file.digest = Some(ContentSum::of(b"same"));
        }
    }
    tree
}

fn source<'a>(tree: &'a Tree, text: &str) -> CopySource<'a> {
    CopySource { tree, what: What::Pattern(text.to_owned()) }
}

#[test]
fn only_what_is_named_is_read() {
    let tree = tree(&["d d", "f d/a", "d d/s", "f d/s/b", "f c", "l l d"]);
    let exclude = Patterns::from_flags(&["s"]).expect("valid");
    let options = CopyOptions { exclude, ..CopyOptions::default() };
    for (text, expected) in
        [("d", "d d/a"), ("l", "d d/a"), ("c", "c"), ("d/s/*", "d/s/b"), ("*.none", "")]
    {
        let paths = select(&source(&tree, text), &options).expect("there");
        let shown: Vec<_> = paths.iter().map(|path| String::from_utf8_lossy(path)).collect();
        assert_eq!(shown.join(" "), expected, "{text}");
    }
    assert!(select(&source(&tree, "x"), &options).is_err());
}

#[test]
fn the_key_changes_with_what_a_copy_would_make() {
    let base = ["d d", "f d/a", "l d/l a"];
    let key = |lines: &[&str], text: &str, options: &CopyOptions| {
        content_key(&source(&hashed(lines), text), options).expect("hashed")
    };
    let plain = CopyOptions::default();
    let expected = key(&base, "d", &plain);
    assert_eq!(key(&["d e", "f e/a", "l e/l a", "f other"], "e", &plain), expected);
    for changed in [
        &["d d", "f d/b", "l d/l a"][..],
        &["d d", "f d/a mode=755", "l d/l a"],
        &["d d", "f d/a id=1", "l d/l a"],
        &["d d", "f d/a", "l d/l b"],
        &["d d", "p d/a mode=644", "l d/l a"],
        &["d d", "f d/a", "l d/l a", "d d/z"],
    ] {
        assert_ne!(key(changed, "d", &plain), expected, "{changed:?}");
    }

    let replaced = CopyOptions {
        chown: Some((1, 1)),
        chmod: Some(Chmod::Absolute(0o600)),
        ..CopyOptions::default()
    };
    let other = ["d d", "f d/a mode=755 id=1", "l d/l a"];
    assert_eq!(key(&base, "d", &replaced), key(&other, "d", &replaced));
    let symbolic = Some(Chmod::parse("+x").expect("valid"));
    let symbolic = CopyOptions { chmod: symbolic, ..CopyOptions::default() };
    assert_ne!(key(&base, "d", &symbolic), key(&other, "d", &symbolic));
}

#[test]
fn time_is_not_in_the_key_and_a_missing_digest_is_an_error() {
    let mut tree = hashed(&["f a"]);
    let options = CopyOptions::default();
    let before = content_key(&source(&tree, "a"), &options);
    tree.get_mut(b"a").expect("there").mtime += 1;
    assert_eq!(content_key(&source(&tree, "a"), &options), before);
    let Kind::File(file) = &mut tree.get_mut(b"a").expect("there").kind else { panic!("a file") };
    file.digest = None;
    assert_eq!(
        content_key(&source(&tree, "a"), &options),
        Err(KeyError::NoDigest { path: "/a".to_owned() })
    );
}
