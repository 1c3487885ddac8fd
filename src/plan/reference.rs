//! Names of images and of named contexts (L-074, L-082).

use std::collections::BTreeMap;

use crate::platform::Platform;
use crate::reference;

use super::{ContextShape, ImageSource};

/// `alpine` → `docker.io/library/alpine:latest`; the error says what is wrong with `name`.
pub(super) fn normalize(name: &str) -> Result<String, String> {
    match reference::parse(name) {
        Ok(reference) => Ok(reference.whole()),
        Err(error) => {
            let name = repository(name);
            Err(if name == name.to_ascii_lowercase() {
                error.to_string()
            } else {
                format!("invalid reference format: repository name ({name}) must be lowercase")
            })
        }
    }
}

/// The repository of a name that need not be valid: without registry, tag and digest.
fn repository(name: &str) -> String {
    let name = name.split('@').next().unwrap_or_default();
    let is_registry = |first: &str| {
        first.contains(['.', ':']) || first == "localhost" || first != first.to_ascii_lowercase()
    };
    let (path, is_official) = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => (path, false),
        Some(_) => (name, false),
        None => (name, true),
    };
    let path = path.split(':').next().unwrap_or_default();
    if is_official { format!("library/{path}") } else { path.to_owned() }
}

/// The short form under which contexts are named: `docker.io/library/golang:latest` → `golang`.
/// What is no reference stands for itself.
fn familiar(name: &str) -> String {
    let Ok(reference) = reference::parse(name) else { return name.to_owned() };
    let whole = reference.whole();
    let short = whole
        .strip_prefix("docker.io/")
        .map_or(whole.as_str(), |path| path.strip_prefix("library/").unwrap_or(path));
    short.strip_suffix(":latest").unwrap_or(short).to_owned()
}

/// The named context that stands for `name` on `platform`, `NAME::PLATFORM` before `NAME`.
pub(super) fn named_context<'a>(
    contexts: &'a BTreeMap<String, ContextShape>,
    name: &str,
    platform: &Platform,
) -> Option<(&'a str, ContextShape)> {
    // A scratch base and the main context can't be replaced.
    if name.eq_ignore_ascii_case("scratch") || name.eq_ignore_ascii_case("context") {
        return None;
    }
    let wanted = familiar(name);
    let find = |on: Option<&Platform>| {
        contexts.iter().find_map(|(key, shape)| {
            let (base, of) = key.split_once("::").map_or((key.as_str(), None), |(base, of)| {
                (base, Some(of.parse::<Platform>().ok()))
            });
            let right_platform = of.as_ref().map(Option::as_ref) == on.map(Some);
            (right_platform && familiar(base) == wanted).then_some((key.as_str(), *shape))
        })
    };
    find(Some(platform)).or_else(|| find(None))
}

/// What a reader sees of a source: the reference, or the context's name.
pub(super) fn shown(source: &ImageSource) -> &str {
    match source {
        ImageSource::Registry(reference) => reference,
        ImageSource::Context(name) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_normalized() {
        for (name, expected) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("golang:1.12", "docker.io/library/golang:1.12"),
            ("a/b", "docker.io/a/b:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("ghcr.io/a/b:c", "ghcr.io/a/b:c"),
        ] {
            assert_eq!(normalize(name).as_deref(), Ok(expected));
        }
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(
            normalize(&format!("alpine@{digest}")).unwrap(),
            format!("docker.io/library/alpine@{digest}")
        );
        assert_eq!(
            normalize(&format!("alpine:3@{digest}")).unwrap(),
            format!("docker.io/library/alpine:3@{digest}")
        );
        for (name, repository) in [
            ("Alpine:3", "library/Alpine"),
            ("a/B", "a/B"),
            ("localhost:5000/B:1", "B"),
            ("ghcr.io/a/B", "a/B"),
        ] {
            let expected = format!(
                "invalid reference format: repository name ({repository}) must be lowercase"
            );
            assert_eq!(normalize(name), Err(expected));
        }
        assert_eq!(normalize("a b").unwrap_err(), "invalid reference format");
    }

    #[test]
    fn a_context_is_found_under_every_spelling_of_its_name() {
        let arm: Platform = "linux/arm64".parse().unwrap();
        let amd: Platform = "linux/amd64".parse().unwrap();
        let contexts = BTreeMap::from([
            ("docker.io/library/golang:1.12".to_owned(), ContextShape::Image),
            ("alpine".to_owned(), ContextShape::Directory),
            ("alpine::linux/arm64".to_owned(), ContextShape::Image),
        ]);
        for (name, platform, expected) in [
            ("golang:1.12", &amd, Some("docker.io/library/golang:1.12")),
            ("golang", &amd, None),
            ("alpine", &amd, Some("alpine")),
            ("docker.io/library/alpine:latest", &amd, Some("alpine")),
            ("alpine:latest", &arm, Some("alpine::linux/arm64")),
            ("alpine:3", &amd, None),
        ] {
            let found = named_context(&contexts, name, platform).map(|(key, _)| key);
            assert_eq!(found, expected, "{name} {platform}");
        }
    }
}
