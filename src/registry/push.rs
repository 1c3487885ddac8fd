//! Pushing an image while it is built: blobs as soon as they are known, then the manifest by its
//! digest, an index after those it refers to, then the tags. So a tag never points to something that is not all there.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use super::auth::Scope;
use super::endpoint::{Call, Payload};
use super::upload::own;
use super::{BlobSource, Error, Reference, Registry, Standing, Transfer};
use crate::digest::Digest;
use crate::image::Descriptor;

/// Blobs under way to one registry at once, as Docker has it; registries limit what one client may
/// open.
const PARALLEL_BLOBS: usize = 4;
/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);

#[derive(Clone, Debug)]
pub struct ImageToPush {
    /// As it will be stored: a manifest, or an index of `manifests`.
    pub manifest: Bytes,
    pub media_type: String,
    /// Those that an index refers to, and their media types.
    pub manifests: Vec<(Bytes, String)>,
    /// Configurations and layers, and where their bytes are.
    pub blobs: Vec<(Descriptor, BlobSource)>,
}

/// How the blobs got into a repository.
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

/// An image on its way to all repositories that its names are in. What is under way ends when this
/// is dropped.
#[derive(Debug)]
pub struct Push {
    registry: Registry,
    runtime: Handle,
    names: Vec<Reference>,
    by_digest: bool,
    standing: Standing,
    hosts: Vec<Host>,
    uploads: Mutex<Uploads>,
    /// Bytes, to all hosts.
    sent: Arc<AtomicU64>,
}

