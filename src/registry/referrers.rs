//! Artifacts that say which image they are about (distribution-spec, "Listing Referrers"). Where the
//! registry keeps no list of them, it is an index under a tag that is made of the image's digest, and
//! whoever adds to it writes it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{BlobSource, Error, Reference, Registry};
use crate::digest::Digest;
use crate::image::{Descriptor, EMPTY_CONFIG, Index, Manifest, media_type, to_json};

const INDEX_LIMIT: usize = 4 * 1024 * 1024;
/// The answer to a manifest says by it that the registry keeps the list.
const SUBJECT_HEADER: &str = "oci-subject";

/// A few small blobs about an image.
#[derive(Clone, Debug)]
pub struct Artifact {
    pub kind: &'static str,
    /// Media types and bytes.
    pub blobs: Vec<(&'static str, Bytes)>,
    pub annotations: BTreeMap<String, String>,
}

impl Registry {
    /// The artifacts of one kind about the image with this manifest, as the registry lists them.
    /// `image` says in which repository; mirrors are not asked.
    ///
    /// # Errors
    /// Any [`Error`] of asking.
    pub async fn referrers(
        &self,
        image: &Reference,
        subject: &Digest,
        kind: &str,
    ) -> Result<Vec<Descriptor>, Error> {
        let listed = self.list(image, subject, kind).await?;
        let mut found = match listed {
            Some(index) => index.manifests,
            None => self.tagged_list(image, subject).await?.manifests,
        };
        // A filter is asked for, but no registry has to have one.
        found.retain(|entry| entry.artifact_type.as_deref() == Some(kind));
        Ok(found)
    }

    /// `None` where the registry keeps no lists. Some answer with a page of another kind.
    async fn list(
        &self,
        image: &Reference,
        subject: &Digest,
        kind: &str,
    ) -> Result<Option<Index>, Error> {
        let what = format!("referrers/{subject}");
        let query = [("artifactType", kind)];
        match self.document(image, &what, &query, INDEX_LIMIT).await {
            Ok(bytes) => Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok())),
            Err(error) if matches!(error.status(), Some(400 | 405 | 406 | 501)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The list under the tag; empty where there is none.
    async fn tagged_list(&self, image: &Reference, subject: &Digest) -> Result<Index, Error> {
        let what = format!("manifests/{}", tag(subject));
        let Some(bytes) = self.document(image, &what, &[], INDEX_LIMIT).await? else {
            return Ok(Index {
                schema_version: 2,
                media_type: media_type::OCI_INDEX.to_owned(),
                manifests: Vec::new(),
                annotations: BTreeMap::new(),
            });
        };
        // What is no list is somebody's, and not written over.
        serde_json::from_slice(&bytes).map_err(|error| Error::NotAnImage {
            name: format!("{}:{}", image.repository(), tag(subject)),
            what: error.to_string(),
        })
    }

    /// The manifest of an artifact.
    ///
    /// # Errors
    /// Any [`Error`] of asking, and for what is not what its digest says.
    pub async fn artifact(&self, image: &Reference, of: &Descriptor) -> Result<Manifest, Error> {
        let name = || format!("{}@{}", image.repository(), of.digest);
        let not_one = |what: String| Error::NotAnImage { name: name(), what };
        let what = format!("manifests/{}", of.digest);
        let bytes = self.document(image, &what, &[], INDEX_LIMIT).await?;
        let bytes = bytes.ok_or_else(|| not_one("it is not there".to_owned()))?;
        let found = Digest::of(&bytes);
        if found != of.digest {
            let what = "the manifest of the artifact";
            return Err(Error::Digest { what, name: name(), expected: of.digest, found });
        }
        serde_json::from_slice(&bytes).map_err(|error| not_one(error.to_string()))
    }

    /// Pushes an artifact about the image with the manifest `subject`, which is in the repository of
    /// `image`.
    ///
    /// # Errors
    /// Any [`Error`] of asking.
    pub async fn attach(
        &self,
        image: &Reference,
        subject: &Descriptor,
        artifact: &Artifact,
    ) -> Result<(), Error> {
        let describe = |(kind, bytes): &(&str, Bytes)| {
            Descriptor::new(kind, Digest::of(bytes), bytes.len() as u64)
        };
        let manifest = Manifest {
            subject: Some(Descriptor::new(&subject.media_type, subject.digest, subject.size)),
            annotations: artifact.annotations.clone(),
            ..Manifest::artifact(artifact.kind, artifact.blobs.iter().map(describe).collect())
        };
        let contents = artifact.blobs.iter().map(|(_, bytes)| bytes.clone());
        let blobs = manifest.layers.iter().zip(contents);
        let config = (&manifest.config, Bytes::from_static(EMPTY_CONFIG));
        for (blob, bytes) in blobs.chain([config]) {
            self.ensure_blob(image, blob, &BlobSource::Bytes(bytes), None, &|_| {}).await?;
        }
        let manifest = to_json(&manifest);
        let digest = Digest::of(&manifest);
        let size = manifest.len() as u64;
        let kind = media_type::OCI_MANIFEST;
        let answer = self.put_document(image, &digest.to_string(), kind, manifest.into()).await?;
        if answer.contains_key(SUBJECT_HEADER) {
            return Ok(());
        }
        let mut list = self.tagged_list(image, &subject.digest).await?;
        list.manifests.retain(|entry| entry.digest != digest);
        list.manifests.push(Descriptor {
            artifact_type: Some(artifact.kind.to_owned()),
            annotations: artifact.annotations.clone(),
            ..Descriptor::new(media_type::OCI_MANIFEST, digest, size)
        });
        let (under, list) = (tag(&subject.digest), to_json(&list));
        self.put_document(image, &under, media_type::OCI_INDEX, list.into()).await?;
        Ok(())
    }
}

/// `sha256-…` (distribution-spec, "Referrers Tag Schema").
fn tag(subject: &Digest) -> String {
    subject.to_string().replace(':', "-")
}
