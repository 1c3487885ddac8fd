//! The bytes of an entry into a blob, by the signed URL: Azure's Put Blob, or Put Block and Put
//! Block List.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Url};

use super::fault::{Fault, check_blob};
use super::service::Service;
use crate::http;

/// Bytes: what is larger is sent in blocks of this size.
const BLOCK: u64 = 16 << 20;
/// Blocks of one entry that are on their way together.
const AT_ONCE: usize = 4;
/// The first version of the protocol that all of today's stores speak and that has long blocks.
const PROTOCOL: &str = "2019-12-12";

/// Operations, in the protocol's words.
const PUT_BLOB: &str = "Put Blob";
const PUT_BLOCK: &str = "Put Block";
const PUT_BLOCK_LIST: &str = "Put Block List";

#[derive(Clone, Debug)]
pub(super) enum Source {
    Bytes(Bytes),
    File(PathBuf),
}

impl Source {
    fn pieces(&self, range: &Range<u64>) -> BoxStream<'static, std::io::Result<Bytes>> {
        let (start, length) = (range.start, range.end - range.start);
        match self {
            Self::File(path) => http::file_pieces(path.clone(), start, length),
            Self::Bytes(bytes) => {
                // The range is within the bytes, whose length a `usize` holds.
                let piece = bytes.slice(start as usize..range.end as usize);
                stream::once(async { Ok(piece) }).boxed()
            }
        }
    }
}

/// Sends all `size` bytes of `source`.
pub(super) async fn upload(
    service: &Service,
    url: &Url,
    source: &Source,
    size: u64,
) -> Result<(), Fault> {
    if size <= BLOCK {
        return put(service, PUT_BLOB, url.clone(), source, 0..size).await;
    }
    stream::iter(blocks(size))
        .map(|(id, range)| put(service, PUT_BLOCK, block_url(url, &id), source, range))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let mut url = url.clone();
    url.query_pairs_mut().append_pair("comp", "blocklist");
    let list = Bytes::from(block_list(size));
    let length = list.len() as u64;
    put(service, PUT_BLOCK_LIST, url, &Source::Bytes(list), 0..length).await
}

/// One request with these bytes of the source, as often as the policy allows: each may be sent again
/// without harm.
async fn put(
    service: &Service,
    asked: &'static str,
    url: Url,
    source: &Source,
    range: Range<u64>,
) -> Result<(), Fault> {
    let mut attempt = 0;
    loop {
        match put_once(service, asked, url.clone(), source, &range).await {
            Ok(()) => return Ok(()),
            Err(fault) => service.pause(&mut attempt, fault).await?,
        }
    }
}

async fn put_once(
    service: &Service,
    asked: &'static str,
    url: Url,
    source: &Source,
    range: &Range<u64>,
) -> Result<(), Fault> {
    let length = range.end - range.start;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let body = source.pieces(range).inspect_ok(move |piece| {
        counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
    });
    let mut request = service.client(asked, &url).await?.put(url);
    if asked == PUT_BLOB {
        // In the other operations it makes some stores take the body for the blob.
        request = request.header("x-ms-blob-type", "BlockBlob");
    }
    let request = request
        .header("x-ms-version", PROTOCOL)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, length)
        .body(Body::wrap_stream(body));
    let answer = http::send_counted(request, &sent, length, &|_| ());
    let answer = check_blob(asked, service.counted(asked, length, answer).await?)?;
    match answer.status().as_u16() {
        201 => Ok(()),
        status => Err(Fault::Foreign { asked, status, what: "no sign of having kept it" }),
    }
}

/// The id of each block, and its bytes. All ids have the same length, as they must.
fn blocks(size: u64) -> impl Iterator<Item = (String, Range<u64>)> {
    (0..size.div_ceil(BLOCK)).map(move |number| {
        let id = STANDARD.encode(format!("{number:06}"));
        (id, number * BLOCK..size.min((number + 1) * BLOCK))
    })
}

fn block_url(url: &Url, id: &str) -> Url {
    let mut url = url.clone();
    url.query_pairs_mut().append_pair("comp", "block").append_pair("blockid", id);
    url
}

fn block_list(size: u64) -> String {
    let mut xml = r#"<?xml version="1.0" encoding="utf-8"?><BlockList>"#.to_owned();
    for (id, _) in blocks(size) {
        let _ = write!(xml, "<Latest>{id}</Latest>");
    }
    xml.push_str("</BlockList>");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_all_bytes_once() {
        for (size, expected) in [
            (BLOCK + 1, vec![0..BLOCK, BLOCK..BLOCK + 1]),
            (2 * BLOCK, vec![0..BLOCK, BLOCK..2 * BLOCK]),
        ] {
            let ranges: Vec<_> = blocks(size).map(|(_, range)| range).collect();
            assert_eq!(ranges, expected);
        }
        let ids: Vec<String> = blocks(50_000 * BLOCK).map(|(id, _)| id).collect();
        assert!(ids.iter().all(|id| id.len() == ids[0].len()));
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
    }

    #[test]
    fn a_block_is_named_beside_the_signature() {
        let url = "https://host/c/1?sig=a%2Fb%3D&se=1".parse().unwrap();
        let url = block_url(&url, "MDA=");
        assert_eq!(url.as_str(), "https://host/c/1?sig=a%2Fb%3D&se=1&comp=block&blockid=MDA%3D");
    }
}
