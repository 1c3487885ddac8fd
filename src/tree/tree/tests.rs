use proptest::prelude::*;

use super::*;
use crate::tree::FileInfo;

fn path(text: &str) -> TreePath {
    text.as_bytes().into()
}

fn file(size: u64, link: Option<u64>) -> Entry {
    let kind = Kind::File(FileInfo { size, digest: None, link });
    Entry { kind, mode: 0o644, ..Entry::directory(0) }
}

fn set(text: &str, entry: Entry) -> (TreePath, Change) {
    (path(text), Change::Set(entry))
}

fn layers(layers: &[Vec<(TreePath, Change)>]) -> Tree {
    let mut tree = Tree::new();
    for (layer, changes) in (0..).zip(layers) {
        tree.apply(&Changes { changes: changes.clone() }, layer);
    }
    tree
}

fn paths(tree: &Tree) -> Vec<String> {
    tree.iter().map(|(path, _)| String::from_utf8_lossy(path).into_owned()).collect()
}

#[test]
fn a_new_tree_is_a_root_directory() {
    let tree = Tree::new();
    assert_eq!(tree.get(b"").map(|root| (root.mode, root.uid, root.gid)), Some((0o755, 0, 0)));
    assert_eq!(tree.iter().count(), 0);
    assert_eq!(tree.get(b"a"), None);
}

#[test]
fn paths_come_in_bytewise_order_of_the_whole() {
    let names = ["a", "a-b", "a-b/x", "a.b", "a.b/c", "a.b/c/d", "a/a", "a/z", "a0", "b"];
    let changes = names.iter().map(|name| {
        let parent = names.iter().any(|other| other.starts_with(&format!("{name}/")));
        set(name, if parent { Entry::directory(0) } else { file(1, None) })
    });
    let tree = layers(&[changes.collect()]);
    assert_eq!(paths(&tree), names);
    let below: Vec<_> = tree.below(b"a.b").map(|(path, _)| path.to_vec()).collect();
    assert_eq!(below, [b"a.b/c".to_vec(), b"a.b/c/d".to_vec()]);
    assert_eq!(tree.children(b"a").count(), 2);
    assert_eq!(tree.children(b"nothing").count(), 0);
}

#[test]
fn a_layer_makes_the_parents_it_does_not_list() {
    let tree = layers(&[vec![set("a", file(1, None))], vec![set("a/b/c", file(1, None))]]);
    assert_eq!(paths(&tree), ["a", "a/b", "a/b/c"]);
    assert_eq!(tree.get(b"a"), Some(&Entry::directory(1)));
}

#[test]
fn kinds_replace_each_other() {
    let directory = || Entry { mode: 0o700, ..Entry::directory(0) };
    let base = vec![set("d", directory()), set("d/x", file(1, None)), set("f", file(1, None))];
    let tree = layers(&[
        base.clone(),
        vec![set("d", file(2, None)), set("f", directory()), set("f/y", file(1, None))],
    ]);
    assert_eq!(paths(&tree), ["d", "f", "f/y"]);
    // A directory over a directory keeps the contents and takes the new metadata.
    let tree = layers(&[base, vec![set("d", Entry::directory(0))]]);
    assert_eq!(paths(&tree), ["d", "d/x", "f"]);
    assert_eq!(tree.get(b"d").map(|entry| (entry.mode, entry.layer)), Some((0o755, 1)));
}

#[test]
fn whiteouts_hide_what_is_below_and_not_what_comes_with_them() {
    let base = || {
        let mut changes: Vec<_> = ["d/a", "d/b/c", "e"].map(|path| set(path, file(1, None))).into();
        changes.insert(0, set("d", Entry { mode: 0o700, ..Entry::directory(0) }));
        changes
    };
    let removed =
        layers(&[base(), vec![(path("d/b"), Change::Remove), (path("x"), Change::Remove)]]);
    assert_eq!(paths(&removed), ["d", "d/a", "e"]);
    let again = layers(&[base(), vec![(path("d"), Change::Remove), set("d/new", file(1, None))]]);
    assert_eq!(paths(&again), ["d", "d/new", "e"]);
    let opaque = layers(&[base(), vec![(path("d"), Change::Opaque), set("d/b", file(1, None))]]);
    assert_eq!(paths(&opaque), ["d", "d/b", "e"]);
    assert_eq!(opaque.get(b"d").map(|entry| entry.mode), Some(0o700));
    assert_eq!(paths(&layers(&[base(), vec![(path(""), Change::Opaque)]])), [""; 0]);
}

#[test]
fn a_clone_does_not_see_later_changes() {
    let first = layers(&[vec![set("a/b", file(1, None)), set("c/d", file(1, None))]]);
    let mut second = first.clone();
    second.remove(b"a/b");
    second.insert(&path("c/e"), file(1, None));
    second.get_mut(b"c/d").expect("it is there").mode = 0;
    assert_eq!(paths(&first), ["a", "a/b", "c", "c/d"]);
    assert_eq!(first.get(b"c/d").map(|entry| entry.mode), Some(0o644));
    assert_eq!(paths(&second), ["a", "c", "c/d", "c/e"]);
    assert_ne!(first, second);
}

