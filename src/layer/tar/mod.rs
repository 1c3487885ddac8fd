//! The tar format as layers use it: POSIX ustar with PAX records, GNU long names and sparse files.
//!
//! The field layout is the `tar` crate's; the block loop is ours, because a reader of untrusted
//! layers must agree with GNU tar and Go's archive/tar about where each entry starts and ends.

mod fields;
mod pax;
mod read;
mod sparse;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Body, TarReader};
pub use write::TarWriter;

use std::io;

use crate::tree::Xattrs;

/// A header, and padding, is a multiple of this many bytes.
pub(super) const BLOCK: usize = 512;
/// Of a path or a link target, in bytes.
pub(super) const MAX_PATH: usize = 4096;
/// Of the PAX records or the long name of one entry, in bytes.
const MAX_EXTENSION: u64 = 1 << 20;
/// Of all sparse files of an archive together, in bytes: their zeros take no room in the archive.
const MAX_SPARSE: u64 = 64 << 30;

/// One member of an archive, as its headers have it: the paths are neither cleaned nor trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarEntry {
    pub path: Box<[u8]>,
    pub kind: TarKind,
    /// At most 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970; fractions are dropped.
    pub mtime: i64,
    pub xattrs: Xattrs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TarKind {
    /// Bytes of the body, holes included.
    File {
        size: u64,
    },
    /// The path of an earlier entry.
    HardLink(Box<[u8]>),
    /// The target as written.
    Symlink(Box<[u8]>),
    Directory,
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
}

/// An archive is not what the formats say, goes beyond a limit, or can't be written in them.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    #[error("the archive ends inside {inside}")]
    Truncated { inside: &'static str },
    #[error("expected header checksum {expected} but found {found}")]
    Checksum { expected: u64, found: u64 },
    #[error("can't read the {field} of a header: {value:?}")]
    Field { field: &'static str, value: String },
    #[error("unknown type {flag:?} of archive member {path:?}")]
    UnknownType { flag: char, path: String },
    #[error("malformed PAX records: {reason}")]
    Pax { reason: &'static str },
    #[error("malformed sparse file {path:?}: {reason}")]
    Sparse { path: String, reason: &'static str },
    #[error("{what} of {found} bytes where the limit is {limit}")]
    TooLong { what: &'static str, found: u64, limit: u64 },
    #[error("two {what} for one archive member")]
    Ambiguous { what: &'static str },
    #[error("archive member {path:?} has no {what}")]
    Missing { path: String, what: &'static str },
    #[error("device number {major}:{minor} of {path:?} does not fit an archive")]
    Device { path: String, major: u32, minor: u32 },
}

impl From<TarError> for io::Error {
    fn from(error: TarError) -> Self {
        let kind = match error {
            TarError::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// Whether a block is the header of a member: its checksum is right, which
/// that of an end mark is not.
pub(super) fn is_header(block: &[u8; BLOCK]) -> bool {
    fields::verify_checksum(block).is_ok()
}
