//! What Go and `cargo auditable` write into programs: the modules and crates that they are made of.

use std::io::Read;

use serde::Deserialize;

use super::BuildInfo;
use crate::weight::package::{Component, PackageKind};

const GO_MAGIC: &[u8] = b"\xff Go buildinf:";
/// The flag of Go 1.18 and later: the texts follow the header. Before, it has only addresses.
const GO_INLINE: u8 = 2;
const GO_HEADER: usize = 32;
/// Of the JSON that `cargo auditable` keeps, uncompressed; in bytes.
const MAX_AUDIT: u64 = 8 << 20;

/// From the section `.go.buildinfo` (`debug/buildinfo`).
pub(super) fn go(section: &[u8]) -> Option<BuildInfo> {
    if !section.starts_with(GO_MAGIC) || section.get(15)? & GO_INLINE == 0 {
        return None;
    }
    let (version, rest) = go_text(section.get(GO_HEADER..)?)?;
    let (modules, _) = go_text(rest)?;
    // Sixteen bytes on both sides mark the text for the runtime.
    let modules = modules.get(16..modules.len().checked_sub(16)?)?;
    let modules = String::from_utf8_lossy(modules);
    let mut info = BuildInfo {
        kind: PackageKind::Go,
        name: String::new(),
        version: String::new(),
        components: Vec::new(),
    };
    for line in modules.lines() {
        let mut words = line.split('\t');
        match (words.next(), words.next(), words.next()) {
            (Some("path"), Some(path), _) if info.name.is_empty() => info.name = path.to_owned(),
            (Some("mod"), Some(name), Some(version)) => {
                (info.name, info.version) = (name.to_owned(), version.to_owned());
            }
            (Some("dep"), Some(name), Some(version)) => {
                info.components
                    .push(Component { name: name.to_owned(), version: version.to_owned() });
            }
            // A replacement stands for the one before it.
            (Some("=>"), Some(name), Some(version)) => {
                info.components.pop();
                info.components
                    .push(Component { name: name.to_owned(), version: version.to_owned() });
            }
            _ => {}
        }
    }
    let version = String::from_utf8_lossy(version).trim_start_matches("go").to_owned();
    info.components.push(Component { name: "go".to_owned(), version });
    info.components.sort();
    (!info.name.is_empty()).then_some(info)
}

/// A text with its length before it, as a varint; and what follows.
fn go_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return bytes.get(index + 1..)?.split_at_checked(length);
        }
    }
    None
}

#[derive(Deserialize)]
struct Audit {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    #[serde(default)]
    root: bool,
}

/// From the section `.dep-v0`: JSON, compressed by zlib.
pub(super) fn rust(section: &[u8]) -> Option<BuildInfo> {
    let mut json = Vec::new();
    flate2::read::ZlibDecoder::new(section).take(MAX_AUDIT).read_to_end(&mut json).ok()?;
    let audit: Audit = serde_json::from_slice(&json).ok()?;
    let (roots, crates): (Vec<_>, Vec<_>) = audit.packages.into_iter().partition(|c| c.root);
    let Crate { name, version, .. } = roots.into_iter().next()?;
    let component = |c: Crate| Component { name: c.name, version: c.version };
    let mut components: Vec<Component> = crates.into_iter().map(component).collect();
    components.sort();
    Some(BuildInfo { kind: PackageKind::Rust, name, version, components })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn component(name: &str, version: &str) -> Component {
        Component { name: name.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn go_modules() {
        let text = "path\tex.org/app/cmd\nmod\tex.org/app\tv1.2.3\th1:x\ndep\tex.org/b\tv0.1.0\n\
                    dep\tex.org/a\tv2.0.0\n=>\tex.org/fork\tv2.0.1\nbuild\t-compiler=gc\n";
        let modules = [&[b'<'; 16][..], text.as_bytes(), &[b'>'; 16]].concat();
        let mut section = [GO_MAGIC, &[8, GO_INLINE][..], &[0; 16]].concat();
        section.push(8);
        section.extend_from_slice(b"go1.22.1");
        assert!(modules.len() > 127 && modules.len() < 1 << 14);
        section.extend([(modules.len() & 0x7f) as u8 | 0x80, (modules.len() >> 7) as u8]);
        section.extend_from_slice(&modules);
        let found = go(&section).unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("ex.org/app", "v1.2.3"));
        assert_eq!(
            found.components,
            [
                component("ex.org/b", "v0.1.0"),
                component("ex.org/fork", "v2.0.1"),
                component("go", "1.22.1")
            ]
        );
        assert_eq!(go(&section[..60]), None);
    }

    #[test]
    fn rust_crates() {
        let json = r#"{"packages":[{"name":"b","version":"2.0.0","source":"registry"},
            {"name":"app","version":"0.1.0","source":"local","root":true}]}"#;
        let mut section = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        section.write_all(json.as_bytes()).unwrap();
        let found = rust(&section.finish().unwrap()).unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("app", "0.1.0"));
        assert_eq!(found.components, [component("b", "2.0.0")]);
        assert_eq!(rust(b"no zlib"), None);
    }
}
