//! `type=registry`: entries in a repository. A blob or a pack is a blob of the repository, which images share;
//! any other entry is an artifact whose tag is the key, and that keeps the blobs that it refers to
//! from being collected.

use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::backend::{CacheBackend, CacheFault, EntryContent, EntryKey, FoundEntry, Saved};
use crate::digest::{Digest, Sha256Sum};
use crate::http::RetryPolicy;
use crate::image::{Descriptor, EMPTY_CONFIG, Manifest, media_type, to_json};
use crate::registry::{BlobSource, Error, ImageToPush, Reference, Registry};

const ARTIFACT_TYPE: &str = "application/vnd.plimsoll.cache.entry.v1";
const ENTRY_TYPE: &str = "application/vnd.plimsoll.cache.entry.v1+zstd";
/// The protocol has no longer tags.
const TAG_LIMIT: usize = 128;
/// A build does not wait for a cache as it does for its bases.
const ATTEMPTS: u32 = 3;

/// The entries of a repository, whose tags begin with the tag of `reference`.
#[derive(Clone, Debug)]
pub struct RegistryCache {
    registry: Registry,
    runtime: Handle,
    reference: Reference,
    /// The empty configuration, which all artifacts share, is in the repository.
    has_config: Arc<Mutex<bool>>,
}

impl RegistryCache {
    /// Must not be used on threads of `runtime`.
    #[must_use]
    pub fn new(registry: &Registry, runtime: Handle, reference: Reference) -> Self {
        let policy = RetryPolicy { attempts: ATTEMPTS, ..RetryPolicy::default() };
        let registry = registry.clone().with_retry_policy(policy);
        Self { registry, runtime, reference, has_config: Arc::default() }
    }

    fn tag(&self, key: &str) -> String {
        format!("{}-{key}", self.reference.tag().unwrap_or("latest"))
    }

    fn under(&self, tag: &str) -> Result<Reference, CacheFault> {
        if tag.len() > TAG_LIMIT {
            let text = format!("the tag {tag} has more than {TAG_LIMIT} characters");
            return Err(CacheFault::Failed(text));
        }
        Ok(Reference::with_tag(
            self.reference.registry().to_owned(),
            self.reference.repository().to_owned(),
            tag.to_owned(),
        ))
    }

    fn find_one(&self, key: &EntryKey) -> Result<Option<FoundEntry>, CacheFault> {
        let blob = match blob_of(key) {
            Some(digest) => {
                let size = self.runtime.block_on(self.registry.blob_size(&self.reference, &digest));
                size.map_err(fault)?.map(|size| Descriptor::new("", digest, size))
            }
            None => {
                let name = self.under(&self.tag(&key.0))?;
                let found = self.runtime.block_on(self.registry.manifest(&name)).map_err(fault)?;
                let ours = |m: &Manifest| m.artifact_type.as_deref() == Some(ARTIFACT_TYPE);
                found.filter(ours).and_then(|manifest| manifest.layers.into_iter().next())
            }
        };
        let Some(blob) = blob else { return Ok(None) };
        let place = serde_json::to_string(&blob).map_err(std::io::Error::from)?;
        Ok(Some(FoundEntry { key: key.clone(), size: Some(blob.size), place }))
    }

    /// Brings the configuration there, once: a registry in which two bring the same blob at the same
    /// time may deny that it has it (distribution 2.8).
    fn bring_config(&self, config: &Descriptor) -> Result<(), Error> {
        let mut has_config = self.has_config.lock().unwrap_or_else(PoisonError::into_inner);
        if !*has_config {
            self.push_blob(config, &BlobSource::Bytes(Bytes::from_static(EMPTY_CONFIG)))?;
            *has_config = true;
        }
        Ok(())
    }

    /// An entry as an artifact that refers to `blobs`.
    fn push(&self, name: &Reference, entry: Bytes, blobs: &[Descriptor]) -> Result<(), Error> {
        let content = Descriptor::new(ENTRY_TYPE, Digest::of(&entry), entry.len() as u64);
        let mut layers = vec![content.clone()];
        layers.extend_from_slice(blobs);
        let manifest = Manifest::artifact(ARTIFACT_TYPE, layers);
        self.bring_config(&manifest.config)?;
        let artifact = ImageToPush {
            manifest: to_json(&manifest).into(),
            media_type: media_type::OCI_MANIFEST.to_owned(),
            manifests: Vec::new(),
            blobs: vec![(content, BlobSource::Bytes(entry))],
        };
        let push = self.registry.push(vec![name.clone()], &self.runtime);
        self.runtime.block_on(push.finish(&artifact, &|_| {}))?;
        Ok(())
    }

