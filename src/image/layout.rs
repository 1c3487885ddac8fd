//! An OCI image layout in a folder (OCI image-spec, image-layout).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::manifest::{Descriptor, Index, Manifest, media_type};
use super::set::ImageSet;
use crate::digest::Digest;
use crate::platform::Platform;

/// `oci-layout`, the file that marks the folder.
pub(super) const LAYOUT_FILE: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The annotation that holds a tag.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Manifests and configurations larger than this are refused.
const MAX_DOCUMENT: u64 = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("can't read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("can't write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} is not what the image layout says: {reason}")]
    Invalid { path: PathBuf, reason: String },
    #[error("{path}: expected {expected} but the file has {found}")]
    Digest { path: PathBuf, expected: Digest, found: Digest },
    #[error("{path} has no image {wanted}; it has {present}")]
    NoImage { path: PathBuf, wanted: String, present: String },
    #[error("{path} has no image for {platform}; it has {present}")]
    NoPlatform { path: PathBuf, platform: Platform, present: String },
}

/// A layout that is read.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

/// One image of a layout.
#[derive(Clone, Debug)]
pub struct LayoutImage {
    /// Of the manifest.
    pub descriptor: Descriptor,
    pub manifest: Manifest,
    /// As stored.
    pub config: Vec<u8>,
}

impl Layout {
    /// # Errors
    /// When the folder is no image layout.
    pub fn open(root: &Path) -> Result<Self, LayoutError> {
        let path = root.join("oci-layout");
        fs::metadata(&path).map_err(|source| LayoutError::Read { path, source })?;
        Ok(Self { root: root.to_owned() })
    }

    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// Finds the image that `tag` or `digest` names, or the only one, for `platform`.
    ///
    /// # Errors
    /// When there is none, or a document is damaged.
    pub fn image(
        &self,
        tag: Option<&str>,
        digest: Option<&str>,
        platform: &Platform,
    ) -> Result<LayoutImage, LayoutError> {
        let path = self.root.join("index.json");
        let index: Index = parse(&path, &read_document(&path)?)?;
        let mut descriptor = self.named(&index, tag, digest)?.clone();
        // An index of indexes is allowed, but nobody makes them deep.
        for _ in 0..4 {
            let is_index = descriptor.media_type == media_type::OCI_INDEX
                || descriptor.media_type == media_type::DOCKER_MANIFEST_LIST;
            let bytes = self.document(&descriptor)?;
            let path = self.blob_path(&descriptor.digest);
            if is_index {
                let index: Index = parse(&path, &bytes)?;
                descriptor = index
                    .select(platform)
                    .ok_or_else(|| LayoutError::NoPlatform {
                        path,
                        platform: platform.clone(),
                        present: index.platforms(),
                    })?
                    .clone();
                continue;
            }
            let manifest: Manifest = parse(&path, &bytes)?;
            let config = self.document(&manifest.config)?;
            return Ok(LayoutImage { descriptor, manifest, config });
        }
        Err(LayoutError::Invalid {
            path: self.root.join("index.json"),
            reason: "an index that holds indexes more than three deep".to_owned(),
        })
    }

    fn named<'i>(
        &self,
        index: &'i Index,
        tag: Option<&str>,
        digest: Option<&str>,
    ) -> Result<&'i Descriptor, LayoutError> {
        let tag_of = |d: &Descriptor| d.annotations.get(REF_NAME).cloned();
        let found = match (tag, digest) {
            (_, Some(digest)) => index.manifests.iter().find(|d| d.digest.to_string() == digest),
            (Some(tag), None) => index.manifests.iter().find(|d| tag_of(d).as_deref() == Some(tag)),
            (None, None) if index.manifests.len() == 1 => index.manifests.first(),
            (None, None) => index.manifests.iter().find(|d| tag_of(d).as_deref() == Some("latest")),
        };
        found.ok_or_else(|| LayoutError::NoImage {
            path: self.root.clone(),
            wanted: digest.or(tag).unwrap_or("latest").to_owned(),
            present: index
                .manifests
                .iter()
                .map(|d| tag_of(d).unwrap_or_else(|| d.digest.to_string()))
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    /// Reads a small blob and verifies it.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        let path = self.blob_path(&descriptor.digest);
        let bytes = read_document(&path)?;
        let found = Digest::of(&bytes);
        if found == descriptor.digest {
            Ok(bytes)
        } else {
            Err(LayoutError::Digest { path, expected: descriptor.digest, found })
        }
    }
}

