//! What an archive holds so far: the tree that unpacking it would make, kept in memory.
//!
//! Every path is cleaned and led through the symbolic links of the archive itself here, so what
//! touches a file system afterwards never has to follow a link.

use std::collections::{BTreeMap, HashMap};

use super::error::{LayerError, Result, shown};
use super::tar::{MAX_PATH, TarEntry, TarKind};
use crate::digest::ContentSum;
use crate::tree::{Change, Changes, Entry, FileInfo, Kind, TreePath};

const MAX_ENTRIES: usize = 5_000_000;
/// As Linux has it.
const MAX_LINKS: u32 = 40;

const WHITEOUT: &[u8] = b".wh.";
/// AUFS kept its own files under such names in old layers; they mean nothing to others.
const WHITEOUT_META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Whether names that start with `.wh.` are marks (OCI image-spec, layer) or plain names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Layer,
    /// What `ADD` unpacks.
    Archive,
}

/// What one archive member comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Member {
    Set(TreePath, Entry),
    HardLink {
        path: TreePath,
        target: TreePath,
    },
    /// A hard link to what only a lower layer can have.
    LowerLink {
        path: TreePath,
        target: TreePath,
    },
    Remove(TreePath),
    Opaque(TreePath),
    Ignored,
}

/// All that an archive says of one path.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) removed: bool,
    pub(super) opaque: bool,
    pub(super) node: Option<Node>,
}

#[derive(Debug)]
pub(super) enum Node {
    /// A directory that the archive goes through without an entry for it.
    Implied,
    Entry(Entry),
    LowerLink(TreePath),
}

pub(super) struct Contents {
    dialect: Dialect,
    paths: BTreeMap<TreePath, Slot>,
    members: usize,
    links: u64,
    /// A directory as the archive wrote it last, and where it really is.
    parent: Option<(Vec<u8>, TreePath)>,
}

impl Contents {
    pub(super) fn new(dialect: Dialect) -> Self {
        let root = Slot { node: Some(Node::Implied), ..Slot::default() };
        let paths = BTreeMap::from([(TreePath::from(&b""[..]), root)]);
        Self { dialect, paths, members: 0, links: 0, parent: None }
    }

    /// What `entry` means, its paths resolved. Changes nothing yet.
    pub(super) fn member(&mut self, entry: TarEntry) -> Result<Member> {
        self.members += 1;
        if self.members > MAX_ENTRIES {
            return Err(LayerError::TooManyEntries { limit: MAX_ENTRIES });
        }
        let path = clean(&entry.path)?;
        if self.dialect == Dialect::Layer {
            if path
                .split(|byte| *byte == b'/')
                .any(|part| part.starts_with(WHITEOUT_META) && part != OPAQUE)
            {
                return Ok(Member::Ignored);
            }
            let (parent, name) = split(&path);
            if parent.split(|byte| *byte == b'/').any(|part| part.starts_with(WHITEOUT)) {
                return Err(bad(&path, "is below a whiteout"));
            }
            if name == OPAQUE {
                return Ok(Member::Opaque(self.directory(parent, &path)?));
            }
            if let Some(removed) = name.strip_prefix(WHITEOUT) {
                if matches!(removed, b"" | b"." | b"..") {
                    return Err(bad(&path, "is a whiteout of nothing"));
                }
                let parent = self.directory(parent, &path)?;
                return Ok(Member::Remove(join(&parent, removed)));
            }
        }
        let path = self.resolve(&path)?;
        if path.is_empty() && entry.kind != TarKind::Directory {
            return Err(bad(&entry.path, "is the root, but not a directory"));
        }
        let kind = match entry.kind {
            TarKind::HardLink(target) => {
                let target = self.resolve(&clean(&target)?)?;
                return self.hard_link(path, target);
            }
            // What overlay makes of it.
            TarKind::CharDevice { major: 0, minor: 0 } if self.dialect == Dialect::Layer => {
                return Ok(Member::Remove(path));
            }
            TarKind::File { size } => Kind::File(FileInfo { size, digest: None, link: None }),
            TarKind::Symlink(target) if target.contains(&0) => {
                return Err(bad(&path, "has a link target with a NUL"));
            }
            TarKind::Symlink(target) => Kind::Symlink(target),
            TarKind::Directory => Kind::Directory,
            TarKind::CharDevice { major, minor } => Kind::CharDevice { major, minor },
            TarKind::BlockDevice { major, minor } => Kind::BlockDevice { major, minor },
            TarKind::Fifo => Kind::Fifo,
        };
        // A layer must not steer the overlay that it becomes part of.
        let mut xattrs = entry.xattrs;
        xattrs.retain(|name, _| !is_overlay_xattr(name));
        let TarEntry { mode, uid, gid, mtime, .. } = entry;
        Ok(Member::Set(path, Entry { kind, mode, uid, gid, mtime, xattrs, layer: 0 }))
    }

