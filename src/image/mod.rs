//! OCI configuration, manifest, index, and the places an image is written to.

mod archive;
mod config;
mod layout;
mod manifest;
mod parts;
mod set;

pub use archive::{ArchiveKind, write_archive};
pub use config::{ContainerConfig, Empty, HealthConfig, History, ImageConfig, RootFs};
pub use layout::{Layout, LayoutError, LayoutImage, write_layout};
pub use manifest::{Descriptor, EMPTY_CONFIG, Index, Manifest, media_type};
pub use parts::{ImageParts, LayerPart};
pub use set::{AttachedManifest, ImageSet, IndexAnnotations};

/// A document as bytes. Keys stand in the order of the types' fields, maps are sorted: the same
/// value has the same bytes.
#[must_use]
pub fn to_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("types of this module have string keys and no failing parts")
}
