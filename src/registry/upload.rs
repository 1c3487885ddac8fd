//! Getting one blob into a repository: it is there, it is mounted, or it is sent (distribution-spec,
//! "Pushing blobs").

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{Body, Method, Response, Url};

use super::auth::Scope;
use super::endpoint::{Call, Counted, Endpoint, Payload};
use super::error::{Asked, Error};
use super::{Reference, Registry, pause};
use crate::http;
use crate::image::Descriptor;

/// The pieces for a registry that refused a larger body.
const SMALLER_CHUNK: u64 = 16 * 1024 * 1024;
const SMALLEST_CHUNK: u64 = 1024 * 1024;

/// Where the bytes of a blob are. Each can be read again, from any place, when an upload fails.
#[derive(Clone, Debug)]
pub enum BlobSource {
    /// A spool file, as long as the blob.
    File(PathBuf),
    Bytes(Bytes),
    /// Another repository, maybe of another registry, which mounts it if it can. Otherwise the bytes
    /// come from `file` where there is one; or they pass through, and are on no disk.
    Registry {
        image: Reference,
        file: Option<PathBuf>,
    },
}

/// How a blob got there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    Present,
    /// The registry took it from another of its repositories.
    Mounted,
    Uploaded,
}

/// An upload that the registry has opened.
#[derive(Debug)]
pub struct Session {
    url: Url,
    /// Bytes: the registry takes no smaller pieces, but for the last.
    chunk_minimum: u64,
}

/// How a registry answered to a mount.
#[derive(Debug)]
pub enum Mount {
    Mounted,
    /// It opened an upload instead.
    Declined(Session),
}

/// How the bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Whole,
    /// Bytes in each piece.
    Chunks(u64),
}

