//! Where COPY and ADD read from: walking, content digests, downloads.

mod dir;
mod exact;
pub mod http;
mod inline;
mod walk;

use std::io::{self, Read};

use crate::tree::{Tree, TreePath};

pub use dir::{ContextError, DirectoryContext};
pub use inline::Inline;
pub use walk::Ownership;

/// A tree and the contents of its files.
pub trait Source: Send + Sync {
    fn tree(&self) -> &Tree;

    /// The content of the file at `path`, which is exactly as long as the tree says: a stream that
    /// ends early, or goes on, fails.
    ///
    /// # Errors
    /// When there is no such file, or it is not what it was when the tree was made.
    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + Send>>;
}
