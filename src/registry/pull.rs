//! The bytes of a blob, from the mirrors or the host, going on where a broken connection ended.

use bytes::Bytes;
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::auth::Scope;
use super::endpoint::{Call, Endpoint};
use super::error::{Asked, Error};
use super::{Reference, Registry, pause};
use crate::digest::Digest;
use crate::http::{self, Failure};
use crate::image::Descriptor;

impl Registry {
    /// The bytes of a blob of the repository of `image`. Size and digest are checked: a stream that
    /// ends without an error was whole and right.
    ///
    /// # Errors
    /// The stream's last item: any [`Error`] of asking, [`Error::Size`], [`Error::Digest`].
    pub fn blob(
        &self,
        image: &Reference,
        blob: &Descriptor,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        self.blob_from(image, blob, 0, blob.size)
    }

    /// `length` bytes from `start` on; only a whole blob can be checked against its digest.
    pub(super) fn blob_from(
        &self,
        image: &Reference,
        blob: &Descriptor,
        start: u64,
        length: u64,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        let fetch = Fetch {
            registry: self.clone(),
            image: image.clone(),
            blob: blob.clone(),
            position: start,
            end: start + length,
            hasher: (start == 0 && length == blob.size).then(Sha256::new),
            endpoint: 0,
            attempts: 0,
            pieces: None,
        };
        try_unfold(fetch, |mut fetch| async {
            let piece = fetch.next().await?;
            Ok(piece.map(|piece| (piece, fetch)))
        })
    }

    /// A blob that has to be in memory; `limit` in bytes.
    ///
    /// # Errors
    /// Any [`Error`] of asking, and for what is not what its digest says, or too large.
    pub async fn small_blob(
        &self,
        image: &Reference,
        blob: &Descriptor,
        limit: usize,
    ) -> Result<Vec<u8>, Error> {
        if blob.size > limit as u64 {
            return Err(Error::TooLarge { what: "a blob", name: image.to_string(), limit });
        }
        let pieces = std::pin::pin!(self.blob(image, blob));
        pieces
            .try_fold(Vec::new(), async |mut bytes: Vec<u8>, piece| {
                bytes.extend_from_slice(&piece);
                Ok(bytes)
            })
            .await
    }
}

struct Fetch {
    registry: Registry,
    image: Reference,
    blob: Descriptor,
    /// Bytes of the blob that were handed on, the skipped start included.
    position: u64,
    end: u64,
    /// Only of a whole blob.
    hasher: Option<Sha256>,
    /// Index of the one in use.
    endpoint: usize,
    /// Without a byte in between.
    attempts: u32,
    pieces: Option<BoxStream<'static, Result<Bytes, Failure>>>,
}

impl Fetch {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.position == self.end {
                self.verify()?;
                return Ok(None);
            }
            let error = match self.piece().await {
                Ok(piece) => {
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&piece);
                    }
                    self.position += piece.len() as u64;
                    self.attempts = 0;
                    return Ok(Some(piece));
                }
                Err(error) => error,
            };
            self.recover(error).await?;
        }
    }

    /// The next piece of what is left, never empty and never more.
    async fn piece(&mut self) -> Result<Bytes, Error> {
        let endpoints = self.registry.endpoints(self.image.registry())?;
        let endpoint = &endpoints[self.endpoint];
        let url = format!("blobs/{}", self.blob.digest);
        let url = endpoint.url(self.image.repository(), &url)?;
        let asked = Asked::new(&Method::GET, &url, endpoint.name());
        let mut pieces = match self.pieces.take() {
            Some(pieces) => pieces,
            None => {
                let answer = self.open(endpoint, url).await?;
                let skip = self.skip(&answer, &asked)?;
                skip_bytes(http::body(answer), skip).boxed()
            }
        };
        let left = self.end - self.position;
        while let Some(piece) = pieces.next().await {
            let mut piece =
                piece.map_err(|failure| Error::Transport { asked: asked.clone(), failure })?;
            if piece.len() as u64 > left {
                if self.end == self.blob.size {
                    return Err(self.wrong_size(self.position + piece.len() as u64));
                }
                piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            }
            if !piece.is_empty() {
                self.pieces = Some(pieces);
                return Ok(piece);
            }
        }
        let text = format!("it ended after {} of {} bytes", self.position, self.blob.size);
        Err(Error::Transport { asked, failure: Failure::Broken(text) })
    }

    async fn open(&mut self, endpoint: &Endpoint, url: reqwest::Url) -> Result<Response, Error> {
        let scopes = [Scope::pull(&endpoint.repository(self.image.repository()))];
        let mut call = Call::new(Method::GET, url, &scopes).once();
        if self.position > 0 || self.end < self.blob.size {
            call = call.header(RANGE, format!("bytes={}-{}", self.position, self.end - 1));
        }
        endpoint.send(&call).await
    }

    /// How many bytes of the answer come before what was asked for: a server may ignore a range.
    fn skip(&self, answer: &Response, asked: &Asked) -> Result<u64, Error> {
        if answer.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(self.position);
        }
        let range = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let start = range
            .and_then(|text| text.strip_prefix("bytes "))
            .and_then(|text| text.split('-').next()?.trim().parse::<u64>().ok());
        match start {
            Some(start) if start <= self.position => Ok(self.position - start),
            _ => Err(Error::Protocol {
                asked: asked.clone(),
                what: format!("another range than from {}", self.position),
            }),
        }
    }

    /// Goes on with the next endpoint after a mirror failed, or waits for another attempt.
    async fn recover(&mut self, error: Error) -> Result<(), Error> {
        let endpoints = self.registry.endpoints(self.image.registry())?;
        let endpoint = &endpoints[self.endpoint];
        if endpoint.mirror {
            self.registry.pass_over(endpoint, &error);
            self.endpoint += 1;
            return Ok(());
        }
        self.attempts += 1;
        let policy = &self.registry.shared.policy;
        if !pause(policy, self.attempts, &error).await {
            return Err(error);
        }
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Error> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let (expected, found) = (self.blob.digest, Digest::from(hasher));
        if expected == found {
            return Ok(());
        }
        Err(Error::Digest { what: "a blob", name: self.image.to_string(), expected, found })
    }

    fn wrong_size(&self, found: u64) -> Error {
        let (name, expected) = (self.image.to_string(), self.blob.size);
        Error::Size { what: "a blob", name, expected, found }
    }
}

fn skip_bytes(
    pieces: impl Stream<Item = Result<Bytes, Failure>> + Send + 'static,
    mut skip: u64,
) -> impl Stream<Item = Result<Bytes, Failure>> + Send + 'static {
    pieces.map_ok(move |mut piece| {
        let skipped = skip.min(piece.len() as u64);
        skip -= skipped;
        // At most the length of the piece, which is a usize.
        piece.split_off(usize::try_from(skipped).unwrap_or(0))
    })
}
