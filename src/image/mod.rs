//! OCI configuration, manifest, index, and the places an image is written to.

mod config;
mod manifest;

pub use config::{ContainerConfig, Empty, HealthConfig, History, ImageConfig, RootFs};
pub use manifest::{Descriptor, Index, Manifest, media_type};
