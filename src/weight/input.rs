//! What a weight is made from.

use std::collections::HashMap;

use super::facts::Facts;
use super::identity::Identity;
use super::layer::{Blob, Step};
use crate::digest::DiffId;
use crate::tree::{Changes, TreePath};

/// An image that was read.
#[derive(Clone, Debug)]
pub struct Image {
    pub identity: Identity,
    /// From the lowest.
    pub layers: Vec<ReadLayer>,
    /// The text of the Dockerfile, for patches.
    pub dockerfile: Option<String>,
}

/// One layer, after a single pass over its bytes.
#[derive(Clone, Debug)]
pub struct ReadLayer {
    pub diff_id: DiffId,
    /// `None` where only the plain tar is known.
    pub blob: Option<Blob>,
    pub step: Step,
    pub changes: Changes,
    /// What was learned from the content of some files, see [`super::facts`].
    pub facts: Facts,
    /// Compressed bytes between the start and the end of a file in the stream. Empty where nobody
    /// measured: then a file has its share of the blob.
    pub compressed: HashMap<TreePath, u64>,
}
