//! What every part of one build shares.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::progress::Progress;
use crate::cache::{Store, StoredBlob};
use crate::digest::{DiffId, Digest};
use crate::error::Error;
use crate::image::Descriptor;
use crate::plan::{ContextShape, PlanRequest};
use crate::platform::Platform;
use crate::registry::Registry;
use crate::request::{BuildRequest, NamedContext, OutputKind};
use crate::sandbox::Cancel;
use crate::tree::Changes;

pub(super) struct Session<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) store: Store,
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) registry: Arc<Registry>,
    pub(super) progress: Progress<'a>,
    pub(super) cancel: &'a Cancel,
    contexts: BTreeMap<String, ContextShape>,
    scratch: AtomicU64,
    fetches: Mutex<HashMap<Digest, Arc<Mutex<()>>>>,
}

impl<'a> Session<'a> {
    pub(super) fn open(
        request: &'a BuildRequest,
        cancel: &'a Cancel,
        progress: Progress<'a>,
    ) -> Result<Self, Error> {
        let store = Store::open(&request.store).map_err(Error::build)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(request.threads.max(1))
            .enable_all()
            .build()
            .map_err(|e| Error::build(format!("can't start the network threads: {e}")))?;
        let registry = Arc::new(Registry::new(&request.registry)?);
        let shape = |context: &NamedContext| match context {
            NamedContext::Directory(_) => ContextShape::Directory,
            NamedContext::Image(_) | NamedContext::Layout { .. } => ContextShape::Image,
        };
        let contexts =
            request.build_contexts.iter().map(|(name, c)| (name.clone(), shape(c))).collect();
        Ok(Self {
            request,
            store,
            runtime,
            registry,
            progress,
            cancel,
            contexts,
            scratch: AtomicU64::new(0),
            fetches: Mutex::default(),
        })
    }

    pub(super) fn plan_request(&self) -> PlanRequest<'_> {
        let request = self.request;
        PlanRequest {
            target: request.target.as_deref(),
            build_args: &request.build_args,
            platform: request.platform.clone(),
            build_platform: Platform::host(),
            contexts: &self.contexts,
            labels: &request.labels,
            no_cache: &request.no_cache,
            network: request.run.network,
            add_hosts: &request.run.add_hosts,
        }
    }

    /// Ends the work of this thread where the user has asked to stop.
    pub(super) fn check_canceled(&self) -> Result<(), Error> {
        if self.cancel.is_canceled() { Err(super::canceled()) } else { Ok(()) }
    }

    /// The time that new things have: SOURCE_DATE_EPOCH, else the start of the build.
    pub(super) fn time(&self) -> i64 {
        self.request.source_date_epoch.unwrap_or(self.request.now)
    }

    /// A new, empty directory that goes with the build.
    pub(super) fn scratch_directory(&self) -> Result<PathBuf, Error> {
        // Short names: overlayfs takes all lower directories of a mount in one page on old kernels.
        let number = self.scratch.fetch_add(1, Ordering::Relaxed);
        let path = self.store.work().join(number.to_string());
        std::fs::create_dir(&path)
            .map_err(|e| Error::build(format!("can't make {}: {e}", path.display())))?;
        Ok(path)
    }

    /// The blob, from the local store or one that `--cache-from` names.
    pub(super) fn blob(&self, digest: &Digest) -> Option<StoredBlob> {
        self.store.blob(digest)
    }

    pub(super) fn tree(&self, diff_id: &DiffId) -> Option<Changes> {
        self.store.tree(diff_id)
    }

    /// Whether an output will want the base's blobs as files.
    pub(super) fn keeps_base_blobs(&self) -> bool {
        self.request.outputs.iter().any(|output| match output.kind {
            OutputKind::Registry { .. } => output.force_compression || output.rewrite_timestamp,
            OutputKind::Oci { .. }
            | OutputKind::Docker { .. }
            | OutputKind::Local { .. }
            | OutputKind::Tar { .. } => true,
        })
    }

    /// The blob of a registry as a stream.
    pub(super) fn registry_blob(
        &self,
        reference: &str,
        descriptor: &Descriptor,
    ) -> Result<Box<dyn Read + Send>, Error> {
        let handle = self.runtime.handle();
        Ok(Box::new(self.registry.blob_reader(handle, reference, descriptor)?))
    }

    /// Held by the one thread that fetches a blob; the others find it in the store afterwards.
    pub(super) fn fetching(&self, digest: &Digest) -> FetchGuard {
        let lock = {
            let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(fetches.entry(*digest).or_default())
        };
        FetchGuard::new(lock)
    }
}
