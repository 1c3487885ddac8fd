//! How images are named: `registry.example/app:1`, `oci:PATH[:TAG]`, `docker-archive:FILE`,
//! `weight:FILE`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::registry;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageReference {
    /// Normalized, `docker.io/library/app:1`.
    Registry(String),
    /// An OCI layout: a folder, or a tar of one.
    Layout { path: PathBuf, tag: Option<String> },
    /// What `docker save` writes.
    DockerArchive(PathBuf),
    /// What `--output-weight` writes.
    Weight(PathBuf),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    #[error("{0:?} names no file or folder after the colon")]
    Empty(String),
    #[error("{text:?} is not an image: {reason}")]
    Registry { text: String, reason: String },
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        let path = |rest: &str| match rest {
            "" => Err(ReferenceError::Empty(text.to_owned())),
            rest => Ok(PathBuf::from(rest)),
        };
        match scheme {
            "weight" => path(rest).map(Self::Weight),
            "docker-archive" => path(rest).map(Self::DockerArchive),
            "oci" => {
                // A tag has no slash; a folder may have a colon in it.
                let tagged = rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
                let (folder, tag) =
                    tagged.map_or((rest, None), |(folder, tag)| (folder, Some(tag)));
                Ok(Self::Layout { path: path(folder)?, tag: tag.map(str::to_owned) })
            }
            _ => match registry::parse_reference(text) {
                Ok(reference) => Ok(Self::Registry(reference.whole())),
                Err(registry::Error::Reference { text, reason }) => {
                    Err(ReferenceError::Registry { text, reason })
                }
                Err(error) => {
                    let (text, reason) = (text.to_owned(), error.to_string());
                    Err(ReferenceError::Registry { text, reason })
                }
            },
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(name) => f.write_str(name),
            Self::Layout { path, tag: None } => write!(f, "oci:{}", path.display()),
            Self::Layout { path, tag: Some(tag) } => write!(f, "oci:{}:{tag}", path.display()),
            Self::DockerArchive(path) => write!(f, "docker-archive:{}", path.display()),
            Self::Weight(path) => write!(f, "weight:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_before_the_colon_says_where() {
        let layout = |path: &str, tag: Option<&str>| ImageReference::Layout {
            path: path.into(),
            tag: tag.map(str::to_owned),
        };
        for (text, expected) in [
            ("alpine", ImageReference::Registry("docker.io/library/alpine:latest".to_owned())),
            ("ghcr.io/a/b:1", ImageReference::Registry("ghcr.io/a/b:1".to_owned())),
            ("oci:out", layout("out", None)),
            ("oci:out:1.0", layout("out", Some("1.0"))),
            ("oci:/a:b/out", layout("/a:b/out", None)),
            ("docker-archive:x.tar", ImageReference::DockerArchive("x.tar".into())),
            ("weight:/a:b", ImageReference::Weight("/a:b".into())),
        ] {
            let found: ImageReference = text.parse().unwrap();
            assert_eq!(found, expected, "{text}");
            assert_eq!(found.to_string().parse(), Ok(found), "{text}");
        }
        for bad in ["", "oci:", "oci::tag", "weight:", "docker-archive:", "App"] {
            assert!(bad.parse::<ImageReference>().is_err(), "{bad}");
        }
    }
}
