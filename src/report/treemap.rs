//! The files of an image as nested areas: few enough to draw, and to the byte what the image weighs.

use std::cmp::{Ordering, Reverse};
use std::iter::Peekable;

use super::weight_text::plain;
use crate::weight::{ChangeKind, Difference, Fate, File, FileChange, Size, Weight, path};

/// How many bytes of JSON a picture may take; what is too small for it is added up by directory.
const BUDGET: usize = 2_000_000;
/// What a node takes besides its name.
const NODE: usize = 40;
/// The rest of a deeper path is one name, so that nobody who walks the nodes runs out of stack.
const DEPTH: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Fit to be shown; empty for the root and for [`Content::Rest`].
    pub(super) name: String,
    pub(super) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The heaviest first.
    Directory(Vec<Node>),
    /// All that no container sees, under paths of its own.
    Buried(Vec<Node>),
    File(Leaf),
    /// So many files of a directory that are too small to be drawn one by one.
    Rest(u64, Leaf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// In the image, or in the newer of two: nothing where that has it no more.
    pub(super) size: Size,
    pub(super) layer: Owner,
    pub(super) package: Owner,
    /// Of two images.
    pub(super) change: Option<Change>,
}

/// What a file belongs to, or all files of [`Content::Rest`]: an index in the weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// No package has it, or the image has it no more.
    Nobody,
    One(u32),
    Several,
}

impl From<Option<u32>> for Owner {
    fn from(index: Option<u32>) -> Self {
        index.map_or(Self::Nobody, Self::One)
    }
}

/// Unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) old: u64,
    /// Bytes more or less, without sign: what grew does not make up for what shrank.
    pub(super) moved: u64,
    pub(super) kind: ChangeKind,
}

/// All files of all layers: what no container sees is under [`Content::Buried`].
pub(super) fn of_weight(weight: &Weight) -> Node {
    let leaf = |file: &File| Leaf {
        size: weight.size_of(file),
        layer: Owner::One(file.layer),
        package: file.package.into(),
        change: None,
    };
    let mut draft = Draft::new();
    for file in weight.kept() {
        draft.add(&file.path, leaf(file));
    }
    let buried: Vec<&File> = weight.files.iter().filter(|file| file.fate != Fate::Kept).collect();
    if buried.iter().any(|file| file.bytes > 0) {
        draft.bury();
        for file in buried {
            draft.add(&file.path, leaf(file));
        }
    }
    draft.finish(BUDGET)
}

/// What a container sees of both images.
pub(super) fn of_difference(difference: &Difference, new: &Weight) -> Node {
    let mut draft = Draft::new();
    for (path, leaf) in both(difference, new) {
        draft.add(path, leaf);
    }
    draft.finish(BUDGET)
}

/// Every file of the new image, and those that it has no more, sorted by path.
fn both<'a>(difference: &'a Difference, new: &'a Weight) -> impl Iterator<Item = (&'a [u8], Leaf)> {
    let mut changes = difference.files.iter().peekable();
    let mut files = new.kept().peekable();
    std::iter::from_fn(move || next(&mut changes, &mut files, new))
}

fn next<'a>(
    changes: &mut Peekable<impl Iterator<Item = &'a FileChange>>,
    files: &mut Peekable<impl Iterator<Item = &'a File>>,
    new: &Weight,
) -> Option<(&'a [u8], Leaf)> {
    let order = match (changes.peek(), files.peek()) {
        (None, None) => return None,
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(change), Some(file)) => change.path.cmp(&file.path),
    };
    let change = if order.is_le() { changes.next() } else { None };
    let file = if order.is_ge() { files.next() } else { None };
    let size = file.map_or(Size::ZERO, |file| new.size_of(file));
    let old = match change {
        Some(change) => change.old.map_or(0, |side| side.size.unpacked),
        None => size.unpacked,
    };
    let leaf = Leaf {
        size,
        layer: file.map(|file| file.layer).into(),
        package: file.and_then(|file| file.package).into(),
        change: Some(Change {
            old,
            moved: size.unpacked.abs_diff(old),
            kind: change.map_or(ChangeKind::Same, FileChange::kind),
        }),
    };
    let path = change.map(|change| &change.path[..]).or(file.map(|file| &file.path[..]))?;
    Some((path, leaf))
}

impl Leaf {
    /// What it is drawn by where the whole image is.
    pub(super) fn area(&self) -> u64 {
        self.size.unpacked.max(self.change.map_or(0, |change| change.old))
    }

    /// Both as one.
    fn join(self, other: Self) -> Self {
        let size = self.size + other.size;
        let change = self.change.zip(other.change).map(|(a, b)| {
            let old = a.old.saturating_add(b.old);
            let kind = match size.unpacked.cmp(&old) {
                _ if a.kind == b.kind => a.kind,
                Ordering::Greater => ChangeKind::Grown,
                Ordering::Less => ChangeKind::Shrunk,
                Ordering::Equal => ChangeKind::Altered,
            };
            Change { old, moved: a.moved.saturating_add(b.moved), kind }
        });
        let owner = |a: Owner, b: Owner| if a == b { a } else { Owner::Several };
        let (layer, package) = (owner(self.layer, other.layer), owner(self.package, other.package));
        Self { size, layer, package, change }
    }
}

