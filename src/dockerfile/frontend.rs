//! `# syntax=`: no frontend image is ever pulled. Docker's own is this one; any other is a
//! different language (L-013).

use thiserror::Error;

/// What a frontend reference asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frontend {
    /// The language that is built in.
    BuiltIn,
    /// The same language, in a version that may know more: worth a warning.
    Newer,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the Dockerfile asks for the frontend {0:?}, and only docker/dockerfile is supported")]
pub struct ForeignFrontend(pub String);

/// The newest `docker/dockerfile` whose language is built in.
const SUPPORTED: (u32, u32) = (1, 26);

/// Judges the value of `# syntax=` or of the build argument `BUILDKIT_SYNTAX`: an image reference
/// up to the first space; what follows is the frontend's business.
///
/// # Errors
/// The reference is not one of Docker's frontends for Dockerfiles.
pub fn frontend(value: &str) -> Result<Frontend, ForeignFrontend> {
    let reference = value.split(' ').next().unwrap_or_default();
    let name = ["docker.io/", "index.docker.io/", "registry-1.docker.io/"]
        .iter()
        .find_map(|registry| reference.strip_prefix(registry))
        .unwrap_or(reference);
    let (name, _digest) = name.split_once('@').unwrap_or((name, ""));
    let (name, tag) = name.split_once(':').unwrap_or((name, "latest"));
    if !["docker/dockerfile", "docker/dockerfile-upstream", "dockerfile.v0"].contains(&name) {
        return Err(ForeignFrontend(reference.to_owned()));
    }
    let version = tag.strip_suffix("-labs").unwrap_or(tag);
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    Ok(match (numbers.next(), numbers.next()) {
        (Some(major), minor) if (major, minor.unwrap_or(0)) > SUPPORTED => Frontend::Newer,
        _ => Frontend::BuiltIn,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dockers_own() {
        for (value, expected) in [
            ("docker/dockerfile", Some(Frontend::BuiltIn)),
            ("docker/dockerfile:1", Some(Frontend::BuiltIn)),
            ("docker/dockerfile:1.7-labs", Some(Frontend::BuiltIn)),
            ("docker/dockerfile:1.26.3", Some(Frontend::BuiltIn)),
            ("docker/dockerfile:1.27", Some(Frontend::Newer)),
            ("docker/dockerfile:2", Some(Frontend::Newer)),
            ("docker/dockerfile:labs", Some(Frontend::BuiltIn)),
            ("docker/dockerfile:1@sha256:00", Some(Frontend::BuiltIn)),
            ("docker.io/docker/dockerfile:1 some arguments", Some(Frontend::BuiltIn)),
            ("docker/dockerfile-upstream:master", Some(Frontend::BuiltIn)),
            ("dockerfile.v0", Some(Frontend::BuiltIn)),
            ("docker/buildkit-syft-scanner", None),
            ("ghcr.io/docker/dockerfile:1", None),
            ("r.j3ss.co/cacher", None),
            ("", None),
        ] {
            assert_eq!(frontend(value).ok(), expected, "{value}");
        }
    }
}