    fn hard_link(&self, path: TreePath, target: TreePath) -> Result<Member> {
        // A link takes the place of all that was at and below its path.
        let replaced = target.strip_prefix(&*path);
        let replaced = replaced.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')));
        let slot = self.paths.get(&target);
        match slot.and_then(|slot| slot.node.as_ref()) {
            Some(Node::Entry(entry)) if entry.kind != Kind::Directory && !replaced => {
                Ok(Member::HardLink { path, target })
            }
            Some(Node::LowerLink(lower)) if !replaced => {
                Ok(Member::LowerLink { path, target: lower.clone() })
            }
            None if self.dialect == Dialect::Layer
                && !replaced
                && slot.is_none_or(|slot| !slot.removed) =>
            {
                Ok(Member::LowerLink { path, target })
            }
            _ => Err(LayerError::LinkTarget { path: shown(&path), target: shown(&target) }),
        }
    }

    pub(super) fn entry(&self, path: &[u8]) -> Option<&Entry> {
        match self.paths.get(path)?.node.as_ref()? {
            Node::Entry(entry) => Some(entry),
            Node::Implied | Node::LowerLink(_) => None,
        }
    }

    /// Whether something is at `path` that is not a directory, or is one, explicit or not.
    pub(super) fn is_directory(&self, path: &[u8]) -> Option<bool> {
        Some(match self.paths.get(path)?.node.as_ref()? {
            Node::Implied => true,
            Node::Entry(entry) => entry.kind == Kind::Directory,
            Node::LowerLink(_) => false,
        })
    }

    /// Adds the missing directories above `path`, the highest first, and gives those.
    pub(super) fn imply_parents(&mut self, path: &[u8]) -> Vec<TreePath> {
        let mut missing = Vec::new();
        let mut above = path;
        while !above.is_empty() {
            above = split(above).0;
            if self.is_directory(above) == Some(true) {
                break;
            }
            missing.push(TreePath::from(above));
        }
        missing.reverse();
        for directory in &missing {
            self.slot(directory).node = Some(Node::Implied);
        }
        missing
    }

    pub(super) fn imply(&mut self, path: &TreePath) {
        self.slot(path).node.get_or_insert(Node::Implied);
    }

    /// Forgets `path` and all below it, because another kind of thing comes there.
    pub(super) fn forget(&mut self, path: &[u8]) {
        self.parent = None;
        if let Some(slot) = self.paths.get_mut(path) {
            slot.node = None;
        }
        let below = [path, b"/"].concat();
        let gone: Vec<_> = self
            .paths
            .range::<[u8], _>((std::ops::Bound::Included(&below[..]), std::ops::Bound::Unbounded))
            .map(|(path, _)| path.clone())
            .take_while(|path| path.starts_with(&below))
            .collect();
        for path in gone {
            self.paths.remove(&path);
        }
    }

    pub(super) fn set(&mut self, path: TreePath, entry: Entry) {
        if matches!(entry.kind, Kind::Symlink(_)) {
            self.parent = None;
        }
        self.slot(&path).node = Some(Node::Entry(entry));
    }

    /// Gives `path` what `target` is; files of one body get one number.
    pub(super) fn link(&mut self, path: TreePath, target: &TreePath) {
        let next = self.links;
        let Some(Node::Entry(entry)) = self.slot(target).node.as_mut() else {
            unreachable!("a hard link is a member only where its target has an entry");
        };
        let mut used = false;
        if let Kind::File(file) = &mut entry.kind {
            used = file.link.is_none();
            file.link.get_or_insert(next);
        }
        let entry = entry.clone();
        self.links += u64::from(used);
        self.set(path, entry);
    }

    pub(super) fn link_lower(&mut self, path: &TreePath, target: TreePath) {
        self.slot(path).node = Some(Node::LowerLink(target));
    }

    pub(super) fn remove(&mut self, path: &TreePath) {
        self.slot(path).removed = true;
    }

    pub(super) fn make_opaque(&mut self, path: &TreePath) {
        self.slot(path).opaque = true;
    }

    /// Sorted by path.
    pub(super) fn slots(&self) -> impl DoubleEndedIterator<Item = (&TreePath, &Slot)> {
        self.paths.iter()
    }

    pub(super) fn finish(self) -> Changes {
        let mut changes = Vec::with_capacity(self.paths.len());
        for (path, slot) in self.paths {
            if slot.removed {
                changes.push((path.clone(), Change::Remove));
            }
            match slot.node {
                Some(Node::Entry(entry)) => changes.push((path.clone(), Change::Set(entry))),
                Some(Node::LowerLink(target)) => changes.push((path.clone(), Change::Link(target))),
                Some(Node::Implied) | None => {}
            }
            if slot.opaque {
                changes.push((path, Change::Opaque));
            }
        }
        number_links(&mut changes);
        Changes { changes }
    }

