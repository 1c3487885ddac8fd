//! What an image weighs, and why. **Pure.**
//!
//! [`weigh`] takes the tables of contents of an image's layers and a few facts read from its files,
//! and says where every byte belongs: [`Weight`]. [`compare`] takes two weights: [`Difference`]. A
//! weight is small when written ([`encode`]), so an old image need not be there to compare with it.
//!
//! What counts: *unpacked* bytes are those of regular files, each counted once whatever its names.
//! Directories, links and the tar around the files weigh nothing unpacked. *Compressed* bytes of a
//! layer are those of its blob, exactly; of anything smaller they are an estimate.

mod attribute;
pub mod budget;
mod compare;
mod difference;
mod directory;
mod distribution;
mod dive;
mod efficiency;
pub mod facts;
mod file;
mod finding;
mod findings;
mod identity;
mod input;
mod layer;
mod logbook;
mod package;
pub mod packages;
pub mod path;
mod saved;
mod size;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::Serialize;

use crate::tree::{Entry, Tree, TreePath};

pub use compare::compare;
pub use difference::{
    ChangeKind, ComponentChange, Difference, DirectoryChange, FileChange, FileSide, Growth,
    LayerChange, LayerSide, PackageChange, PackageSide, Side,
};
pub use directory::{Directory, SourceWeight};
pub use distribution::Distribution;
pub use dive::DiveRules;
pub use efficiency::Efficiency;
pub use file::{ContentId, Fate, File};
pub use finding::{Advice, Finding, FindingKind, Patch};
pub use identity::Identity;
pub use input::{Image, ReadLayer};
pub use layer::{Blob, Layer, Source, Step};
pub use logbook::{Logbook, Logged, is_commit};
pub use package::{Component, Details, Package, PackageKind};
pub use saved::{SavedError, decode, encode};
pub use size::Size;

/// Another version may find other things in the same image.
pub const PROGRAM_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What one image weighs. Everything refers to [`Weight::layers`] by index, from the lowest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Weight {
    pub image: Identity,
    /// Of the Plimsoll that weighed it.
    pub program_version: String,
    /// Which operating system it says it is, if any.
    pub distribution: Option<Distribution>,
    /// From the lowest.
    pub layers: Vec<Layer>,
    /// Every regular file of every layer, also those that a higher layer covers, sorted by path and
    /// then by layer. Their bytes add up to those of the layers.
    pub files: Vec<File>,
    /// Sorted by kind, name, path and version.
    pub packages: Vec<Package>,
    /// The heaviest first; no byte is in two of them.
    pub findings: Vec<Finding>,
    pub efficiency: Efficiency,
}

/// Weighs an image that was read.
#[must_use]
pub fn weigh(image: &Image) -> Weight {
    let mut tree = Tree::new();
    let mut links = HashMap::new();
    for (index, layer) in (0..).zip(&image.layers) {
        tree.apply(&layer.changes, index);
        for (path, _) in layer.changes.lower_links() {
            if let Some(entry) = tree.get(path) {
                links.insert((index, path.clone()), entry.clone());
            }
        }
    }
    weigh_with(image, &tree, &links)
}

/// The same where `tree` is known, all layers of the image merged.
#[must_use]
pub fn weigh_merged(image: &Image, tree: &Tree) -> Weight {
    if image.layers.iter().any(|layer| layer.changes.lower_links().next().is_some()) {
        // What a link is takes the tree below its layer.
        return weigh(image);
    }
    weigh_with(image, tree, &HashMap::new())
}

fn weigh_with(image: &Image, tree: &Tree, links: &HashMap<(u32, TreePath), Entry>) -> Weight {
    let mut files = attribute::files(image, links);
    let packages = packages::assign(image, tree, &mut files);
    let distribution = distribution::find(image, &files);
    let findings = findings::findings(image, tree, &files, &packages);
    let layers = image.layers.iter().map(|layer| Layer {
        diff_id: layer.diff_id,
        blob: layer.blob,
        unpacked: layer.changes.unpacked_size(),
        step: layer.step.clone(),
    });
    Weight {
        image: image.identity.clone(),
        program_version: PROGRAM_VERSION.to_owned(),
        distribution,
        layers: layers.collect(),
        files,
        packages,
        findings,
        efficiency: efficiency::efficiency(image.layers.iter().map(|layer| &layer.changes)),
    }
}

impl Weight {
    /// All layers together.
    #[must_use]
    pub fn size(&self) -> Size {
        self.layers.iter().map(Layer::size).sum()
    }

    /// What `file` weighs; compressed it is an estimate, and unknown where that of its layer is.
    #[must_use]
    pub fn size_of(&self, file: &File) -> Size {
        let known = self.layers.get(file.layer as usize).is_some_and(|layer| layer.blob.is_some());
        Size { unpacked: file.bytes, compressed: known.then_some(file.compressed) }
    }

    /// The files that a container sees.
    pub fn kept(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.fate == Fate::Kept)
    }

    /// Bytes that are in some layer but that no container sees: files replaced or removed.
    #[must_use]
    pub fn buried(&self) -> Size {
        let buried = self.files.iter().filter(|file| file.fate != Fate::Kept);
        buried.map(|file| self.size_of(file)).sum()
    }

    /// What a container sees but no package claims.
    #[must_use]
    pub fn unpackaged(&self) -> Size {
        let rest = self.kept().filter(|file| file.package.is_none());
        rest.map(|file| self.size_of(file)).sum()
    }

    /// What of the compressed bytes belongs to no file: headers, directories, links, and what the
    /// estimates leave over. `None` where the blob of a layer is unknown.
    #[must_use]
    pub fn compressed_rest(&self) -> Option<u64> {
        let files: Option<u64> = self.files.iter().map(|file| self.size_of(file).compressed).sum();
        self.size().compressed.zip(files).map(|(all, files)| all.saturating_sub(files))
    }

    /// Bytes that better lines in the Dockerfile would save, all findings together. Compressed, an
    /// estimate.
    #[must_use]
    pub fn waste(&self) -> Size {
        self.findings.iter().map(|finding| finding.size).sum()
    }
}
