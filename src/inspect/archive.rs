//! Images in one tar: what `docker save` writes, with `manifest.json`, configurations and the tars of
//! layers; and an OCI layout.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::sources::{Found, FoundLayer, Open, found, parse_config};
use super::{ImageReference, InspectError};
use crate::digest::{DiffId, Digest};
use crate::image::{Descriptor, Index, Manifest, media_type};
use crate::layer::{Encoding, Expected, decompress};
use crate::platform::Platform;
use crate::weight::{Blob, Identity};

/// Of a manifest or configuration, in bytes.
const MAX_DOCUMENT: u64 = 8 << 20;
/// Links from one name of a layer to another.
const MAX_LINKS: usize = 8;
const BLOBS: &str = "blobs/sha256/";
/// The annotation that holds a tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("it can't be read: {0}")]
    Read(#[from] io::Error),
    #[error("there is no {0} in it")]
    Missing(String),
    #[error("{name} is larger than {limit} bytes")]
    TooLarge { name: String, limit: u64 },
    #[error("{name} is not as expected: {source}")]
    Document { name: String, source: serde_json::Error },
    #[error("expected {expected} but found {found}")]
    Digest { expected: Digest, found: Digest },
    #[error("expected one image but found {0}")]
    Images(usize),
}

/// An entry of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    layers: Vec<String>,
}

/// An OCI layout in a tar: the same image as [`Layout::image`](crate::image::Layout::image) finds.
pub(super) fn read_layout(
    path: &Path,
    tag: Option<&str>,
    reference: &ImageReference,
    platform: &Platform,
) -> Result<Found, InspectError> {
    let of_archive = |source| InspectError::Archive { path: path.to_owned(), source };
    let archive = Arc::new(Archive::open(path).map_err(of_archive)?);
    let descriptor = archive.select(tag, platform).map_err(of_archive)?;
    let manifest: Manifest = archive.verified(&descriptor).map_err(of_archive)?.1;
    let (bytes, _): (_, serde_json::Value) =
        archive.verified(&manifest.config).map_err(of_archive)?;
    let config = parse_config(reference, &bytes)?;
    let identity = Identity {
        name: reference.to_string(),
        platform: config.platform.to_string(),
        manifest: Some(descriptor.digest),
        config: manifest.config.digest,
    };
    let open = |descriptor: &Descriptor| {
        let (archive, name) = (Arc::clone(&archive), blob_name(descriptor.digest));
        let path = path.to_owned();
        let open: Box<Open> = Box::new(move || match archive.find(&name) {
            Ok(part) => Ok(Box::new(archive.reader(part))),
            Err(source) => Err(InspectError::Archive { path: path.clone(), source }),
        });
        open
    };
    found(identity, config, &manifest.layers, &open)
}

fn blob_name(digest: Digest) -> String {
    format!("{BLOBS}{}", digest.hex())
}

pub(super) fn read(path: &Path, reference: &ImageReference) -> Result<Found, InspectError> {
    let of_archive = |source| InspectError::Archive { path: path.to_owned(), source };
    let archive = Arc::new(Archive::open(path).map_err(of_archive)?);
    let manifest = archive.document("manifest.json").map_err(of_archive)?;
    let images: Vec<SavedImage> = parse("manifest.json", &manifest).map_err(of_archive)?;
    let [image] = <[SavedImage; 1]>::try_from(images)
        .map_err(|images| of_archive(ArchiveError::Images(images.len())))?;
    let bytes = archive.document(&image.config).map_err(of_archive)?;
    let config = parse_config(reference, &bytes)?;
    let diff_ids = &config.rootfs.diff_ids;
    if image.layers.len() != diff_ids.len() {
        return Err(InspectError::Layers {
            name: reference.to_string(),
            layers: image.layers.len(),
            diff_ids: diff_ids.len(),
        });
    }
    let layer = |(name, diff_id): (&String, &DiffId)| {
        let part = archive.find(name).map_err(of_archive)?;
        let blob = archive.blob(name, part).map_err(of_archive)?;
        let archive = Arc::clone(&archive);
        Ok(FoundLayer {
            diff_id: *diff_id,
            blob,
            expected: Expected { digest: None, size: None, diff_id: Some(*diff_id) },
            open: Box::new(move || Ok(Box::new(archive.reader(part)))),
        })
    };
    let layers: Result<Vec<_>, InspectError> =
        image.layers.iter().zip(diff_ids).map(layer).collect();
    let identity = Identity {
        name: reference.to_string(),
        platform: config.platform.to_string(),
        manifest: None,
        config: Digest::of(&bytes),
    };
    Ok(Found { identity, layers: layers?, config })
}

/// A tar whose members are read where they lie.
struct Archive {
    file: Arc<File>,
    members: HashMap<String, Member>,
}

enum Member {
    File(Part),
    Link(String),
}

/// Bytes of the archive.
#[derive(Clone, Copy)]
struct Part {
    start: u64,
    length: u64,
}

