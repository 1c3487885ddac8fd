//! What changed from one image to another.

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
    /// Sorted by path; `""` is the root.
    pub directories: Vec<DirectoryChange>,
    /// Sorted by kind, name and path.
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
