//! A package and what it weighs.

use serde::{Deserialize, Serialize};

use super::path;
use super::size::Size;
use crate::tree::TreePath;

/// What a package manager, or a program itself, says was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    pub kind: PackageKind,
    pub name: String,
    /// Empty where it has none.
    pub version: String,
    /// The directory or file that it is, where a name alone does not tell two apart: npm, Python,
    /// Go, Rust and Java. Empty for what the system's package manager installs.
    #[serde(with = "path")]
    pub path: TreePath,
    /// Of its files that are kept; compressed, an estimate.
    pub size: Size,
    /// Number of those.
    pub files: u32,
    /// The layer that holds most of its bytes.
    pub layer: u32,
    /// What is linked or packed into it and has no bytes of its own: modules of a Go program, crates
    /// of a Rust program, archives in a Java archive. Sorted.
    pub components: Vec<Component>,
    #[serde(flatten)]
    pub details: Details,
}

/// What a package manager says besides, for those who look for vulnerabilities and licenses. Empty
/// where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// In the words of its manager: `amd64`, `x86_64`, `all`, `noarch`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// The source package that it was built from, where that is called otherwise: `glibc`, with
    /// `@VERSION` where that is another one; of RPM its file, `glibc-2.34-1.src.rpm`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub upstream: String,
    /// Not always an SPDX expression.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Component {
    pub name: String,
    pub version: String,
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageKind {
    Dpkg,
    Apk,
    Rpm,
    Python,
    Npm,
    Go,
    Rust,
    Java,
}

impl PackageKind {
    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dpkg => "deb",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::Python => "Python",
            Self::Npm => "npm",
            Self::Go => "Go",
            Self::Rust => "Rust",
            Self::Java => "Java",
        }
    }
}
