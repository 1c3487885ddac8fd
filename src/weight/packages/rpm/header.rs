//! A header: an index of tags, then their data (rpm's `hdrblob`, without the magic of package files).

use super::big;
use crate::tree::TreePath;
use crate::weight::package::Details;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: String,
    /// `[EPOCH:]VERSION-RELEASE`
    pub(super) version: String,
    pub(super) files: Vec<TreePath>,
    pub(super) details: Details,
}

const NAME: usize = 1000;
const VERSION: usize = 1001;
const RELEASE: usize = 1002;
const EPOCH: usize = 1003;
const LICENSE: usize = 1014;
const ARCHITECTURE: usize = 1022;
const SOURCE: usize = 1044;
const DIR_INDEXES: usize = 1116;
const BASE_NAMES: usize = 1117;
const DIR_NAMES: usize = 1118;
/// Of one header; rpm allows as many.
const MAX_TAGS: usize = 0xffff;

pub(super) fn parse(blob: &[u8]) -> Option<Header> {
    let (tags, length) = (big(blob, 0, 4)?, big(blob, 4, 4)?);
    if tags > MAX_TAGS {
        return None;
    }
    let index = blob.get(8..8 + 16 * tags)?;
    let data = blob.get(8 + 16 * tags..)?;
    let data = data.get(..length)?;
    // Where a tag's data starts, and how many values there are.
    let find = |tag: usize| {
        let mut entries = index.chunks_exact(16);
        let entry = entries.find(|entry| big(entry, 0, 4) == Some(tag))?;
        Some((data.get(big(entry, 8, 4)?..)?, big(entry, 12, 4)?))
    };
    let texts = |tag| {
        let (data, count) = find(tag)?;
        Some(data.split(|byte| *byte == 0).take(count).collect::<Vec<_>>())
    };
    let text = |tag| {
        let text = *texts(tag)?.first()?;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    let mut version = format!("{}-{}", text(VERSION)?, text(RELEASE)?);
    if let Some(epoch) = find(EPOCH).and_then(|(data, _)| big(data, 0, 4)) {
        version = format!("{epoch}:{version}");
    }
    let directories = texts(DIR_NAMES).unwrap_or_default();
    let numbers = find(DIR_INDEXES).map_or(&[][..], |(data, _)| data);
    let names = texts(BASE_NAMES).unwrap_or_default();
    let path = |(position, name): (usize, &&[u8])| {
        let directory = directories.get(big(numbers, 4 * position, 4)?)?;
        let path = [directory.strip_prefix(b"/")?, name].concat();
        Some(TreePath::from(path))
    };
    let files = names.iter().enumerate().filter_map(path).collect();
    let details = Details {
        architecture: text(ARCHITECTURE).unwrap_or_default(),
        upstream: text(SOURCE).unwrap_or_default(),
        license: text(LICENSE).unwrap_or_default(),
    };
    Some(Header { name: text(NAME)?, version, files, details })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header of strings (type 6 or 8) and 32-bit numbers (type 4).
    pub(in super::super) fn header(name: &str, version: &str, files: &[(&str, &str)]) -> Vec<u8> {
        let mut directories: Vec<&str> = files.iter().map(|(directory, _)| *directory).collect();
        directories.dedup();
        let number = |d: &str| directories.iter().position(|other| *other == d).unwrap() as u32;
        let numbers: Vec<u8> = files.iter().flat_map(|(d, _)| number(d).to_be_bytes()).collect();
        let strings =
            |texts: &[&str]| texts.iter().flat_map(|t| [t.as_bytes(), b"\0"].concat()).collect();
        let names: Vec<&str> = files.iter().map(|(_, name)| *name).collect();
        let tags: [(usize, u32, usize, Vec<u8>); 10] = [
            (EPOCH, 4, 1, 1_u32.to_be_bytes().to_vec()),
            (DIR_INDEXES, 4, names.len(), numbers),
            (NAME, 6, 1, strings(&[name])),
            (VERSION, 6, 1, strings(&[version])),
            (RELEASE, 6, 1, strings(&["2.el9"])),
            (LICENSE, 6, 1, strings(&["GPL-3.0-or-later"])),
            (ARCHITECTURE, 6, 1, strings(&["x86_64"])),
            (SOURCE, 6, 1, strings(&[&format!("{name}-{version}-2.el9.src.rpm")])),
            (BASE_NAMES, 8, names.len(), strings(&names)),
            (DIR_NAMES, 8, directories.len(), strings(&directories)),
        ];
        let (mut index, mut data) = (Vec::new(), Vec::new());
        for (tag, kind, count, bytes) in tags {
            for value in [tag as u32, kind, data.len() as u32, count as u32] {
                index.extend(value.to_be_bytes());
            }
            data.extend(bytes);
        }
        let sizes = [10_u32.to_be_bytes(), (data.len() as u32).to_be_bytes()].concat();
        [sizes, index, data].concat()
    }

    #[test]
    fn a_header_has_a_name_a_version_and_files() {
        let blob =
            header("bash", "5.1", &[("/usr/bin/", "bash"), ("/usr/bin/", "sh"), ("/etc/", "x")]);
        let files = ["usr/bin/bash", "usr/bin/sh", "etc/x"].map(|path| path.as_bytes().into());
        let expected = Header {
            name: "bash".to_owned(),
            version: "1:5.1-2.el9".to_owned(),
            files: files.into(),
            details: Details {
                architecture: "x86_64".to_owned(),
                upstream: "bash-5.1-2.el9.src.rpm".to_owned(),
                license: "GPL-3.0-or-later".to_owned(),
            },
        };
        assert_eq!(parse(&blob), Some(expected));
        for length in 0..blob.len() {
            assert_eq!(parse(&blob[..length]), None, "{length}");
        }
    }
}
