//! What the names of a build stand for: one image, or an index of images and of what is attached to
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::layout::REF_NAME;
use super::manifest::{Descriptor, Index, media_type};
use super::parts::ImageParts;
use crate::digest::Digest;

/// Ready to be written or pushed. A single image to which nothing is attached stands for itself.
#[derive(Clone, Debug)]
pub struct ImageSet {
    /// Of what the names stand for: the index, or the manifest of the only image.
    pub descriptor: Descriptor,
    /// `None` where there is but an image.
    pub index: Option<Vec<u8>>,
    /// In the order of the index; never empty.
    pub images: Vec<ImageParts>,
    pub attached: Vec<AttachedManifest>,
}

/// A manifest of an index that is no image, and small enough to be in memory with all that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedManifest {
    /// Of the manifest, as the index has it.
    pub descriptor: Descriptor,
    pub manifest: Vec<u8>,
    pub blobs: Vec<(Descriptor, Vec<u8>)>,
}

/// Annotations of an index, and of the descriptor of it that a layout has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexAnnotations {
    pub index: BTreeMap<String, String>,
    pub descriptor: BTreeMap<String, String>,
}

impl ImageSet {
    /// An image without an index.
    #[must_use]
    pub fn one(image: ImageParts) -> Self {
        let descriptor = image.descriptor.clone();
        Self { descriptor, index: None, images: vec![image], attached: Vec::new() }
    }

    /// An index: the images, then what is attached to them. `oci` or Docker's manifest list.
    #[must_use]
    pub fn indexed(
        images: Vec<ImageParts>,
        attached: Vec<AttachedManifest>,
        oci: bool,
        annotations: IndexAnnotations,
    ) -> Self {
        let kind = if oci { media_type::OCI_INDEX } else { media_type::DOCKER_MANIFEST_LIST };
        let manifests = images.iter().map(|image| &image.descriptor);
        let manifests = manifests.chain(attached.iter().map(|attached| &attached.descriptor));
        let index = super::to_json(&Index {
            media_type: kind.to_owned(),
            annotations: annotations.index,
            ..Index::of(manifests.cloned().collect())
        });
        let mut descriptor = Descriptor::new(kind, Digest::of(&index), index.len() as u64);
        descriptor.annotations = annotations.descriptor;
        Self { descriptor, index: Some(index), images, attached }
    }

    /// What the names stand for, as it is stored.
    #[must_use]
    pub fn document(&self) -> &[u8] {
        match &self.index {
            Some(index) => index,
            None => self.images.first().map_or(&[], |image| &image.manifest),
        }
    }

    /// Normalized references.
    #[must_use]
    pub fn names(&self) -> &[String] {
        self.images.first().map_or(&[], |image| &image.names)
    }

    /// The layers that are files here, each blob once.
    pub(super) fn blob_files(&self) -> impl Iterator<Item = (&Descriptor, &PathBuf)> {
        let mut seen = BTreeSet::new();
        self.images
            .iter()
            .flat_map(|image| &image.layers)
            .filter_map(|layer| Some((&layer.descriptor, layer.file.as_ref()?)))
            .filter(move |(descriptor, _)| seen.insert(descriptor.digest))
    }

    /// What is in memory, each document once; what refers to others comes after them.
    pub(super) fn documents(&self) -> Vec<(Digest, &[u8])> {
        let images = self.images.iter().flat_map(ImageParts::documents);
        let attached = self.attached.iter().flat_map(|attached| {
            let blobs = attached.blobs.iter().map(|(blob, bytes)| (blob.digest, &bytes[..]));
            blobs.chain([(attached.descriptor.digest, &attached.manifest[..])])
        });
        let index = self.index.iter().map(|index| (self.descriptor.digest, &index[..]));
        let mut seen = BTreeSet::new();
        let all = images.chain(attached).chain(index);
        all.filter(|(digest, _)| seen.insert(*digest)).collect()
    }

    /// As the index of a layout has them: one for each name, or one without.
    pub(super) fn named_descriptors(&self) -> Vec<Descriptor> {
        let mut base = self.descriptor.clone();
        if let Some(created) = self.images.first().and_then(|image| image.created.clone()) {
            base.annotations.insert("org.opencontainers.image.created".to_owned(), created);
        }
        if self.names().is_empty() {
            return vec![base];
        }
        let named = |name: &String| {
            let mut descriptor = base.clone();
            descriptor.annotations.insert("io.containerd.image.name".to_owned(), name.clone());
            descriptor.annotations.insert(REF_NAME.to_owned(), tag_of(name).to_owned());
            descriptor
        };
        self.names().iter().map(named).collect()
    }
}

