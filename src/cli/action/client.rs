//! GitHub's REST API, for a program that waits.

use tokio::runtime::{Builder, Runtime};

use crate::github::api::{Api, ApiError};

/// One repository, and the thread on which it is talked to.
pub struct Client {
    api: Api,
    runtime: Runtime,
}

impl Client {
    pub fn new(url: &str, token: &str, repository: &str) -> Result<Self, ApiError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
            ApiError::Failed { what: "can't set up the client", message: error.to_string() }
        })?;
        let api = {
            let _context = runtime.enter();
            Api::new(url, token, repository)?
        };
        Ok(Self { api, runtime })
    }

    pub fn ask<T>(
        &self,
        work: impl AsyncFnOnce(&Api) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.runtime.block_on(work(&self.api))
    }
}
