//! Python: `NAME-VERSION.dist-info/RECORD`, which lists what an installer put there.

use super::{Claim, Details, Owns, PackageKind};
use crate::tree::{TreePath, clean_path};
use crate::weight::facts::Fact;

const RECORD: &[u8] = b".dist-info/RECORD";
const MAX_RECORD: u64 = 32 << 20;

pub(super) fn wanted(path: &[u8]) -> u64 {
    if path.ends_with(RECORD) { MAX_RECORD } else { 0 }
}

pub(super) fn fact(path: &TreePath, bytes: &[u8]) -> Option<Fact> {
    let info = path.strip_suffix(RECORD)?;
    let slash = info.iter().rposition(|byte| *byte == b'/');
    let (site, name) = slash.map_or((&b""[..], info), |at| (&info[..at], &info[at + 1..]));
    let name = std::str::from_utf8(name).ok()?;
    let (name, version) = name.split_once('-')?;
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(file_name);
    let files = lines.map(|file| match file.starts_with(b"/") {
        true => clean_path(&file),
        false => clean_path(&[site, b"/", &file].concat()),
    });
    Some(Fact::Installed(vec![Claim {
        kind: PackageKind::Python,
        name: name.to_owned(),
        version: version.to_owned(),
        path: [info, b".dist-info"].concat().into(),
        owns: Owns::Files(files.collect()),
        components: Vec::new(),
        details: Details::default(),
    }]))
}

/// The first field of a line of CSV.
fn file_name(line: &[u8]) -> Option<Vec<u8>> {
    let Some(quoted) = line.strip_prefix(b"\"") else {
        let name = line.split(|byte| *byte == b',').next()?;
        return (!name.is_empty()).then(|| name.to_vec());
    };
    let mut name = Vec::new();
    let mut bytes = quoted.iter().peekable();
    while let Some(&byte) = bytes.next() {
        // A quote inside is written twice.
        if byte == b'"' && bytes.next_if(|next| **next == b'"').is_none() {
            return Some(name);
        }
        name.push(byte);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_lead_from_the_folder_above() {
        let path =
            TreePath::from(&b"usr/lib/python3/site-packages/flask-3.0.1.dist-info/RECORD"[..]);
        let text =
            b"flask/__init__.py,sha256=x,3\n../../../bin/flask,,\n\"a,\"\"b\",,\n/etc/x,,\r\n";
        let Some(Fact::Installed(claims)) = fact(&path, text) else { panic!() };
        let files = [
            "usr/lib/python3/site-packages/flask/__init__.py",
            "usr/bin/flask",
            "usr/lib/python3/site-packages/a,\"b",
            "etc/x",
        ];
        let files = files.iter().map(|file| file.as_bytes().into()).collect();
        assert_eq!(claims[0].owns, Owns::Files(files));
        assert_eq!((claims[0].name.as_str(), claims[0].version.as_str()), ("flask", "3.0.1"));
        assert!(claims[0].path.ends_with(b"flask-3.0.1.dist-info"));
    }
}
