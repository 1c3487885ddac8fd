//! Sparse files: GNU's old format and the three that GNU tar writes with PAX.

use std::io::{self, Read};

use tar::GnuExtSparseHeader;
use tar::Header;

use super::pax::{Records, decimal};
use super::{BLOCK, MAX_EXTENSION, TarError, fields};

/// Where the stored bytes of a file belong; the rest of it is zeros.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Map {
    /// Offset and length, ascending and apart.
    segments: Vec<(u64, u64)>,
    /// Of the file with its holes, in bytes.
    pub(super) size: u64,
}

impl Map {
    /// Fails unless the segments ascend, end within `size` and hold exactly the `stored` bytes.
    fn new(
        segments: Vec<(u64, u64)>,
        size: u64,
        stored: u64,
        path: &[u8],
    ) -> Result<Self, TarError> {
        let bad = |reason| TarError::Sparse { path: String::from_utf8_lossy(path).into(), reason };
        let mut end = 0_u64;
        let mut sum = 0_u64;
        for (offset, length) in &segments {
            if *offset < end {
                return Err(bad("its parts overlap"));
            }
            end = offset.checked_add(*length).ok_or(bad("a part is beyond all sizes"))?;
            sum += length;
        }
        if end > size {
            return Err(bad("a part is beyond its end"));
        }
        if sum != stored {
            return Err(bad("its parts are not what is stored"));
        }
        Ok(Self { segments, size })
    }

    /// The bytes from `position` on: whether they are data, and how many of that kind follow.
    pub(super) fn run(&self, position: u64) -> (bool, u64) {
        let next = self.segments.partition_point(|(offset, length)| offset + length <= position);
        match self.segments.get(next) {
            Some((offset, length)) if *offset <= position => (true, offset + length - position),
            Some((offset, _)) => (false, offset - position),
            None => (false, self.size - position),
        }
    }
}

/// The map of a member of type `S`: four parts in its header, more in the blocks that follow.
pub(super) fn old_gnu(
    header: &Header,
    stored: u64,
    path: &[u8],
    mut block: impl FnMut() -> io::Result<[u8; BLOCK]>,
) -> io::Result<Map> {
    let bad = |reason| TarError::Sparse { path: String::from_utf8_lossy(path).into(), reason };
    let gnu = header.as_gnu().ok_or(bad("its header is not GNU's"))?;
    let mut segments = Vec::new();
    let mut add = |offset: &[u8], length: &[u8]| -> Result<(), TarError> {
        if offset[0] != 0 && length[0] != 0 {
            let offset = fields::unsigned("sparse offset", offset)?;
            segments.push((offset, fields::unsigned("sparse length", length)?));
        }
        Ok(())
    };
    for part in &gnu.sparse {
        add(&part.offset, &part.numbytes)?;
    }
    let mut extended = gnu.isextended[0] == 1;
    let mut bytes = 0;
    while extended {
        bytes += BLOCK as u64;
        if bytes > MAX_EXTENSION {
            return Err(bad("its map is too long").into());
        }
        let content = block()?;
        let mut more = GnuExtSparseHeader::new();
        more.as_mut_bytes().copy_from_slice(&content);
        for part in &more.sparse {
            add(&part.offset, &part.numbytes)?;
        }
        extended = more.isextended[0] == 1;
    }
    let size = fields::unsigned("sparse size", &gnu.realsize)?;
    Ok(Map::new(segments, size, stored, path)?)
}

/// The map that PAX records or, in format 1.0, the first stored bytes hold; `stored` becomes what
/// is left after those. `None` for a file that is not sparse.
pub(super) fn pax(
    records: &Records,
    path: &[u8],
    stored: &mut u64,
    body: &mut dyn Read,
) -> Result<Option<Map>, TarError> {
    let bad = |reason| TarError::Sparse { path: String::from_utf8_lossy(path).into(), reason };
    let number =
        |value: &[u8]| decimal(value).ok_or(bad("its map has something else than numbers"));
    let major = records.number("GNU.sparse.major")?;
    let minor = records.number("GNU.sparse.minor")?;
    let size = match records.number("GNU.sparse.realsize")? {
        Some(size) => Some(size),
        None => records.number("GNU.sparse.size")?,
    };
    let numbers = match (major, minor) {
        (Some(1), Some(0)) => numbers_in_body(stored, body, path)?,
        (None | Some(0), None | Some(0 | 1)) => {
            if let Some(map) = records.get(b"GNU.sparse.map") {
                map.split(|byte| *byte == b',').map(number).collect::<Result<Vec<_>, _>>()?
            } else if records.get(b"GNU.sparse.numblocks").is_some() {
                // Format 0.0 says offset and length of each part by repeating two keys.
                let parts = [&b"GNU.sparse.offset"[..], b"GNU.sparse.numbytes"];
                let parts = records.iter().filter(|(key, _)| parts.contains(key));
                parts.map(|(_, value)| number(value)).collect::<Result<Vec<_>, _>>()?
            } else if size.is_some() {
                return Err(bad("its map is missing"));
            } else {
                return Ok(None);
            }
        }
        _ => return Err(bad("its format is unknown")),
    };
    if !numbers.len().is_multiple_of(2) {
        return Err(bad("its map ends early"));
    }
    let segments = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let size = size.ok_or(bad("its size is missing"))?;
    Map::new(segments, size, *stored, path).map(Some)
}

/// Format 1.0: a count and as many pairs, each number on its own line, padded to whole blocks.
fn numbers_in_body(
    stored: &mut u64,
    body: &mut dyn Read,
    path: &[u8],
) -> Result<Vec<u64>, TarError> {
    let bad = |reason| TarError::Sparse { path: String::from_utf8_lossy(path).into(), reason };
    let mut numbers = Vec::new();
    let mut digits = Vec::new();
    let mut read = 0;
    let mut count = None;
    loop {
        read += BLOCK as u64;
        if read > MAX_EXTENSION || *stored < BLOCK as u64 {
            return Err(bad("its map does not end"));
        }
        *stored -= BLOCK as u64;
        let mut block = [0; BLOCK];
        body.read_exact(&mut block).map_err(|_| TarError::Truncated { inside: "a sparse map" })?;
        for byte in block {
            if byte != b'\n' {
                digits.push(byte);
                continue;
            }
            let number = decimal(&digits).ok_or(bad("its map has something else than numbers"))?;
            digits.clear();
            match count {
                None => count = Some(number.checked_mul(2).ok_or(bad("its map is too long"))?),
                Some(_) => numbers.push(number),
            }
            if count == Some(numbers.len() as u64) {
                return Ok(numbers);
            }
        }
    }
}
