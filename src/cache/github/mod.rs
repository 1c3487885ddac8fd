//! The cache service of GitHub Actions, version 2: three calls for names, and a blob store behind
//! signed URLs for the bytes.
//!
//! Entries belong to scopes (branch, tag, pull request), which only the job's token names. Nothing
//! that goes wrong here fails a build; a service that is out of order is asked no more.

mod access;
mod download;
mod fault;
mod name;
mod repository;
mod service;
mod settings;
mod upload;

use std::sync::Arc;

use bytes::Bytes;
use reqwest::Url;
use tokio::runtime::Handle;

use super::backend::{CacheBackend, CacheFault, EntryContent, EntryKey, FoundEntry, Saved};
use crate::http::{Clients, RetryPolicy, StreamReader};
use crate::image::Descriptor;
use service::{Reservation, Service};
use upload::Source;

pub use access::{Access, CacheMode, Scope};
pub use repository::{FREE_SPACE, ListedEntry, RepositoryCaches, Usage};
pub use service::Traffic;
pub use settings::{GithubSettings, NoService};

/// What our entries are; entries of another format are not found.
const FORMAT: &str = "plimsoll|cache-format-1";
/// What the service takes in one call is ten, and one goes twice.
const KEYS_PER_CALL: usize = 9;
/// How many names to try for a key whose first are reserved for ever.
const NAMES_PER_KEY: u32 = 4;

/// Entries in a repository's GitHub Actions cache. For synchronous callers outside of the runtime.
#[derive(Debug)]
pub struct GithubCache {
    service: Arc<Service>,
    runtime: Handle,
}

impl GithubCache {
    #[must_use]
    pub fn new(settings: GithubSettings, clients: Arc<Clients>, runtime: Handle) -> Self {
        let service = Service::new(settings, clients, RetryPolicy::default());
        Self { service: Arc::new(service), runtime }
    }

    /// The same with another patience, before anything is asked.
    #[must_use]
    pub fn with_retry_policy(self, policy: RetryPolicy) -> Self {
        let Service { settings, clients, .. } = &*self.service;
        let service = Service::new(settings.clone(), Arc::clone(clients), policy);
        Self { service: Arc::new(service), ..self }
    }

    /// What was asked so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.service.traffic()
    }

    /// The first of at most [`KEYS_PER_CALL`] keys that has an entry, and its place among them.
    ///
    /// The service looks through one scope for all keys before it goes to the next, so that a late
    /// key of this branch hides an early one of the main branch: earlier keys are asked for again.
    async fn find_among(&self, keys: &[EntryKey]) -> Result<Option<FoundEntry>, CacheFault> {
        let names: Vec<String> = keys.iter().map(name::first).collect();
        let mut left = &names[..];
        let mut best = None;
        while let Some((name, url)) = self.service.lookup(left).await? {
            let Some(index) = left.iter().position(|asked| name.starts_with(asked)) else {
                return Err(CacheFault::Failed(format!(
                    "the cache service found {name:?} unasked"
                )));
            };
            best = Some(found(keys[index].clone(), &url));
            left = &left[..index];
            if left.is_empty() || self.service.settings.access().has_one_scope_to_read() {
                break;
            }
        }
        Ok(best)
    }

    async fn find_first(&self, keys: &[EntryKey]) -> Result<Option<FoundEntry>, CacheFault> {
        for keys in keys.chunks(KEYS_PER_CALL) {
            if let Some(found) = self.find_among(keys).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn find_newest(&self, prefix: &str) -> Result<Option<FoundEntry>, CacheFault> {
        let found = self.service.lookup(&[name::beginning(prefix)]).await?;
        Ok(found.and_then(|(name, url)| Some(self::found(name::key_of(&name)?, &url))))
    }

    async fn save_as_any(
        &self,
        key: &EntryKey,
        source: &Source,
        size: u64,
    ) -> Result<Saved, CacheFault> {
        for number in 0..NAMES_PER_KEY {
            let name = name::spare(key, number);
            let url = match self.service.create(&name).await? {
                Reservation::Open(url) => url,
                Reservation::Denied(reason) => {
                    let _ = self.service.saving_denied.set(reason.clone());
                    return Ok(Saved::Denied(reason));
                }
                Reservation::Taken if number == 0 && self.is_there(key).await? => {
                    return Ok(Saved::AlreadyThere);
                }
                Reservation::Taken => continue,
            };
            match upload::upload(&self.service, &url, source, size).await {
                Ok(()) => {
                    self.service.finalize(&name, size).await?;
                    return Ok(Saved::New);
                }
                // The signature ran out on the way; the name can't be had again.
                Err(fault) if fault.is_unsigned() && number == 0 => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        let name = name::first(key);
        Err(CacheFault::Failed(format!("{name} is reserved by uploads that never ended")))
    }

    /// Where we may not read, what is taken passes for saved.
    async fn is_there(&self, key: &EntryKey) -> Result<bool, CacheFault> {
        match self.service.reading_denied.get() {
            Some(_) => Ok(true),
            None => Ok(self.service.lookup(&[name::first(key)]).await?.is_some()),
        }
    }

    /// Whether to ask at all: an error if the service is out of order.
    fn may_read(&self) -> Result<bool, CacheFault> {
        self.service.check_up()?;
        Ok(self.service.reading_denied.get().is_none())
    }
}

fn found(key: EntryKey, url: &Url) -> FoundEntry {
    FoundEntry { key, size: None, place: url.to_string() }
}

impl CacheBackend for GithubCache {
    fn name(&self) -> String {
        "gha".to_owned()
    }

    fn find(&self, keys: &[EntryKey]) -> Result<Option<FoundEntry>, CacheFault> {
        match self.may_read()? {
            true => self.runtime.block_on(self.find_first(keys)),
            false => Ok(None),
        }
    }

    fn newest(&self, prefix: &str) -> Result<Option<FoundEntry>, CacheFault> {
        match self.may_read()? {
            true => self.runtime.block_on(self.find_newest(prefix)),
            false => Ok(None),
        }
    }

    fn open(&self, entry: &FoundEntry) -> Result<Box<dyn std::io::Read + Send>, CacheFault> {
        let url = Url::parse(&entry.place)
            .map_err(|_| CacheFault::Failed(format!("{} has no URL", entry.key.0)))?;
        let download = download::download(Arc::clone(&self.service), entry.key.clone(), url);
        let pieces = self.runtime.block_on(download)?;
        Ok(Box::new(StreamReader::new(&self.runtime, pieces, std::future::pending())))
    }

    fn save(
        &self,
        key: &EntryKey,
        content: EntryContent<'_>,
        _blobs: &[Descriptor],
    ) -> Result<Saved, CacheFault> {
        if let Some(reason) = self.service.saving_denied.get() {
            return Ok(Saved::Denied(reason.clone()));
        }
        self.service.check_up()?;
        let (source, size) = match content {
            EntryContent::Bytes(bytes) => {
                (Source::Bytes(Bytes::copy_from_slice(bytes)), bytes.len() as u64)
            }
            EntryContent::File(path, size) => {
                let found = std::fs::metadata(path)?.len();
                if found != size {
                    let path = path.display();
                    let text = format!("{path}: expected {size} bytes but found {found}");
                    return Err(CacheFault::Failed(text));
                }
                (Source::File(path.to_owned()), size)
            }
        };
        self.runtime.block_on(self.save_as_any(key, &source, size))
    }
}
