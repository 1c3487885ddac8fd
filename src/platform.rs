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

    /// As a file may be called: `linux_arm_v7`, as BuildKit has it.
    #[must_use]
    pub fn as_name(&self) -> String {
        self.to_string().replace('/', "_")
    }

    /// The same without the aliases that an index or a configuration may use, and without a version
    /// of the system.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let (architecture, variant) = normalize_architecture(&self.architecture, &self.variant);
        let os = self.os.to_ascii_lowercase();
        Self { architecture, os, os_version: String::new(), variant }
    }

    /// Platforms whose programs run on this one, itself first, then the nearest (L-076, containerd's
    /// `platforms.Only`).
    #[must_use]
    pub fn fallbacks(&self) -> Vec<Self> {
        let wanted = self.normalized();
        let number = |variant: &str| variant.strip_prefix('v').and_then(|n| n.parse::<u8>().ok());
        let of = |architecture: &str, variant: &str| Self {
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
            ..wanted.clone()
        };
        let mut platforms = vec![wanted.clone()];
        let arm = |highest: u8| (5..=highest).rev().map(|n| of("arm", &format!("v{n}")));
        match (wanted.architecture.as_str(), number(&wanted.variant)) {
            ("amd64", variant) => {
                let below = variant.unwrap_or(1).min(9);
                platforms.extend((2..below).rev().map(|n| of("amd64", &format!("v{n}"))));
                if !wanted.variant.is_empty() {
                    platforms.push(of("amd64", ""));
                }
                platforms.push(of("386", ""));
            }
            ("arm64", variant) => {
                if variant.is_some() {
                    platforms.push(of("arm64", ""));
                }
                platforms.extend(arm(8));
            }
            ("arm", Some(variant)) => platforms.extend(arm(variant.min(8).saturating_sub(1))),
            _ => {}
        }
        platforms
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

    #[test]
    fn what_else_runs_on_a_platform_is_listed_nearest_first() {
        for (wanted, expected) in [
            ("linux/amd64", "linux/amd64 linux/386"),
            ("linux/amd64/v3", "linux/amd64/v3 linux/amd64/v2 linux/amd64 linux/386"),
            ("linux/arm/v7", "linux/arm/v7 linux/arm/v6 linux/arm/v5"),
            ("linux/arm64", "linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            let platforms = wanted.parse::<Platform>().unwrap().fallbacks();
            let names: Vec<String> = platforms.iter().map(Platform::to_string).collect();
            assert_eq!(names.join(" "), expected, "{wanted}");
        }
    }
}
