//! A layer: what it weighs and which instruction made it.

use serde::{Deserialize, Serialize};

use super::size::Size;
use crate::digest::{DiffId, Digest};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub diff_id: DiffId,
    /// As it is stored and sent; `None` where only the plain tar is known.
    pub blob: Option<Blob>,
    /// Bytes of its files, a file with several names counted once.
    pub unpacked: u64,
    pub step: Step,
}

/// A layer as a registry keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    pub digest: Digest,
    pub bytes: u64,
}

/// What made a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `RUN apt-get update`: as the Dockerfile has it, or else the history, without what builders
    /// put around it. Empty where nothing is known.
    pub instruction: String,
    /// First and last line in the Dockerfile, from one; `None` where only the history is known.
    pub lines: Option<(u32, u32)>,
    pub source: Source,
}

/// Where the files of a layer come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
pub enum Source {
    /// The base image, by its name.
    Base(String),
    /// A RUN or WORKDIR of this stage.
    Stage(String),
    /// A COPY from this stage, image or named context.
    CopiedFrom(String),
    /// A COPY or ADD from the build context, or an ADD from elsewhere.
    Context,
    /// The history does not tell.
    Unknown,
}

impl Layer {
    /// Exact, both ways.
    #[must_use]
    pub fn size(&self) -> Size {
        Size { unpacked: self.unpacked, compressed: self.blob.map(|blob| blob.bytes) }
    }
}