    fn push_blob(&self, blob: &Descriptor, source: &BlobSource) -> Result<Saved, Error> {
        use crate::registry::Transfer;
        let silent = |_| {};
        let pushing = self.registry.ensure_blob(&self.reference, blob, source, None, &silent);
        Ok(match self.runtime.block_on(pushing)? {
            Transfer::Present => Saved::AlreadyThere,
            Transfer::Mounted | Transfer::Uploaded => Saved::New,
        })
    }
}

impl CacheBackend for RegistryCache {
    fn name(&self) -> String {
        format!("registry {}", self.reference)
    }

    fn find(&self, keys: &[EntryKey]) -> Result<Option<FoundEntry>, CacheFault> {
        for key in keys {
            if let Some(entry) = self.find_one(key)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The newest is the one whose key sorts last: what tells one from another in keys with the same
    /// beginning begins with the time.
    fn newest(&self, prefix: &str) -> Result<Option<FoundEntry>, CacheFault> {
        let begins = self.tag(prefix);
        let last = self.registry.last_tag(&self.reference, &begins);
        let Some(tag) = self.runtime.block_on(last).map_err(fault)? else { return Ok(None) };
        let own = self.tag("").len();
        self.find_one(&EntryKey(tag[own..].to_owned()))
    }

    fn open(&self, entry: &FoundEntry) -> Result<Box<dyn Read + Send>, CacheFault> {
        let blob: Descriptor = serde_json::from_str(&entry.place).map_err(std::io::Error::from)?;
        if blob.size == 0 {
            return Ok(Box::new(Cursor::new(Vec::new())));
        }
        let never = std::future::pending();
        Ok(Box::new(self.registry.blob_reader(&self.runtime, &self.reference, &blob, never)))
    }

    fn save(
        &self,
        key: &EntryKey,
        content: EntryContent<'_>,
        blobs: &[Descriptor],
    ) -> Result<Saved, CacheFault> {
        if key.0.starts_with("b-") && blob_of(key).is_none() {
            // Its name is its digest.
            let text = format!("{}: a damaged blob can't be replaced in a registry", key.0);
            return Err(CacheFault::Failed(text));
        }
        let saved = match (content, blob_of(key), blobs) {
            (EntryContent::File(path, _), Some(_), [blob]) => {
                self.push_blob(blob, &BlobSource::File(path.to_owned()))
            }
            (content, _, _) => {
                let entry = match content {
                    EntryContent::Bytes(bytes) => Bytes::copy_from_slice(bytes),
                    EntryContent::File(path, _) => std::fs::read(path)?.into(),
                };
                let name = self.under(&self.tag(&key.0))?;
                match self.runtime.block_on(self.registry.manifest(&name)) {
                    Ok(Some(_)) => Ok(Saved::AlreadyThere),
                    Ok(None) => self.push(&name, entry, blobs).map(|()| Saved::New),
                    Err(error) => Err(error),
                }
            }
        };
        saved.or_else(|error| match error.status() {
            Some(401 | 403) => Ok(Saved::Denied(error.to_string())),
            _ => Err(fault(error)),
        })
    }
}

/// The digest in the key of a blob, or of a pack, which is one too.
fn blob_of(key: &EntryKey) -> Option<Digest> {
    key.0
        .strip_prefix("b-")
        .or_else(|| key.0.strip_prefix("p-"))
        .and_then(Sha256Sum::from_hex)
        .map(Digest)
}

fn fault(error: Error) -> CacheFault {
    match error {
        Error::Transport { .. } => CacheFault::Unavailable(error.to_string()),
        _ if matches!(error.status(), Some(401 | 403)) => {
            CacheFault::Unavailable(error.to_string())
        }
        _ => CacheFault::Failed(error.to_string()),
    }
}
