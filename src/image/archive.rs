//! An image as one tar: an OCI archive, and what `docker load` reads.

use std::fs::File;
use std::io::{self, Write};

use serde::Serialize;

use super::layout::LAYOUT_FILE;
use super::manifest::Index;
use super::parts::ImageParts;
use super::set::ImageSet;

/// Whether `manifest.json`, which `docker load` looks for, is in the archive too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveKind {
    Oci,
    Docker,
}

/// An entry of Docker's `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Writes `set` as a tar. The same images give the same bytes. What `docker load` reads is of the
/// first one.
///
/// # Errors
/// When a layer can't be read or `out` can't be written.
pub fn write_archive(set: &ImageSet, kind: ArchiveKind, out: impl Write) -> io::Result<()> {
    let mut tar = tar::Builder::new(out);
    let mut directory = |path: &str| {
        let mut header = header(tar::EntryType::Directory, 0o755, 0);
        tar.append_data(&mut header, path, io::empty())
    };
    directory("blobs/")?;
    directory("blobs/sha256/")?;
    let mut files: Vec<(String, Content<'_>)> = Vec::new();
    for (descriptor, path) in set.blob_files() {
        let name = format!("blobs/sha256/{}", descriptor.digest.hex());
        files.push((name, Content::File(path, descriptor.size)));
    }
    for (digest, bytes) in set.documents() {
        files.push((format!("blobs/sha256/{}", digest.hex()), Content::Bytes(bytes.to_vec())));
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    let index = super::to_json(&Index::of(set.named_descriptors()));
    files.push(("index.json".to_owned(), Content::Bytes(index)));
    if kind == ArchiveKind::Docker {
        let manifest = super::to_json(&docker_manifest(&set.images));
        files.push(("manifest.json".to_owned(), Content::Bytes(manifest)));
    }
    files.push(("oci-layout".to_owned(), Content::Bytes(LAYOUT_FILE.to_vec())));
    for (name, content) in files {
        match content {
            Content::File(path, size) => {
                let mut header = header(tar::EntryType::Regular, 0o444, size);
                tar.append_data(&mut header, name, File::open(path)?)?;
            }
            Content::Bytes(bytes) => {
                let mut header = header(tar::EntryType::Regular, 0o444, bytes.len() as u64);
                tar.append_data(&mut header, name, bytes.as_slice())?;
            }
        }
    }
    tar.into_inner()?.flush()
}

enum Content<'a> {
    /// A file and its size in bytes.
    File(&'a std::path::Path, u64),
    Bytes(Vec<u8>),
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header
}

fn docker_manifest(images: &[ImageParts]) -> Vec<DockerEntry> {
    let path = |hex: String| format!("blobs/sha256/{hex}");
    let entry = |image: &ImageParts| DockerEntry {
        config: path(image.config_digest.hex()),
        repo_tags: image.names.iter().map(|name| familiar(name)).collect(),
        layers: image.layers.iter().map(|l| path(l.descriptor.digest.hex())).collect(),
    };
    images.iter().take(1).map(entry).collect()
}

/// `docker.io/library/app:1` as users write it, `app:1`.
fn familiar(name: &str) -> String {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name).to_owned()
}
