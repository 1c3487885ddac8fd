//! What every part of one build shares.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tokio::net::UnixStream;

use tokio::runtime::Runtime;

use super::agents::Agents;
use super::fetch::{Access, Fetcher};
use super::mounts::CacheMounts;
use super::progress::Progress;
use super::save::{Saver, places};
use super::turns::Turns;
use crate::cache::{Place, Record, RecordKey, RemoteCache, Store, StoredBlob, Target};
use crate::digest::{DiffId, Digest, Sha256Sum};
use crate::error::Error;
use crate::http::Clients;
use crate::ignore::Patterns;
use crate::plan::{ContextShape, History, PlanRequest};
use crate::platform::Platform;
use crate::registry::{Reference, Registry, Standing, parse_reference};
use crate::request::{BuildRequest, Compression, MainContext, NamedContext, Output, OutputKind};
use crate::sandbox::{Cancel, Cgroup, CgroupParent};
use crate::snapshot::{MemoryLayers, StepDirs};
use crate::tree::Changes;
use crate::ui::Event;

/// One for each platform.
pub(super) struct Session<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) platform: &'a Platform,
    pub(super) store: Store,
    /// Where layers are unpacked that nobody needs after this build, if that is so.
    pub(super) memory: Option<Arc<MemoryLayers>>,
    pub(super) runtime: Arc<Runtime>,
    clients: Arc<Clients>,
    pub(super) registry: Registry,
    /// Of the names that the image will have in registries.
    pub(super) standing: Standing,
    pub(super) progress: Progress<'a>,
    /// What `--cache-from` names.
    pub(super) cache: Arc<RemoteCache>,
    /// What `--cache-to` names.
    pub(super) saver: Saver,
    pub(super) mounts: CacheMounts,
    pub(super) cancel: &'a Cancel,
    pub(super) since: Instant,
    /// What of the main context is ignored.
    pub(super) ignore: Patterns,
    /// Seconds since 1970: of the build arguments, or the default that the Dockerfile gives (L-056).
    pub(super) source_date_epoch: Option<i64>,
    /// Those of the request, where SOURCE_DATE_EPOCH is a time and no name.
    pub(super) build_args: Cow<'a, BTreeMap<String, String>>,
    targets: Vec<Target>,
    pub(super) host: Platform,
    hosts: Vec<String>,
    contexts: BTreeMap<String, ContextShape>,
    notices: Mutex<Vec<String>>,
    history: OnceLock<Option<History>>,
    /// For the RUNs of all platforms.
    pub(super) turns: Arc<Turns>,
    agents: Arc<Agents>,
    cgroup_parent: OnceLock<Option<CgroupParent>>,
    lacks_cgroup: AtomicBool,
    fetches: Locks<Digest>,
    readings: Locks<DiffId>,
}

/// A lock for each thing that only one thread of a build shall do.
type Locks<T> = Arc<Mutex<HashMap<T, Arc<Mutex<()>>>>>;

/// What the sessions of one build have in common.
struct Shared<'a> {
    request: &'a BuildRequest,
    platform: &'a Platform,
    memory: Option<Arc<MemoryLayers>>,
    standing: Standing,
    cancel: &'a Cancel,
    progress: Progress<'a>,
    runtime: Arc<Runtime>,
    clients: Arc<Clients>,
    registry: Registry,
    sources: Vec<Arc<Place>>,
    targets: Vec<Target>,
    agents: Arc<Agents>,
    turns: Arc<Turns>,
    fetches: Locks<Digest>,
    readings: Locks<DiffId>,
}

