//! What is known of one path, and what one layer does to a tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::digest::ContentSum;

/// A path inside an image: bytes, `/`-separated, without a leading or trailing `/`, without `.` and
/// `..`; empty for the root directory.
pub type TreePath = Arc<[u8]>;

/// Extended attributes, by name.
pub type Xattrs = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// One path of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky, at most 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    pub xattrs: Xattrs,
    /// Index, from the lowest, of the layer that holds it.
    pub layer: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File(FileInfo),
    /// The target as written.
    Symlink(Box<[u8]>),
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
    Socket,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Bytes.
    pub size: u64,
    /// Of the content; `None` until it has been read.
    pub digest: Option<ContentSum>,
    /// Paths of the same layer with the same number are hard links of one file. `None` for a file
    /// with one name.
    pub link: Option<u64>,
}

/// What one layer does to the tree below it, sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub changes: Vec<(TreePath, Change)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Set(Entry),
    /// A hard link to a file that only lower layers have, as far as the layer itself can lead its
    /// path; see [`Tree::link_target`](super::Tree::link_target).
    Link(TreePath),
    /// A whiteout: the path and all below it is gone.
    Remove,
    /// An opaque whiteout of a directory: all that lower layers have below it is gone. It stands
    /// before the entries of the directory, after its own [`Change::Set`] if it has one.
    Opaque,
}

impl Changes {
    /// Bytes of the files that the layer brings; a file with several names counts once, and a hard
    /// link to a lower file not at all.
    #[must_use]
    pub fn unpacked_size(&self) -> u64 {
        let mut links = std::collections::BTreeSet::new();
        let size = |(_, change): &(TreePath, Change)| match change {
            Change::Set(Entry { kind: Kind::File(file), .. }) => {
                let counts = file.link.is_none_or(|link| links.insert(link));
                if counts { file.size } else { 0 }
            }
            Change::Set(_) | Change::Link(_) | Change::Remove | Change::Opaque => 0,
        };
        self.changes.iter().map(size).sum()
    }

    /// Hard links to files of lower layers, and their targets.
    pub fn lower_links(&self) -> impl Iterator<Item = (&TreePath, &TreePath)> {
        self.changes.iter().filter_map(|(path, change)| match change {
            Change::Link(target) => Some((path, target)),
            Change::Set(_) | Change::Remove | Change::Opaque => None,
        })
    }
}
