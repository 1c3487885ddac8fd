//! The platform of an image: a value that travels with the plan.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Operating system, architecture and variant (OCI image-spec, image index, `platform`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(default, rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// A text is not `os`, `os/arch` or `os/arch/variant`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a platform such as linux/amd64 or linux/arm64/v8 but found {0:?}")]
pub struct PlatformError(pub String);

impl Platform {
    /// The platform that this program was compiled for, which is the one its RUN steps have.
    #[must_use]
    pub fn host() -> Self {
        let (architecture, variant) = normalize_architecture(std::env::consts::ARCH, "");
        Self { architecture, os: "linux".to_owned(), os_version: String::new(), variant }
    }
}

impl Platform {
    /// The same platform with the usual names, as references and comparisons have it (L-075).
    #[must_use]
    pub fn normalized(&self) -> Self {
        let (architecture, variant) = normalize_architecture(&self.architecture, &self.variant);
        Self { architecture, variant, ..self.clone() }
    }

    /// This platform and those whose programs it runs too, the nearest first (L-076).
    #[must_use]
    pub fn fallbacks(&self) -> Vec<Self> {
        let this = self.normalized();
        let variants: &[&str] = match (this.architecture.as_str(), this.variant.as_str()) {
            ("amd64", "v4") => &["v3", "v2", ""],
            ("amd64", "v3") => &["v2", ""],
            ("amd64", "v2") => &[""],
            ("arm", "v8") => &["v7", "v6", "v5"],
            ("arm", "v7") => &["v6", "v5"],
            ("arm", "v6") => &["v5"],
            _ => &[],
        };
        let lower = variants.iter().map(|v| Self { variant: (*v).to_owned(), ..this.clone() });
        std::iter::once(this.clone()).chain(lower).collect()
    }
}

/// Folds the aliases of an architecture, as containerd's platforms package does (L-075).
fn normalize_architecture(architecture: &str, variant: &str) -> (String, String) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386" | "x86" | "i686", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8" | "") => ("arm64", ""),
        ("aarch64" | "arm64", other) => ("arm64", other),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        (architecture, variant) => (architecture, variant),
    };
    (architecture.to_owned(), variant.to_owned())
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError(text.to_owned());
        if text == "local" {
            return Ok(Self::host());
        }
        let parts: Vec<&str> = text.split('/').collect();
        let valid = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.()".contains(&b))
        };
        if !parts.iter().all(valid) {
            return Err(error());
        }
        let (os, architecture, variant) = match parts.as_slice() {
            ["linux"] => ("linux", Self::host().architecture, ""),
            [architecture] => ("linux", (*architecture).to_owned(), ""),
            [os, architecture] => (*os, (*architecture).to_owned(), ""),
            [os, architecture, variant] => (*os, (*architecture).to_owned(), *variant),
            _ => return Err(error()),
        };
        let (architecture, variant) = normalize_architecture(&architecture, variant);
        let os = os.to_ascii_lowercase();
        Ok(Self { architecture, os, os_version: String::new(), variant })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_normalized() {
        for (text, expected) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm", "linux/arm/v7"),
            ("Linux/AMD64/v2", "linux/amd64/v2"),
            ("amd64", "linux/amd64"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), expected, "{text}");
        }
        for bad in ["", "linux/", "linux/amd64/v1/x", "li nux/amd64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