impl<'a> Session<'a> {
    /// For the first platform.
    pub(super) fn open(
        request: &'a BuildRequest,
        cancel: &'a Cancel,
        events: &'a (dyn Fn(Event) + Sync),
    ) -> Result<Self, Error> {
        let is_fetched = matches!(request.context, MainContext::Fetched(_));
        let runtime = Arc::new(runtime(request.threads)?);
        let clients = Arc::new(Clients::new(request.registry.ca_certificates.clone()));
        let registry = Registry::new(request.registry.clone(), Arc::clone(&clients));
        let (sources, targets) = places(request, &registry, &clients, runtime.handle())?;
        // Bringing the context here was the first step.
        let progress = Progress::new(events, cancel, if is_fetched { 2 } else { 1 });
        let Some(platform) = request.platforms.first() else {
            return Err(Error::usage("a build has a platform"));
        };
        let memory = request.unpack_in_memory.then(MemoryLayers::open).flatten();
        Self::with(Shared {
            request,
            platform,
            memory: memory.map(Arc::new),
            standing: Standing::default(),
            cancel,
            progress,
            runtime,
            clients,
            registry,
            sources,
            targets,
            agents: Arc::default(),
            turns: Arc::new(Turns::new(request.run.at_once)),
            fetches: Locks::default(),
            readings: Locks::default(),
        })
    }

    /// For another platform of the same build.
    pub(super) fn beside(&self, platform: &'a Platform) -> Result<Self, Error> {
        Self::with(Shared {
            request: self.request,
            platform,
            memory: self.memory.clone(),
            standing: self.standing.clone(),
            cancel: self.cancel,
            progress: self.progress.beside(),
            runtime: Arc::clone(&self.runtime),
            clients: Arc::clone(&self.clients),
            registry: self.registry.clone(),
            sources: self.cache.places().to_vec(),
            targets: self.targets.clone(),
            agents: Arc::clone(&self.agents),
            turns: Arc::clone(&self.turns),
            fetches: Arc::clone(&self.fetches),
            readings: Arc::clone(&self.readings),
        })
    }

    fn with(shared: Shared<'a>) -> Result<Self, Error> {
        let Shared { request, platform, .. } = shared;
        let ignore = match &request.dockerfile.ignore {
            Some((file, bytes)) => {
                Patterns::parse(bytes).map_err(|e| Error::build(format!("{file}: {e}")))?
            }
            None => Patterns::default(),
        };
        let prefix = index_prefix(request, platform);
        let shape = |context: &NamedContext| match context {
            NamedContext::Directory(_) | NamedContext::Remote(_) => ContextShape::Directory,
            NamedContext::Image(_) | NamedContext::Layout { .. } => ContextShape::Image,
        };
        let contexts =
            request.build_contexts.iter().map(|(name, c)| (name.clone(), shape(c))).collect();
        Ok(Self {
            request,
            platform,
            store: Store::open(&request.store)?,
            memory: shared.memory,
            runtime: Arc::clone(&shared.runtime),
            clients: shared.clients,
            registry: shared.registry,
            standing: shared.standing,
            progress: shared.progress,
            cache: Arc::new(RemoteCache::open(shared.sources.clone(), prefix.clone())),
            saver: Saver::new(shared.sources, shared.targets.clone(), prefix, shared.runtime),
            mounts: CacheMounts::new(&request.cache_mounts),
            targets: shared.targets,
            cancel: shared.cancel,
            since: Instant::now(),
            ignore,
            source_date_epoch: request.source_date_epoch,
            build_args: Cow::Borrowed(&request.build_args),
            host: Platform::host(),
            hosts: request.run.add_hosts.iter().map(|(name, _)| name.clone()).collect(),
            contexts,
            notices: Mutex::default(),
            history: OnceLock::new(),
            turns: shared.turns,
            agents: shared.agents,
            cgroup_parent: OnceLock::new(),
            lacks_cgroup: AtomicBool::new(false),
            fetches: shared.fetches,
            readings: shared.readings,
        })
    }

