//! Alpine: the database of apk.

use super::{Claim, Details, Owns, PackageKind};
use crate::tree::TreePath;
use crate::weight::facts::{Fact, MAX_WANTED};

/// The second since apk 3.
const DATABASES: [&[u8]; 2] = [b"lib/apk/db/installed", b"usr/lib/apk/db/installed"];

pub(super) fn wanted(path: &[u8]) -> u64 {
    if DATABASES.contains(&path) { MAX_WANTED } else { 0 }
}

pub(super) fn fact(path: &TreePath, bytes: &[u8]) -> Option<Fact> {
    if wanted(path) == 0 {
        return None;
    }
    let text = String::from_utf8_lossy(bytes);
    Some(Fact::Installed(text.split("\n\n").filter_map(claim).collect()))
}

/// One paragraph: `P:` name, `V:` version, `A:` architecture, `L:` license, `o:` origin, `F:` a
/// directory, `R:` a file in it.
fn claim(paragraph: &str) -> Option<Claim> {
    let (mut name, mut version, mut directory) = ("", "", "");
    let mut details = Details::default();
    let mut files: Vec<TreePath> = Vec::new();
    for line in paragraph.lines() {
        match line.split_once(':') {
            Some(("P", value)) => name = value,
            Some(("V", value)) => version = value,
            Some(("A", value)) => details.architecture = value.to_owned(),
            Some(("L", value)) => details.license = value.to_owned(),
            Some(("o", value)) if value != name => details.upstream = value.to_owned(),
            Some(("F", value)) => directory = value,
            Some(("R", file)) if directory.is_empty() => files.push(file.as_bytes().into()),
            Some(("R", file)) => files.push(format!("{directory}/{file}").into_bytes().into()),
            _ => {}
        }
    }
    (!name.is_empty()).then(|| Claim {
        kind: PackageKind::Apk,
        name: name.to_owned(),
        version: version.to_owned(),
        path: TreePath::from(&b""[..]),
        owns: Owns::Files(files),
        components: Vec::new(),
        details,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_packages() {
        let text = "C:Q1x\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\n\
                    F:\nR:top\n\nP:empty\nV:1\no:whole\n";
        let path = TreePath::from(&b"lib/apk/db/installed"[..]);
        let Some(Fact::Installed(claims)) = fact(&path, text.as_bytes()) else { panic!() };
        let files =
            |paths: &[&str]| Owns::Files(paths.iter().map(|p| p.as_bytes().into()).collect());
        assert_eq!(claims[0].owns, files(&["lib/ld-musl-x86_64.so.1", "top"]));
        assert_eq!((claims[0].name.as_str(), claims[0].version.as_str()), ("musl", "1.2.5-r0"));
        let details = |architecture: &str, upstream: &str, license: &str| Details {
            architecture: architecture.to_owned(),
            upstream: upstream.to_owned(),
            license: license.to_owned(),
        };
        assert_eq!(claims[0].details, details("x86_64", "", "MIT"));
        assert_eq!(claims[1].details, details("", "whole", ""));
        assert_eq!((claims[1].name.as_str(), &claims[1].owns), ("empty", &files(&[])));
    }
}
