//! Node: `node_modules/NAME/package.json`, which stands for all that is beside and below it.

use serde::Deserialize;

use super::{Claim, Details, Owns, PackageKind};
use crate::tree::TreePath;
use crate::weight::facts::Fact;

const MAX_PACKAGE: u64 = 1 << 20;

#[derive(Deserialize)]
struct PackageJson {
    name: Option<String>,
    version: Option<String>,
    /// A text; in old packages an object.
    license: Option<serde_json::Value>,
}

pub(super) fn wanted(path: &[u8]) -> u64 {
    if directory(path).is_some() { MAX_PACKAGE } else { 0 }
}

pub(super) fn fact(path: &TreePath, bytes: &[u8]) -> Option<Fact> {
    let directory = directory(path)?;
    let json: PackageJson = serde_json::from_slice(bytes).ok()?;
    let license = json.license.as_ref().and_then(|license| license.as_str());
    let license = license.unwrap_or_default().to_owned();
    Some(Fact::Installed(vec![Claim {
        kind: PackageKind::Npm,
        name: json.name?,
        version: json.version.unwrap_or_default(),
        path: directory.into(),
        owns: Owns::Below,
        components: Vec::new(),
        details: Details { license, ..Details::default() },
    }]))
}

/// The folder of a package that is directly in `node_modules`, or there in a `@scope`: a
/// `package.json` further down only says how its folder is loaded.
fn directory(path: &[u8]) -> Option<&[u8]> {
    let directory = path.strip_suffix(b"/package.json")?;
    let mut above = directory.rsplit(|byte| *byte == b'/').skip(1);
    let scope = above.next()?;
    let is_package =
        scope == b"node_modules" || scope.starts_with(b"@") && above.next()? == b"node_modules";
    is_package.then_some(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_packages_count() {
        for (path, expected) in [
            ("app/node_modules/a/package.json", Some("app/node_modules/a")),
            ("node_modules/@s/a/package.json", Some("node_modules/@s/a")),
            ("node_modules/a/node_modules/b/package.json", Some("node_modules/a/node_modules/b")),
            ("node_modules/a/esm/package.json", None),
            ("app/package.json", None),
        ] {
            assert_eq!(directory(path.as_bytes()), expected.map(str::as_bytes), "{path}");
        }
        let path = TreePath::from(&b"node_modules/a/package.json"[..]);
        let Some(Fact::Installed(claims)) =
            fact(&path, br#"{"name":"a","version":"1.0.0","license":"MIT"}"#)
        else {
            panic!()
        };
        assert_eq!((claims[0].name.as_str(), claims[0].version.as_str()), ("a", "1.0.0"));
        assert_eq!(claims[0].details.license, "MIT");
        let old = br#"{"name":"a","license":{"type":"MIT"}}"#;
        let Some(Fact::Installed(claims)) = fact(&path, old) else { panic!() };
        assert_eq!(claims[0].details, Details::default());
        assert_eq!(fact(&path, b"{}"), None);
    }
}
