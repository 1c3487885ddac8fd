//! An image that is ready to be written somewhere: its documents, and the files of its layers.

use std::path::PathBuf;

use super::config::ImageConfig;
use super::layout::REF_NAME;
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

    /// The layers that are files here, each blob once.
    pub(super) fn blob_files(&self) -> impl Iterator<Item = (&Descriptor, &PathBuf)> {
        let mut seen = std::collections::BTreeSet::new();
        self.layers
            .iter()
            .filter_map(|layer| Some((&layer.descriptor, layer.file.as_ref()?)))
            .filter(move |(descriptor, _)| seen.insert(descriptor.digest))
    }

    pub(super) fn documents(&self) -> [(Digest, &[u8]); 2] {
        [(self.config_digest, &self.config), (self.descriptor.digest, &self.manifest)]
    }
}

/// The descriptors of an index: one for each name, or one without.
pub(super) fn named_descriptors(image: &ImageParts) -> Vec<Descriptor> {
    let mut base = image.descriptor.clone();
    if let Some(created) = &image.created {
        let key = "org.opencontainers.image.created".to_owned();
        base.annotations.insert(key, created.clone());
    }
    if image.names.is_empty() {
        return vec![base];
    }
    let named = |name: &String| {
        let mut descriptor = base.clone();
        descriptor.annotations.insert("io.containerd.image.name".to_owned(), name.clone());
        descriptor.annotations.insert(REF_NAME.to_owned(), tag_of(name).to_owned());
        descriptor
    };
    image.names.iter().map(named).collect()
}

/// The tag of a normalized reference.
fn tag_of(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag,
        _ => "latest",
    }
}