impl Archive {
    fn open(path: &Path) -> Result<Self, ArchiveError> {
        let mut file = plain(File::open(path)?)?;
        file.seek(SeekFrom::Start(0))?;
        let mut members = HashMap::new();
        for entry in tar::Archive::new(&file).entries_with_seek()? {
            let entry = entry?;
            let name = clean(&String::from_utf8_lossy(&entry.path_bytes()));
            let kind = entry.header().entry_type();
            // Old versions of Docker link layers that are equal.
            let target = entry.link_name_bytes().map(|t| String::from_utf8_lossy(&t).into_owned());
            let member = match target {
                Some(target) if kind.is_symlink() => {
                    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    Member::Link(clean(&format!("{folder}/{target}")))
                }
                Some(target) if kind.is_hard_link() => Member::Link(clean(&target)),
                _ if kind.is_file() => {
                    Member::File(Part { start: entry.raw_file_position(), length: entry.size() })
                }
                _ => continue,
            };
            members.insert(name, member);
        }
        Ok(Self { file: Arc::new(file), members })
    }

    fn find(&self, name: &str) -> Result<Part, ArchiveError> {
        let mut at = clean(name);
        for _ in 0..MAX_LINKS {
            match self.members.get(&at) {
                Some(Member::File(part)) => return Ok(*part),
                Some(Member::Link(target)) => at.clone_from(target),
                None => break,
            }
        }
        Err(ArchiveError::Missing(name.to_owned()))
    }

    fn document(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let part = self.find(name)?;
        if part.length > MAX_DOCUMENT {
            return Err(ArchiveError::TooLarge { name: name.to_owned(), limit: MAX_DOCUMENT });
        }
        let mut bytes = Vec::new();
        self.reader(part).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The manifest that `tag` names, or the only one, or `latest`; of an index the one for
    /// `platform`.
    fn select(&self, tag: Option<&str>, platform: &Platform) -> Result<Descriptor, ArchiveError> {
        let index: Index = parse("index.json", &self.document("index.json")?)?;
        let is_named = |d: &&Descriptor, tag| d.annotations.get(REF_NAME).is_some_and(|t| t == tag);
        let mut found = match (tag, &index.manifests[..]) {
            (None, [only]) => Some(only.clone()),
            (tag, all) => {
                let tag = tag.unwrap_or("latest");
                all.iter().find(|descriptor| is_named(descriptor, tag)).cloned()
            }
        };
        for _ in 0..MAX_LINKS {
            match found {
                Some(descriptor) if is_index(&descriptor) => {
                    found = self.verified::<Index>(&descriptor)?.1.select(platform).cloned();
                }
                Some(descriptor) => return Ok(descriptor),
                None => break,
            }
        }
        Err(ArchiveError::Missing(format!("image {} for {platform}", tag.unwrap_or("latest"))))
    }

    fn verified<T: DeserializeOwned>(
        &self,
        descriptor: &Descriptor,
    ) -> Result<(Vec<u8>, T), ArchiveError> {
        let name = blob_name(descriptor.digest);
        let bytes = self.document(&name)?;
        let found = Digest::of(&bytes);
        if found != descriptor.digest {
            return Err(ArchiveError::Digest { expected: descriptor.digest, found });
        }
        let parsed = parse(&name, &bytes)?;
        Ok((bytes, parsed))
    }

    /// A layer that lies there compressed is a blob as a registry has it. One that does not would be
    /// compressed when it is pushed, and how large it is then nobody knows.
    fn blob(&self, name: &str, part: Part) -> Result<Option<Blob>, ArchiveError> {
        let mut head = Vec::new();
        self.reader(part).take(6).read_to_end(&mut head)?;
        if Encoding::detect(&head) == Encoding::Plain {
            return Ok(None);
        }
        let digest = name.strip_prefix(BLOBS).map(|hex| format!("sha256:{hex}"));
        let digest = digest.and_then(|digest| digest.parse().ok());
        Ok(digest.map(|digest| Blob { digest, bytes: part.length }))
    }

    fn reader(&self, part: Part) -> PartReader {
        PartReader { file: Arc::clone(&self.file), part }
    }
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes)
        .map_err(|source| ArchiveError::Document { name: name.to_owned(), source })
}

fn is_index(descriptor: &Descriptor) -> bool {
    [media_type::OCI_INDEX, media_type::DOCKER_MANIFEST_LIST].contains(&&*descriptor.media_type)
}

/// `a/b` of `./a/x/../b`.
fn clean(name: &str) -> String {
    String::from_utf8_lossy(&crate::tree::clean_path(name.as_bytes())).into_owned()
}

/// The archive itself, or a copy of what a compressed one holds that has no name.
fn plain(mut file: File) -> io::Result<File> {
    let mut head = Vec::new();
    (&file).take(6).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    if Encoding::detect(&head) == Encoding::Plain {
        return Ok(file);
    }
    let mut copy = tempfile::tempfile()?;
    io::copy(&mut decompress(file)?, &mut copy)?;
    copy.flush()?;
    Ok(copy)
}

/// Several may read one file.
struct PartReader {
    file: Arc<File>,
    part: Part,
}

impl Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.part.length).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..length], self.part.start)?;
        if read == 0 && length > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.part.start += read as u64;
        self.part.length -= read as u64;
        Ok(read)
    }
}
