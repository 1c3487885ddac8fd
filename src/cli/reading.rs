//! Reading images for `weigh` and `diff`.

use std::path::Path;
use std::sync::Arc;

use super::args::ReadingArgs;
use super::environment::Environment;
use super::{docker_config, registry};
use crate::context::small;
use crate::error::Error;
use crate::http::Clients;
use crate::inspect::{self, ImageReference, InspectError, Reading};
use crate::platform::Platform;
use crate::registry::Registry;
use crate::request::RegistryOptions;
use crate::weight::Weight;

const DOCKERFILE_LIMIT: u64 = 4 << 20;

/// Whatever reading an image takes.
pub struct Reader {
    platform: Platform,
    threads: usize,
    registry: Registry,
    runtime: tokio::runtime::Runtime,
}

impl Reader {
    pub fn new(args: &ReadingArgs, environment: &Environment) -> Result<Self, Error> {
        let platform = match &args.platform {
            Some(text) => {
                text.parse().map_err(|error| Error::usage(format!("--platform: {error}")))?
            }
            None => Platform::host(),
        };
        let config = docker_config::load(environment)?;
        let options = registry::options(&args.registry, config.registries)?;
        Self::of(platform, options, environment.threads)
    }

    /// For images of `platform`, with the credentials and mirrors of `options`.
    pub fn of(platform: Platform, options: RegistryOptions, threads: usize) -> Result<Self, Error> {
        let threads = threads.max(1);
        let clients = Arc::new(Clients::new(options.ca_certificates.clone()));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .map_err(|e| Error::build(format!("can't start the network threads: {e}")))?;
        let registry = Registry::new(options, clients);
        Ok(Self { platform, threads, registry, runtime })
    }

    /// Weighs what `text` names.
    pub fn weigh(&self, text: &str, dockerfile: Option<&str>) -> Result<Weight, Error> {
        let reference: ImageReference = text.parse().map_err(Error::usage)?;
        let reading = Reading {
            platform: &self.platform,
            threads: self.threads,
            registry: &self.registry,
            runtime: self.runtime.handle(),
            dockerfile,
        };
        inspect::weigh(&reference, &reading).map_err(|error| match error {
            InspectError::Registry(error) => error.into(),
            InspectError::Read { .. } if matches!(reference, ImageReference::Weight(_)) => {
                Error::usage(error)
            }
            InspectError::Layout(_) | InspectError::Archive { .. } | InspectError::Saved { .. } => {
                Error::usage(error)
            }
            error => Error::build(error),
        })
    }
}

/// The text of `--file`.
pub fn dockerfile(path: Option<&Path>) -> Result<Option<String>, Error> {
    let Some(path) = path else { return Ok(None) };
    let bytes = small::read(path, DOCKERFILE_LIMIT)
        .map_err(|error| Error::usage(format!("--file: can't read {}: {error}", path.display())))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
