//! The content of files, one after another, in pieces that are summed and written as a whole: BLAKE3
//! takes several of its chunks at once only where they begin at a chunk and are many.

use std::io::{self, Read};
use std::ops::Range;

/// Whole chunks of BLAKE3, a power of two of them.
const PIECE: usize = 1 << 16;

/// A buffer for one piece, used again for each.
pub(super) struct Pieces(Box<[u8]>);

impl Pieces {
    pub(super) fn new() -> Self {
        Self(vec![0; PIECE].into())
    }

    /// The next piece of `content`, however little of it comes at once: shorter than the others only
    /// at the end, and empty behind it.
    pub(super) fn next(&mut self, content: &mut dyn Read) -> io::Result<&[u8]> {
        let mut filled = 0;
        while filled < PIECE {
            match content.read(&mut self.0[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.0[..filled])
    }

    /// A part of the last piece.
    pub(super) fn get(&self, part: Range<usize>) -> &[u8] {
        &self.0[part]
    }
}
