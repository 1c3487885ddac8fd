//! Changes → tar → changes, and → table of contents → changes, for trees of all shapes.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::layer::{Found, LayerError, decode, encode, scan_layer};

/// What stands at a path of a generated tree.
#[derive(Clone, Debug)]
enum Node {
    Directory { opaque: bool, explicit: bool, children: BTreeMap<Vec<u8>, Node> },
    Leaf(Leaf, Meta),
    Removed,
}

#[derive(Clone, Debug)]
enum Leaf {
    /// Content, and a group of hard links to be in.
    File(Vec<u8>, Option<u64>),
    Symlink(Vec<u8>),
    Device(u32, u32),
    Fifo,
}

#[derive(Clone, Debug)]
struct Meta {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: i64,
    xattr: Option<Vec<u8>>,
}

fn meta() -> impl Strategy<Value = Meta> {
    let ids = || prop_oneof![Just(0), Just(1000), any::<u32>()];
    let mtime = prop_oneof![0..2_000_000_000_i64, -1000..0_i64, Just(1 << 36)];
    let xattr = prop::option::of(prop::collection::vec(any::<u8>(), 0..20));
    (0..0o10000_u32, ids(), ids(), mtime, xattr).prop_map(|(mode, uid, gid, mtime, xattr)| {
        // An empty PAX value takes the record back, as POSIX has it: there is no way to write one.
        let xattr = xattr.filter(|value| !value.is_empty());
        Meta { mode, uid, gid, mtime, xattr }
    })
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let names = prop_oneof![
        4 => "[a-c]{1,2}".prop_map(String::into_bytes),
        1 => "[a-z.-]{90,200}".prop_map(String::into_bytes),
        1 => prop::collection::vec(1_u8..=255, 1..20),
    ];
    names.prop_filter("a name in a directory, and no whiteout", |name| {
        !name.contains(&b'/') && !matches!(&name[..], b"." | b"..") && !name.starts_with(b".wh.")
    })
}

fn tree() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        (prop::collection::vec(any::<u8>(), 0..1500), prop::option::of(0..3_u64))
            .prop_map(|(content, link)| Leaf::File(content, link)),
        prop::collection::vec(1_u8..=255, 1..150).prop_map(Leaf::Symlink),
        (1..4096_u32, 0..1_000_000_u32).prop_map(|(major, minor)| Leaf::Device(major, minor)),
        Just(Leaf::Fifo),
    ];
    let leaf = prop_oneof![
        5 => (leaf, meta()).prop_map(|(leaf, meta)| Node::Leaf(leaf, meta)),
        1 => Just(Node::Removed),
    ];
    leaf.prop_recursive(4, 40, 6, |node| {
        let children = prop::collection::btree_map(name(), node, 1..6);
        (any::<bool>(), any::<bool>(), children)
            .prop_map(|(opaque, explicit, children)| Node::Directory { opaque, explicit, children })
    })
}

/// The changes that the tree stands for, its links numbered as a scan does it.
fn flat(root: &BTreeMap<Vec<u8>, Node>) -> (Changes, Contents) {
    let mut list = Vec::new();
    let mut contents = Contents::new();
    collect(b"", root, &mut list, &mut contents);
    list.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut first: HashMap<u64, TreePath> = HashMap::new();
    for (path, change) in &mut list {
        let Change::Set(Entry { kind: Kind::File(file), .. }) = change else { continue };
        if let Some(link) = file.link {
            first.entry(link).or_insert_with(|| path.clone());
        }
    }
    // All names of a file are one inode.
    let of_first: HashMap<u64, Entry> = list
        .iter()
        .filter_map(|(path, change)| match change {
            Change::Set(entry) => {
                let Kind::File(file) = &entry.kind else { return None };
                let link = file.link.filter(|link| first[link] == *path)?;
                Some((link, entry.clone()))
            }
            _ => None,
        })
        .collect();
    for (_, change) in &mut list {
        if let Change::Set(entry) = change
            && let Kind::File(FileInfo { link: Some(link), .. }) = &entry.kind
        {
            *entry = of_first[link].clone();
        }
    }
    crate::layer::contents::number_links(&mut list);
    (Changes { changes: list }, contents)
}

