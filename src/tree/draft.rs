//! One layer in the making.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::copy::{Copied, CopyError, shown};
use super::entry::{Change, Changes, Entry, Kind, TreePath, Xattrs};
use super::tree::{Tree, component_ends};

/// A tree, and what is written on top of it.
pub(super) struct Draft {
    pub tree: Tree,
    /// What the layer holds, and where the content of each comes from.
    written: BTreeMap<TreePath, Option<(usize, TreePath)>>,
}

/// A directory that nobody wrote but something needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct MadeDirectory {
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: i64,
}

impl MadeDirectory {
    fn entry(self) -> Entry {
        let Self { mode, owner: (uid, gid), mtime } = self;
        Entry { kind: Kind::Directory, mode, uid, gid, mtime, xattrs: Xattrs::new(), layer: 0 }
    }
}

impl Draft {
    pub fn new(parent: &Tree) -> Self {
        Self { tree: parent.clone(), written: BTreeMap::new() }
    }

    /// Sets `path`; what is not a directory takes the place of all that was there.
    pub fn write(&mut self, path: TreePath, entry: Entry, source: Option<(usize, TreePath)>) {
        if entry.kind != Kind::Directory {
            self.forget_below(&path);
        }
        self.tree.insert(&path, entry);
        self.written.insert(path, source);
    }

    fn forget_below(&mut self, path: &[u8]) {
        let (first, end) = ([path, b"/"].concat(), [path, b"0"].concat());
        let range = (Bound::Included(&first[..]), Bound::Excluded(&end[..]));
        let below: Vec<_> = self.written.range::<[u8], _>(range).map(|(p, _)| p.clone()).collect();
        for path in below {
            self.written.remove(&path);
        }
    }

    /// Makes `path` and its parents where they are missing. `path` is resolved.
    pub fn make_directories(&mut self, path: &[u8], new: MadeDirectory) -> Result<(), CopyError> {
        let ends: Vec<usize> = component_ends(path).collect();
        for end in ends {
            let here = &path[..end];
            match self.tree.get(here).map(|entry| &entry.kind) {
                Some(Kind::Directory) => {}
                Some(_) => return Err(CopyError::ParentNotDirectory { path: shown(here) }),
                None => self.write(here.into(), new.entry(), None),
            }
        }
        Ok(())
    }

    /// Whether this layer made the directory at `path` without a source.
    pub fn made(&self, path: &[u8]) -> bool {
        matches!(self.written.get(path), Some(None))
    }

    pub fn finish(mut self) -> Copied {
        self.drop_lonely_links();
        let mut copied = Copied::default();
        for (path, source) in self.written {
            if let Some(entry) = self.tree.get(&path) {
                copied.changes.changes.push((path, Change::Set(entry.clone())));
                copied.sources.push(source);
            }
        }
        copied
    }

    /// A file of which only one name was copied, or is left, is no hard link.
    fn drop_lonely_links(&mut self) {
        let mut names: HashMap<u64, Vec<&TreePath>> = HashMap::new();
        for path in self.written.keys() {
            if let Some(Kind::File(file)) = self.tree.get(path).map(|entry| &entry.kind)
                && let Some(link) = file.link
            {
                names.entry(link).or_default().push(path);
            }
        }
        for path in names.into_values().filter(|paths| paths.len() == 1).flatten() {
            if let Some(Entry { kind: Kind::File(file), .. }) = self.tree.get_mut(path) {
                file.link = None;
            }
        }
    }
}

impl From<Copied> for Changes {
    fn from(copied: Copied) -> Self {
        copied.changes
    }
}
