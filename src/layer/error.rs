//! What goes wrong with the bytes of a layer.

use std::io;

use super::tar::TarError;
use crate::digest::{ContentSum, DiffId, Digest};

/// A layer can't be read, written, unpacked or compared. Paths are shown as in the image.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    #[error(transparent)]
    Io(io::Error),
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error("can't {action} /{path}: {source}")]
    At { action: &'static str, path: String, source: io::Error },
    #[error("no space left on the file system of {directory}: {free} bytes are free")]
    NoSpace { directory: String, free: u64, source: io::Error },
    #[error("/{path} needs {needed} bytes but {free} are free in {directory}")]
    TooLargeForDisk { path: String, directory: String, needed: u64, free: u64 },

    #[error("expected layer {expected} but its bytes are {found}")]
    DigestMismatch { expected: Digest, found: Digest },
    #[error("expected layer content {expected} but it is {found}")]
    DiffIdMismatch { expected: DiffId, found: DiffId },
    #[error("expected a layer of {expected} bytes but it has {found}")]
    SizeMismatch { expected: u64, found: u64 },
    #[error("the layer has more than the {expected} bytes expected")]
    Oversized { expected: u64 },
    #[error("{compressed} compressed bytes grew past {limit} bytes: this looks like a bomb")]
    Bomb { compressed: u64, limit: u64 },

    #[error("the archive asks for more than {limit} bytes of memory to be unpacked")]
    Memory { limit: u64 },

    #[error("/{path} changed while it was read: expected {stated} bytes but found {found}")]
    FileChanged { path: String, stated: u64, found: Found },
    #[error("/{path} changed while it was read: expected content {expected} but found {found}")]
    ContentChanged { path: String, expected: ContentSum, found: ContentSum },
    #[error("the changes are not sorted: /{path} comes too late")]
    Unsorted { path: String },
    #[error("a layer can't hold /{path}: names that start with .wh. mark removed files")]
    ReservedName { path: String },

    #[error("the archive has more than {limit} entries")]
    TooManyEntries { limit: usize },
    #[error("path {path:?} in the archive {reason}")]
    BadPath { path: String, reason: &'static str },
    #[error("the archive puts /{path} below /{parent}, which is not a directory")]
    ParentNotDirectory { path: String, parent: String },
    #[error("too many levels of symbolic links on the way to /{path} in the archive")]
    LinkLoop { path: String },
    #[error("/{path} is a hard link to /{target}, which the same archive does not have before it")]
    LinkTarget { path: String, target: String },
    #[error(
        "/{path} is a hard link to /{target}, which neither its layer has before it nor a layer below"
    )]
    LowerLinkTarget { path: String, target: String },
    #[error("can't write /{path} anew: it is a hard link to a file of a lower layer")]
    LowerLink { path: String },
    #[error("the layer does not hold /{path} with the content expected")]
    NotInLayer { path: String },

    #[error("/{path} has the overlay attribute {name}, which the mount should not have allowed")]
    OverlayFeature { path: String, name: String },
}

impl LayerError {
    pub(crate) fn lower_link_target(path: &[u8], target: &[u8]) -> Self {
        Self::LowerLinkTarget { path: shown(path), target: shown(target) }
    }
}

/// How many bytes a file had, as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Exactly(u64),
    More,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(bytes) => write!(f, "{bytes}"),
            Self::More => f.write_str("more"),
        }
    }
}

pub type Result<T, E = LayerError> = std::result::Result<T, E>;

/// A stack of readers speaks [`io::Error`]; an error of ours that went through it comes out whole.
impl From<io::Error> for LayerError {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(error) => match error.downcast::<TarError>() {
                Ok(tar) => Self::Tar(tar),
                Err(error) => Self::Io(error),
            },
        }
    }
}

impl From<LayerError> for io::Error {
    fn from(error: LayerError) -> Self {
        match error {
            LayerError::Io(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

impl From<LayerError> for crate::error::Error {
    fn from(error: LayerError) -> Self {
        let full = matches!(error, LayerError::NoSpace { .. } | LayerError::TooLargeForDisk { .. });
        let error = Self::build(error);
        if full { error.hinted("Free some space there and build again.") } else { error }
    }
}

/// Bytes of a path as text for a message.
pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
