//! Properties of attribution, the saved form and differences, over layers of every shape.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::digest::{ContentSum, DiffId, Digest};
use crate::tree::{Change, Changes, Entry, FileInfo, Kind, TreePath};

/// What a layer does to one path.
#[derive(Clone, Debug)]
enum Op {
    File { content: u8, link: Option<u64> },
    Directory,
    Symlink,
    Remove,
    RemoveAndFile,
    Opaque,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..4_u8, prop::option::weighted(0.3, 0..2_u64))
            .prop_map(|(content, link)| Op::File { content, link }),
        2 => Just(Op::Directory),
        1 => Just(Op::Symlink),
        2 => Just(Op::Remove),
        1 => Just(Op::RemoveAndFile),
        1 => Just(Op::Opaque),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "a.b", "\u{1F6A2}"]), 1..4)
        .prop_map(|parts| parts.join("/"))
}

fn file(content: u8, link: Option<u64>) -> Change {
    // One number stands for one file: its names have one content.
    let content = link.map_or(content, |link| link as u8);
    let digest = Some(ContentSum::of(&[content]));
    let kind = Kind::File(FileInfo { size: 100 + 37 * u64::from(content), digest, link });
    Change::Set(Entry { kind, ..Entry::directory(0) })
}

fn changes() -> impl Strategy<Value = Changes> {
    prop::collection::btree_map(path(), op(), 0..12).prop_map(|ops: BTreeMap<String, Op>| {
        let is_file = |path: &str| {
            matches!(ops.get(path), Some(Op::File { .. } | Op::Symlink | Op::RemoveAndFile))
        };
        let mut changes: Vec<(TreePath, Change)> = Vec::new();
        for (path, op) in &ops {
            // A layer has nothing below its own files.
            if path.match_indices('/').any(|(slash, _)| is_file(&path[..slash])) {
                continue;
            }
            let mut add = |change| changes.push((path.as_bytes().into(), change));
            match op {
                Op::File { content, link } => add(file(*content, *link)),
                Op::Directory => add(Change::Set(Entry::directory(0))),
                Op::Symlink => {
                    let kind = Kind::Symlink(b"a"[..].into());
                    add(Change::Set(Entry { kind, ..Entry::directory(0) }));
                }
                Op::Remove => add(Change::Remove),
                Op::RemoveAndFile => {
                    add(Change::Remove);
                    add(file(3, None));
                }
                Op::Opaque => {
                    add(Change::Set(Entry::directory(0)));
                    add(Change::Opaque);
                }
            }
        }
        Changes { changes }
    })
}

fn image(layers: &[Changes]) -> Image {
    let layers = layers.iter().enumerate().map(|(index, changes)| ReadLayer {
        // Equal layers have equal names, as they do outside.
        diff_id: DiffId::of(format!("{changes:?}").as_bytes()),
        blob: Some(Blob {
            digest: Digest::of(format!("{changes:?}").as_bytes()),
            bytes: changes.unpacked_size() / 3 + 10,
        }),
        step: Step {
            instruction: format!("RUN {}", index % 2),
            lines: Some((index as u32 + 2, index as u32 + 2)),
            source: Source::Context,
        },
        changes: changes.clone(),
        facts: HashMap::new(),
        compressed: HashMap::new(),
    });
    Image {
        identity: Identity {
            name: "test".to_owned(),
            platform: "linux/amd64".to_owned(),
            manifest: None,
            config: Digest::of(b"config"),
        },
        layers: layers.collect(),
        dockerfile: None,
    }
}

fn layers() -> impl Strategy<Value = Vec<Changes>> {
    prop::collection::vec(changes(), 0..5)
}

fn mirrored(difference: &Difference) -> Difference {
    let mut mirrored = difference.clone();
    std::mem::swap(&mut mirrored.old, &mut mirrored.new);
    for change in &mut mirrored.layers {
        std::mem::swap(&mut change.old, &mut change.new);
    }
    for change in &mut mirrored.directories {
        std::mem::swap(&mut change.old, &mut change.new);
    }
    for change in &mut mirrored.packages {
        std::mem::swap(&mut change.old, &mut change.new);
        for component in &mut change.components {
            std::mem::swap(&mut component.old, &mut component.new);
        }
    }
    for change in &mut mirrored.files {
        std::mem::swap(&mut change.old, &mut change.new);
    }
    mirrored
}

