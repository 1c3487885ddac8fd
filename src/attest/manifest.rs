//! The manifest that holds the attestations of an image, as BuildKit stores it in an index.

use std::collections::BTreeMap;

use super::{Attestation, DigestSet, Subject, purl};
use crate::digest::{DiffId, Digest};
use crate::image::{AttachedManifest, Descriptor, ImageConfig, Manifest, RootFs, media_type};
use crate::platform::Platform;

/// The media type of a statement.
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// What goes into an index beside the image that it is about. `names` are the image's.
#[must_use]
pub fn attached(
    image: &Descriptor,
    names: &[String],
    attestations: &[&Attestation],
) -> AttachedManifest {
    let subject = subject(image, names);
    let statements = attestations.iter().map(|attestation| {
        let line = attestation.line(&subject);
        let mut layer = Descriptor::new(IN_TOTO, Digest::of(&line), line.len() as u64);
        let kind = attestation.predicate_type.to_owned();
        layer.annotations.insert("in-toto.io/predicate-type".to_owned(), kind);
        (layer, line)
    });
    let mut blobs: Vec<(Descriptor, Vec<u8>)> = statements.collect();
    let unknown = || "unknown".to_owned();
    let platform = Platform { architecture: unknown(), os: unknown(), ..Platform::default() };
    // A statement is not compressed.
    let diff_ids = blobs.iter().map(|(_, line)| DiffId::of(line)).collect();
    let config = crate::image::to_json(&ImageConfig {
        platform: platform.clone(),
        rootfs: RootFs { diff_ids, ..RootFs::default() },
        ..ImageConfig::default()
    });
    let config_size = config.len() as u64;
    let config_descriptor =
        Descriptor::new(media_type::OCI_CONFIG, Digest::of(&config), config_size);
    let manifest = crate::image::to_json(&Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.to_owned(),
        artifact_type: None,
        config: config_descriptor.clone(),
        layers: blobs.iter().map(|(layer, _)| layer.clone()).collect(),
        subject: None,
        annotations: BTreeMap::new(),
    });
    blobs.push((config_descriptor, config));
    let size = manifest.len() as u64;
    let mut descriptor = Descriptor::new(media_type::OCI_MANIFEST, Digest::of(&manifest), size);
    descriptor.platform = Some(platform);
    descriptor.annotations = BTreeMap::from([
        ("vnd.docker.reference.digest".to_owned(), image.digest.to_string()),
        ("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned()),
    ]);
    AttachedManifest { descriptor, manifest, blobs }
}

/// The image by each of its names.
fn subject(image: &Descriptor, names: &[String]) -> Vec<Subject> {
    let platform = image.platform.clone().unwrap_or_default();
    let digest = DigestSet::from(&image.digest);
    let urls = names.iter().filter_map(|name| purl("docker", name, &platform));
    urls.map(|name| Subject { name, digest: digest.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_manifest_is_buildkit_s() {
        let mut image = Descriptor::new(media_type::OCI_MANIFEST, Digest::of(b"image"), 5);
        image.platform = Some("linux/arm64".parse().unwrap());
        let said = Attestation {
            predicate_type: "https://slsa.dev/provenance/v1",
            file_name: "provenance.json",
            inline_only: false,
            predicate: json!({}),
        };
        let names = ["docker.io/library/a:1".to_owned(), "ghcr.io/b/c:2".to_owned()];
        let attached = attached(&image, &names, &[&said]);
        let descriptor = json!(attached.descriptor);
        assert_eq!(descriptor["platform"], json!({"architecture": "unknown", "os": "unknown"}));
        assert_eq!(
            descriptor["annotations"],
            json!({
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": image.digest,
            })
        );
        let manifest: Value = serde_json::from_slice(&attached.manifest).unwrap();
        assert_eq!(attached.descriptor.digest, Digest::of(&attached.manifest));
        let layer = &manifest["layers"][0];
        assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
        let kind = &layer["annotations"]["in-toto.io/predicate-type"];
        assert_eq!(kind, "https://slsa.dev/provenance/v1");
        let [(first, line), (second, config)] = &attached.blobs[..] else { panic!() };
        assert_eq!(
            (&layer["digest"], &manifest["config"]["digest"]),
            (&json!(first.digest), &json!(second.digest))
        );
        let config: Value = serde_json::from_slice(config).unwrap();
        assert_eq!(
            (&config["os"], &config["architecture"]),
            (&json!("unknown"), &json!("unknown"))
        );
        assert_eq!(config["rootfs"]["diff_ids"], json!([first.digest]));
        let statement: Value = serde_json::from_slice(line).unwrap();
        let hex = image.digest.hex();
        assert_eq!(
            statement["subject"],
            json!([
                {"name": "pkg:docker/a@1?platform=linux%2Farm64", "digest": {"sha256": hex}},
                {"name": "pkg:docker/ghcr.io/b/c@2?platform=linux%2Farm64", "digest": {"sha256": hex}},
            ])
        );
    }
}
