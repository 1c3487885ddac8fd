//! Where images come from that have a manifest: a registry, and a layout in a folder.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{ImageReference, InspectError, Reading, archive};
use crate::digest::DiffId;
use crate::image::{Descriptor, ImageConfig, Layout};
use crate::layer::Expected;
use crate::registry;
use crate::weight::{Blob, Identity};

/// An image whose layers can be opened, each once or more often.
pub(super) struct Found {
    pub(super) identity: Identity,
    pub(super) config: ImageConfig,
    pub(super) layers: Vec<FoundLayer>,
}

pub(super) struct FoundLayer {
    pub(super) diff_id: DiffId,
    /// `None` where only the plain tar is known.
    pub(super) blob: Option<Blob>,
    /// What its bytes are checked against.
    pub(super) expected: Expected,
    pub(super) open: Box<Open>,
}

pub(super) type Open = dyn Fn() -> Result<Box<dyn Read + Send>, InspectError> + Send + Sync;

pub(super) fn from_registry(name: &str, reading: &Reading<'_>) -> Result<Found, InspectError> {
    let reference = registry::parse_reference(name)?;
    let resolved =
        reading.runtime.block_on(reading.registry.resolve(&reference, reading.platform))?;
    let reference = reference.clone_with_digest(resolved.manifest_digest.to_string());
    let identity = Identity {
        name: name.to_owned(),
        platform: resolved.config.platform.to_string(),
        manifest: Some(resolved.manifest_digest),
        config: resolved.manifest.config.digest,
    };
    let (registry, runtime) = (reading.registry.clone(), reading.runtime.clone());
    let open = move |descriptor: &Descriptor| {
        let (registry, runtime) = (registry.clone(), runtime.clone());
        let (reference, descriptor) = (reference.clone(), descriptor.clone());
        let open: Box<Open> = Box::new(move || {
            // A signal ends the whole program.
            let never = std::future::pending();
            Ok(Box::new(registry.blob_reader(&runtime, &reference, &descriptor, never)))
        });
        open
    };
    let descriptors = resolved.manifest.layers;
    let mut found = found(identity, resolved.config, &descriptors, &open)?;
    // The registry's reader has checked size and digest of what it gives.
    found.layers.iter_mut().for_each(|layer| layer.expected = Expected::default());
    Ok(found)
}

pub(super) fn from_layout(
    path: &Path,
    tag: Option<&str>,
    reference: &ImageReference,
    reading: &Reading<'_>,
) -> Result<Found, InspectError> {
    if path.is_file() {
        return archive::read_layout(path, tag, reference, reading.platform);
    }
    let layout = Layout::open(path)?;
    let image = layout.image(tag, None, reading.platform)?;
    let config = parse_config(reference, &image.config)?;
    let identity = Identity {
        name: reference.to_string(),
        platform: config.platform.to_string(),
        manifest: Some(image.descriptor.digest),
        config: image.manifest.config.digest,
    };
    let open = |descriptor: &Descriptor| {
        let path = layout.blob_path(&descriptor.digest);
        let open: Box<Open> = Box::new(move || match File::open(&path) {
            Ok(file) => Ok(Box::new(file)),
            Err(source) => Err(InspectError::Read { path: path.clone(), source }),
        });
        open
    };
    found(identity, config, &image.manifest.layers, &open)
}

pub(super) fn parse_config(
    name: &ImageReference,
    bytes: &[u8],
) -> Result<ImageConfig, InspectError> {
    serde_json::from_slice(bytes)
        .map_err(|error| InspectError::Config { name: name.to_string(), reason: error.to_string() })
}

pub(super) fn found(
    identity: Identity,
    config: ImageConfig,
    descriptors: &[Descriptor],
    open: &dyn Fn(&Descriptor) -> Box<Open>,
) -> Result<Found, InspectError> {
    let diff_ids = &config.rootfs.diff_ids;
    if descriptors.len() != diff_ids.len() {
        return Err(InspectError::Layers {
            name: identity.name,
            layers: descriptors.len(),
            diff_ids: diff_ids.len(),
        });
    }
    let layer = |(descriptor, diff_id): (&Descriptor, &DiffId)| FoundLayer {
        diff_id: *diff_id,
        blob: Some(Blob { digest: descriptor.digest, bytes: descriptor.size }),
        expected: Expected {
            digest: Some(descriptor.digest),
            size: Some(descriptor.size),
            // These bytes are the manifest's, whatever the configuration calls them; to sum up the tar
            // too would take as long as to decompress it.
            diff_id: None,
        },
        open: open(descriptor),
    };
    let layers = descriptors.iter().zip(diff_ids).map(layer).collect();
    Ok(Found { identity, config, layers })
}
