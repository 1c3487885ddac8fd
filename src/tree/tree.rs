//! The merged tree: what is left of all layers when they lie on each other.

use std::collections::{BTreeMap, HashSet, btree_map};
use std::iter::Peekable;
use std::sync::Arc;

use super::entry::{Change, Changes, Entry, Kind, TreePath, Xattrs};

/// All paths of an image. A clone is cheap and shares what neither changes later.
///
/// Directories are the unit of sharing: a change copies the directories on the way to it.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Node,
}

#[derive(Clone, Debug)]
struct Node {
    entry: Arc<Entry>,
    /// By whole path, so that iteration hands out paths that exist already; `None` for an empty
    /// directory and for everything else.
    children: Option<Arc<Children>>,
}

type Children = BTreeMap<TreePath, Node>;

impl Node {
    fn new(entry: Entry) -> Self {
        Self { entry: Arc::new(entry), children: None }
    }
}

/// A path may have thousands of components, and an image is not ours: without recursion.
impl Drop for Node {
    fn drop(&mut self) {
        let mut pending: Vec<Arc<Children>> = self.children.take().into_iter().collect();
        while let Some(children) = pending.pop() {
            if let Some(mut last) = Arc::into_inner(children) {
                pending.extend(last.values_mut().filter_map(|node| node.children.take()));
            }
        }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// Only a root directory, 0755 0:0.
    #[must_use]
    pub fn new() -> Self {
        Self { root: Node::new(Entry::directory(0)) }
    }

    /// What is at `path`; symbolic links on the way are not followed, see [`Tree::resolve`].
    #[must_use]
    pub fn get(&self, path: &[u8]) -> Option<&Entry> {
        self.node(path).map(|node| &*node.entry)
    }

    /// As [`Tree::get`], with the path as the tree holds it.
    #[must_use]
    pub fn get_key_value(&self, path: &[u8]) -> Option<(TreePath, &Entry)> {
        let Some((parent, _)) = split(path) else {
            return Some((TreePath::from(&b""[..]), &self.root.entry));
        };
        let (path, node) = self.node(parent)?.children.as_deref()?.get_key_value(path)?;
        Some((path.clone(), &node.entry))
    }

    /// To change what is known of a path. Its kind must stay what it is as far as
    /// [`Kind::Directory`] goes.
    pub fn get_mut(&mut self, path: &[u8]) -> Option<&mut Entry> {
        let mut node = &mut self.root;
        for end in component_ends(path) {
            node = Arc::make_mut(node.children.as_mut()?).get_mut(&path[..end])?;
        }
        Some(Arc::make_mut(&mut node.entry))
    }

    /// What stands directly in the directory at `path`, by name.
    pub fn children(&self, path: &[u8]) -> impl Iterator<Item = (&TreePath, &Entry)> {
        self.node(path)
            .and_then(|node| node.children.as_deref())
            .into_iter()
            .flatten()
            .map(|(path, node)| (path, &*node.entry))
    }

    /// All below `path`, without it, in bytewise order of the whole paths.
    #[must_use]
    pub fn below(&self, path: &[u8]) -> Iter<'_> {
        let mut iter = Iter { open: Vec::new() };
        if let Some(children) = self.node(path).and_then(|node| node.children.as_deref()) {
            iter.open.push(Level::new(children));
        }
        iter
    }

