//! What every part of one build shares.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::progress::Progress;
use crate::cache::{Record, Store, StoredBlob};
use crate::digest::{DiffId, Digest};
use crate::error::Error;
use crate::http::Clients;
use crate::plan::{ContextShape, DefinitionKey, PlanRequest};
use crate::platform::Platform;
use crate::registry::Registry;
use crate::request::{BuildRequest, Compression, NamedContext, Output, OutputKind};
use crate::sandbox::Cancel;
use crate::tree::Changes;

/// How soon a transfer notices that the user has asked to stop.
const CANCEL_CHECK: Duration = Duration::from_millis(50);

pub(super) struct Session<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) store: Store,
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) registry: Registry,
    pub(super) progress: Progress<'a>,
    pub(super) cancel: &'a Cancel,
    pub(super) since: Instant,
    host: Platform,
    hosts: Vec<String>,
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
        let store = Store::open(&request.store)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(request.threads.max(1))
            .enable_all()
            .build()
            .map_err(|e| Error::build(format!("can't start the network threads: {e}")))?;
        let clients = Arc::new(Clients::new(request.registry.ca_certificates.clone()));
        let registry = Registry::new(request.registry.clone(), clients);
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
            since: Instant::now(),
            host: Platform::host(),
            hosts: request.run.add_hosts.iter().map(|(name, _)| name.clone()).collect(),
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
            platform: &request.platform,
            explicit_platform: request.explicit_platform,
            build_platform: &self.host,
            contexts: &self.contexts,
            labels: &request.labels,
            no_cache: &request.no_cache,
            network: request.run.network,
            hosts: &self.hosts,
        }
    }

    /// Ends the work of this thread where the user has asked to stop.
    pub(super) fn check_canceled(&self) -> Result<(), Error> {
        if self.cancel.is_canceled() { Err(super::canceled()) } else { Ok(()) }
    }

    /// Comes when the user has asked to stop.
    pub(super) fn canceled(&self) -> impl Future<Output = ()> + Send + use<> {
        let cancel = self.cancel.clone();
        async move {
            while !cancel.is_canceled() {
                tokio::time::sleep(CANCEL_CHECK).await;
            }
        }
    }

    /// Waits for the network, but not where the user has asked to stop.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        self.runtime.block_on(async {
            tokio::select! {
                done = work => Ok(done),
                () = self.canceled() => Err(super::canceled()),
            }
        })
    }

    /// The names of the image in `output`.
    pub(super) fn names<'o>(&'o self, output: &'o Output) -> &'o [String] {
        match &output.kind {
            OutputKind::Registry { names }
            | OutputKind::Oci { names, .. }
            | OutputKind::Docker { names, .. }
                if !names.is_empty() =>
            {
                names
            }
            _ => &self.request.tags,
        }
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

    /// The lock under which a blob is fetched: one thread does it, the others find it in the store.
    pub(super) fn fetching(&self, digest: &Digest) -> Arc<Mutex<()>> {
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(fetches.entry(*digest).or_default())
    }

    /// How new layers are compressed: as the first output wants it.
    pub(super) fn compression(&self) -> Compression {
        self.request.outputs.first().map_or_else(Compression::default, |o| o.compression)
    }

    /// What is known of a step with this key.
    pub(super) fn record(&self, key: &DefinitionKey) -> Option<Record> {
        self.store.record(key)
    }

    pub(super) fn keep_record(&self, key: &DefinitionKey, record: &Record) -> Result<(), Error> {
        Ok(self.store.keep_record(key, record)?)
    }
}
