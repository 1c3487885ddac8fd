//! The bytes of an entry from its blob: ranges in parallel, handed on in order.
//!
//! A signed URL lives for ten minutes, and a reader may take longer, so that each range may find it
//! expired; the service is then asked for another.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Response, StatusCode, Url};
use tokio::sync::Mutex;

use super::fault::{Fault, check_blob};
use super::name;
use super::service::Service;
use super::{CacheFault, EntryKey};
use crate::http::{self, Failure};

/// Bytes asked for at once.
const PART: u64 = 4 << 20;
/// Ranges that are fetched, or wait for the reader, at once.
const AT_ONCE: usize = 4;
const ASKED: &str = "Get Blob";

pub(super) type Pieces = BoxStream<'static, Result<Bytes, CacheFault>>;

struct Download {
    service: Arc<Service>,
    key: EntryKey,
    place: Mutex<Place>,
}

#[derive(Clone)]
struct Place {
    url: Url,
    /// How often the service was asked again.
    renewals: u32,
}

/// What came for a range.
enum Part {
    /// Its bytes, and how long the entry is.
    Bytes(Vec<Bytes>, u64),
    /// The store knows no ranges: this answer has all of the entry.
    Whole(Response),
}

/// Begins to fetch an entry; what fails at once, fails here. The stream has to be polled on the
/// runtime.
pub(super) async fn download(
    service: Arc<Service>,
    key: EntryKey,
    url: Url,
) -> Result<Pieces, CacheFault> {
    let place = Mutex::new(Place { url, renewals: 0 });
    let download = Arc::new(Download { service, key, place });
    let (first, whole) = match download.part(0..PART).await? {
        Part::Bytes(pieces, whole) => (pieces, whole),
        Part::Whole(answer) => return Ok(download.pieces(answer).map_err(Into::into).boxed()),
    };
    let rest = stream::iter((PART..whole).step_by(PART as usize))
        .map(move |start| {
            let download = Arc::clone(&download);
            let range = start..whole.min(start + PART);
            // A task of its own goes on while the reader is busy with what came before.
            tokio::spawn(async move { download.later_part(range, whole).await })
        })
        .buffered(AT_ONCE)
        .map(|part| part.unwrap_or_else(|_| Err(failed("the transfer was given up"))))
        .map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok)))
        .try_flatten();
    Ok(stream::iter(first.into_iter().map(Ok)).chain(rest).boxed())
}

impl Download {
    async fn later_part(&self, range: Range<u64>, whole: u64) -> Result<Vec<Bytes>, CacheFault> {
        match self.part(range).await? {
            Part::Bytes(pieces, found) if found == whole => Ok(pieces),
            Part::Bytes(_, found) => {
                Err(failed(&format!("the entry had {whole} bytes and now has {found}")))
            }
            Part::Whole(_) => Err(failed("the store gives no ranges any more")),
        }
    }

    /// All bytes of a range, or those that there are before the entry's end.
    async fn part(&self, mut range: Range<u64>) -> Result<Part, CacheFault> {
        let mut pieces = Vec::new();
        let (mut attempt, mut renewed) = (0, false);
        loop {
            let place = self.place.lock().await.clone();
            let fault = match self.ask(place.url.clone(), &range).await {
                Ok(answer) if answer.status() == StatusCode::PARTIAL_CONTENT => {
                    let Some(whole) = whole_length(&answer, range.start) else {
                        return Err(failed("the answer is of another range"));
                    };
                    range.end = range.end.min(whole);
                    match self.take(answer, &mut range, &mut pieces).await {
                        Ok(()) => return Ok(Part::Bytes(pieces, whole)),
                        Err(fault) => fault,
                    }
                }
                Ok(answer) if range.start == 0 => return Ok(Part::Whole(answer)),
                Ok(_) => return Err(failed("the store gives no ranges")),
                // There is no first byte: the entry is empty.
                Err(fault) if fault.status() == Some(416) && range.start == 0 => {
                    return Ok(Part::Bytes(pieces, 0));
                }
                Err(fault) if fault.is_unsigned() && !renewed => {
                    renewed = true;
                    self.renew(&place).await?;
                    continue;
                }
                Err(fault) => fault,
            };
            self.service.pause(&mut attempt, fault).await?;
        }
    }

    async fn ask(&self, url: Url, range: &Range<u64>) -> Result<Response, Fault> {
        let bytes = format!("bytes={}-{}", range.start, range.end - 1);
        let request = self.service.client(ASKED, &url).await?.get(url).header(RANGE, bytes);
        check_blob(ASKED, self.service.counted(ASKED, 0, http::send(request)).await?)
    }

    /// Moves the answer's bytes to `pieces`, and the start of `range` behind them.
    async fn take(
        &self,
        answer: Response,
        range: &mut Range<u64>,
        pieces: &mut Vec<Bytes>,
    ) -> Result<(), Fault> {
        let mut body = std::pin::pin!(self.pieces(answer));
        while let Some(piece) = body.next().await {
            let piece = piece?;
            range.start += piece.len() as u64;
            pieces.push(piece);
        }
        let broken = |text: &str| {
            let failure = Failure::Broken(text.to_owned());
            Err(Fault::Transport { asked: ASKED, failure })
        };
        match range.start.cmp(&range.end) {
            Ordering::Equal => Ok(()),
            Ordering::Less => broken("the answer ended early"),
            Ordering::Greater => broken("the answer is too long"),
        }
    }

    fn pieces(&self, answer: Response) -> impl Stream<Item = Result<Bytes, Fault>> + Send + use<> {
        let service = Arc::clone(&self.service);
        http::body(answer)
            .inspect_ok(move |piece| service.count_received(piece.len()))
            .map_err(|failure| Fault::Transport { asked: ASKED, failure })
    }

    /// Asks for another URL, unless somebody has since `refused` was read.
    async fn renew(&self, refused: &Place) -> Result<(), CacheFault> {
        let mut place = self.place.lock().await;
        if place.renewals == refused.renewals {
            let found = self.service.lookup(&[name::first(&self.key)]).await?;
            let (_, url) = found.ok_or_else(|| failed("the entry is gone"))?;
            *place = Place { url, renewals: refused.renewals + 1 };
        }
        Ok(())
    }
}

fn failed(what: &str) -> CacheFault {
    CacheFault::Failed(format!("{ASKED}: {what}"))
}

/// From `Content-Range: bytes START-END/WHOLE`, if it begins where it should.
fn whole_length(answer: &Response, start: u64) -> Option<u64> {
    let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, whole) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    (first.parse() == Ok(start)).then_some(())?;
    whole.parse().ok().filter(|whole| *whole > start)
}