/// The order of layers is that of the new image, and findings are the new image's: neither mirrors.
fn comparable(mut difference: Difference) -> Difference {
    difference.new_findings.clear();
    difference.layers.sort_by_key(|change| {
        let place = |side: &Option<LayerSide>| side.as_ref().map(|side| side.index);
        (place(&change.old), place(&change.new))
    });
    difference
}

proptest! {
    #[test]
    fn attribution_sums_to_the_layers(layers in layers()) {
        let weight = weigh(&image(&layers));
        for (index, changes) in layers.iter().enumerate() {
            let files = weight.files.iter().filter(|file| file.layer as usize == index);
            prop_assert_eq!(files.map(|file| file.bytes).sum::<u64>(), changes.unpacked_size());
        }
        let kept: Size = weight.kept().map(|file| weight.size_of(file)).sum();
        prop_assert_eq!(kept.unpacked + weight.buried().unpacked, weight.size().unpacked);
        let attributed = kept.compressed.unwrap() + weight.buried().compressed.unwrap();
        let rest = weight.compressed_rest().unwrap();
        prop_assert_eq!(attributed + rest, weight.size().compressed.unwrap());
        let sources: Size = weight.sources().iter().map(|source| source.size).sum();
        prop_assert_eq!(sources, weight.size());
        let root = weight.directories().first().map_or(0, |root| root.size.unpacked);
        prop_assert_eq!(root, kept.unpacked);
        prop_assert!(weight.waste().unpacked <= weight.size().unpacked);
    }

    #[test]
    fn what_is_kept_is_what_the_merged_tree_has(layers in layers()) {
        let weight = weigh(&image(&layers));
        let mut tree = Tree::new();
        for (index, changes) in layers.iter().enumerate() {
            tree.apply(changes, index as u32);
        }
        let merged: Vec<(TreePath, u32)> = tree
            .iter()
            .filter(|(_, entry)| matches!(entry.kind, Kind::File(_)))
            .map(|(path, entry)| (path.clone(), entry.layer))
            .collect();
        let kept: Vec<(TreePath, u32)> =
            weight.kept().map(|file| (file.path.clone(), file.layer)).collect();
        prop_assert_eq!(kept, merged);
        prop_assert_eq!(weight.kept().map(|file| file.bytes).sum::<u64>(), tree.unpacked_size());
    }

    #[test]
    fn a_saved_weight_comes_back_whole_or_not_at_all(layers in layers(), at: usize, bit in 0..8_u8) {
        let weight = weigh(&image(&layers));
        let mut bytes = encode(&weight);
        prop_assert_eq!(decode(&bytes), Ok(weight.clone()));
        prop_assert_eq!(&bytes, &encode(&weight));
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        // The checksum sees every change but those of the frame's own unused bits.
        if let Ok(read) = decode(&bytes) {
            prop_assert_eq!(read, weight);
        }
        bytes.truncate(at);
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn an_image_does_not_differ_from_itself(layers in layers()) {
        let weight = weigh(&image(&layers));
        let difference = compare(&weight, &weight);
        prop_assert!(difference.is_empty());
        prop_assert!(difference.directories.is_empty() && difference.new_findings.is_empty());
        prop_assert_eq!(difference.new.own, Some(0));
    }

    #[test]
    fn differences_add_up_and_mirror(old in layers(), new in layers()) {
        let (old, new) = (weigh(&image(&old)), weigh(&image(&new)));
        let there = compare(&old, &new);
        let back = compare(&new, &old);
        prop_assert_eq!(comparable(mirrored(&there)), comparable(back));
        let sum = |side: &dyn Fn(&FileChange) -> Option<FileSide>| -> i64 {
            let sizes = there.files.iter().filter_map(|change| Some(side(change)?.size.unpacked));
            sizes.sum::<u64>() as i64
        };
        let files = sum(&|change| change.new) - sum(&|change| change.old);
        let buried = there.new.buried.unpacked as i64 - there.old.buried.unpacked as i64;
        prop_assert_eq!(files + buried, there.growth().unpacked);
        let layers = |pick: &dyn Fn(&LayerChange) -> Option<u32>| {
            let mut indices: Vec<u32> = there.layers.iter().filter_map(pick).collect();
            indices.sort_unstable();
            indices
        };
        let all = |weight: &Weight| (0..weight.layers.len() as u32).collect::<Vec<_>>();
        prop_assert_eq!(layers(&|change| change.old.as_ref().map(|side| side.index)), all(&old));
        prop_assert_eq!(layers(&|change| change.new.as_ref().map(|side| side.index)), all(&new));
    }
}
