//! Bytes: tar ↔ tree, overlay upper → tar, compression, digests, safe unpacking; always streaming.

mod archive;
mod compress;
mod contents;
mod curve;
mod decompress;
mod error;
mod flatten;
mod inside;
mod metadata;
mod pieces;
mod read_ahead;
mod scan;
pub mod tar;
mod toc;
mod unpack;
mod upper;
mod write;

pub use archive::{ARCHIVE_HEAD, detect, is_archive};
pub use compress::{FinishedLayer, LayerWriter, Tee};
pub use contents::Dialect;
pub use curve::Curve;
pub use decompress::{Encoding, Expected, VerifiedLayer, Verify, decompress};
pub use error::{Found, LayerError, Result};
pub use flatten::{Below, DirectoryOutput, OpenLayer, Origin, Output, TarOutput, flatten};
pub(crate) use inside::Inside;
pub use inside::open_inside;
pub(crate) use metadata::Metadata;
pub use read_ahead::read_ahead;
pub use scan::{Shown, scan_layer, scan_layer_with};
pub(crate) use toc::is_tree_path;
pub use toc::{TocError, decode, encode};
pub use unpack::{Marks, Selection, UnpackOptions, unpack, unpack_archive};
pub(crate) use upper::attributes;
pub use upper::{OpenLower, Stubs, scan_upper};
pub use write::{Look, Open, Piece, WriteOptions, write_layer, write_layer_with};

#[cfg(test)]
mod tests;
