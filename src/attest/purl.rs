//! Package URLs of images.

use crate::platform::Platform;
use crate::reference;

/// `pkg:docker/NAME@TAG?platform=…` of an image by its reference, as BuildKit writes it: Docker's own
/// registry is left out, and a digest is a qualifier. `kind` is `docker`, or `oci` for a layout.
/// `None` for what is no reference.
#[must_use]
pub fn purl(kind: &str, name: &str, platform: &Platform) -> Option<String> {
    let reference = reference::parse(name).ok()?;
    let path = match (reference.registry(), reference.repository()) {
        ("docker.io", path) => path.strip_prefix("library/").unwrap_or(path).to_owned(),
        (registry, path) => format!("{registry}/{path}"),
    };
    let parts: Vec<String> = path.split('/').map(|part| escaped(part, b"")).collect();
    let mut url = format!("pkg:{kind}/{}", parts.join("/"));
    if let Some(tag) = reference.tag() {
        url.push('@');
        url.push_str(&escaped(tag, b""));
    }
    // In the order of their names.
    let digest = reference.digest().map(|digest| ("digest", digest.to_owned()));
    let platform = ("platform", platform.normalized().to_string());
    for (index, (name, value)) in digest.into_iter().chain([platform]).enumerate() {
        url.push(if index == 0 { '?' } else { '&' });
        url.push_str(&format!("{name}={}", escaped(&value, b":")));
    }
    Some(url)
}

/// Percent-encoded but for letters, digits, `.-_~`, and what may stay besides.
fn escaped(text: &str, besides: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~".contains(&byte) || besides.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_the_urls_that_buildkit_gives_them() {
        let digest = "sha256:ba8bf6f0ba6d3f0f5bb3f6bb2fa1bf4c8ab1c2e3d4f5061728394a5b6c7d8e9f";
        let pinned = format!("alpine@{digest}");
        let both = format!("docker.io/library/alpine:3.20@{digest}");
        for (name, platform, expected) in [
            ("alpine", "linux/amd64", "pkg:docker/alpine@latest?platform=linux%2Famd64"),
            (
                "docker.io/library/app:1",
                "linux/arm/v7",
                "pkg:docker/app@1?platform=linux%2Farm%2Fv7",
            ),
            (
                "moby/buildkit:v1",
                "linux/arm64/v8",
                "pkg:docker/moby/buildkit@v1?platform=linux%2Farm64",
            ),
            (
                "localhost:5000/app/x:1",
                "linux/amd64",
                "pkg:docker/localhost%3A5000/app/x@1?platform=linux%2Famd64",
            ),
            (
                &pinned,
                "linux/amd64",
                &format!("pkg:docker/alpine?digest={digest}&platform=linux%2Famd64"),
            ),
            (
                &both,
                "linux/amd64",
                &format!("pkg:docker/alpine@3.20?digest={digest}&platform=linux%2Famd64"),
            ),
        ] {
            let platform = platform.parse().unwrap();
            assert_eq!(purl("docker", name, &platform).unwrap(), expected);
        }
        assert_eq!(purl("docker", "No Image", &Platform::host()), None);
    }
}
