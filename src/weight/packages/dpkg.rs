//! Debian: `status` with the lists of files beside it, and `status.d` of images without dpkg.

use super::{Claim, Details, Owns, PackageKind, field};
use crate::tree::TreePath;
use crate::weight::facts::{Fact, MAX_WANTED};

const STATUS: &[u8] = b"var/lib/dpkg/status";
const LISTS: &str = "var/lib/dpkg/info/";
/// One file for each package: distroless, and images like it.
const STATUS_D: &str = "var/lib/dpkg/status.d/";
const MAX_LIST: u64 = 16 << 20;

pub(super) fn wanted(path: &[u8]) -> u64 {
    if path == STATUS {
        return MAX_WANTED;
    }
    let is_list = path.starts_with(LISTS.as_bytes()) && path.ends_with(b".list");
    if is_list || path.starts_with(STATUS_D.as_bytes()) { MAX_LIST } else { 0 }
}

pub(super) fn fact(path: &TreePath, bytes: &[u8]) -> Option<Fact> {
    if wanted(path) == 0 {
        return None;
    }
    if path.ends_with(b".list") {
        let lines = bytes.split(|byte| *byte == b'\n');
        return Some(Fact::Owns(lines.filter_map(absolute).collect()));
    }
    if path.ends_with(b".md5sums") {
        // A sum, two blanks, a path.
        let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| line.get(34..));
        return Some(Fact::Owns(lines.map(TreePath::from).collect()));
    }
    let text = String::from_utf8_lossy(bytes);
    let own_list = (**path != *STATUS).then(|| [path, &b".md5sums"[..]].concat().into());
    let claims = text.split("\n\n").filter_map(|paragraph| claim(paragraph, own_list.clone()));
    Some(Fact::Installed(claims.collect()))
}

fn claim(paragraph: &str, own_list: Option<TreePath>) -> Option<Claim> {
    // `status.d` has no status; elsewhere a removed package leaves its configuration.
    if field(paragraph, "Status").is_some_and(|status| !status.ends_with(" installed")) {
        return None;
    }
    let name = field(paragraph, "Package")?;
    let architecture = field(paragraph, "Architecture").unwrap_or_default();
    let lists = own_list.map_or_else(
        || {
            // Packages of several architectures can be installed side by side.
            let list = |name: &str| format!("{LISTS}{name}.list").into_bytes().into();
            vec![list(name), list(&format!("{name}:{architecture}"))]
        },
        |list| vec![list],
    );
    Some(Claim {
        kind: PackageKind::Dpkg,
        name: name.to_owned(),
        version: field(paragraph, "Version").unwrap_or_default().to_owned(),
        path: TreePath::from(&b""[..]),
        owns: Owns::ListedAt(lists),
        components: Vec::new(),
        details: Details {
            architecture: architecture.to_owned(),
            upstream: field(paragraph, "Source").map(upstream).unwrap_or_default(),
            license: String::new(),
        },
    })
}

/// `glibc`, or `glibc (2.36-9)` where the version is another one.
fn upstream(source: &str) -> String {
    match source.split_once(" (") {
        Some((name, version)) => format!("{name}@{}", version.trim_end_matches(')')),
        None => source.to_owned(),
    }
}

fn absolute(line: &[u8]) -> Option<TreePath> {
    line.strip_prefix(b"/").filter(|path| !path.is_empty() && *path != b".").map(TreePath::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(path: &str, text: &str) -> Vec<(String, String, Owns)> {
        match fact(&path.as_bytes().into(), text.as_bytes()) {
            Some(Fact::Installed(claims)) => {
                claims.into_iter().map(|c| (c.name, c.version, c.owns)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn at(paths: &[&str]) -> Owns {
        Owns::ListedAt(paths.iter().map(|path| path.as_bytes().into()).collect())
    }

    #[test]
    fn only_what_is_installed_counts() {
        let text = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\n\
                    Version: 2.36-9\nDescription: C\n Version: no\n\nPackage: old\n\
                    Status: deinstall ok config-files\nVersion: 1\n\n";
        let lists = ["var/lib/dpkg/info/libc6.list", "var/lib/dpkg/info/libc6:amd64.list"];
        let expected = [("libc6".to_owned(), "2.36-9".to_owned(), at(&lists))];
        assert_eq!(installed("var/lib/dpkg/status", text), expected);
        let expected =
            [("base".to_owned(), "12".to_owned(), at(&["var/lib/dpkg/status.d/base.md5sums"]))];
        assert_eq!(
            installed("var/lib/dpkg/status.d/base", "Package: base\nVersion: 12\n"),
            expected
        );
    }

    #[test]
    fn a_package_names_its_source() {
        for (lines, expected) in [
            ("Architecture: amd64\n", ("amd64", "")),
            ("Architecture: all\nSource: glibc\n", ("all", "glibc")),
            ("Source: gcc-12 (12.2.0-14)\n", ("", "gcc-12@12.2.0-14")),
        ] {
            let Details { architecture, upstream, .. } =
                claim(&format!("Package: a\n{lines}"), None).unwrap().details;
            assert_eq!((&*architecture, &*upstream), expected);
        }
    }

    #[test]
    fn lists_are_paths() {
        let owns = |path: &str, text: &str| fact(&path.as_bytes().into(), text.as_bytes());
        let expected = Some(Fact::Owns(vec![b"usr"[..].into(), b"usr/a b"[..].into()]));
        assert_eq!(owns("var/lib/dpkg/info/x.list", "/.\n/usr\n/usr/a b\n"), expected);
        let expected = Some(Fact::Owns(vec![b"etc/x"[..].into()]));
        let text = "d41d8cd98f00b204e9800998ecf8427e  etc/x\n";
        assert_eq!(owns("var/lib/dpkg/status.d/x.md5sums", text), expected);
        assert_eq!(owns("etc/x.list", "/usr"), None);
    }
}
