//! Descriptors, manifests and indexes (OCI image-spec), and Docker's schema 2 equivalents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::platform::Platform;

/// Media types of the OCI image-spec and of Docker's schema 2.
pub mod media_type {
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
    pub const DOCKER_MANIFEST_LIST: &str =
        "application/vnd.docker.distribution.manifest.list.v2+json";
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Where else the blob may be had; foreign layers only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

impl Descriptor {
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
            urls: Vec::new(),
        }
    }
}

/// The manifest of one image of one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What an artifact without a configuration has for one (image-spec, "Guidance for an Empty
/// Descriptor").
pub const EMPTY_CONFIG: &[u8] = b"{}";

impl Manifest {
    /// Of an artifact of this kind: blobs that are no image.
    #[must_use]
    pub fn artifact(kind: &str, layers: Vec<Descriptor>) -> Self {
        let size = EMPTY_CONFIG.len() as u64;
        Self {
            schema_version: 2,
            media_type: media_type::OCI_MANIFEST.to_owned(),
            artifact_type: Some(kind.to_owned()),
            config: Descriptor::new(media_type::OCI_EMPTY, Digest::of(EMPTY_CONFIG), size),
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// An image index, or Docker's manifest list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    pub manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// The image for a platform, or for the nearest that runs there (L-076).
    #[must_use]
    pub fn select(&self, wanted: &Platform) -> Option<&Descriptor> {
        wanted.fallbacks().iter().find_map(|platform| {
            self.manifests
                .iter()
                .find(|d| d.platform.as_ref().is_some_and(|p| p.normalized() == *platform))
        })
    }

    /// The platforms that there are, for an error. BuildKit keeps attestations in an index as
    /// manifests of an unknown platform.
    #[must_use]
    pub fn platforms(&self) -> String {
        let of = |d: &Descriptor| d.platform.as_ref().map(ToString::to_string);
        let mut texts: Vec<String> = self.manifests.iter().filter_map(of).collect();
        texts.retain(|text| !text.starts_with("unknown/"));
        texts.sort();
        texts.dedup();
        texts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn the_nearest_platform_of_an_index_is_selected() {
        let entry = |name: &str| {
            let mut parts = name.split('/').map(str::to_owned);
            let mut next = || parts.next().unwrap_or_default();
            let platform = Platform {
                os: next(),
                architecture: next(),
                variant: next(),
                os_version: String::new(),
            };
            let digest = Digest::of(name.as_bytes());
            let platform = Some(platform);
            Descriptor { platform, ..Descriptor::new(media_type::OCI_MANIFEST, digest, 1) }
        };
        let names =
            ["unknown/unknown", "linux/arm/v5", "linux/amd64", "linux/arm64/v8", "linux/arm/v6"];
        let index = Index {
            schema_version: 2,
            media_type: String::new(),
            manifests: names.map(entry).to_vec(),
            annotations: BTreeMap::new(),
        };
        for (wanted, expected) in [
            ("linux/amd64/v3", Some("linux/amd64")),
            ("linux/arm/v7", Some("linux/arm/v6")),
            ("linux/arm64", Some("linux/arm64/v8")),
            ("linux/s390x", None),
        ] {
            let selected = index.select(&wanted.parse().unwrap()).map(|entry| entry.digest);
            let expected = expected.map(|name| Digest::of(name.as_bytes()));
            assert_eq!(selected, expected, "{wanted}");
        }
    }
}