    /// All but the root directory, in bytewise order of the whole paths: the order of a layer.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        self.below(b"")
    }

    /// Puts `entry` at `path`. A directory keeps what is below it; anything else takes the place
    /// of all that was there. Missing parents, and those that are no directories, become
    /// directories (0755 0:0, time 0) of the entry's layer.
    pub fn insert(&mut self, path: &TreePath, entry: Entry) {
        let mut node = &mut self.root;
        for end in component_ends(path) {
            let layer = entry.layer;
            if node.entry.kind != Kind::Directory {
                *node = Node::new(Entry::directory(layer));
            }
            let children = Arc::make_mut(node.children.get_or_insert_default());
            let new = || Node::new(Entry::directory(layer));
            let here = &path[..end];
            // What is above a path is mostly there, and needs no path of its own then.
            node = if end == path.len() {
                children.entry(path.clone()).or_insert_with(new)
            } else if children.contains_key(here) {
                let Some(known) = children.get_mut(here) else { return };
                known
            } else {
                children.entry(here.into()).or_insert_with(new)
            };
        }
        if entry.kind != Kind::Directory {
            node.children = None;
        }
        node.entry = Arc::new(entry);
    }

    /// Takes away `path` and all below it; the root only loses what is below.
    pub fn remove(&mut self, path: &[u8]) {
        let Some((parent, _)) = split(path) else {
            self.root.children = None;
            return;
        };
        if self.get(path).is_some()
            && let Some(node) = self.node_mut(parent)
            && let Some(children) = &mut node.children
        {
            Arc::make_mut(children).remove(path);
        }
    }

    /// What a hard link of a layer on top of this tree leads to; `None` where nothing is, or a
    /// directory. Symbolic links on the way are followed, one at the end is the target itself.
    #[must_use]
    pub fn link_target(&self, target: &[u8]) -> Option<(TreePath, &Entry)> {
        let (path, entry) = self.get_key_value(&self.resolve(target, false).ok()?)?;
        (entry.kind != Kind::Directory).then_some((path, entry))
    }

    /// A hard link of a layer on top of this tree that leads nowhere, with its target.
    #[must_use]
    pub fn broken_link<'c>(&self, changes: &'c Changes) -> Option<(&'c TreePath, &'c TreePath)> {
        changes.lower_links().find(|(_, target)| self.link_target(target).is_none())
    }

    /// Lays one layer on top. Whiteouts act on what was there before, never on what the layer
    /// itself brings (OCI image-spec, layer, whiteouts). A hard link to a lower file becomes a file
    /// like it, but of this layer; one that leads nowhere is left out, see [`Tree::broken_link`].
    pub fn apply(&mut self, changes: &Changes, layer: u32) {
        let links: Vec<(&TreePath, Entry)> = changes
            .lower_links()
            .filter_map(|(path, target)| Some((path, self.link_target(target)?.1.clone())))
            .collect();
        for (path, change) in &changes.changes {
            match change {
                Change::Remove => self.remove(path),
                Change::Opaque => {
                    if self.get(path).is_some()
                        && let Some(node) = self.node_mut(path)
                    {
                        node.children = None;
                    }
                }
                Change::Set(_) | Change::Link(_) => {}
            }
        }
        for (path, change) in &changes.changes {
            match change {
                Change::Set(entry) => self.insert(path, Entry { layer, ..entry.clone() }),
                Change::Opaque if self.get(path).is_none() => {
                    self.insert(path, Entry::directory(layer));
                }
                Change::Opaque | Change::Link(_) | Change::Remove => {}
            }
        }
        for (path, mut entry) in links {
            entry.layer = layer;
            if let Kind::File(file) = &mut entry.kind {
                file.link = None;
            }
            self.insert(path, entry);
        }
    }

    /// Bytes of all regular files, a file with several names counted once.
    #[must_use]
    pub fn unpacked_size(&self) -> u64 {
        let mut counted = HashSet::new();
        self.iter()
            .filter_map(|(_, entry)| match &entry.kind {
                Kind::File(file) => Some((entry.layer, file)),
                _ => None,
            })
            .filter(|(layer, file)| file.link.is_none_or(|link| counted.insert((*layer, link))))
            .map(|(_, file)| file.size)
            .sum()
    }

    fn node(&self, path: &[u8]) -> Option<&Node> {
        component_ends(path).try_fold(&self.root, |node, end| {
            node.children.as_deref().and_then(|children| children.get(&path[..end]))
        })
    }

    fn node_mut(&mut self, path: &[u8]) -> Option<&mut Node> {
        component_ends(path).try_fold(&mut self.root, |node, end| {
            let children = node.children.as_mut()?;
            Arc::make_mut(children).get_mut(&path[..end])
        })
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.root.entry == other.root.entry && self.iter().eq(other.iter())
    }
}

impl<'a> IntoIterator for &'a Tree {
    type Item = (&'a TreePath, &'a Entry);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Entry {
    /// 0755 0:0, time 0.
    #[must_use]
    pub fn directory(layer: u32) -> Self {
        Self {
            kind: Kind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: Xattrs::new(),
            layer,
        }
    }
}

/// Parent and name; `None` for the root.
pub(super) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => Some((&path[..slash], &path[slash + 1..])),
        None if path.is_empty() => None,
        None => Some((b"", path)),
    }
}

/// `name` in the directory at `parent`.
pub(super) fn join(parent: &[u8], name: &[u8]) -> TreePath {
    match (parent, name) {
        ([], path) | (path, []) => TreePath::from(path),
        _ => TreePath::from([parent, b"/", name].concat()),
    }
}

/// Where each component of `path` ends, from the first to the last.
pub(super) fn component_ends(path: &[u8]) -> impl Iterator<Item = usize> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.chain((!path.is_empty()).then_some(path.len()))
}

/// See [`Tree::below`].
///
/// Whole-path order is not the order of a depth-first walk: `a.b` stands between `a` and `a/b`. So
/// what is below a directory waits until no sibling is left that sorts before `directory/`.
#[derive(Debug)]
pub struct Iter<'a> {
    open: Vec<Level<'a>>,
}

#[derive(Debug)]
struct Level<'a> {
    siblings: Peekable<btree_map::Iter<'a, TreePath, Node>>,
    /// Directories already handed out whose children are still to come; each name is the beginning
    /// of the next, so the last comes first.
    waiting: Vec<(&'a [u8], &'a Children)>,
}

impl<'a> Level<'a> {
    fn new(children: &'a Children) -> Self {
        Self { siblings: children.iter().peekable(), waiting: Vec::new() }
    }

    /// The directory whose children come before the next sibling.
    fn due(&mut self) -> Option<&'a Children> {
        let (directory, children) = *self.waiting.last()?;
        if let Some((sibling, _)) = self.siblings.peek()
            && sibling.strip_prefix(directory).is_some_and(|rest| rest[0] < b'/')
        {
            return None;
        }
        self.waiting.pop();
        Some(children)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a TreePath, &'a Entry);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let level = self.open.last_mut()?;
            if let Some(children) = level.due() {
                self.open.push(Level::new(children));
            } else if let Some((path, node)) = level.siblings.next() {
                if let Some(children) = &node.children {
                    level.waiting.push((path, children));
                }
                return Some((path, &node.entry));
            } else {
                self.open.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests;