impl Registry {
    /// The repository of `target` has the blob.
    ///
    /// # Errors
    /// Any [`Error`] of asking.
    pub async fn has_blob(&self, target: &Reference, blob: &Descriptor) -> Result<bool, Error> {
        let endpoints = self.endpoints(target.registry())?;
        let endpoint = own(&endpoints);
        let url = endpoint.url(target.repository(), &format!("blobs/{}", blob.digest))?;
        let scopes = [Scope::push(target.repository())];
        match endpoint.send(&Call::new(Method::HEAD, url, &scopes)).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the registry lets us write into the repository of `target`: opens an upload, and gives it
    /// up again.
    ///
    /// # Errors
    /// Any [`Error`] of asking but a refusal.
    pub async fn may_push(&self, target: &Reference) -> Result<bool, Error> {
        let endpoints = self.endpoints(target.registry())?;
        let endpoint = own(&endpoints);
        let scopes = [Scope::push(target.repository())];
        let url = endpoint.url(target.repository(), "blobs/uploads/")?;
        match endpoint.send(&Call::new(Method::POST, url.clone(), &scopes).once()).await {
            Ok(answer) => {
                let session = Session::opened(endpoint, &url, &answer)?;
                // It ends by itself where a registry does not know how.
                let _ =
                    endpoint.send(&Call::new(Method::DELETE, session.url, &scopes).once()).await;
                Ok(true)
            }
            Err(error) if matches!(error.status(), Some(401 | 403)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks the registry to take the blob from `from`, a repository of the same registry.
    ///
    /// # Errors
    /// Any [`Error`] of asking.
    pub async fn mount(
        &self,
        target: &Reference,
        blob: &Descriptor,
        from: &Reference,
    ) -> Result<Mount, Error> {
        let endpoints = self.endpoints(target.registry())?;
        let endpoint = own(&endpoints);
        let mut url = endpoint.url(target.repository(), "blobs/uploads/")?;
        url.query_pairs_mut()
            .append_pair("mount", &blob.digest.to_string())
            .append_pair("from", from.repository());
        let scopes = [Scope::push(target.repository()), Scope::pull(from.repository())];
        let answer = endpoint.send(&Call::new(Method::POST, url.clone(), &scopes)).await?;
        match answer.status().as_u16() {
            201 => Ok(Mount::Mounted),
            _ => Ok(Mount::Declined(Session::opened(endpoint, &url, &answer)?)),
        }
    }

    /// Makes sure that the repository of `target` has the blob, by the cheapest way. `elsewhere` is
    /// a repository of the same registry that is known to have it.
    ///
    /// `progress` is told how many bytes have been sent so far; after a failure fewer.
    ///
    /// # Errors
    /// Any [`Error`] of asking, or of reading the source.
    pub async fn ensure_blob(
        &self,
        target: &Reference,
        blob: &Descriptor,
        source: &BlobSource,
        elsewhere: Option<&Reference>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Transfer, Error> {
        if self.has_blob(target, blob).await? {
            return Ok(Transfer::Present);
        }
        let beside = match source {
            BlobSource::Registry { image, .. } => Some(image),
            BlobSource::File(_) | BlobSource::Bytes(_) => None,
        };
        let beside = beside.or(elsewhere).filter(|from| {
            from.registry() == target.registry() && from.repository() != target.repository()
        });
        let mut session = None;
        if let Some(from) = beside {
            match self.mount(target, blob, from).await {
                Ok(Mount::Mounted) => return Ok(Transfer::Mounted),
                Ok(Mount::Declined(opened)) => session = Some(opened),
                // Not every registry mounts, nor lets us read the source to do so.
                Err(error) if matches!(error.status(), Some(400..=499)) => {}
                Err(error) => return Err(error),
            }
        }
        self.upload(target, blob, source, session, progress).await?;
        Ok(Transfer::Uploaded)
    }

    /// Sends a blob, into an upload that is open already if there is one.
    ///
    /// # Errors
    /// Any [`Error`] of asking, or of reading the source.
    pub async fn upload(
        &self,
        target: &Reference,
        blob: &Descriptor,
        source: &BlobSource,
        mut session: Option<Session>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Error> {
        self.check_length(blob, source).await?;
        let endpoints = self.endpoints(target.registry())?;
        let upload = Upload {
            registry: self,
            endpoint: own(&endpoints),
            repository: target.repository(),
            scopes: [Scope::push(target.repository())],
            blob,
            source,
            source_error: Arc::default(),
            progress,
        };
        let chunk_size = self.shared.chunk_size;
        let mut mode = if blob.size > chunk_size { Mode::Chunks(chunk_size) } else { Mode::Whole };
        let mut chunks_refused = false;
        let mut attempt = 0;
        loop {
            let Err(error) = upload.attempt(session.take(), mode, &mut attempt).await else {
                return Ok(());
            };
            if let Some(error) = upload.take_source_error() {
                return Err(error);
            }
            if let Some(other) = mode.instead(&error, blob.size, chunks_refused) {
                chunks_refused |= other == Mode::Whole;
                mode = other;
                continue;
            }
            attempt += 1;
            if !pause(&self.shared.policy, attempt, &error).await {
                return Err(error);
            }
            // The answer may have been lost, not the blob.
            if self.has_blob(target, blob).await? {
                return Ok(());
            }
        }
    }

    async fn check_length(&self, blob: &Descriptor, source: &BlobSource) -> Result<(), Error> {
        let (name, found) = match source {
            BlobSource::File(path) | BlobSource::Registry { file: Some(path), .. } => {
                let metadata = tokio::fs::metadata(path).await;
                let metadata =
                    metadata.map_err(|source| Error::Spool { path: path.clone(), source })?;
                (path.display().to_string(), metadata.len())
            }
            BlobSource::Bytes(bytes) => (blob.digest.to_string(), bytes.len() as u64),
            BlobSource::Registry { file: None, .. } => return Ok(()),
        };
        if found == blob.size {
            return Ok(());
        }
        Err(Error::Size { what: "the source", name, expected: blob.size, found })
    }
}

/// The host itself: nothing is pushed to a mirror.
pub(super) fn own(endpoints: &[Endpoint]) -> &Endpoint {
    &endpoints[endpoints.len() - 1]
}

impl Session {
    fn opened(endpoint: &Endpoint, asked: &Url, answer: &Response) -> Result<Self, Error> {
        let minimum = answer.headers().get("oci-chunk-min-length");
        let minimum = minimum.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Ok(Self {
            url: endpoint.location(asked, answer)?,
            chunk_minimum: minimum.unwrap_or_default(),
        })
    }
}

impl Mode {
    /// How to send a blob after the registry did not like this way.
    fn instead(self, error: &Error, size: u64, chunks_refused: bool) -> Option<Self> {
        match (self, error.status()?) {
            (Self::Whole, 413) if !chunks_refused => {
                Some(Self::Chunks(SMALLER_CHUNK.min(size.div_ceil(2)).max(1)))
            }
            (Self::Chunks(chunk), 413) if chunk > SMALLEST_CHUNK => Some(Self::Chunks(chunk / 2)),
            (Self::Chunks(_), 400 | 405 | 415 | 416 | 501) => Some(Self::Whole),
            _ => None,
        }
    }
}

/// One blob on its way.
struct Upload<'a> {
    registry: &'a Registry,
    endpoint: &'a Endpoint,
    repository: &'a str,
    scopes: [Scope; 1],
    blob: &'a Descriptor,
    source: &'a BlobSource,
    /// Why the source could not be read; the client only sees that the body broke off.
    source_error: Arc<Mutex<Option<Error>>>,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Upload<'_> {
    /// `failures` counts the attempts that failed, here and before.
    async fn attempt(
        &self,
        session: Option<Session>,
        mode: Mode,
        failures: &mut u32,
    ) -> Result<(), Error> {
        let session = match session {
            Some(session) => session,
            None => self.open_session().await?,
        };
        match mode {
            Mode::Whole => {
                let url = self.closing(session.url);
                self.send(Method::PUT, url, 0..self.blob.size).await?;
            }
            Mode::Chunks(size) => {
                let size = size.max(session.chunk_minimum);
                let url = self.send_chunks(session.url, size, failures).await?;
                self.send(Method::PUT, self.closing(url), 0..0).await?;
            }
        }
        Ok(())
    }

    async fn open_session(&self) -> Result<Session, Error> {
        let url = self.endpoint.url(self.repository, "blobs/uploads/")?;
        let answer =
            self.endpoint.send(&Call::new(Method::POST, url.clone(), &self.scopes).once()).await?;
        Session::opened(self.endpoint, &url, &answer)
    }

    /// The URL that ends the upload.
    fn closing(&self, mut url: Url) -> Url {
        url.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        url
    }

    /// Sends all pieces, going on after a failure where the registry says it is.
    async fn send_chunks(&self, mut url: Url, size: u64, failures: &mut u32) -> Result<Url, Error> {
        let failed_before = *failures;
        let mut position = 0;
        while position < self.blob.size {
            let end = self.blob.size.min(position + size);
            match self.send(Method::PATCH, url.clone(), position..end).await {
                Ok(answer) => {
                    url = self.endpoint.location(&url, &answer)?;
                    position = end;
                    // A piece that has arrived earns patience, but no endless restarts.
                    *failures = failed_before;
                }
                Err(error) => {
                    *failures += 1;
                    let policy = &self.registry.shared.policy;
                    let broken_source = self.has_source_error();
                    if broken_source || !pause(policy, *failures, &error).await {
                        return Err(error);
                    }
                    (url, position) = self.arrived(url).await?;
                }
            }
        }
        Ok(url)
    }

    /// Where the upload goes on, and how many bytes of the blob the registry has.
    async fn arrived(&self, url: Url) -> Result<(Url, u64), Error> {
        let answer = self.send(Method::GET, url.clone(), 0..0).await?;
        let range = answer.headers().get(RANGE).and_then(|value| value.to_str().ok());
        let last = range.and_then(|text| {
            text.trim_start_matches("bytes=").strip_prefix("0-")?.trim().parse::<u64>().ok()
        });
        let Some(last) = last else {
            // It cannot be continued without that; a new upload can be started.
            let asked = Asked::new(&Method::GET, &url, self.endpoint.name());
            return Err(Error::UploadLost { asked });
        };
        let position = match last {
            // Registries write this for no byte as well as for one.
            0 => 0,
            last => last + 1,
        };
        let next = match answer.headers().contains_key(LOCATION) {
            true => self.endpoint.location(&url, &answer)?,
            false => url,
        };
        Ok((next, position))
    }

    /// One request of the upload with these bytes of the blob. It is not repeated here: what has
    /// arrived is to be asked first.
    async fn send(
        &self,
        method: Method,
        url: Url,
        bytes: std::ops::Range<u64>,
    ) -> Result<Response, Error> {
        let length = bytes.end - bytes.start;
        let sent = Arc::new(AtomicU64::new(0));
        let open = || self.body(&bytes, &sent);
        let progress = |count| (self.progress)(bytes.start + count);
        let counted = Counted { open: &open, length, sent: Arc::clone(&sent), progress: &progress };
        let mut call = Call::new(method, url, &self.scopes).once();
        if length > 0 {
            call.payload = Payload::Stream(&counted);
            call = call.header(CONTENT_TYPE, "application/octet-stream");
            if call.method == Method::PATCH {
                let range = format!("{}-{}", bytes.start, bytes.end - 1);
                call = call.header(CONTENT_RANGE, range);
            }
        }
        self.endpoint.send(&call).await.map_err(|error| {
            let lost = error.has_code("BLOB_UPLOAD_UNKNOWN") || error.status() == Some(404);
            if !lost {
                return error;
            }
            Error::UploadLost { asked: Asked::new(&call.method, &call.url, self.endpoint.name()) }
        })
    }

    fn body(&self, bytes: &std::ops::Range<u64>, sent: &Arc<AtomicU64>) -> Body {
        let (sent, slot) = (Arc::clone(sent), Arc::clone(&self.source_error));
        let pieces = self.read(bytes.start, bytes.end - bytes.start);
        Body::wrap_stream(pieces.map(move |piece| match piece {
            Ok(piece) => {
                sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Ok(piece)
            }
            Err(error) => {
                let text = error.to_string();
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(std::io::Error::other(text))
            }
        }))
    }

    fn read(&self, start: u64, length: u64) -> BoxStream<'static, Result<Bytes, Error>> {
        match self.source {
            BlobSource::File(path) | BlobSource::Registry { file: Some(path), .. } => {
                let shown = path.clone();
                http::file_pieces(path.clone(), start, length)
                    .map_err(move |source| Error::Spool { path: shown.clone(), source })
                    .boxed()
            }
            BlobSource::Bytes(bytes) => {
                // `check_length` has compared the two.
                let range = usize::try_from(start).and_then(|s| Ok((s, usize::try_from(length)?)));
                let piece = range.map(|(start, length)| bytes.slice(start..start + length));
                stream::iter(piece.ok().map(Ok)).boxed()
            }
            BlobSource::Registry { image, file: None } => {
                self.registry.blob_from(image, self.blob, start, length).boxed()
            }
        }
    }

    fn has_source_error(&self) -> bool {
        self.source_error.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take_source_error(&self) -> Option<Error> {
        self.source_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::error::Refusal;
    use reqwest::StatusCode;

    #[test]
    fn a_registry_that_refuses_one_way_is_offered_another() {
        const MIB: u64 = 1024 * 1024;
        let refused = |status| {
            let url = "https://r.io/v2/a/b/blobs/uploads/1".parse().unwrap();
            Error::Refused(Box::new(Refusal {
                asked: Asked::new(&Method::PUT, &url, "r.io"),
                status: StatusCode::from_u16(status).unwrap(),
                reports: Vec::new(),
                retry_after: None,
                signed_in: false,
            }))
        };
        let size = 100 * MIB;
        for (mode, status, chunks_refused, expected) in [
            (Mode::Whole, 413, false, Some(Mode::Chunks(SMALLER_CHUNK))),
            (Mode::Whole, 413, true, None),
            (Mode::Whole, 400, false, None),
            (Mode::Chunks(64 * MIB), 405, false, Some(Mode::Whole)),
            (Mode::Chunks(64 * MIB), 413, false, Some(Mode::Chunks(32 * MIB))),
            (Mode::Chunks(MIB), 413, false, None),
            (Mode::Chunks(MIB), 429, false, None),
        ] {
            let found = mode.instead(&refused(status), size, chunks_refused);
            assert_eq!(found, expected, "{mode:?} {status}");
        }
    }
}
