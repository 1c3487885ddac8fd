//! One file of one layer.

use serde::{Deserialize, Serialize};

use super::path;
use crate::digest::ContentSum;
use crate::tree::TreePath;

/// A regular file of a layer, by one of its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    #[serde(with = "path")]
    pub path: TreePath,
    pub layer: u32,
    /// Of the content. Where a file has several names one of them has its bytes, if possible one
    /// that is kept, and the others have none.
    pub bytes: u64,
    /// An estimate; 0 where the blob of the layer is unknown, see [`super::Weight::size_of`].
    pub compressed: u64,
    /// `None` where the content was not read.
    pub content: Option<ContentId>,
    pub fate: Fate,
    /// Index in [`super::Weight::packages`]; only what is kept belongs to a package.
    pub package: Option<u32>,
}

/// The first eight bytes of the sum of a content. Together with the size enough to find equal
/// files among millions; whole sums would make a weight four times as large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContentId(pub u64);

impl From<&ContentSum> for ContentId {
    fn from(sum: &ContentSum) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = sum.0;
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// What becomes of a file in the layers above; the numbers are those of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", content = "by", rename_all = "kebab-case")]
pub enum Fate {
    /// A container sees it.
    Kept,
    /// Something else stands at its path.
    Replaced(u32),
    /// A whiteout of it or of a directory above took it away.
    Removed(u32),
}

/// The file that a container sees at `path`. The files are sorted by path, then by layer, and of
/// several layers' only the highest can be kept.
pub(super) fn kept_at(files: &[File], path: &[u8]) -> Option<usize> {
    let last = files.partition_point(|file| *file.path <= *path).checked_sub(1)?;
    let file = &files[last];
    (*file.path == *path && file.fate == Fate::Kept).then_some(last)
}
