//! Package URLs (purl-spec) of images and of packages.

use crate::platform::Platform;
use crate::reference;
use crate::weight::{Distribution, Package, PackageKind};

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
    let platform = platform.normalized().to_string();
    let qualifiers = [("digest", reference.digest().unwrap_or_default()), ("platform", &platform)];
    Some(whole(kind, &parts.join("/"), reference.tag().unwrap_or_default(), &qualifiers))
}

/// The URL of an installed package; `None` where its name does not say which one it is: a Java archive
/// without a group, or a package of a distribution that nobody knows.
#[must_use]
pub fn of_package(package: &Package, distribution: Option<&Distribution>) -> Option<String> {
    let Package { kind, name, version, details, .. } = package;
    let kind = match kind {
        PackageKind::Dpkg => "deb",
        PackageKind::Apk => "apk",
        PackageKind::Rpm => "rpm",
        kind => return of_library(*kind, name, version),
    };
    let Distribution { id, version: release, .. } = distribution?;
    // Of RPM the epoch is not part of the version here.
    let (epoch, version) = match version.split_once(':') {
        Some((epoch, version)) if kind == "rpm" => (epoch, version),
        _ => ("", version.as_str()),
    };
    let distro = if release.is_empty() { id.clone() } else { format!("{id}-{release}") };
    let qualifiers = [
        ("arch", &*details.architecture),
        ("distro", &distro),
        ("epoch", epoch),
        ("upstream", &details.upstream),
    ];
    let path = format!("{}/{}", escaped(&id.to_lowercase(), b""), escaped(name, b""));
    Some(whole(kind, &path, version, &qualifiers))
}

/// The URL of what a program is linked with, or an archive holds; or of a package of a language.
#[must_use]
pub fn of_library(kind: PackageKind, name: &str, version: &str) -> Option<String> {
    let each = |name: &str| name.split('/').map(|p| escaped(p, b"")).collect::<Vec<_>>().join("/");
    let (kind, path) = match kind {
        PackageKind::Python => ("pypi", each(&name.to_lowercase().replace('_', "-"))),
        PackageKind::Npm => ("npm", each(name)),
        // Names of this kind have no capitals.
        PackageKind::Go => ("golang", each(&name.to_lowercase())),
        PackageKind::Rust => ("cargo", each(name)),
        PackageKind::Java => {
            let (group, artifact) = name.split_once(':')?;
            ("maven", format!("{}/{}", escaped(group, b""), escaped(artifact, b"")))
        }
        PackageKind::Dpkg | PackageKind::Apk | PackageKind::Rpm => return None,
    };
    // What Go calls a program that was built from no version.
    let version = if version == "(devel)" { "" } else { version };
    Some(whole(kind, &path, version, &[]))
}

/// `path` is escaped; `qualifiers` are in the order of their names, and empty ones are left out.
fn whole(kind: &str, path: &str, version: &str, qualifiers: &[(&str, &str)]) -> String {
    let mut url = format!("pkg:{kind}/{path}");
    if !version.is_empty() {
        url.push('@');
        url.push_str(&escaped(version, b":"));
    }
    let qualifiers = qualifiers.iter().filter(|(_, value)| !value.is_empty());
    for (index, (name, value)) in qualifiers.enumerate() {
        url.push(if index == 0 { '?' } else { '&' });
        url.push_str(&format!("{name}={}", escaped(value, b":")));
    }
    url
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
    use crate::weight::{Details, Size};

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

    fn package(kind: PackageKind, name: &str, version: &str, details: [&str; 2]) -> Package {
        Package {
            kind,
            name: name.to_owned(),
            version: version.to_owned(),
            path: Vec::new().into(),
            size: Size::ZERO,
            files: 0,
            layer: 0,
            components: Vec::new(),
            details: Details {
                architecture: details[0].to_owned(),
                upstream: details[1].to_owned(),
                license: String::new(),
            },
        }
    }

    fn distribution(id: &str, version: &str) -> Distribution {
        Distribution { id: id.to_owned(), version: version.to_owned(), name: String::new() }
    }

    #[test]
    fn packages_have_the_urls_of_their_managers() {
        let (debian, rolling) = (distribution("debian", "12"), distribution("Arch", ""));
        for (kind, name, version, details, distribution, expected) in [
            (
                PackageKind::Dpkg,
                "libc6",
                "2.36-9+deb12u8",
                ["amd64", "glibc"],
                &debian,
                "pkg:deb/debian/libc6@2.36-9%2Bdeb12u8?arch=amd64&distro=debian-12&upstream=glibc",
            ),
            (
                PackageKind::Dpkg,
                "gcc",
                "4:12.2.0-3",
                ["amd64", "gcc-defaults@1.203"],
                &debian,
                "pkg:deb/debian/gcc@4:12.2.0-3?arch=amd64&distro=debian-12&upstream=gcc-defaults%401.203",
            ),
            (
                PackageKind::Apk,
                "musl",
                "1.2.5-r0",
                ["x86_64", ""],
                &distribution("alpine", "3.20.1"),
                "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1",
            ),
            (
                PackageKind::Rpm,
                "bash",
                "1:5.1-2.el9",
                ["x86_64", ""],
                &rolling,
                "pkg:rpm/arch/bash@5.1-2.el9?arch=x86_64&distro=Arch&epoch=1",
            ),
        ] {
            let package = package(kind, name, version, details);
            assert_eq!(of_package(&package, Some(distribution)).unwrap(), expected);
            assert_eq!(of_package(&package, None), None);
        }
    }

    #[test]
    fn libraries_have_the_urls_of_their_languages() {
        for (kind, name, version, expected) in [
            (PackageKind::Python, "Flask_Cors", "3.0", Some("pkg:pypi/flask-cors@3.0")),
            (PackageKind::Npm, "@s/a", "1.0.0", Some("pkg:npm/%40s/a@1.0.0")),
            (
                PackageKind::Go,
                "github.com/A/b/v2",
                "v2.0.1",
                Some("pkg:golang/github.com/a/b/v2@v2.0.1"),
            ),
            (PackageKind::Go, "ex.org/app", "(devel)", Some("pkg:golang/ex.org/app")),
            (PackageKind::Rust, "serde", "1.0.0+x", Some("pkg:cargo/serde@1.0.0%2Bx")),
            (PackageKind::Java, "org.ex:lib", "1.4", Some("pkg:maven/org.ex/lib@1.4")),
            (PackageKind::Java, "guava", "32", None),
        ] {
            assert_eq!(of_library(kind, name, version).as_deref(), expected);
            let package = package(kind, name, version, ["", ""]);
            assert_eq!(of_package(&package, None).as_deref(), expected);
        }
    }
}