    fn access(&self) -> Access<'_> {
        let BuildRequest { secrets, ssh, git_environment, .. } = self.request;
        Access { secrets, ssh, git_environment }
    }

    /// The socket of the SSH agent of that id, if one was given.
    pub(super) fn agent(&self, id: &str) -> Result<Option<PathBuf>, Error> {
        self.agents.socket(id, self.access())
    }

    pub(super) fn fetcher(&self) -> Fetcher<'_> {
        Fetcher {
            access: self.access(),
            agents: &self.agents,
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
            build_args: &self.build_args,
            platform: self.platform,
            explicit_platform: request.explicit_platform,
            build_platform: &self.host,
            contexts: &self.contexts,
            labels: &request.labels,
            default_labels: &request.default_labels,
            no_cache: &request.no_cache,
            network: request.run.network,
            entitlements: request.run.entitlements,
            hosts: &self.hosts,
            ignore: &self.ignore,
            shows_platform: request.platforms.len() > 1,
            all_stages: false,
        }
    }

    /// Tells the user something that fails nothing, now and with the result.
    pub(super) fn notice(&self, text: impl Into<String>) {
        let text = text.into();
        self.progress.notice(text.clone());
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    pub(super) fn notices(&self) -> Vec<String> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins to ask what the names lead to that registries will have for the image.
    pub(super) fn ask_names(&mut self) -> Result<(), Error> {
        let names = pushed_names(self.request)?;
        self.standing = self.registry.standing(names, self.runtime.handle());
        Ok(())
    }

    /// A control group for one RUN, where one is wanted and there can be one.
    pub(super) fn cgroup(&self) -> Option<Arc<Cgroup>> {
        let path = self.request.run.cgroup_parent.as_ref()?;
        let opened = || CgroupParent::open(path).map_err(|why| self.no_cgroup(&why)).ok();
        let parent = self.cgroup_parent.get_or_init(opened).as_ref()?;
        parent.step().map(Arc::new).map_err(|why| self.no_cgroup(&why)).ok()
    }

    /// Warns, once in a build, that a RUN is not where the user wants it.
    pub(super) fn no_cgroup(&self, why: &str) {
        if !self.lacks_cgroup.swap(true, Ordering::Relaxed) {
            let path = self.request.run.cgroup_parent.as_deref().unwrap_or_default();
            self.progress.warning(format!("RUN is in no control group below {path}: {why}"));
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
        names_of(self.request, output)
    }

    /// The time that new things have: SOURCE_DATE_EPOCH, else the start of the build.
    pub(super) fn time(&self) -> i64 {
        self.source_date_epoch.unwrap_or(self.request.now)
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

    /// The folder of a layer that was unpacked, by this build or, in the local store, by another.
    pub(super) fn unpacked(&self, diff_id: &DiffId) -> Option<PathBuf> {
        let in_memory = self.memory.as_ref().and_then(|memory| memory.get(&diff_id.hex()));
        in_memory.or_else(|| self.store.unpacked(diff_id))
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

    /// The lock under which a layer is read, for its table of contents or to be unpacked: platforms
    /// that stand on the same one do it once. Whoever has it takes no other lock but that of a fetch.
    pub(super) fn reading(&self, diff_id: &DiffId) -> Arc<Mutex<()>> {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(readings.entry(*diff_id).or_default())
    }

    /// How new layers are compressed: as the first output wants it.
    pub(super) fn compression(&self) -> Compression {
        self.request.outputs.first().map_or_else(Compression::default, |o| o.compression)
    }

    /// What the build before was made of: the last one here, else the newest that a cache knows.
    pub(super) fn history(&self) -> Option<&History> {
        let read = || self.store.history(&self.project()).or_else(|| self.cache.history());
        self.history.get_or_init(read).as_ref()
    }

    /// Keeps what this build was made of. Whoever can't only knows less the next time.
    pub(super) fn keep_history(&self, history: &History) {
        if let Err(error) = self.store.keep_history(&self.project(), history) {
            self.notice(format!("the next build can't say what has changed: {error}"));
        }
    }

    /// The name of what is built here, which many projects share a store for.
    fn project(&self) -> Sha256Sum {
        let context = match &self.request.context {
            MainContext::Directory(path) => path.canonicalize().unwrap_or_else(|_| path.clone()),
            MainContext::Fetched(_) | MainContext::Empty => PathBuf::new(),
        };
        Sha256Sum::of(format!("{}\0{}", context.display(), self.prefix()).as_bytes())
    }

    /// How the keys of the indexes of builds like this one begin.
    pub(super) fn prefix(&self) -> String {
        index_prefix(self.request, self.platform)
    }

    /// The title of a step that is no instruction's.
    pub(super) fn internal(&self, what: &str) -> String {
        match self.request.platforms.as_slice() {
            [_] => format!("[internal] {what}"),
            _ => format!("[{} internal] {what}", self.platform),
        }
    }

    /// What the local store knows under this key.
    pub(super) fn record(&self, key: impl Into<RecordKey>) -> Option<Record> {
        self.store.record(&key.into())
    }

    pub(super) fn keep_record(
        &self,
        key: impl Into<RecordKey>,
        record: &Record,
    ) -> Result<(), Error> {
        Ok(self.store.keep_record(&key.into(), record)?)
    }

    /// The first of `keys` with a record that `accept` can use: of the local store, or, where it has
    /// only a later one, of the caches.
    pub(super) fn first_record<T>(
        &self,
        keys: &[RecordKey],
        accept: impl Fn(&Record, RecordPlace) -> Option<T>,
    ) -> Option<Had<T>> {
        let had = |position, record: Record, place| {
            let value = accept(&record, place)?;
            Some(Had { position, record, place, value })
        };
        let here = keys
            .iter()
            .enumerate()
            .find_map(|(position, key)| had(position, self.store.record(key)?, RecordPlace::Store));
        let end = here.as_ref().map_or(keys.len(), |had| had.position);
        let mut start = 0;
        while let Some((offset, record)) = self.cache.first(&keys[start..end]) {
            let found = had(start + offset, record, RecordPlace::Remote);
            if found.is_some() {
                return found;
            }
            start += offset + 1;
        }
        here
    }
}

fn names_of<'a>(request: &'a BuildRequest, output: &'a Output) -> &'a [String] {
    match &output.kind {
        OutputKind::Registry { names }
        | OutputKind::Oci { names, .. }
        | OutputKind::Docker { names, .. }
            if !names.is_empty() =>
        {
            names
        }
        _ => &request.tags,
    }
}

/// The names that a registry will have for the image.
fn pushed_names(request: &BuildRequest) -> Result<Vec<Reference>, Error> {
    let is_named =
        |output: &&Output| matches!(output.kind, OutputKind::Registry { .. }) && !output.by_digest;
    let outputs = request.outputs.iter().filter(is_named);
    let names = outputs.flat_map(|output| names_of(request, output));
    let names: BTreeSet<&str> = names.map(String::as_str).collect();
    Ok(names.into_iter().map(parse_reference).collect::<Result<_, _>>()?)
}

/// Where a record was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordPlace {
    Store,
    Remote,
}

/// A record that can be used, and what was made of it.
#[derive(Debug)]
pub(super) struct Had<T> {
    /// Of its key among those that were asked for.
    pub(super) position: usize,
    pub(super) record: Record,
    pub(super) place: RecordPlace,
    pub(super) value: T,
}

/// How the keys of the indexes of builds like this one begin: the same Dockerfile, target, platform
/// and names.
fn index_prefix(request: &BuildRequest, platform: &Platform) -> String {
    let short = |text: &str| -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        text.chars().map(plain).take(30).collect()
    };
    let target = request.target.as_deref().unwrap_or("default");
    let mut identity = vec![request.dockerfile.name.as_str(), target];
    identity.extend(request.tags.iter().map(|tag| {
        // Without the tag proper, which often is the commit.
        tag.rsplit_once(':').map_or(tag.as_str(), |(repository, _)| repository)
    }));
    let identity = Sha256Sum::of(identity.join("\0").as_bytes()).hex();
    format!("i-{}-{}-{}-", short(target), short(&platform.to_string()), &identity[..12])
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
