//! Something that could be lighter, or that will not run, and what to write instead.

use serde::{Deserialize, Serialize};

use super::path;
use super::size::Size;
use crate::tree::TreePath;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: FindingKind,
    /// Exact unpacked; compressed an estimate. Zero for what is missing.
    pub size: Size,
    /// The layer that holds the bytes.
    pub layer: u32,
    /// The layer above that makes them useless; `None` where that is no layer's doing.
    pub by: Option<u32>,
    /// How many files it is about.
    pub files: u32,
    /// The heaviest of them, at most [`Finding::PATHS`].
    #[serde(with = "path::list")]
    pub paths: Vec<TreePath>,
    /// What exactly: `apt`, `gcc, make`, the libraries that are missing. May be empty.
    pub detail: String,
    pub advice: Option<Advice>,
}

impl Finding {
    pub const PATHS: usize = 10;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A higher layer has another content at the same path.
    Overwritten,
    /// A higher layer removes it.
    Removed,
    /// A higher layer has the same content again, with another owner, mode or time.
    Recopied,
    /// Caches and lists of a package manager, named in [`Finding::detail`].
    PackageCache,
    /// The files of a Git repository.
    Git,
    /// Byte-compiled Python.
    Bytecode,
    /// Debug sections of programs and libraries, and files of nothing else.
    DebugSymbols,
    /// Compilers and headers, which a build stage should keep to itself.
    BuildTools,
    /// The same content at another path.
    Duplicate,
    /// A program whose loader or libraries are not in the image: it will fail with "not found".
    MissingLibrary,
    /// A script whose interpreter is not in the image.
    MissingInterpreter,
}

impl FindingKind {
    /// Whether it is a mistake that shows when the image runs, rather than bytes.
    #[must_use]
    pub fn is_broken(self) -> bool {
        matches!(self, Self::MissingLibrary | Self::MissingInterpreter)
    }
}

/// What to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// One or two whole sentences.
    pub text: String,
    /// Where the change is mechanical and the Dockerfile is at hand.
    pub patch: Option<Patch>,
    /// What the image loses by it; not always all bytes of the finding.
    pub saves: Size,
}

/// Lines of the Dockerfile, and what takes their place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// The first line that is replaced, from one.
    pub line: u32,
    /// As they are, without line ends.
    pub old: Vec<String>,
    /// As they should be.
    pub new: Vec<String>,
}
