//! Where COPY and ADD read from: directories, archives, downloads, git repositories.

mod archive;
mod dir;
mod exact;
pub mod git;
pub mod http;
mod one_file;
mod program;
pub mod small;
mod walk;
pub mod work_tree;

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use crate::digest::Digest;
use crate::snapshot::WorkDir;
use crate::tree::{Tree, TreePath};
use crate::url::GitUrl;

pub use archive::Unpacked;
pub use dir::{ContextError, DirectoryContext};
pub use one_file::OneFile;
pub use walk::Ownership;

/// A tree and the contents of its files.
pub trait Source: fmt::Debug + Send + Sync {
    fn tree(&self) -> &Tree;

    /// The content of the file at `path`, which is exactly as long as the tree says: a stream that
    /// ends early, or goes on, fails.
    ///
    /// # Errors
    /// When there is no such file, or it is not what it was when the tree was made.
    fn open(&self, path: &TreePath) -> io::Result<Box<dyn Read + Send>>;
}

/// A context that was brought here: the files of a repository or an archive.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// All files have their digests.
    pub source: Arc<dyn Source>,
    /// It is a single file, the Dockerfile itself.
    pub is_dockerfile: bool,
    pub origin: Origin,
    /// Seconds since 1970: of the commit, or of the file on its server, or of the newest entry where
    /// the server does not say; of what came over standard input none.
    pub time: Option<i64>,
    /// Where the files are; goes with the last that knows of it.
    pub folder: Arc<WorkDir>,
}

/// Where a context came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Standard input.
    Input,
    Web {
        url: String,
        digest: Digest,
    },
    Git {
        url: GitUrl,
        revision: git::Revision,
    },
}
