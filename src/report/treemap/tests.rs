//! Whatever is left out, the sums stay; and a page stays small.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::digest::{DiffId, Digest, Sha256Sum};
use crate::report::{difference_html, difference_svg, weight_html, weight_svg};
use crate::weight::{Blob, Efficiency, Identity, Layer, Source, Step, compare};

/// As much of a page as may be.
const LARGEST_PAGE: usize = 5_000_000;

fn leaf(bytes: u64) -> Leaf {
    let size = Size { unpacked: bytes, compressed: Some(bytes / 2) };
    Leaf { size, layer: Owner::One(0), package: Owner::Nobody, change: None }
}

/// An image of one layer.
fn weight(files: impl IntoIterator<Item = (Vec<u8>, u64)>) -> Weight {
    let mut files: Vec<(Vec<u8>, u64)> = files.into_iter().collect();
    files.sort();
    let sum = Sha256Sum::of(b"layer");
    let file = |(path, bytes): (Vec<u8>, u64)| File {
        path: path.into(),
        layer: 0,
        bytes,
        compressed: bytes / 2,
        content: None,
        fate: Fate::Kept,
        package: None,
    };
    let unpacked = files.iter().map(|(_, bytes)| bytes).sum();
    let step =
        Step { instruction: "COPY . /".to_owned(), lines: Some((2, 2)), source: Source::Context };
    let blob = Some(Blob { digest: Digest(sum), bytes: unpacked / 2 });
    Weight {
        program_version: String::new(),
        distribution: None,
        image: Identity {
            name: "image".to_owned(),
            platform: "linux/amd64".to_owned(),
            manifest: None,
            config: Digest(sum),
        },
        layers: vec![Layer { diff_id: DiffId(sum), blob, unpacked, step }],
        files: files.into_iter().map(file).collect(),
        packages: Vec::new(),
        findings: Vec::new(),
        efficiency: Efficiency::default(),
    }
}

fn files(node: &Node) -> u64 {
    match &node.content {
        Content::File(_) => 1,
        Content::Rest(files, _) => *files,
        Content::Directory(nodes) | Content::Buried(nodes) => nodes.iter().map(files).sum(),
    }
}

fn names(node: &Node) -> Vec<&str> {
    match &node.content {
        Content::Directory(nodes) => nodes.iter().map(|node| node.name.as_str()).collect(),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_whatever_the_budget(
        sizes in proptest::collection::btree_map("[a-c](/[a-c.-]){0,4}/[x-z]{1,9}", 0..10_000_u64, 1..60),
        budget in 0..4000_usize,
    ) {
        let sizes: BTreeMap<String, u64> = sizes;
        let mut draft = Draft::new();
        for (path, bytes) in &sizes {
            draft.add(path.as_bytes(), leaf(*bytes));
        }
        let root = draft.finish(budget);
        let total: u64 = sizes.values().sum();
        prop_assert_eq!(root.total(&|leaf| leaf.size.unpacked), total);
        prop_assert_eq!(files(&root), sizes.len() as u64);
    }
}

#[test]
fn what_is_small_is_added_up_where_it_is() {
    let build = |budget| {
        let mut draft = Draft::new();
        for (path, bytes) in [("a/big", 900), ("a/s1", 3), ("a/s2", 2), ("b/s3", 1), ("top", 50)] {
            draft.add(path.as_bytes(), leaf(bytes));
        }
        draft.finish(budget)
    };
    let whole = build(10_000);
    assert_eq!(names(&whole), ["a", "top", "b"]);
    // Room for a, a/big and top.
    let part = build(3 * NODE + 7);
    assert_eq!(names(&part), ["a", "top", ""]);
    let Content::Directory(children) = part.content else { panic!() };
    assert_eq!(children[2].content, Content::Rest(1, leaf(1)));
    assert_eq!(names(&children[0]), ["big", ""]);
    let Content::Directory(inside) = &children[0].content else { panic!() };
    let Content::Rest(2, rest) = inside[1].content else { panic!("{inside:?}") };
    assert_eq!(rest.size, Size { unpacked: 5, compressed: Some(2) });
}

#[test]
fn what_no_container_sees_is_set_apart() {
    let mut weight = weight([(b"etc/a".to_vec(), 10), (b"etc/b".to_vec(), 20)]);
    weight.files[0].fate = Fate::Removed(0);
    let root = of_weight(&weight);
    let Content::Directory(children) = &root.content else { panic!() };
    assert!(matches!(&children[0].content, Content::Directory(_)));
    assert!(matches!(&children[1].content, Content::Buried(inside) if inside[0].name == "etc"));
    assert_eq!(root.total(&Leaf::area), 30);
}

#[test]
fn a_difference_says_of_each_file_how_it_changed() {
    let old = weight([("same", 5), ("gone", 7), ("more", 10)].map(|(p, b)| (p.into(), b)));
    let new = weight([("same", 5), ("more", 18), ("come", 3)].map(|(p, b)| (p.into(), b)));
    let root = of_difference(&compare(&old, &new), &new);
    let Content::Directory(children) = &root.content else { panic!() };
    let found: Vec<(&str, ChangeKind, u64)> = children
        .iter()
        .map(|node| {
            let Content::File(Leaf { change: Some(change), .. }) = &node.content else { panic!() };
            (node.name.as_str(), change.kind, change.moved)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("more", ChangeKind::Grown, 8),
            ("gone", ChangeKind::Removed, 7),
            ("same", ChangeKind::Same, 0),
            ("come", ChangeKind::Added, 3),
        ]
    );
}

#[test]
fn pages_of_huge_and_odd_images_stay_small() {
    let many = (0..200_000_u64).map(|index| {
        (format!("srv/node_modules/p{}/d{}/f{index}.js", index % 5000, index % 7), index)
    });
    // Nothing is larger than anything else, each in a directory of its own.
    let flat = (0..50_000).map(|index| (format!("{index}/file"), 1));
    let deep = (0..100).map(|index| (format!("{}{index}", "d/".repeat(2000)), 1_000_000));
    // Each takes six bytes for every one of its own.
    let long = (0..1500).map(|index| (format!("{}{index}", "<".repeat(4000)), 1_000_000));
    let old = weight([]);
    let images: [Vec<(String, u64)>; 4] =
        [many.collect(), flat.collect(), deep.collect(), long.collect()];
    for files in images {
        let new = weight(files.into_iter().map(|(path, bytes)| (path.into_bytes(), bytes)));
        let difference = compare(&old, &new);
        for page in [weight_html(&new, &[]), difference_html(&difference, &new, &[])] {
            assert!(page.len() < LARGEST_PAGE, "{}", page.len());
        }
    }
}

#[test]
fn a_picture_has_only_what_can_be_seen() {
    let files = (0..20_000_u64)
        .map(|index| (format!("{}/{}", index % 90, "<".repeat(200)).into_bytes(), index));
    let new = weight(files.collect::<BTreeMap<_, _>>());
    for picture in [weight_svg(&new), difference_svg(&compare(&weight([]), &new), &new)] {
        assert!((5_000..500_000).contains(&picture.len()), "{}", picture.len());
    }
}

#[test]
fn an_empty_image_has_a_picture() {
    let empty = weight([]);
    assert!(weight_svg(&empty).contains("Nothing to draw."));
    assert!(weight_html(&empty, &[]).contains("\"tree\":[\"\",[]]"));
}
