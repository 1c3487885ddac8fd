//! What changed from one image to another.

use std::cmp::Ordering;

use serde::Serialize;

use super::finding::Finding;
use super::identity::Identity;
use super::layer::Step;
use super::package::PackageKind;
use super::path;
use super::size::Size;
use crate::digest::DiffId;
use crate::tree::TreePath;

/// Two images side by side. Whatever is equal in both is left out, except for layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub old: Side,
    pub new: Side,
    /// In the order of the new image; what only the old one has follows the layer it stood on.
    pub layers: Vec<LayerChange>,
    /// Those whose unpacked bytes changed. Sorted by path; `""` is the root.
    pub directories: Vec<DirectoryChange>,
    /// Those whose version, unpacked bytes or components changed. Sorted by kind, name and path.
    pub packages: Vec<PackageChange>,
    /// What a container sees. Sorted by path. Together with [`Side::buried`] these add up to the
    /// difference of the totals, unpacked, to the byte.
    pub files: Vec<FileChange>,
    /// Findings of the new image that the old one had not, the heaviest first.
    pub new_findings: Vec<Finding>,
}

/// The totals of one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    pub image: Identity,
    /// All layers.
    pub size: Size,
    /// What no container sees, see [`super::Weight::buried`].
    pub buried: Size,
    /// See [`super::Weight::waste`].
    pub waste: Size,
    /// Compressed bytes of the layers that the other one has not. Of the new image: what a node that
    /// holds the old one has to pull. `None` where a blob is unknown.
    pub own: Option<u64>,
    /// Number of files that a container sees.
    pub files: u64,
}

/// The same thing in both, or in one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerChange {
    pub old: Option<LayerSide>,
    pub new: Option<LayerSide>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerSide {
    /// Index from the lowest.
    pub index: u32,
    pub diff_id: DiffId,
    pub size: Size,
    pub step: Step,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DirectoryChange {
    #[serde(with = "path")]
    pub path: TreePath,
    /// Of all that is below it and kept, in the old image; zero where it had none.
    pub old: Size,
    pub new: Size,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageChange {
    pub kind: PackageKind,
    pub name: String,
    /// See [`super::Package::path`].
    #[serde(with = "path")]
    pub path: TreePath,
    pub old: Option<PackageSide>,
    pub new: Option<PackageSide>,
    /// Of its components, sorted by name.
    pub components: Vec<ComponentChange>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackageSide {
    /// All that are installed, joined by `, `; most often one.
    pub version: String,
    pub size: Size,
}

/// Versions; a component that was added has no old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentChange {
    pub name: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    #[serde(with = "path")]
    pub path: TreePath,
    pub old: Option<FileSide>,
    pub new: Option<FileSide>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FileSide {
    /// Compressed, an estimate.
    pub size: Size,
    pub layer: u32,
}

/// How one thing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    Added,
    Removed,
    Grown,
    Shrunk,
    /// Another content of the same size.
    Altered,
    Same,
}

impl Difference {
    /// Nothing that a container sees, and no layer, is different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
            && self.packages.is_empty()
            && self.layers.iter().all(|layer| layer.kind() == ChangeKind::Same)
    }

    /// By how much the image grew; negative where it shrank.
    #[must_use]
    pub fn growth(&self) -> Growth {
        Growth {
            unpacked: delta(self.old.size.unpacked, self.new.size.unpacked),
            compressed: self
                .old
                .size
                .compressed
                .zip(self.new.size.compressed)
                .map(|(a, b)| delta(a, b)),
        }
    }
}

/// Bytes more, or less where they are negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Growth {
    pub unpacked: i64,
    pub compressed: Option<i64>,
}

fn delta(old: u64, new: u64) -> i64 {
    i64::try_from(i128::from(new) - i128::from(old)).unwrap_or(if new > old {
        i64::MAX
    } else {
        i64::MIN
    })
}

/// By unpacked bytes where both are there.
fn kind(old: Option<Size>, new: Option<Size>, is_same: bool) -> ChangeKind {
    match (old, new) {
        (Some(old), Some(new)) => match new.unpacked.cmp(&old.unpacked) {
            _ if is_same => ChangeKind::Same,
            Ordering::Greater => ChangeKind::Grown,
            Ordering::Less => ChangeKind::Shrunk,
            Ordering::Equal => ChangeKind::Altered,
        },
        (None, _) => ChangeKind::Added,
        (Some(_), None) => ChangeKind::Removed,
    }
}

impl LayerChange {
    /// Same where the content is.
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        let (old, new) = (self.old.as_ref(), self.new.as_ref());
        let same = old.zip(new).is_some_and(|(old, new)| old.diff_id == new.diff_id);
        kind(old.map(|side| side.size), new.map(|side| side.size), same)
    }
}

impl PackageChange {
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        let size = |side: &Option<PackageSide>| side.as_ref().map(|side| side.size);
        kind(size(&self.old), size(&self.new), false)
    }
}

impl FileChange {
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        kind(self.old.map(|side| side.size), self.new.map(|side| side.size), false)
    }
}

impl DirectoryChange {
    /// Added and removed where one of the two had no bytes in it.
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        let there = |size: Size| (size != Size::ZERO).then_some(size);
        kind(there(self.old), there(self.new), false)
    }
}
