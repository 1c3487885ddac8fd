//! The report as files, for a workflow that may comment where the one that built may not. Whoever
//! builds a pull request from a fork writes these files, so nothing in them is trusted: the weights
//! are decoded and rendered anew, and the rest is held against what GitHub itself says.

use serde::{Deserialize, Serialize};

/// The whole report, as Markdown, for people.
pub const REPORT: &str = "report.md";
pub const ABOUT: &str = "about.json";
/// A weight file.
pub const WEIGHT: &str = "image.weight";
/// Another, of what the image was compared with; it may be missing.
pub const BASELINE: &str = "baseline.weight";

/// Bytes of [`ABOUT`].
pub const ABOUT_LIMIT: u64 = 64 << 10;
/// Bytes of a weight file.
pub const WEIGHT_LIMIT: u64 = 64 << 20;

/// [`ABOUT`], which says what the other files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct About {
    /// The commit of the pull request that was built.
    pub head_sha: String,
    /// Tells the comments of several images apart.
    pub key: String,
    /// What the image was compared with, in words.
    #[serde(default)]
    pub baseline: Option<String>,
}
