//! What every part of one build shares.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::net::UnixStream;

use tokio::runtime::Runtime;

use super::fetch::{Access, Fetcher};
use super::progress::Progress;
use crate::cache::{Record, Store, StoredBlob};
use crate::digest::{DiffId, Digest};
use crate::error::Error;
use crate::http::Clients;
use crate::ignore::Patterns;
use crate::plan::{ContextShape, DefinitionKey, PlanRequest};
use crate::platform::Platform;
use crate::registry::Registry;
use crate::request::{BuildRequest, Compression, MainContext, NamedContext, Output, OutputKind};
use crate::sandbox::Cancel;
use crate::snapshot::StepDirs;
use crate::tree::Changes;
use crate::ui::Event;

pub(super) struct Session<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) store: Store,
    pub(super) runtime: Runtime,
    clients: Arc<Clients>,
    pub(super) registry: Registry,
    pub(super) progress: Progress<'a>,
    pub(super) cancel: &'a Cancel,
    pub(super) since: Instant,
    /// What of the main context is ignored.
    pub(super) ignore: Patterns,
    host: Platform,
    hosts: Vec<String>,
    contexts: BTreeMap<String, ContextShape>,
    fetches: Mutex<HashMap<Digest, Arc<Mutex<()>>>>,
}

impl<'a> Session<'a> {
    pub(super) fn open(
        request: &'a BuildRequest,
        cancel: &'a Cancel,
        events: &'a (dyn Fn(Event) + Sync),
    ) -> Result<Self, Error> {
        let ignore = match &request.dockerfile.ignore {
            Some((file, bytes)) => {
                Patterns::parse(bytes).map_err(|e| Error::build(format!("{file}: {e}")))?
            }
            None => Patterns::default(),
        };
        let is_fetched = matches!(request.context, MainContext::Fetched(_));
        let store = Store::open(&request.store)?;
        let runtime = runtime(request.threads)?;
        let clients = Arc::new(Clients::new(request.registry.ca_certificates.clone()));
        let registry = Registry::new(request.registry.clone(), Arc::clone(&clients));
        let shape = |context: &NamedContext| match context {
            NamedContext::Directory(_) | NamedContext::Remote(_) => ContextShape::Directory,
            NamedContext::Image(_) | NamedContext::Layout { .. } => ContextShape::Image,
        };
        let contexts =
            request.build_contexts.iter().map(|(name, c)| (name.clone(), shape(c))).collect();
        Ok(Self {
            request,
            store,
            runtime,
            clients,
            registry,
            // Bringing the context here was the first step.
            progress: Progress::new(events, cancel, if is_fetched { 2 } else { 1 }),
            cancel,
            since: Instant::now(),
            ignore,
            host: Platform::host(),
            hosts: request.run.add_hosts.iter().map(|(name, _)| name.clone()).collect(),
            contexts,
            fetches: Mutex::default(),
        })
    }

    pub(super) fn fetcher(&self) -> Fetcher<'_> {
        let BuildRequest { secrets, ssh, git_environment, .. } = self.request;
        Fetcher {
            access: Access { secrets, ssh, git_environment },
            store: &self.store,
            runtime: &self.runtime,
            clients: &self.clients,
            progress: &self.progress,
            cancel: self.cancel,
        }
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
            entitlements: request.run.entitlements,
            hosts: &self.hosts,
            ignore: &self.ignore,
            all_stages: false,
        }
    }

    /// Ends the work of this thread where the user has asked to stop.
    pub(super) fn check_canceled(&self) -> Result<(), Error> {
        if self.cancel.is_canceled() { Err(Error::canceled()) } else { Ok(()) }
    }

    /// A file whose reading ends where the build does.
    pub(super) fn stopping(
        &self,
        file: impl Read + Send + 'static,
    ) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.cancel.stops(file)))
    }

    /// Waits for the network, but not where the user has asked to stop.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        self.runtime.block_on(async {
            tokio::select! {
                done = work => Ok(done),
                () = self.canceled() => Err(Error::canceled()),
            }
        })
    }

    /// Ends when the build is canceled.
    pub(super) fn canceled(&self) -> impl Future<Output = ()> + Send + 'static {
        canceled(self.cancel)
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
        self.store.work().directory().map_err(|e| self.no_work_directory(&e))
    }

    /// New directories for a RUN that go with the build.
    pub(super) fn step_directories(&self) -> Result<StepDirs, Error> {
        self.store.work().step().map_err(|e| self.no_work_directory(&e))
    }

    fn no_work_directory(&self, error: &io::Error) -> Error {
        let path = self.store.work().path().display();
        Error::build(format!("can't make a directory in {path}: {error}"))
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

/// The threads that talk to other machines.
pub(super) fn runtime(threads: usize) -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .enable_all()
        .build()
        .map_err(|e| Error::build(format!("can't start the network threads: {e}")))
}

/// Ends when `cancel` was used.
pub(super) fn canceled(cancel: &Cancel) -> impl Future<Output = ()> + Send + 'static {
    let socket = cancel.socket();
    async {
        let canceled = async { UnixStream::from_std(socket?)?.readable().await };
        if canceled.await.is_err() {
            // Who cannot be told goes on to its end.
            std::future::pending().await
        }
    }
}
