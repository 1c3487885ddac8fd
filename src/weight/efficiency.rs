//! The figures of dive, computed as dive computes them, so that its users can compare.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::tree::{Change, Changes, Kind, TreePath};

/// Exact counts; the figures follow from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Efficiency {
    /// Over all paths, the smallest size that a path has in any layer.
    pub least: u64,
    /// Over all paths, its sizes in all layers.
    pub found: u64,
    /// Of `found`, the paths that are in more than one layer.
    pub wasted: u64,
    /// Bytes of all layers, and of all but the lowest, which dive takes for the base image.
    pub image: u64,
    pub user: u64,
}

impl Efficiency {
    /// From 0 to 1; 1 where no path is in two layers.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn score(&self) -> f64 {
        if self.found == 0 { 1.0 } else { self.least as f64 / self.found as f64 }
    }

    /// Wasted bytes as a part of what is above the base: from 0, usually below 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn user_wasted(&self) -> f64 {
        if self.user == 0 { 0.0 } else { self.wasted as f64 / self.user as f64 }
    }
}

/// Counts as dive does (`filetree.Efficiency`): what is a leaf of a layer's tree counts with its
/// size; a whiteout counts with the size of what it removes, but only where that was a directory;
/// opaque marks count for nothing.
///
/// Of a file with several names the first by path has its size. dive takes the first in the
/// archive, which is the same for all tools that walk directories in order.
pub(super) fn efficiency<'a>(layers: impl IntoIterator<Item = &'a Changes>) -> Efficiency {
    let mut efficiency = Efficiency::default();
    let mut paths: HashMap<&[u8], Sizes> = HashMap::new();
    let mut below: BTreeMap<&[u8], u64> = BTreeMap::new();
    for (index, changes) in layers.into_iter().enumerate() {
        let changes = &changes.changes;
        let leaves = leaves(changes);
        for (path, leaf) in &leaves {
            let size = match leaf {
                Leaf::Set(size) => *size,
                Leaf::Whiteout => in_directory(&below, path),
            };
            let sizes = paths.entry(path).or_insert(Sizes { least: size, ..Sizes::default() });
            sizes.least = sizes.least.min(size);
            sizes.all += size;
            sizes.layers += 1;
        }
        for (path, leaf) in leaves {
            match leaf {
                Leaf::Set(size) => {
                    efficiency.image += size;
                    efficiency.user += if index > 0 { size } else { 0 };
                    below.insert(path, size);
                }
                Leaf::Whiteout => {
                    below.remove(path);
                    let gone: Vec<&[u8]> = inside(&below, path).map(|(path, _)| path).collect();
                    for path in gone {
                        below.remove(path);
                    }
                }
            }
        }
    }
    for sizes in paths.values() {
        efficiency.least += sizes.least;
        efficiency.found += sizes.all;
        efficiency.wasted += if sizes.layers > 1 { sizes.all } else { 0 };
    }
    efficiency
}

/// Of one path over all layers.
#[derive(Default)]
struct Sizes {
    least: u64,
    all: u64,
    layers: u32,
}

enum Leaf {
    Set(u64),
    Whiteout,
}

/// What has nothing below it in the layer.
fn leaves(changes: &[(TreePath, Change)]) -> Vec<(&[u8], Leaf)> {
    let mut links = HashSet::new();
    let mut leaves: Vec<(&[u8], Leaf)> = Vec::new();
    let parents = parents(changes);
    for (path, change) in changes {
        let path = &path[..];
        match change {
            Change::Remove => leaves.push((path, Leaf::Whiteout)),
            Change::Set(_) if path.is_empty() || parents.contains(path) => {}
            Change::Set(entry) => {
                let size = match &entry.kind {
                    Kind::File(file) if file.link.is_none_or(|link| links.insert(link)) => {
                        file.size
                    }
                    _ => 0,
                };
                leaves.push((path, Leaf::Set(size)));
            }
            Change::Link(_) => leaves.push((path, Leaf::Set(0))),
            Change::Opaque => {}
        }
    }
    leaves
}

fn parents(changes: &[(TreePath, Change)]) -> HashSet<&[u8]> {
    let mut parents = HashSet::new();
    for (path, _) in changes {
        let mut path = &path[..];
        while let Some(slash) = path.iter().rposition(|byte| *byte == b'/') {
            path = &path[..slash];
            if !parents.insert(path) {
                break;
            }
        }
    }
    parents
}

fn inside<'m, 'p>(
    files: &'m BTreeMap<&'p [u8], u64>,
    directory: &[u8],
) -> impl Iterator<Item = (&'p [u8], u64)> + use<'m, 'p> {
    let below = [directory, b"/"].concat();
    files
        .range::<[u8], _>((Bound::Included(&below[..]), Bound::Unbounded))
        .take_while(move |(path, _)| path.starts_with(&below))
        .map(|(path, size)| (*path, *size))
}

/// The bytes below a directory; 0 for what is none.
fn in_directory(files: &BTreeMap<&[u8], u64>, path: &[u8]) -> u64 {
    inside(files, path).map(|(_, size)| size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Entry, FileInfo};

    fn layer(changes: &[(&str, Option<u64>)]) -> Changes {
        let change = |size: &Option<u64>| match size {
            Some(size) => {
                let kind = Kind::File(FileInfo { size: *size, digest: None, link: None });
                Change::Set(Entry { kind, ..Entry::directory(0) })
            }
            None => Change::Remove,
        };
        let changes = changes.iter().map(|(path, size)| (path.as_bytes().into(), change(size)));
        Changes { changes: changes.collect() }
    }

    #[test]
    fn replaced_and_removed_paths_count_as_dive_counts_them() {
        let layers = [
            layer(&[("a", Some(100)), ("b", Some(10)), ("d/x", Some(5)), ("d/y", Some(7))]),
            layer(&[("a", Some(40)), ("b", None), ("d", None)]),
        ];
        // a: 40 of 140; b: 0 of 10; d/x and d/y once each; d: 12 of 12, and only in one layer.
        let found = efficiency(&layers);
        assert_eq!((found.least, found.found), (40 + 5 + 7 + 12, 140 + 10 + 5 + 7 + 12));
        assert_eq!((found.wasted, found.image, found.user), (150, 162, 40));
        assert!((found.user_wasted() - 3.75).abs() < 1e-9);
    }

    #[test]
    fn an_image_without_repetition_is_efficient() {
        let found = efficiency(&[layer(&[("a", Some(1))]), layer(&[("b", Some(2))])]);
        assert!((found.score() - 1.0).abs() < 1e-9);
        assert!((efficiency(&[]).score() - 1.0).abs() < 1e-9);
    }
}
