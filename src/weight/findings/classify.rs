//! What a path alone says of a file.

use crate::weight::finding::FindingKind;

/// Who leaves it, and where: the start of a path, or a part of it where it starts with `/`.
const CACHES: [(&str, &[u8]); 24] = [
    ("apt", b"var/lib/apt/lists/"),
    ("apt", b"var/cache/apt/"),
    ("apk", b"var/cache/apk/"),
    ("apk", b"etc/apk/cache/"),
    ("dnf", b"var/cache/dnf/"),
    ("dnf", b"var/cache/libdnf5/"),
    ("yum", b"var/cache/yum/"),
    ("zypper", b"var/cache/zypp/"),
    ("pacman", b"var/cache/pacman/pkg/"),
    ("pip", b"/.cache/pip/"),
    ("uv", b"/.cache/uv/"),
    ("Poetry", b"/.cache/pypoetry/"),
    ("npm", b"/.npm/_cacache/"),
    ("Yarn", b"/.cache/yarn/"),
    ("Yarn", b"/.yarn/berry/cache/"),
    ("pnpm", b"/.local/share/pnpm/store/"),
    ("Node", b"/node_modules/.cache/"),
    ("Go", b"/.cache/go-build/"),
    ("Go", b"/go/pkg/mod/cache/"),
    ("Cargo", b"/.cargo/registry/"),
    ("Cargo", b"/usr/local/cargo/registry/"),
    ("Maven", b"/.m2/repository/"),
    ("Gradle", b"/.gradle/caches/"),
    ("Composer", b"/.composer/cache/"),
];

pub(super) fn classify(path: &[u8]) -> Option<(FindingKind, &'static str)> {
    // Of a large image millions of pairs are compared, most of which differ in their first bytes.
    let starts =
        |path: &[u8], place: &[u8]| path.first() == place.first() && path.starts_with(place);
    // What starts with `/` may start at any component, also at the first.
    let is_in = |place: &[u8]| match place.strip_prefix(b"/") {
        Some(place) => components(path).any(|rest| starts(rest, place)),
        None => starts(path, place),
    };
    if let Some((name, _)) = CACHES.iter().find(|(_, place)| is_in(place)) {
        return Some((FindingKind::PackageCache, name));
    }
    if is_in(b"/.git/") {
        return Some((FindingKind::Git, ""));
    }
    if path.ends_with(b".pyc") || path.ends_with(b".pyo") {
        return Some((FindingKind::Bytecode, ""));
    }
    let is_debug = path.ends_with(b".debug") || path.starts_with(b"usr/lib/debug/");
    is_debug.then_some((FindingKind::DebugSymbols, ""))
}

/// The path from each of its components on.
fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    std::iter::once(path).chain(slashes.map(|(slash, _)| &path[slash + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_what_is_not_needed() {
        use FindingKind::{Bytecode, DebugSymbols, Git, PackageCache};
        for (path, expected) in [
            ("var/lib/apt/lists/deb.debian.org_dists_InRelease", Some((PackageCache, "apt"))),
            ("srv/var/lib/apt/lists/x", None),
            ("root/.cache/pip/http/a", Some((PackageCache, "pip"))),
            ("root/go/pkg/mod/cache/x", Some((PackageCache, "Go"))),
            ("go/pkg/mod/cache/x", Some((PackageCache, "Go"))),
            ("app/.git/objects/ab/cd", Some((Git, ""))),
            ("app/.gitignore", None),
            ("usr/lib/python3/__pycache__/x.cpython-311.pyc", Some((Bytecode, ""))),
            ("usr/lib/debug/.build-id/ab/cd", Some((DebugSymbols, ""))),
            ("usr/bin/app.debug", Some((DebugSymbols, ""))),
        ] {
            assert_eq!(classify(path.as_bytes()), expected, "{path}");
        }
    }
}
