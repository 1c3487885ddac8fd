//! Java archives: zip files whose `pom.properties` say what they were made from.

use std::io::Read;

use crate::tree::TreePath;
use crate::weight::package::{Component, Details, PackageKind};
use crate::weight::packages::{Claim, Owns};

const ENDINGS: [&[u8]; 4] = [b".jar", b".war", b".ear", b".jmod"];
/// The end of the central directory, without its comment.
const END: usize = 22;
const END_MAGIC: &[u8] = b"PK\x05\x06";
const ENTRY_MAGIC: &[u8] = b"PK\x01\x02";
/// Of a `pom.properties`, in bytes: it has three lines.
const MAX_PROPERTIES: u64 = 64 << 10;

pub(super) fn is_archive(path: &[u8], head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") && ENDINGS.iter().any(|ending| path.ends_with(ending))
}

/// The archive as a package: what Maven wrote into it, else what its name says.
pub(super) fn claim(path: &TreePath, bytes: &[u8]) -> Option<Claim> {
    let file = path.rsplit(|byte| *byte == b'/').next()?;
    let (name, version) = of_name(&String::from_utf8_lossy(file));
    let (mut artifacts, mut packed) = (Vec::new(), Vec::new());
    for entry in entries(bytes).unwrap_or_default() {
        if entry.name.starts_with("META-INF/maven/") && entry.name.ends_with("/pom.properties") {
            artifacts.extend(entry.read(bytes).and_then(|text| of_maven(&text)));
        } else if entry.name.ends_with(".jar") {
            let (name, version) = of_name(entry.name.rsplit('/').next().unwrap_or_default());
            packed.push(Component { name, version });
        }
    }
    // One artifact is its own; of several, which happens where others are unpacked into one archive,
    // the one that has the name of the file.
    let own = artifacts.iter().position(|artifact| artifact.name.rsplit(':').next() == Some(&name));
    let own = own.or_else(|| (artifacts.len() == 1).then_some(0));
    let (name, version) = match own.map(|index| artifacts.remove(index)) {
        Some(own) => (own.name, own.version),
        None => (name, version),
    };
    let mut components = [artifacts, packed].concat();
    components.sort();
    components.dedup();
    Some(Claim {
        kind: PackageKind::Java,
        name,
        version,
        path: path.clone(),
        owns: Owns::Itself,
        components,
        details: Details::default(),
    })
}

/// `guava` and `32.1-jre` of `guava-32.1-jre.jar`.
fn of_name(file: &str) -> (String, String) {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let digit = |at: &usize| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    let dash = stem.match_indices('-').map(|(at, _)| at).find(digit);
    let (name, version) = dash.map_or((stem, ""), |at| (&stem[..at], &stem[at + 1..]));
    (name.to_owned(), version.to_owned())
}

fn of_maven(text: &str) -> Option<Component> {
    let value = |key: &str| {
        let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(key));
        values.find_map(|rest| rest.trim_start().strip_prefix('=')).map(str::trim)
    };
    let name = format!("{}:{}", value("groupId")?, value("artifactId")?);
    Some(Component { name, version: value("version")?.to_owned() })
}

struct ZipEntry {
    name: String,
    compressed: usize,
    is_deflated: bool,
    /// Of the local header.
    offset: usize,
}

impl ZipEntry {
    fn read(&self, bytes: &[u8]) -> Option<String> {
        let header = bytes.get(self.offset..)?;
        let start = 30 + half(header, 26)? + half(header, 28)?;
        let content = header.get(start..start.checked_add(self.compressed)?)?;
        let mut text = Vec::new();
        match self.is_deflated {
            true => flate2::read::DeflateDecoder::new(content)
                .take(MAX_PROPERTIES)
                .read_to_end(&mut text)
                .ok()?,
            false => content.take(MAX_PROPERTIES).read_to_end(&mut text).ok()?,
        };
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The central directory; that of an archive over 4 GiB is not read.
fn entries(bytes: &[u8]) -> Option<Vec<ZipEntry>> {
    let from = bytes.len().saturating_sub(END + 0xffff);
    let end = bytes[from..].windows(END_MAGIC.len()).rposition(|window| window == END_MAGIC)?;
    let end = &bytes[from + end..];
    let mut rest = bytes.get(word(end, 16)?..)?;
    let mut entries = Vec::new();
    for _ in 0..half(end, 10)? {
        if !rest.starts_with(ENTRY_MAGIC) {
            break;
        }
        let length = half(rest, 28)?;
        entries.push(ZipEntry {
            name: String::from_utf8_lossy(rest.get(46..46 + length)?).into_owned(),
            compressed: word(rest, 20)?,
            is_deflated: half(rest, 10)? == 8,
            offset: word(rest, 42)?,
        });
        rest = rest.get(46 + length + half(rest, 30)? + half(rest, 32)?..)?;
    }
    Some(entries)
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A zip with stored members.
    fn zip(members: &[(&str, &str)]) -> Vec<u8> {
        let (mut zip, mut directory) = (Vec::new(), Vec::new());
        for (name, text) in members {
            let offset = u32::try_from(zip.len()).unwrap().to_le_bytes();
            let size = u32::try_from(text.len()).unwrap().to_le_bytes();
            let length = u16::try_from(name.len()).unwrap().to_le_bytes();
            let common = [&[0; 12][..], &size, &size, &length, &[0, 0]].concat();
            zip.extend([b"PK\x03\x04\x0a\0", &common[..]].concat());
            zip.extend([name.as_bytes(), text.as_bytes()].concat());
            directory
                .extend([ENTRY_MAGIC, &[0; 2], b"\x0a\0", &common, &[0; 10], &offset].concat());
            directory.extend(name.as_bytes());
        }
        let start = u32::try_from(zip.len()).unwrap().to_le_bytes();
        let size = u32::try_from(directory.len()).unwrap().to_le_bytes();
        let count = u16::try_from(members.len()).unwrap().to_le_bytes();
        zip.extend(directory);
        zip.extend([END_MAGIC, &[0; 4], &count, &count, &size, &start, &[0; 2]].concat());
        zip
    }

    fn found(path: &str, members: &[(&str, &str)]) -> (String, String, Vec<String>) {
        let claim = claim(&path.as_bytes().into(), &zip(members)).unwrap();
        let components = claim.components.iter().map(|c| format!("{} {}", c.name, c.version));
        (claim.name, claim.version, components.collect())
    }

    #[test]
    fn archives_say_what_they_are() {
        let pom = "version=1.4\ngroupId=org.ex\nartifactId=lib\n";
        let other = "version = 2\r\ngroupId = org.b\r\nartifactId = b\r\n";
        let path = |name: &str| format!("META-INF/maven/org.ex/{name}/pom.properties");
        let (lib, b) = (path("lib"), path("b"));
        let owned = |name: &str, version: &str, components: &[&str]| {
            let components = components.iter().map(|c| (*c).to_owned()).collect();
            (name.to_owned(), version.to_owned(), components)
        };
        for (file, members, expected) in [
            ("a/lib.jar", &[(lib.as_str(), pom)][..], owned("org.ex:lib", "1.4", &[])),
            ("lib-9.jar", &[(&lib, pom), (&b, other)], owned("org.ex:lib", "1.4", &["org.b:b 2"])),
            ("guava-32.1-jre.jar", &[("x", "")], owned("guava", "32.1-jre", &[])),
            ("app-1.0.jar", &[("BOOT-INF/lib/x-y-2.1.jar", "")], owned("app", "1.0", &["x-y 2.1"])),
        ] {
            assert_eq!(found(file, members), expected, "{file}");
        }
    }
}