/// The repositories of one registry; a blob is sent to the first and mounted in the others.
#[derive(Debug)]
struct Host {
    repositories: Vec<Reference>,
    free: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Uploads {
    tasks: JoinSet<Upload>,
    /// Those that are done or under way: the digest of the blob and the position of the host.
    begun: HashSet<(Digest, usize)>,
    done: Vec<Vec<(Reference, Descriptor, Transfer)>>,
}

/// One blob and one host.
#[derive(Debug)]
struct Upload {
    key: (Digest, usize),
    /// By repository.
    result: Result<Vec<(Reference, Descriptor, Transfer)>, Error>,
}

impl Uploads {
    fn end(&mut self, upload: Result<Upload, JoinError>) -> Result<(), Error> {
        let Upload { key, result } =
            upload.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        match result {
            Ok(transfers) => self.done.push(transfers),
            Err(error) => {
                self.begun.remove(&key);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Registry {
    /// Begins to push an image under all `names`, in as many repositories as these have. Transfers
    /// run on `runtime`.
    #[must_use]
    pub fn push(&self, names: Vec<Reference>, runtime: &Handle) -> Push {
        let mut hosts: Vec<Host> = Vec::new();
        for name in &names {
            let repositories = match hosts.iter_mut().find(|host| host.has(name)) {
                Some(host) => &mut host.repositories,
                None => {
                    let free = Arc::new(Semaphore::new(PARALLEL_BLOBS));
                    hosts.push(Host { repositories: Vec::new(), free });
                    let last = hosts.len() - 1;
                    &mut hosts[last].repositories
                }
            };
            if !repositories.iter().any(|known| known.repository() == name.repository()) {
                repositories.push(name.clone());
            }
        }
        Push {
            registry: self.clone(),
            runtime: runtime.clone(),
            names,
            by_digest: false,
            standing: Standing::default(),
            hosts,
            uploads: Mutex::default(),
            sent: Arc::default(),
        }
    }
}

impl Host {
    fn has(&self, name: &Reference) -> bool {
        self.repositories.iter().any(|known| known.registry() == name.registry())
    }
}

impl Push {
    /// No name gets its tag: the image is to be found by the digest of its manifest.
    #[must_use]
    pub fn by_digest(self) -> Self {
        Self { by_digest: true, ..self }
    }

    /// What the names led to is known, or will be.
    #[must_use]
    pub fn with_standing(self, standing: Standing) -> Self {
        Self { standing, ..self }
    }

    /// Starts to bring a blob to all repositories, unless that was begun already. Returns at once;
    /// [`Push::finish`] tells how it ended.
    pub fn begin(&self, blob: &Descriptor, source: &BlobSource) {
        let mut uploads = self.uploads();
        for (index, host) in self.hosts.iter().enumerate() {
            let key = (blob.digest, index);
            if !uploads.begun.insert(key) {
                continue;
            }
            let (registry, blob, source) = (self.registry.clone(), blob.clone(), source.clone());
            let (repositories, free) = (host.repositories.clone(), Arc::clone(&host.free));
            let sent = Sent { total: Arc::clone(&self.sent), ours: AtomicU64::new(0) };
            let upload = async move {
                // An error means a closed semaphore, and nobody closes it.
                let _permit = free.acquire_owned().await;
                let result = registry.bring(&repositories, &blob, &source, &sent).await;
                Upload { key, result }
            };
            uploads.tasks.spawn_on(upload, &self.runtime);
        }
    }

    /// Waits for all blobs of `image`, those that were not begun included, then puts manifests
    /// and tags. What has failed so far is tried again, what fails now is an error. `progress` is told
    /// how many bytes have been sent, to all registries together.
    ///
    /// How the blobs got there is told for each name, and for a repository with several names at
    /// the first of these.
    ///
    /// # Errors
    /// The first [`Error`]; blobs that have arrived stay, without a tag.
    pub async fn finish(
        &self,
        image: &ImageToPush,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Vec<PushedBlobs>, Error> {
        self.forget_failures();
        for (blob, source) in &image.blobs {
            self.begin(blob, source);
        }
        let mut tasks = std::mem::take(&mut self.uploads().tasks);
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                _ = tick.tick() => progress(self.sent.load(Ordering::Relaxed)),
                ended = tasks.join_next() => match ended {
                    Some(ended) => self.uploads().end(ended)?,
                    None => break,
                },
            }
        }
        let last = [(image.manifest.clone(), image.media_type.clone())];
        for (manifest, media_type) in image.manifests.iter().chain(&last) {
            let under = Digest::of(manifest).to_string();
            for target in self.repositories() {
                self.registry.put_manifest(target, &under, manifest, media_type).await?;
            }
        }
        self.tag(&image.manifest, &image.media_type).await?;
        Ok(self.counted())
    }

    /// Whether all repositories have an image of earlier, which then only wants its tags.
    ///
    /// # Errors
    /// The first [`Error`] of asking.
    pub async fn is_there(&self, manifest: &Digest) -> Result<bool, Error> {
        for target in self.repositories() {
            if !self.standing.has(target, manifest).await
                && !self.registry.has_manifest(target, manifest).await?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts the tags on an image that all repositories have, except where they are already.
    ///
    /// # Errors
    /// The first [`Error`].
    pub async fn tag(&self, manifest: &Bytes, media_type: &str) -> Result<(), Error> {
        if self.by_digest {
            return Ok(());
        }
        let digest = Digest::of(manifest);
        for name in &self.names {
            if let Some(tag) = name.tag()
                && !self.standing.leads(name, &digest).await
            {
                self.registry.put_manifest(name, tag, manifest, media_type).await?;
            }
        }
        Ok(())
    }

    fn repositories(&self) -> impl Iterator<Item = &Reference> {
        self.hosts.iter().flat_map(|host| &host.repositories)
    }

    fn forget_failures(&self) {
        let mut uploads = self.uploads();
        while let Some(ended) = uploads.tasks.try_join_next() {
            // It is begun again, and told if it fails again.
            let _ = uploads.end(ended);
        }
    }

    fn counted(&self) -> Vec<PushedBlobs> {
        let uploads = self.uploads();
        let mut counted = vec![PushedBlobs::default(); self.names.len()];
        for (repository, blob, transfer) in uploads.done.iter().flatten() {
            // The repositories were taken from the names.
            if let Some(at) = self.names.iter().position(|name| same_repository(name, repository)) {
                counted[at].count(blob, *transfer);
            }
        }
        counted
    }

    fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one upload adds to the bytes of all; less again after a failure.
struct Sent {
    total: Arc<AtomicU64>,
    ours: AtomicU64,
}

impl Sent {
    fn set(&self, bytes: u64) {
        let before = self.ours.swap(bytes, Ordering::Relaxed);
        // Both wrap around, and so does the sum: it comes out right.
        self.total.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
    }
}

impl Registry {
    /// Brings a blob to repositories of one registry.
    async fn bring(
        &self,
        repositories: &[Reference],
        blob: &Descriptor,
        source: &BlobSource,
        sent: &Sent,
    ) -> Result<Vec<(Reference, Descriptor, Transfer)>, Error> {
        let mut transfers = Vec::with_capacity(repositories.len());
        for target in repositories {
            let elsewhere = repositories.first().filter(|_| !transfers.is_empty());
            let progress = |bytes| sent.set(bytes);
            let transfer = self.ensure_blob(target, blob, source, elsewhere, &progress).await?;
            transfers.push((target.clone(), blob.clone(), transfer));
        }
        Ok(transfers)
    }

    async fn put_manifest(
        &self,
        target: &Reference,
        under: &str,
        manifest: &Bytes,
        media_type: &str,
    ) -> Result<(), Error> {
        let digest = Digest::of(manifest);
        let answer = self.put_document(target, under, media_type, manifest.clone()).await?;
        let header = answer.get("docker-content-digest");
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

    /// Puts a manifest or an index under a tag or its digest; what the answer says of it.
    pub(super) async fn put_document(
        &self,
        target: &Reference,
        under: &str,
        kind: &str,
        bytes: Bytes,
    ) -> Result<HeaderMap, Error> {
        let endpoints = self.endpoints(target.registry())?;
        let endpoint = own(&endpoints);
        let url = endpoint.url(target.repository(), &format!("manifests/{under}"))?;
        let scopes = [Scope::push(target.repository())];
        let mut call = Call::new(Method::PUT, url, &scopes).header(CONTENT_TYPE, kind);
        call.payload = Payload::Bytes(bytes);
        Ok(endpoint.send(&call).await?.headers().clone())
    }
}

pub(super) fn same_repository(one: &Reference, other: &Reference) -> bool {
    (one.registry(), one.repository()) == (other.registry(), other.repository())
}
