//! Pushing a whole image: blobs, then the manifest by its digest, then the tags. So a tag never
//! points to something that is not all there.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::auth::Scope;
use super::endpoint::{Call, Payload};
use super::upload::own;
use super::{BlobSource, Error, Reference, Registry, Transfer};
use crate::digest::Digest;
use crate::image::Descriptor;

/// Blobs under way at once, as Docker has it; registries limit what one client may open.
const PARALLEL_BLOBS: usize = 4;

#[derive(Clone, Debug)]
pub struct ImageToPush {
    /// As it will be stored.
    pub manifest: Bytes,
    pub media_type: String,
    /// The configuration and the layers, and where their bytes are.
    pub blobs: Vec<(Descriptor, BlobSource)>,
}

/// How the blobs got there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushedBlobs {
    pub present: usize,
    pub mounted: usize,
    pub uploaded: usize,
    /// Bytes of the uploaded ones.
    pub bytes: u64,
}

impl PushedBlobs {
    fn count(&mut self, blob: &Descriptor, transfer: Transfer) {
        match transfer {
            Transfer::Present => self.present += 1,
            Transfer::Mounted => self.mounted += 1,
            Transfer::Uploaded => {
                self.uploaded += 1;
                self.bytes += blob.size;
            }
        }
    }
}

impl Registry {
    /// Pushes an image under all `names`, in as many repositories as these have. `progress` is told
    /// how many bytes of a blob have been sent so far.
    ///
    /// # Errors
    /// The first [`Error`]; blobs that have arrived stay, without a tag.
    pub async fn push_image(
        &self,
        image: &ImageToPush,
        names: &[Reference],
        progress: &(dyn Fn(&Descriptor, u64) + Sync),
    ) -> Result<PushedBlobs, Error> {
        let digest = Digest::of(&image.manifest);
        let mut repositories: Vec<&Reference> = Vec::new();
        for name in names {
            if !repositories.iter().any(|known| same_repository(known, name)) {
                repositories.push(name);
            }
        }
        let counts = Mutex::new(PushedBlobs::default());
        for (done, target) in repositories.iter().enumerate() {
            let earlier = repositories[..done].iter();
            let elsewhere = earlier.copied().find(|known| known.registry() == target.registry());
            stream::iter(distinct(&image.blobs).into_iter().map(Ok))
                .try_for_each_concurrent(PARALLEL_BLOBS, |(blob, source)| async {
                    let progress = |sent| progress(blob, sent);
                    let transfer =
                        self.ensure_blob(target, blob, source, elsewhere, &progress).await?;
                    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                    counts.count(blob, transfer);
                    Ok(())
                })
                .await?;
            self.put_manifest(target, &digest.to_string(), image, digest).await?;
        }
        for name in names {
            if let Some(tag) = name.tag() {
                self.put_manifest(name, tag, image, digest).await?;
            }
        }
        Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    async fn put_manifest(
        &self,
        target: &Reference,
        under: &str,
        image: &ImageToPush,
        digest: Digest,
    ) -> Result<(), Error> {
        let endpoints = self.endpoints(target.registry())?;
        let endpoint = own(&endpoints);
        let url = endpoint.url(target.repository(), &format!("manifests/{under}")).await?;
        let scopes = [Scope::push(target.repository())];
        let mut call =
            Call::new(Method::PUT, url, &scopes).header(CONTENT_TYPE, image.media_type.as_str());
        call.payload = Payload::Bytes(image.manifest.clone());
        let answer = endpoint.send(&call).await?;
        let header = answer.headers().get("docker-content-digest");
        let found = header.and_then(|value| value.to_str().ok()?.parse::<Digest>().ok());
        match found {
            Some(found) if found != digest => Err(Error::Digest {
                what: "the pushed manifest",
                name: target.to_string(),
                expected: digest,
                found,
            }),
            _ => Ok(()),
        }
    }
}

fn same_repository(one: &Reference, other: &Reference) -> bool {
    (one.registry(), one.repository()) == (other.registry(), other.repository())
}

/// Each blob once: an image may have the same layer twice.
fn distinct(blobs: &[(Descriptor, BlobSource)]) -> Vec<&(Descriptor, BlobSource)> {
    let mut seen = BTreeSet::new();
    blobs.iter().filter(|(blob, _)| seen.insert(blob.digest)).collect()
}
