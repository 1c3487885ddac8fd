//! The facts of a layer as a small file, so that a layer that does not change is read once.

use std::io::Read;

use super::{Fact, Facts};
use crate::weight::path;

const MAGIC: &[u8; 8] = b"plimfct\x02";
const LEVEL: i32 = 3;
/// Uncompressed, in bytes; those of a whole desktop take a tenth.
const MAX_PLAIN: u64 = 256 << 20;

/// Sorted by path: the same facts give the same bytes.
#[must_use]
pub fn encode(facts: &Facts) -> Vec<u8> {
    let mut sorted: Vec<(String, &Fact)> =
        facts.iter().map(|(path, fact)| (path::text(path), fact)).collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    // Types without maps and failing parts; and where a file is empty after all, it is read again.
    let json = serde_json::to_vec(&sorted).unwrap_or_default();
    let compressed = zstd::encode_all(&json[..], LEVEL).unwrap_or_default();
    [&MAGIC[..], &compressed].concat()
}

/// `None` for what [`encode`] did not write, or did in another version: then the layer is read again.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Facts> {
    let frame = bytes.strip_prefix(MAGIC)?;
    let mut json = Vec::new();
    zstd::Decoder::with_buffer(frame).ok()?.take(MAX_PLAIN).read_to_end(&mut json).ok()?;
    let facts: Vec<(String, Fact)> = serde_json::from_slice(&json).ok()?;
    facts.into_iter().map(|(text, fact)| Some((path::parse(&text)?, fact))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weight::facts;

    #[test]
    fn facts_come_back() {
        let program = std::fs::read("/proc/self/exe").unwrap();
        let mut found = Facts::new();
        for (path, bytes) in [
            (&b"bin/\xff"[..], &program[..]),
            (b"run", b"#!/bin/sh\n"),
            (b"var/lib/dpkg/info/a.list", b"/etc/caf\xe9\n"),
            (b"lib/apk/db/installed", b"P:a\nV:1\nF:bin\nR:a\n"),
        ] {
            let fact = facts::fact(&path.into(), 0o755, bytes);
            found.insert(path.into(), fact.unwrap());
        }
        let bytes = encode(&found);
        assert_eq!(decode(&bytes), Some(found));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(b""), None);
    }
}