fn read_document(path: &Path) -> Result<Vec<u8>, LayoutError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| LayoutError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        let reason = format!("larger than {MAX_DOCUMENT} bytes");
        return Err(LayoutError::Invalid { path: path.to_owned(), reason });
    }
    Ok(bytes)
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, LayoutError> {
    serde_json::from_slice(bytes)
        .map_err(|e| LayoutError::Invalid { path: path.to_owned(), reason: e.to_string() })
}

/// Writes `set` into the layout at `root`, which is made where it is missing. Images that are there
/// stay, unless one has the same name. `go_on` is asked from time to time; its error ends the writing.
///
/// # Errors
/// When `root` is a folder with other things in it, or can't be written. What was new is gone again.
pub fn write_layout(
    set: &ImageSet,
    root: &Path,
    go_on: &dyn Fn() -> io::Result<()>,
) -> Result<(), LayoutError> {
    let write_error = |path: &Path| {
        let path = path.to_owned();
        move |source| LayoutError::Write { path, source }
    };
    let marker = root.join("oci-layout");
    let occupied = fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !marker.exists() {
        return Err(LayoutError::Invalid {
            path: root.to_owned(),
            reason: "the folder is not empty and holds no image layout".to_owned(),
        });
    }
    let mut made = Made::default();
    let blobs = root.join("blobs/sha256");
    made.add([root, &root.join("blobs"), &blobs]);
    fs::create_dir_all(&blobs).map_err(write_error(&blobs))?;
    // First, so that what a killed process leaves is taken for a layout the next time.
    made.add([&marker]);
    place(&marker, |mut file| io::Write::write_all(&mut file, LAYOUT_FILE))
        .map_err(write_error(&marker))?;
    for (descriptor, source) in set.blob_files() {
        let path = blobs.join(descriptor.digest.hex());
        // The name says the content; a whole file of that name needs no second writing.
        if fs::metadata(&path).is_ok_and(|m| m.len() == descriptor.size) {
            continue;
        }
        made.add([&path]);
        place(&path, |file| copy(&File::open(source)?, file, go_on)).map_err(write_error(&path))?;
    }
    for (digest, bytes) in set.documents() {
        let path = blobs.join(digest.hex());
        made.add([&path]);
        place(&path, |mut file| io::Write::write_all(&mut file, bytes))
            .map_err(write_error(&path))?;
    }
    let path = root.join("index.json");
    let mut index =
        if path.exists() { parse(&path, &read_document(&path)?)? } else { Index::of(Vec::new()) };
    let named = set.named_descriptors();
    let name = |d: &Descriptor| d.annotations.get(REF_NAME).cloned();
    index.manifests.retain(|old| {
        !named.iter().any(|new| match name(new) {
            Some(new_name) => name(old).as_ref() == Some(&new_name),
            None => name(old).is_none() && old.digest == new.digest,
        })
    });
    index.manifests.extend(named);
    let bytes = super::to_json(&index);
    place(&path, |mut file| io::Write::write_all(&mut file, &bytes)).map_err(write_error(&path))?;
    made.keep();
    Ok(())
}

/// What was not there before; removed again unless it is kept. What is in a directory comes after it.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Made {
    /// Before they are made.
    fn add<const N: usize>(&mut self, paths: [&Path; N]) {
        self.0.extend(paths.into_iter().filter(|path| !path.exists()).map(Path::to_owned));
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What another process has put there meanwhile keeps its directory.
        for path in self.0.iter().rev() {
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
    }
}

/// Bytes between two questions whether to go on.
const PIECE: u64 = 16 << 20;

/// Copies in pieces, each of which may be the kernel's to copy.
fn copy(from: &File, mut to: &File, go_on: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
    loop {
        go_on()?;
        if io::copy(&mut from.take(PIECE), &mut to)? == 0 {
            return Ok(());
        }
    }
}

/// Writes a file that appears whole or not at all.
fn place(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(parent)?;
    write(file.as_file_mut())?;
    file.persist(path)?;
    Ok(())
}

impl Index {
    /// An OCI index of `manifests`.
    #[must_use]
    pub fn of(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: media_type::OCI_INDEX.to_owned(),
            manifests,
            annotations: BTreeMap::new(),
        }
    }
}