#[test]
fn a_file_with_two_names_counts_once() {
    let tree = layers(&[
        vec![set("a", file(5, Some(1))), set("b", file(5, Some(1))), set("c", file(7, None))],
        vec![set("d", file(100, Some(1)))],
    ]);
    assert_eq!(tree.unpacked_size(), 112);
}

#[test]
fn a_hard_link_to_a_lower_file_is_a_file_of_its_own_layer() {
    let link = |at: &str, target: &str| (path(at), Change::Link(path(target)));
    let symlink = Entry { kind: Kind::Symlink(b"usr"[..].into()), ..Entry::directory(0) };
    let base = vec![
        set("lib", symlink),
        set("usr/a", Entry { mode: 0o4755, ..file(5, Some(1)) }),
        set("usr/b", file(5, Some(1))),
    ];
    // What the layer does to the target comes after its link.
    let above = vec![
        link("copy", "lib/a"),
        link("nothing", "usr/none"),
        (path("usr/a"), Change::Remove),
        link("usr/b", "lib"),
    ];
    let tree = layers(&[base.clone(), above.clone()]);
    assert_eq!(paths(&tree), ["copy", "lib", "usr", "usr/b"]);
    assert_eq!(tree.get(b"copy"), Some(&Entry { mode: 0o4755, layer: 1, ..file(5, None) }));
    assert!(matches!(tree.get(b"usr/b").map(|e| &e.kind), Some(Kind::Symlink(_))));
    let below = layers(&[base]);
    let (at, target) = (path("nothing"), path("usr/none"));
    assert_eq!(below.broken_link(&Changes { changes: above }), Some((&at, &target)));
    for directory in ["usr", ""] {
        assert!(below.broken_link(&Changes { changes: vec![link("x", directory)] }).is_some());
    }
    for known in ["usr/a", "lib/a", "lib"] {
        assert_eq!(below.broken_link(&Changes { changes: vec![link("x", known)] }), None);
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => Just(Change::Set(Entry::directory(0))),
        5 => (0..9_u64).prop_map(|size| Change::Set(file(size, None))),
        2 => Just(Change::Remove),
        1 => Just(Change::Opaque),
    ]
}

fn changes() -> impl Strategy<Value = Vec<(TreePath, Change)>> {
    prop::collection::btree_map("[ab.](/[ab.]){0,3}", change(), 0..12)
        .prop_map(|map| map.into_iter().map(|(text, change)| (path(&text), change)).collect())
}

proptest! {
    #[test]
    fn the_tree_is_what_a_plain_map_would_hold(stack in prop::collection::vec(changes(), 1..4)) {
        let mut map: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
        let is_below = |path: &[u8], of: &[u8]| {
            path.strip_prefix(of).is_some_and(|rest| rest.first() == Some(&b'/'))
        };
        for (layer, changes) in (0..).zip(&stack) {
            for (path, change) in changes {
                match change {
                    Change::Remove => map.retain(|p, _| **p != **path && !is_below(p, path)),
                    Change::Opaque => map.retain(|p, _| !is_below(p, path)),
                    Change::Set(_) | Change::Link(_) => {}
                }
            }
            for (path, change) in changes {
                let entry = match change {
                    Change::Set(entry) => Entry { layer, ..entry.clone() },
                    Change::Opaque if !map.contains_key(&**path) => Entry::directory(layer),
                    _ => continue,
                };
                for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                    let parent = map.entry(path[..at].to_vec()).or_insert(Entry::directory(layer));
                    if parent.kind != Kind::Directory {
                        *parent = Entry::directory(layer);
                    }
                }
                if entry.kind != Kind::Directory {
                    map.retain(|p, _| !is_below(p, path));
                }
                map.insert(path.to_vec(), entry);
            }
        }
        let tree = layers(&stack);
        let found: Vec<_> = tree.iter().map(|(path, entry)| (path.to_vec(), entry.clone())).collect();
        prop_assert_eq!(&found, &map.clone().into_iter().collect::<Vec<_>>());
        for (path, entry) in &map {
            prop_assert_eq!(tree.get(path), Some(entry));
            prop_assert_eq!(tree.get_key_value(path).map(|(p, _)| p.to_vec()), Some(path.clone()));
        }
    }
}

#[test]
fn the_deepest_path_that_linux_has_needs_no_deep_stack() {
    let deepest = path(&["d"; 2048].join("/"));
    let work = move || {
        let mut tree = Tree::new();
        tree.insert(&deepest, file(1, None));
        let copy = tree.clone();
        tree.remove(b"d/d");
        (copy.iter().count(), tree.iter().count())
    };
    // Half of what a thread gets.
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(work).expect("a thread");
    assert_eq!(thread.join().expect("no overflow"), (2048, 1));
}