fn collect(
    parent: &[u8],
    children: &BTreeMap<Vec<u8>, Node>,
    list: &mut Vec<(TreePath, Change)>,
    contents: &mut Contents,
) {
    for (name, node) in children {
        let path = if parent.is_empty() { name.clone() } else { [parent, b"/", name].concat() };
        let tree_path = TreePath::from(&*path);
        match node {
            Node::Removed => list.push((tree_path, Change::Remove)),
            Node::Directory { opaque, explicit, children } => {
                if *explicit {
                    list.push((tree_path.clone(), directory()));
                }
                if *opaque {
                    list.push((tree_path, Change::Opaque));
                }
                collect(&path, children, list, contents);
            }
            Node::Leaf(leaf, meta) => {
                let kind = match leaf {
                    Leaf::File(content, link) => {
                        contents.insert(tree_path.clone(), content.clone());
                        let digest = Some(ContentSum::of(content));
                        let size = content.len() as u64;
                        Kind::File(FileInfo { size, digest, link: *link })
                    }
                    Leaf::Symlink(target) => Kind::Symlink(target.as_slice().into()),
                    Leaf::Device(major, minor) => {
                        Kind::BlockDevice { major: *major, minor: *minor }
                    }
                    Leaf::Fifo => Kind::Fifo,
                };
                let Meta { mode, uid, gid, mtime, ref xattr } = *meta;
                let xattrs = xattr.iter().map(|value| {
                    (b"security.capability".as_slice().into(), value.as_slice().into())
                });
                let xattrs = xattrs.collect();
                let entry = Entry { kind, mode, uid, gid, mtime, xattrs, layer: 0 };
                list.push((tree_path, Change::Set(entry)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_scan_finds_what_was_written(root in prop::collection::btree_map(name(), tree(), 0..6)) {
        let (changes, contents) = flat(&root);
        let (tar, written) = layer_tar(&changes, &contents);
        prop_assert_eq!(&written, &changes);
        prop_assert_eq!(&scan_layer(&tar[..]).unwrap(), &changes);
        prop_assert_eq!(decode(&encode(&changes)), Ok(changes));
    }

    #[test]
    fn a_damaged_table_is_an_error(
        root in prop::collection::btree_map(name(), tree(), 1..4),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let bytes = encode(&flat(&root).0);
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= 1 << bit;
        // One bit of a zstd frame header says nothing that a decoder needs.
        if let Ok(decoded) = decode(&damaged) {
            prop_assert_eq!(decoded, decode(&bytes).unwrap());
        }
        prop_assert!(decode(&bytes[..at.index(bytes.len())]).is_err());
        prop_assert!(decode(&[&bytes[..], b"more"].concat()).is_err());
    }

    #[test]
    fn no_bytes_make_the_table_or_a_scan_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode(&bytes);
        let _ = decode(&[b"plimtoc\x01", &*zstd::encode_all(&bytes[..], 1).unwrap()].concat());
        let _ = scan_layer(&bytes[..]);
    }
}

fn write(changes: &Changes, content: &'static [u8]) -> Result<Changes, LayerError> {
    let mut open = |_: usize| -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(content)) };
    write_layer(changes, &mut open, &WriteOptions::default(), &mut io::sink())
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let sized = |size| {
        let kind = Kind::File(FileInfo { size, digest: None, link: None });
        changes([("file", Change::Set(entry(kind)))])
    };
    assert!(write(&sized(4), b"four").is_ok());
    for (size, expected) in [(3, Found::More), (5, Found::Exactly(4))] {
        let error = write(&sized(size), b"four").unwrap_err();
        let LayerError::FileChanged { stated, found, .. } = error else { panic!("{error}") };
        assert_eq!((stated, found), (size, expected));
    }
    let error = write(&changes([("file", file(b"five", None))]), b"four").unwrap_err();
    assert!(matches!(error, LayerError::ContentChanged { .. }), "{error}");
}

#[test]
fn what_no_layer_can_hold_is_left_out_or_refused() {
    let socket = changes([("socket", Change::Set(entry(Kind::Socket)))]);
    assert_eq!(write(&socket, b"").unwrap(), Changes::default());
    let error = write(&changes([("d/.wh.x", file(b"", None))]), b"").unwrap_err();
    assert!(matches!(error, LayerError::ReservedName { .. }), "{error}");
    for unsorted in [
        changes([("b", directory()), ("a", directory())]),
        changes([("a", directory()), ("a", directory())]),
        changes([("a", directory()), ("a", Change::Remove)]),
    ] {
        let error = write(&unsorted, b"").unwrap_err();
        assert!(matches!(error, LayerError::Unsorted { .. }), "{error}");
    }
}

#[test]
fn times_are_clamped_only_where_they_are_later() {
    let mut early = entry(Kind::Directory);
    early.mtime = 5;
    let list = changes([("a", directory()), ("b", Change::Set(early))]);
    let options = WriteOptions { latest_mtime: Some(10) };
    let mut tar = Vec::new();
    let mut open = |_: usize| -> io::Result<Box<dyn Read + Send>> { unreachable!() };
    let written = write_layer(&list, &mut open, &options, &mut tar).unwrap();
    let times: Vec<i64> = written
        .changes
        .iter()
        .filter_map(|(_, change)| match change {
            Change::Set(entry) => Some(entry.mtime),
            _ => None,
        })
        .collect();
    assert_eq!(times, [10, 5]);
    assert_eq!(scan_layer(&tar[..]).unwrap(), written);
}