impl Node {
    /// The sum of `measure` over its leaves.
    pub(super) fn total(&self, measure: &impl Fn(&Leaf) -> u64) -> u64 {
        match &self.content {
            Content::File(leaf) | Content::Rest(_, leaf) => measure(leaf),
            Content::Directory(children) | Content::Buried(children) => children
                .iter()
                .fold(0, |total: u64, child| total.saturating_add(child.total(measure))),
        }
    }
}

/// All nodes before any is left out; what contains a node stands before it.
struct Draft<'a> {
    entries: Vec<Entry<'a>>,
    /// The directories that the last file is in, from the top: index in `entries`.
    open: Vec<usize>,
    /// How many of `open` every path is below.
    base: usize,
}

struct Entry<'a> {
    parent: usize,
    name: &'a [u8],
    area: u64,
    /// `None` for a directory.
    leaf: Option<Leaf>,
}

impl<'a> Draft<'a> {
    fn new() -> Self {
        let root = Entry { parent: 0, name: b"", area: 0, leaf: None };
        Self { entries: vec![root], open: vec![0], base: 1 }
    }

    /// What comes next no container sees. No path has an empty component, so its name is free.
    fn bury(&mut self) {
        self.open = vec![0];
        self.push(b"", None);
        self.open.push(self.entries.len() - 1);
        self.base = 2;
    }

    /// Paths come in order.
    fn add(&mut self, path: &'a [u8], leaf: Leaf) {
        let mut names: Vec<&[u8]> = path.splitn(DEPTH, |byte| *byte == b'/').collect();
        let file = names.pop().unwrap_or_default();
        let open = &self.open[self.base..];
        let shared = open
            .iter()
            .zip(&names)
            .take_while(|(i, name)| self.entries[**i].name == **name)
            .count();
        self.open.truncate(self.base + shared);
        for name in &names[shared..] {
            self.push(name, None);
            self.open.push(self.entries.len() - 1);
        }
        self.push(file, Some(leaf));
    }

    fn push(&mut self, name: &'a [u8], leaf: Option<Leaf>) {
        let parent = self.open.last().copied().unwrap_or_default();
        let area = leaf.map_or(0, |leaf| leaf.area());
        self.entries.push(Entry { parent, name, area, leaf });
    }

    /// The largest nodes, as many as `budget` has room for. Nothing is larger than what it is in, so
    /// that they hang together.
    fn finish(mut self, budget: usize) -> Node {
        for index in (1..self.entries.len()).rev() {
            let Entry { parent, area, .. } = self.entries[index];
            let above = &mut self.entries[parent].area;
            *above = above.saturating_add(area);
        }
        let mut order: Vec<usize> = (1..self.entries.len()).collect();
        order.sort_by_key(|index| (Reverse(self.entries[*index].area), *index));
        let mut names: Vec<Option<String>> = vec![None; self.entries.len()];
        names[0] = Some(String::new());
        let mut left = budget;
        for index in order {
            let entry = &self.entries[index];
            if names[entry.parent].is_none() || left < NODE {
                continue;
            }
            let name = plain(&path::text(entry.name));
            // Whatever needs an escape in JSON takes at most six bytes.
            let escapes = name.bytes().filter(|byte| b"<>&\"\\".contains(byte)).count();
            let cost = NODE + name.len() + 5 * escapes;
            if cost <= left {
                left -= cost;
                names[index] = Some(name);
            }
        }
        self.nest(names)
    }

    fn nest(&self, mut names: Vec<Option<String>>) -> Node {
        let mut rest: Vec<Option<(u64, Leaf)>> = vec![None; self.entries.len()];
        for (index, entry) in self.entries.iter().enumerate() {
            let Some(leaf) = entry.leaf.filter(|_| names[index].is_none()) else { continue };
            let mut above = entry.parent;
            while names[above].is_none() {
                above = self.entries[above].parent;
            }
            rest[above] = Some(match rest[above] {
                Some((files, sum)) => (files + 1, sum.join(leaf)),
                None => (1, leaf),
            });
        }
        // Backwards, so that everything is whole before it is put where it belongs.
        let mut children: Vec<Vec<Node>> = self.entries.iter().map(|_| Vec::new()).collect();
        for index in (0..self.entries.len()).rev() {
            let Some(name) = names[index].take() else { continue };
            let mut inside = std::mem::take(&mut children[index]);
            if let Some((files, leaf)) = rest[index] {
                inside.push(Node { name: String::new(), content: Content::Rest(files, leaf) });
            }
            inside.sort_by_cached_key(|node| Reverse(node.total(&Leaf::area)));
            let entry = &self.entries[index];
            let content = match entry.leaf {
                Some(leaf) => Content::File(leaf),
                None if index > 0 && entry.name.is_empty() => Content::Buried(inside),
                None => Content::Directory(inside),
            };
            let node = Node { name, content };
            if index == 0 {
                return node;
            }
            children[entry.parent].push(node);
        }
        Node { name: String::new(), content: Content::Directory(Vec::new()) }
    }
}

#[cfg(test)]
mod tests;
