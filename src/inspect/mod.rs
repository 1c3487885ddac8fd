//! An image, wherever it is, read once for its weight: the tables of contents of its layers, and the
//! few bytes of their files that [`weight::facts`] asks for.

mod archive;
mod history;
mod layer;
mod lines;
mod reference;
mod sources;

use std::path::PathBuf;

use crate::image::LayoutError;
use crate::layer::LayerError;
use crate::platform::Platform;
use crate::registry::{self, Registry};
use crate::weight::{self, SavedError, Weight};

pub use archive::ArchiveError;
pub use history::steps;
pub use layer::{read_contents, read_files};
pub use reference::{ImageReference, ReferenceError};

/// Why an image can't be weighed.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("can't read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Saved { path: PathBuf, source: SavedError },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("{path}: {source}")]
    Archive { path: PathBuf, source: ArchiveError },
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error("{name}: the image's configuration can't be read: {reason}")]
    Config { name: String, reason: String },
    #[error("{name}: the manifest has {layers} layers but the configuration has {diff_ids}")]
    Layers { name: String, layers: usize, diff_ids: usize },
    #[error("layer {layer} of {name}: {source}")]
    Layer { name: String, layer: usize, source: LayerError },
}

/// What reading an image depends on besides its reference.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Of an image for several.
    pub platform: &'a Platform,
    /// Layers that are read at the same time.
    pub threads: usize,
    pub registry: &'a Registry,
    /// Where the registry's requests run; must not be this thread's.
    pub runtime: &'a tokio::runtime::Handle,
    /// The Dockerfile that the image was built from, as far as known: it gives lines and stages.
    pub dockerfile: Option<&'a str>,
}

/// Weighs what `reference` names. Of a registry every layer is downloaded, but none is kept.
///
/// # Errors
/// When a part of the image can't be read or is not what its digest says.
pub fn weigh(reference: &ImageReference, reading: &Reading<'_>) -> Result<Weight, InspectError> {
    let found = match reference {
        ImageReference::Weight(path) => return saved(path),
        ImageReference::Registry(name) => sources::from_registry(name, reading)?,
        ImageReference::Layout { path, tag } => {
            sources::from_layout(path, tag.as_deref(), reference, reading)?
        }
        ImageReference::DockerArchive(path) => archive::read(path, reference)?,
    };
    let image = layer::read_all(found, reading)?;
    Ok(weight::weigh(&image))
}

fn saved(path: &std::path::Path) -> Result<Weight, InspectError> {
    let bytes = std::fs::read(path)
        .map_err(|source| InspectError::Read { path: path.to_owned(), source })?;
    weight::decode(&bytes).map_err(|source| InspectError::Saved { path: path.to_owned(), source })
}