/// The tag of a normalized reference.
fn tag_of(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag,
        _ => "latest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{ArchiveKind, ImageConfig, LayerPart, Layout, write_archive, write_layout};
    use crate::platform::Platform;

    /// An image whose only layer is `layer`, a file.
    fn image(platform: &str, layer: &std::path::Path) -> ImageParts {
        let platform: Platform = platform.parse().unwrap();
        let bytes = std::fs::read(layer).unwrap();
        let size = bytes.len() as u64;
        let descriptor = Descriptor::new(media_type::OCI_LAYER, Digest::of(&bytes), size);
        let layer = LayerPart { descriptor, file: Some(layer.to_owned()) };
        let config = ImageConfig { platform: platform.clone(), ..ImageConfig::default() };
        let names = vec!["docker.io/library/app:1".to_owned()];
        ImageParts::assemble(&config, vec![layer], true, &platform, &BTreeMap::new(), names)
    }

    fn attached() -> AttachedManifest {
        let of =
            |bytes: &[u8]| Descriptor::new("text/plain", Digest::of(bytes), bytes.len() as u64);
        AttachedManifest {
            descriptor: of(b"manifest"),
            manifest: b"manifest".to_vec(),
            blobs: vec![(of(b"statement"), b"statement".to_vec())],
        }
    }

    #[test]
    fn one_image_stands_for_itself() {
        let folder = tempfile::tempdir().unwrap();
        let layer = folder.path().join("layer");
        std::fs::write(&layer, "x").unwrap();
        let image = image("linux/amd64", &layer);
        let set = ImageSet::one(image.clone());
        assert_eq!((&set.descriptor, set.document()), (&image.descriptor, &image.manifest[..]));
        assert_eq!(set.documents().len(), 2);
    }

    #[test]
    fn an_index_has_the_images_and_then_what_is_attached() {
        let folder = tempfile::tempdir().unwrap();
        let layer = folder.path().join("layer");
        std::fs::write(&layer, "x").unwrap();
        let images = ["linux/amd64", "linux/arm/v7"].map(|platform| image(platform, &layer));
        let annotations = IndexAnnotations {
            index: BTreeMap::from([("a".to_owned(), "1".to_owned())]),
            descriptor: BTreeMap::from([("b".to_owned(), "2".to_owned())]),
        };
        for (oci, kind) in [
            (true, "application/vnd.oci.image.index.v1+json"),
            (false, "application/vnd.docker.distribution.manifest.list.v2+json"),
        ] {
            let set =
                ImageSet::indexed(images.to_vec(), vec![attached()], oci, annotations.clone());
            let index: Index = serde_json::from_slice(set.document()).unwrap();
            assert_eq!((&*index.media_type, &index.annotations["a"]), (kind, &"1".to_owned()));
            let digests = index.manifests.iter().map(|manifest| manifest.digest);
            let expected = images.iter().map(|image| image.descriptor.digest);
            let expected: Vec<Digest> = expected.chain([Digest::of(b"manifest")]).collect();
            assert_eq!(digests.collect::<Vec<_>>(), expected);
            assert_eq!(index.platforms(), "linux/amd64, linux/arm/v7");
            assert_eq!(set.descriptor.digest, Digest::of(set.document()));
            assert_eq!((&*set.descriptor.media_type, set.descriptor.platform), (kind, None));
            assert_eq!(set.descriptor.annotations["b"], "2");
        }
    }

    #[test]
    fn a_layout_and_an_archive_have_all_of_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let layer = folder.path().join("layer");
        std::fs::write(&layer, "x").unwrap();
        let images = ["linux/amd64", "linux/arm64"].map(|platform| image(platform, &layer));
        let none = IndexAnnotations::default();
        let set = ImageSet::indexed(images.to_vec(), vec![attached()], true, none);
        let root = folder.path().join("layout");
        write_layout(&set, &root, &|| Ok(())).unwrap();
        let blobs = root.join("blobs/sha256").read_dir().unwrap().count();
        // The layer, two of each image, two that are attached, and the index.
        assert_eq!(blobs, 1 + 2 * 2 + 2 + 1);
        let layout = Layout::open(&root).unwrap();
        for image in &images {
            let platform = image.descriptor.platform.clone().unwrap();
            let found = layout.image(Some("1"), None, &platform).unwrap();
            assert_eq!(found.descriptor.digest, image.descriptor.digest);
        }
        let mut bytes = Vec::new();
        write_archive(&set, ArchiveKind::Oci, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let names = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string());
        let names: Vec<String> = names.collect();
        let in_archive = names.iter().filter(|name| name.len() > "blobs/sha256/".len()).count();
        assert_eq!(in_archive, blobs, "{names:?}");
    }
}
