//! The figures of dive, computed as dive computes them, so that its users can compare.

use std::collections::{BTreeMap, HashSet};
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
    let mut paths: BTreeMap<&[u8], Sizes> = BTreeMap::new();
    for (index, changes) in layers.into_iter().enumerate() {
        let leaves = leaves(&changes.changes);
        // They count with what was there before the layer.
        for (path, _) in leaves.iter().filter(|(_, leaf)| matches!(leaf, Leaf::Whiteout)) {
            let size = inside(&mut paths, path).filter_map(|sizes| sizes.now).sum();
            paths.entry(path).or_default().add(size);
        }
        for (path, leaf) in leaves {
            match leaf {
                Leaf::Set(size) => {
                    efficiency.image += size;
                    efficiency.user += if index > 0 { size } else { 0 };
                    let sizes = paths.entry(path).or_default();
                    sizes.add(size);
                    sizes.now = Some(size);
                }
                Leaf::Whiteout => {
                    paths.entry(path).or_default().now = None;
                    inside(&mut paths, path).for_each(|sizes| sizes.now = None);
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
    /// In the highest layer so far, if it is there.
    now: Option<u64>,
}

impl Sizes {
    fn add(&mut self, size: u64) {
        self.least = if self.layers == 0 { size } else { self.least.min(size) };
        self.all += size;
        self.layers += 1;
    }
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
            Change::Set(entry)
                if entry.kind == Kind::Directory && (path.is_empty() || parents.contains(path)) => {
            }
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
    let mut last: Option<&[u8]> = None;
    for (path, _) in changes {
        let mut path = &path[..];
        let parent = path.iter().rposition(|byte| *byte == b'/').map(|slash| &path[..slash]);
        if parent == std::mem::replace(&mut last, parent) {
            continue;
        }
        while let Some(slash) = path.iter().rposition(|byte| *byte == b'/') {
            path = &path[..slash];
            if !parents.insert(path) {
                break;
            }
        }
    }
    parents
}

/// All below a directory; nothing for what is none.
fn inside<'m>(
    paths: &'m mut BTreeMap<&[u8], Sizes>,
    directory: &[u8],
) -> impl Iterator<Item = &'m mut Sizes> {
    let below = [directory, b"/"].concat();
    paths
        .range_mut::<[u8], _>((Bound::Included(&below[..]), Bound::Unbounded))
        .take_while(move |(path, _)| path.starts_with(&below))
        .map(|(_, sizes)| sizes)
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
