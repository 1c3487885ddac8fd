//! Bytes: tar ↔ tree, overlay upper → tar, compression, digests, safe unpacking; always streaming.

mod compress;
mod contents;
mod decompress;
mod error;
mod read_ahead;
mod scan;
pub mod tar;
mod write;

pub use compress::{FinishedLayer, LayerWriter, Tee};
pub use contents::Dialect;
pub use decompress::{Encoding, Expected, Verify, decompress, open_layer};
pub use error::{Found, Hex, LayerError, Result};
pub use read_ahead::read_ahead;
pub use scan::scan_layer;
pub use write::{Open, WriteOptions, write_layer};
