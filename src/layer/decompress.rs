//! Compressed bytes → tar, checked while they stream by.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::curve::Curve;
use super::error::{LayerError, Result};
use super::read_ahead::read_ahead;
use crate::digest::{DiffId, Digest};

/// A stream may grow this many times over; a smaller one than [`FREE`] as it likes.
const MAX_RATIO: u64 = 1000;
/// Uncompressed bytes that need no justification.
const FREE: u64 = 64 << 20;
/// What a stream may ask a decoder to keep: zstd's own default, twice what `xz -9` takes.
const MAX_WINDOW_LOG: u32 = 27;
/// In KiB, with something for the decoder itself.
const MAX_XZ_MEMORY: u32 = (1 << (MAX_WINDOW_LOG - 10)) + 1024;
const BUFFER: usize = 1 << 17;
/// The longest magic number, in bytes.
const HEAD: u64 = 6;

/// How a stream is compressed, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Plain,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Encoding {
    /// By magic number; six bytes are enough.
    #[must_use]
    pub fn detect(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            // A frame, or a skippable frame before one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::Plain,
        }
    }
}

/// The uncompressed bytes of `reader`, whatever its encoding: all members, frames or streams of
/// it, one after another. Fails where they grow a thousandfold.
pub fn decompress<'a>(reader: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(Box::new(decode(reader, |_| true)?))
}

/// [`decompress`], where an encoding that is not `accepted` is no encoding.
fn decode<'a>(
    reader: impl Read + Send + 'a,
    accepted: impl Fn(Encoding) -> bool,
) -> io::Result<Decoded<'a>> {
    let taken = Arc::new(AtomicU64::new(0));
    let buffered = BufReader::with_capacity(BUFFER, reader);
    let mut reader = Counted { reader: buffered, taken: Arc::clone(&taken) };
    let mut head = Vec::new();
    reader.by_ref().take(HEAD).read_to_end(&mut head)?;
    let encoding = Some(Encoding::detect(&head)).filter(|found| accepted(*found));
    let reader = io::Cursor::new(head).chain(reader);
    let decoder: Box<dyn Read + Send + 'a> = match encoding.unwrap_or(Encoding::Plain) {
        Encoding::Plain => Box::new(reader),
        Encoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Encoding::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(reader)?;
            decoder.window_log_max(MAX_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Encoding::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Encoding::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(reader, true, MAX_XZ_MEMORY)),
    };
    Ok(Decoded { decoder, taken, bytes: 0 })
}

/// Counts what the decoder takes from the compressed side, which is not what was fetched.
struct Counted<R> {
    reader: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.taken.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
        self.reader.consume(bytes);
    }
}

struct Decoded<'a> {
    decoder: Box<dyn Read + Send + 'a>,
    taken: Arc<AtomicU64>,
    bytes: u64,
}

impl Read for Decoded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::OutOfMemory => LayerError::Memory { limit: 1 << MAX_WINDOW_LOG }.into(),
            _ => error,
        })?;
        self.bytes += read as u64;
        let compressed = self.taken.load(Ordering::Relaxed);
        let limit = compressed.saturating_mul(MAX_RATIO).max(FREE);
        if self.bytes > limit {
            return Err(LayerError::Bomb { compressed, limit }.into());
        }
        Ok(read)
    }
}

/// What is known of a layer before its bytes arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Of the compressed bytes.
    pub digest: Option<Digest>,
    /// Compressed bytes.
    pub size: Option<u64>,
    /// Of the uncompressed bytes.
    pub diff_id: Option<DiffId>,
}

/// The uncompressed bytes of a layer's blob. Reading to the end succeeds only if the blob was what
/// is expected; until then nothing that was read may be believed. Fetching and decompressing have a
/// thread of their own.
pub struct VerifiedLayer {
    content: Verify<Box<dyn Read + Send>>,
    curve: Arc<Mutex<Curve>>,
}

impl VerifiedLayer {
    pub fn new(blob: impl Read + Send + 'static, expected: Expected) -> Result<Self> {
        let Expected { digest, size, diff_id } = expected;
        let blob = Verify::blob(blob, digest, size);
        // Layers have no other encodings (OCI image-spec, layer); a tar may well start with a file
        // whose name looks like one.
        let of_layers = |found| matches!(found, Encoding::Gzip | Encoding::Zstd);
        let curve = Arc::default();
        let decoded = Noted { decoded: decode(blob, of_layers)?, curve: Arc::clone(&curve) };
        let content = Verify::content(Box::new(read_ahead(decoded)?) as _, diff_id);
        Ok(Self { content, curve })
    }

    /// Which place of the tar comes from which of the blob, as far as both were read.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.curve.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Read for VerifiedLayer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer)
    }
}

/// Notes where in the blob the decoder is, in its own thread: the reader is somewhere behind.
struct Noted {
    decoded: Decoded<'static>,
    curve: Arc<Mutex<Curve>>,
}

impl Read for Noted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(Curve::SPACING as usize);
        let read = self.decoded.read(&mut buffer[..length])?;
        let taken = self.decoded.taken.load(Ordering::Relaxed);
        let mut curve = self.curve.lock().unwrap_or_else(PoisonError::into_inner);
        curve.note(self.decoded.bytes, taken);
        Ok(read)
    }
}

/// Passes bytes on, and at their end fails unless they were the expected ones.
pub struct Verify<R> {
    reader: R,
    hasher: Sha256,
    bytes: u64,
    size: Option<u64>,
    expected: Sum,
    ended: bool,
}

#[derive(Clone, Copy)]
enum Sum {
    Digest(Digest),
    DiffId(DiffId),
    Any,
}

impl<R: Read> Verify<R> {
    /// Over compressed bytes.
    pub fn blob(reader: R, digest: Option<Digest>, size: Option<u64>) -> Self {
        Self::new(reader, digest.map_or(Sum::Any, Sum::Digest), size)
    }

    /// Over uncompressed bytes.
    pub fn content(reader: R, diff_id: Option<DiffId>) -> Self {
        Self::new(reader, diff_id.map_or(Sum::Any, Sum::DiffId), None)
    }

    fn new(reader: R, expected: Sum, size: Option<u64>) -> Self {
        Self { reader, hasher: Sha256::new(), bytes: 0, size, expected, ended: false }
    }

    fn check(&self) -> Result<()> {
        if let Some(expected) = self.size
            && expected != self.bytes
        {
            return Err(LayerError::SizeMismatch { expected, found: self.bytes });
        }
        match self.expected {
            Sum::Digest(expected) => {
                let found = Digest::from(self.hasher.clone());
                if found != expected {
                    return Err(LayerError::DigestMismatch { expected, found });
                }
            }
            Sum::DiffId(expected) => {
                let found = DiffId::from(self.hasher.clone());
                if found != expected {
                    return Err(LayerError::DiffIdMismatch { expected, found });
                }
            }
            Sum::Any => {}
        }
        Ok(())
    }
}

impl<R: Read> Read for Verify<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let read = self.reader.read(buffer)?;
        if read == 0 {
            self.check()?;
            self.ended = true;
            return Ok(0);
        }
        self.bytes += read as u64;
        if let Some(expected) = self.size
            && self.bytes > expected
        {
            return Err(LayerError::Oversized { expected }.into());
        }
        if !matches!(self.expected, Sum::Any) {
            self.hasher.update(&buffer[..read]);
        }
        Ok(read)
    }
}
