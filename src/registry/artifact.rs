//! What a repository has besides images: manifests of any kind under tags, found by the beginning of
//! the tag.

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_LENGTH};
use serde::Deserialize;

use super::auth::Scope;
use super::endpoint::Call;
use super::error::{Asked, Error};
use super::upload::own;
use super::{Reference, Registry};
use crate::digest::Digest;
use crate::http;
use crate::image::{Manifest, media_type};

/// As for images (distribution-spec, "Pushing manifests").
const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;
const TAGS_LIMIT: usize = 1024 * 1024;
/// Tags that are asked for at once, and how often for the next ones.
const TAGS_AT_ONCE: usize = 1000;
const TAG_PAGES: usize = 20;

#[derive(Deserialize)]
struct Tags {
    /// Null where the repository has none.
    tags: Option<Vec<String>>,
}

impl Registry {
    /// The manifest that the tag of `name` has; `None` where there is no such tag or repository.
    /// Mirrors are not asked.
    ///
    /// # Errors
    /// Any [`Error`] of asking, and for what is no manifest.
    pub async fn manifest(&self, name: &Reference) -> Result<Option<Manifest>, Error> {
        let what = format!("manifests/{}", name.tag().unwrap_or("latest"));
        let Some(bytes) = self.document(name, &what, &[], MANIFEST_LIMIT).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::NotAnImage { name: name.to_string(), what: error.to_string() })
    }

    /// Whether the repository of `name` has a manifest, and so all that it refers to: registries take
    /// none without.
    ///
    /// # Errors
    /// Any [`Error`] of asking.
    pub async fn has_manifest(&self, name: &Reference, manifest: &Digest) -> Result<bool, Error> {
        let found =
            self.document(name, &format!("manifests/{manifest}"), &[], MANIFEST_LIMIT).await?;
        Ok(found.is_some_and(|bytes| Digest::of(&bytes) == *manifest))
    }

    /// How large a blob of the repository of `name` is; bytes. `None` where it is not there.
    ///
    /// # Errors
    /// Any [`Error`] of asking.
    pub async fn blob_size(&self, name: &Reference, blob: &Digest) -> Result<Option<u64>, Error> {
        let endpoints = self.endpoints(name.registry())?;
        let endpoint = own(&endpoints);
        let url = endpoint.url(name.repository(), &format!("blobs/{blob}"))?;
        let asked = Asked::new(&Method::HEAD, &url, endpoint.name());
        let scopes = [Scope::pull(name.repository())];
        match endpoint.send(&Call::new(Method::HEAD, url, &scopes)).await {
            Ok(answer) => {
                let length = answer.headers().get(CONTENT_LENGTH);
                let size = length.and_then(|value| value.to_str().ok()?.parse().ok());
                let what = "no length of the blob".to_owned();
                size.map(Some).ok_or(Error::Protocol { asked, what })
            }
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last of the repository's tags, in the order of their bytes, that begins with `prefix`.
    ///
    /// # Errors
    /// Any [`Error`] of asking.
    pub async fn last_tag(
        &self,
        repository: &Reference,
        prefix: &str,
    ) -> Result<Option<String>, Error> {
        let mut after = prefix.to_owned();
        let mut found: Option<String> = None;
        for _ in 0..TAG_PAGES {
            let number = TAGS_AT_ONCE.to_string();
            let query = [("n", number.as_str()), ("last", after.as_str())];
            let page = self.document(repository, "tags/list", &query, TAGS_LIMIT).await?;
            let page: Option<Tags> = page.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let tags = page.and_then(|page| page.tags).unwrap_or_default();
            let ours = tags.iter().filter(|tag| tag.starts_with(prefix)).max().cloned();
            found = found.max(ours);
            match tags.last() {
                // Sorted by byte, as the protocol has it, so that nothing of ours comes after it.
                Some(last) if tags.len() >= TAGS_AT_ONCE && last.starts_with(prefix) => {
                    after.clone_from(last);
                }
                _ => break,
            }
        }
        Ok(found)
    }

    pub(super) async fn document(
        &self,
        name: &Reference,
        what: &str,
        query: &[(&str, &str)],
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        let endpoints = self.endpoints(name.registry())?;
        let endpoint = own(&endpoints);
        let mut url = endpoint.url(name.repository(), what)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let asked = Asked::new(&Method::GET, &url, endpoint.name());
        let scopes = [Scope::pull(name.repository())];
        let call = Call::new(Method::GET, url, &scopes);
        let accepted = [media_type::OCI_MANIFEST, media_type::OCI_INDEX, "application/json"];
        let call = call.header(ACCEPT, accepted.join(", "));
        let answer = match endpoint.send(&call).await {
            Ok(answer) => answer,
            Err(error) if error.status() == Some(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let body = http::small_body(answer, limit).await;
        let body = body.map_err(|failure| Error::Transport { asked, failure })?;
        let name = name.to_string();
        body.map(Some).ok_or(Error::TooLarge { what: "the document", name, limit })
    }
}
