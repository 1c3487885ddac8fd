//! An image that is ready to be written somewhere: its documents, and the files of its layers.

use std::path::PathBuf;

use super::config::ImageConfig;
use super::manifest::{Descriptor, Manifest, media_type};
use crate::digest::Digest;
use crate::platform::Platform;

/// A finished image. Documents are kept as the bytes that their digests are of.
#[derive(Clone, Debug)]
pub struct ImageParts {
    /// Of the manifest, with the platform.
    pub descriptor: Descriptor,
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub config_digest: Digest,
    /// The lowest first.
    pub layers: Vec<LayerPart>,
    /// Normalized references, `docker.io/library/app:1`.
    pub names: Vec<String>,
    /// RFC 3339, the image's `created`.
    pub created: Option<String>,
}

/// A layer of a finished image.
#[derive(Clone, Debug)]
pub struct LayerPart {
    pub descriptor: Descriptor,
    /// The blob; `None` where only the registry it came from has it.
    pub file: Option<PathBuf>,
}

impl ImageParts {
    /// Writes the documents of an image with `config` and `layers`.
    #[must_use]
    pub fn assemble(
        config: &ImageConfig,
        layers: Vec<LayerPart>,
        oci: bool,
        platform: &Platform,
        annotations: &std::collections::BTreeMap<String, String>,
        names: Vec<String>,
    ) -> Self {
        let config_bytes = super::to_json(config);
        let config_digest = Digest::of(&config_bytes);
        let (manifest_type, config_type) = if oci {
            (media_type::OCI_MANIFEST, media_type::OCI_CONFIG)
        } else {
            (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG)
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: manifest_type.to_owned(),
            artifact_type: None,
            config: Descriptor::new(config_type, config_digest, config_bytes.len() as u64),
            layers: layers.iter().map(|l| l.descriptor.clone()).collect(),
            subject: None,
            annotations: annotations.clone(),
        };
        let manifest = super::to_json(&manifest);
        let mut descriptor =
            Descriptor::new(manifest_type, Digest::of(&manifest), manifest.len() as u64);
        descriptor.platform = Some(platform.clone());
        Self {
            descriptor,
            manifest,
            config: config_bytes,
            config_digest,
            layers,
            names,
            created: config.created.clone(),
        }
    }

    pub(super) fn documents(&self) -> [(Digest, &[u8]); 2] {
        [(self.config_digest, &self.config), (self.descriptor.digest, &self.manifest)]
    }
}
