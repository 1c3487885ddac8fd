//! The blob store behind the signed URLs: what Azure calls block blobs.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Asked, BLOB_PROPERTIES, GET_BLOB, PUT_BLOB, PUT_BLOCK, Reply, State};

#[derive(Default)]
pub struct Blob {
    /// Sent, but in no list yet.
    blocks: HashMap<String, Bytes>,
    pub content: Option<Bytes>,
}

pub fn range_header(asked: &Asked) -> &str {
    match asked.header("x-ms-range") {
        "" => asked.header("range"),
        range => range,
    }
}

/// Azure's XML, and the same word in a header.
fn error(status: u16, code: &str) -> Reply {
    let xml = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code>\
         <Message>refused by the fake</Message></Error>"
    );
    Reply::new(status, xml)
        .header("x-ms-error-code", code)
        .header("content-type", "application/xml")
}

fn with_request_id(reply: Reply, number: u64) -> Reply {
    reply
        .header("x-ms-request-id", format!("00000000-0000-0000-0000-{number:012}"))
        .header("x-ms-version", "2025-11-05")
        .header("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")
}

impl State {
    pub fn blob(&mut self, operation: &str, asked: &Asked) -> Reply {
        let number = self.tick();
        let reply = match self.signed_for(asked) {
            Ok(entry) => self.blob_of(entry, operation, asked),
            Err(refusal) => refusal,
        };
        with_request_id(reply, number)
    }

    /// The entry that the URL's signature is for.
    fn signed_for(&mut self, asked: &Asked) -> Result<u64, Reply> {
        let limit = self.options.url_uses;
        let id = asked.path.rsplit('/').next().unwrap_or_default();
        let url = self.urls.get_mut(asked.query("sig"));
        // What Azure says to a signature that is false or past its time.
        let url = url.ok_or_else(|| error(403, "AuthenticationFailed"))?;
        let writes = asked.method == "PUT";
        if format!("{:016x}", url.entry) != id || (writes && !url.may_write) {
            return Err(error(403, "AuthorizationPermissionMismatch"));
        }
        url.uses += 1;
        if limit.is_some_and(|limit| url.uses > limit) {
            return Err(error(403, "AuthenticationFailed"));
        }
        Ok(url.entry)
    }

    fn blob_of(&mut self, entry: u64, operation: &str, asked: &Asked) -> Reply {
        let ignore_ranges = self.options.ignore_ranges;
        let Some(entry) = self.entries.iter_mut().find(|found| found.id == entry) else {
            return error(404, "BlobNotFound");
        };
        let blob = &mut entry.blob;
        let version_missing = asked.header("x-ms-version").is_empty();
        let blob_type = asked.header("x-ms-blob-type");
        match operation {
            GET_BLOB | BLOB_PROPERTIES => match &blob.content {
                Some(_) if ignore_ranges => blob.read(""),
                Some(_) => blob.read(range_header(asked)),
                None => error(404, "BlobNotFound"),
            },
            // A URL's signature says so too (`sv`), but all clients send it.
            _ if version_missing => error(400, "MissingRequiredHeader"),
            PUT_BLOB if blob_type != "BlockBlob" => error(400, "MissingRequiredHeader"),
            PUT_BLOB => {
                blob.content = Some(asked.body.clone());
                Reply::new(201, "").header("etag", "\"0x1\"")
            }
            // Azurite would take the body for the whole blob.
            _ if !blob_type.is_empty() => error(400, "UnsupportedHeader"),
            PUT_BLOCK => blob.put_block(asked.query("blockid"), &asked.body),
            _ => blob.put_list(&asked.body),
        }
    }
}

impl Blob {
    fn put_block(&mut self, id: &str, body: &Bytes) -> Reply {
        let decoded = STANDARD.decode(id).unwrap_or_default();
        let length = self.blocks.keys().next().map_or(id.len(), String::len);
        if decoded.is_empty() || decoded.len() > 64 || id.len() != length {
            return error(400, "InvalidBlobOrBlock");
        }
        if body.is_empty() {
            return error(400, "InvalidHeaderValue");
        }
        self.blocks.insert(id.to_owned(), body.clone());
        Reply::new(201, "")
    }

    /// `<BlockList>` with a `<Latest>` or an `<Uncommitted>` for each block, in order.
    fn put_list(&mut self, xml: &[u8]) -> Reply {
        let Ok(xml) = str::from_utf8(xml) else { return error(400, "InvalidXmlDocument") };
        let mut content = Vec::new();
        for item in xml.split("</").filter_map(|part| {
            let (before, id) = part.rsplit_once('>')?;
            (before.ends_with("<Latest") || before.ends_with("<Uncommitted")).then_some(id)
        }) {
            let Some(block) = self.blocks.get(item) else {
                return error(400, "InvalidBlockList");
            };
            content.extend_from_slice(block);
        }
        self.blocks.clear();
        self.content = Some(content.into());
        Reply::new(201, "").header("etag", "\"0x1\"")
    }

    /// `range` is `bytes=START-END`, `bytes=START-`, or empty for all.
    fn read(&self, range: &str) -> Reply {
        let content = self.content.clone().unwrap_or_default();
        let whole = content.len();
        let reply = |status, body| {
            Reply::new(status, body)
                .header("etag", "\"0x1\"")
                .header("accept-ranges", "bytes")
                .header("content-type", "application/octet-stream")
                .header("x-ms-blob-type", "BlockBlob")
        };
        let Some((start, end)) = range.strip_prefix("bytes=").and_then(|r| r.split_once('-'))
        else {
            return reply(200, content);
        };
        let start: usize = start.parse().unwrap_or(usize::MAX);
        if start >= whole {
            return error(416, "InvalidRange").header("content-range", format!("bytes */{whole}"));
        }
        let end = end.parse().map_or(whole, |last: usize| whole.min(last + 1));
        reply(206, content.slice(start..end))
            .header("content-range", format!("bytes {start}-{}/{whole}", end - 1))
    }
}
