//! References to images: the library's type, read without its regular expression where a reference
//! has the usual form. Making that expression takes 35 ms, a third of a build in which nothing has
//! changed.

use oci_spec::distribution::{ParseError, Reference};

/// Reads a reference as Docker does: `alpine` is `docker.io/library/alpine:latest` (L-074).
///
/// # Errors
/// What the library finds wrong with it.
pub fn parse(text: &str) -> Result<Reference, ParseError> {
    match usual(text) {
        Some(reference) => Ok(reference),
        None => text.parse(),
    }
}

/// `None` for what is unusual, valid or not.
fn usual(text: &str) -> Option<Reference> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) if is_digest(digest) => (name, Some(digest)),
        Some(_) => return None,
        None => (text, None),
    };
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match name[start..].split_once(':') {
        Some((last, tag)) if is_tag(tag) => (&name[..start + last.len()], Some(tag)),
        Some(_) => return None,
        None => (name, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((host, path)) if is_host(host) => (host, path),
        // What has these is a host, if it is anything.
        Some((first, _)) if first.contains(['.', ':']) => return None,
        _ => ("docker.io", name),
    };
    // The library knows how long a path may be, and that Docker's own registry has another name.
    let is_plain = path.split('/').all(is_path_component) && path.len() < 200;
    if !is_plain || registry == "index.docker.io" {
        return None;
    }
    let repository = match registry {
        "docker.io" if !path.contains('/') => format!("library/{path}"),
        _ => path.to_owned(),
    };
    let registry = registry.to_owned();
    let tag = tag.map(str::to_owned);
    Some(match (tag, digest.map(str::to_owned)) {
        (None, None) => Reference::with_tag(registry, repository, "latest".to_owned()),
        (Some(tag), None) => Reference::with_tag(registry, repository, tag),
        (None, Some(digest)) => Reference::with_digest(registry, repository, digest),
        (Some(tag), Some(digest)) => {
            Reference::with_tag_and_digest(registry, repository, tag, digest)
        }
    })
}

/// `localhost`, or with a dot or a port: without, it is the beginning of a path.
fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let is_label = |label: &str| is_between(label, |byte| byte.is_ascii_alphanumeric(), b"-");
    (name == "localhost" || name.contains('.') || port.is_some())
        && name.split('.').all(is_label)
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_path_component(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = text.bytes().zip(text.bytes().skip(1));
    // `__` and `--` are unusual, and `..` is wrong.
    is_between(text, is_inner, b"._-")
        && separators.into_iter().all(|(a, b)| is_inner(a) || is_inner(b))
}

/// Whether `text` is of `inner` and `separators`, and begins and ends with an inner one.
fn is_between(text: &str, inner: impl Fn(u8) -> bool, separators: &[u8]) -> bool {
    let ends = (text.bytes().next(), text.bytes().last());
    matches!(ends, (Some(first), Some(last)) if inner(first) && inner(last))
        && text.bytes().all(|byte| inner(byte) || separators.contains(&byte))
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn what_is_usual_needs_no_expression() {
        for (text, whole) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("docker.io/alpine", "docker.io/library/alpine:latest"),
            ("golang:1.12", "docker.io/library/golang:1.12"),
            ("grafana/loki", "docker.io/grafana/loki:latest"),
            ("ghcr.io/plimsoll-build/app:pr-7", "ghcr.io/plimsoll-build/app:pr-7"),
            ("localhost:5000/a/b_c:1_X", "localhost:5000/a/b_c:1_X"),
            ("localhost/a", "localhost/a:latest"),
            ("host:5000", "docker.io/library/host:5000"),
            ("123.dkr.ecr.eu-west-1.amazonaws.com/a:1", "123.dkr.ecr.eu-west-1.amazonaws.com/a:1"),
        ] {
            assert_eq!(usual(text).unwrap().whole(), whole);
            let with_digest = format!("{text}@{DIGEST}");
            assert_eq!(usual(&with_digest), with_digest.parse().ok(), "{with_digest}");
        }
    }

    proptest! {
        #[test]
        fn the_library_reads_it_alike(
            text in "[a-zA-Z]{0,3}[.:/@_-]{0,2}[a-z0-9]{0,3}([.:/@_A-Z-]{0,2}[a-z0-9]{1,3}){0,4}",
            suffix in prop_oneof![Just(String::new()), Just(format!("@{DIGEST}")), "@sha256:[a-f]{64}", "@sha512:[a-f]{64}"],
        ) {
            let text = text + &suffix;
            if let Some(reference) = usual(&text) {
                prop_assert_eq!(Ok(reference), text.parse());
            }
        }
    }
}