    fn slot(&mut self, path: &TreePath) -> &mut Slot {
        self.paths.entry(path.clone()).or_default()
    }

    /// Where a cleaned path is: its parent through all links, the last part as it stands.
    fn resolve(&mut self, path: &[u8]) -> Result<TreePath> {
        if path.is_empty() {
            return Ok(TreePath::from(path));
        }
        let (parent, name) = split(path);
        let parent = self.directory(parent, path)?;
        Ok(join(&parent, name))
    }

    /// Where the directory `parent`, on the way to `path`, is.
    fn directory(&mut self, parent: &[u8], path: &[u8]) -> Result<TreePath> {
        if let Some((written, real)) = &self.parent
            && written == parent
        {
            return Ok(real.clone());
        }
        let mut real: Vec<u8> = Vec::new();
        let mut todo: Vec<Box<[u8]>> = Vec::new();
        let push = |todo: &mut Vec<Box<[u8]>>, path: &[u8]| {
            todo.extend(path.rsplit(|byte| *byte == b'/').map(Box::from));
        };
        push(&mut todo, parent);
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match &*part {
                b"" | b"." => continue,
                b".." => {
                    real.truncate(split(&real).0.len());
                    continue;
                }
                _ => {}
            }
            let next = join(&real, &part);
            match self.entry(&next).map(|entry| &entry.kind) {
                Some(Kind::Symlink(target)) => {
                    links += 1;
                    if links > MAX_LINKS || todo.len() > MAX_PATH {
                        return Err(LayerError::LinkLoop { path: shown(path) });
                    }
                    if target.starts_with(b"/") {
                        real.clear();
                    }
                    push(&mut todo, target);
                }
                None | Some(Kind::Directory) if self.is_directory(&next) != Some(false) => {
                    real = next.to_vec();
                }
                _ => {
                    let (path, parent) = (shown(path), shown(&next));
                    return Err(LayerError::ParentNotDirectory { path, parent });
                }
            }
            if real.len() > MAX_PATH {
                return Err(bad(path, "is too long"));
            }
        }
        let real = TreePath::from(real);
        self.parent = Some((parent.to_vec(), real.clone()));
        Ok(real)
    }
}

/// Numbers the groups of hard links by their first path, so that equal layers have equal tables;
/// a file that is alone in its group has no number.
pub(super) fn number_links(changes: &mut [(TreePath, Change)]) {
    let mut sizes: HashMap<u64, usize> = HashMap::new();
    for link in changes.iter_mut().filter_map(|(_, change)| file_of(change)?.link) {
        *sizes.entry(link).or_default() += 1;
    }
    let mut numbers = HashMap::new();
    for file in changes.iter_mut().filter_map(|(_, change)| file_of(change)) {
        let Some(link) = file.link else { continue };
        let next = numbers.len() as u64;
        file.link = (sizes[&link] > 1).then(|| *numbers.entry(link).or_insert(next));
    }
}

pub(super) fn file_of(change: &mut Change) -> Option<&mut FileInfo> {
    match change {
        Change::Set(Entry { kind: Kind::File(file), .. }) => Some(file),
        _ => None,
    }
}

/// Fills in what was read of a file.
pub(super) fn with_digest(mut entry: Entry, sum: ContentSum) -> Entry {
    if let Kind::File(file) = &mut entry.kind {
        file.digest = Some(sum);
    }
    entry
}

pub(super) fn is_overlay_xattr(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// Whether a layer would take the last part of `path` for a mark.
pub(super) fn is_reserved(path: &[u8]) -> bool {
    split(path).1.starts_with(WHITEOUT)
}

/// The name in the archive of the mark for `path`.
pub(super) fn whiteout(path: &[u8]) -> Vec<u8> {
    let (parent, name) = split(path);
    join(parent, &[WHITEOUT, name].concat()).to_vec()
}

pub(super) fn opaque(directory: &[u8]) -> Vec<u8> {
    join(directory, OPAQUE).to_vec()
}

/// Parent and last part; both empty for the root.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

pub(super) fn join(parent: &[u8], name: &[u8]) -> TreePath {
    match (parent, name) {
        (b"", path) | (path, b"") => path.into(),
        _ => [parent, b"/", name].concat().into(),
    }
}

fn bad(path: &[u8], reason: &'static str) -> LayerError {
    LayerError::BadPath { path: shown(path), reason }
}

/// Without `.`, `..`, and slashes that say nothing. An absolute path counts from the root of the
/// archive; one that leads out of it is an error.
fn clean(path: &[u8]) -> Result<Vec<u8>> {
    if path.contains(&0) {
        return Err(bad(path, "has a NUL"));
    }
    if path.is_empty() {
        return Err(bad(path, "is empty"));
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop().ok_or_else(|| bad(path, "leads out of it"))?;
            }
            _ => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}
