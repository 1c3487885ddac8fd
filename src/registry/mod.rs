//! Pull, push, mount, resolve, credentials, mirrors, retries: a client for any registry that speaks
//! the OCI distribution-spec.
//!
//! [`Registry`] is cheap to clone and asynchronous; synchronous callers use a runtime's
//! `Handle::block_on`, and [`Registry::blob_reader`] for the bytes of a blob. Nothing is asked of a
//! host before it is needed, not even who we are: a host that wants to know says so (`auth`).

mod artifact;
mod auth;
mod blob_reader;
mod challenge;
mod credential;
mod docker_config;
mod ecr;
mod endpoint;
mod error;
mod pull;
mod push;
mod referrers;
mod resolve;
mod standing;
mod upload;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Response;

use crate::http::{self, Clients, RetryPolicy};
use crate::reference;
use crate::request::RegistryOptions;
use endpoint::Endpoint;

pub use docker_config::{DockerConfig, DockerConfigError, parse_docker_config};
pub use ecr::{AwsKeys, Ecr};
pub use error::{Asked, Error, Refusal, Report};
pub use oci_distribution::Reference;
pub use push::{ImageToPush, Push, PushedBlobs};
pub use referrers::Artifact;
pub use resolve::{KnownDocuments, Resolved};
pub use standing::Standing;
pub use upload::{BlobSource, Mount, Session, Transfer};

/// Reads a reference as Docker does: `alpine` is `docker.io/library/alpine:latest` (L-074).
///
/// # Errors
/// [`Error::Reference`] with the reason.
pub fn parse_reference(text: &str) -> Result<Reference, Error> {
    reference::parse(text)
        .map_err(|reason| Error::Reference { text: text.to_owned(), reason: reason.to_string() })
}

/// All registries, under one set of options.
#[derive(Clone, Debug)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: Arc<RegistryOptions>,
    clients: Arc<Clients>,
    policy: RetryPolicy,
    /// Bytes: a blob up to this size is sent in one request, a larger one in pieces of it. Proxies
    /// in front of registries refuse more than 100 MB in one request.
    chunk_size: u64,
    /// By host, as in references: the mirrors, then the host itself.
    hosts: Mutex<HashMap<String, Arc<[Endpoint]>>>,
}

impl Registry {
    /// `clients` must have been made with `options.ca_certificates`.
    #[must_use]
    pub fn new(options: RegistryOptions, clients: Arc<Clients>) -> Self {
        let usual = RetryPolicy::default();
        let policy = match options.attempts {
            Some(attempts) => RetryPolicy { attempts: attempts.max(1), ..usual },
            None => usual,
        };
        Self {
            shared: Arc::new(Shared {
                options: Arc::new(options),
                clients,
                policy,
                chunk_size: 64 * 1024 * 1024,
                hosts: Mutex::default(),
            }),
        }
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_retry_policy(self, policy: RetryPolicy) -> Self {
        self.rebuilt(|shared| Shared { policy, ..shared })
    }

    /// The same with another size, in bytes, from which blobs are sent in pieces.
    #[must_use]
    pub fn with_chunk_size(self, chunk_size: u64) -> Self {
        self.rebuilt(|shared| Shared { chunk_size: chunk_size.max(1), ..shared })
    }

    fn rebuilt(self, change: impl FnOnce(Shared) -> Shared) -> Self {
        let shared = Shared {
            options: Arc::clone(&self.shared.options),
            clients: Arc::clone(&self.shared.clients),
            policy: self.shared.policy,
            chunk_size: self.shared.chunk_size,
            hosts: Mutex::default(),
        };
        Self { shared: Arc::new(change(shared)) }
    }

    /// Where to pull from: the mirrors of `host`, in order, then the host itself; never empty.
    fn endpoints(&self, host: &str) -> Result<Arc<[Endpoint]>, Error> {
        let shared = &self.shared;
        let mut hosts = shared.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(host) {
            return Ok(Arc::clone(known));
        }
        let mut endpoints = Vec::new();
        for (_, url) in shared.options.mirrors.iter().filter(|(of, _)| of == host) {
            endpoints.push(Endpoint::mirror(shared, host, url)?);
        }
        endpoints.push(Endpoint::host(shared, host));
        let endpoints: Arc<[Endpoint]> = endpoints.into();
        hosts.insert(host.to_owned(), Arc::clone(&endpoints));
        Ok(endpoints)
    }
}

/// Waits before another attempt, if there is to be one. `attempt` counts those made.
async fn pause(policy: &RetryPolicy, attempt: u32, error: &Error) -> bool {
    let Some(outcome) = error.outcome() else { return false };
    let wait = error.retry_after();
    match policy.delay(attempt, outcome, wait, http::jitter()) {
        Some(delay) => {
            tokio::time::sleep(delay).await;
            true
        }
        None => false,
    }
}

/// The answer if it is a success; what it reports otherwise.
async fn check(answer: Response, asked: Asked, signed_in: bool) -> Result<Response, Error> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let retry_after = http::retry_after(answer.headers());
    let body = http::small_body(answer, error::ERROR_BODY_LIMIT).await.ok().flatten();
    let reports = error::reports(&body.unwrap_or_default());
    Err(Error::Refused(Box::new(Refusal { asked, status, reports, retry_after, signed_in })))
}
