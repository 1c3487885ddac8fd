//! Which distribution an image is of.

use serde::{Deserialize, Serialize};

use super::facts::Fact;
use super::file::{File, kept_at};
use super::input::Image;

/// Where `os-release(5)` says it; the first that is there counts.
const PATHS: [&[u8]; 2] = [b"etc/os-release", b"usr/lib/os-release"];
/// Of such a file; bytes.
const MAX_FILE: u64 = 64 << 10;

/// What an image says of its operating system (`os-release(5)`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// `debian`
    pub id: String,
    /// `12`; empty where releases have no number.
    pub version: String,
    /// For people: `Debian GNU/Linux 12 (bookworm)`. May be empty.
    pub name: String,
}

pub(super) fn wanted(path: &[u8]) -> u64 {
    if PATHS.contains(&path) { MAX_FILE } else { 0 }
}

pub(super) fn fact(path: &[u8], bytes: &[u8]) -> Option<Fact> {
    if wanted(path) == 0 {
        return None;
    }
    let text = String::from_utf8_lossy(bytes);
    let value = |key: &str| {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        value.map(unquoted).unwrap_or_default()
    };
    let (id, version, name) = (value("ID"), value("VERSION_ID"), value("PRETTY_NAME"));
    (!id.is_empty()).then_some(Fact::Distribution(Distribution { id, version, name }))
}

/// A value without its quotes, and without the backslashes that escape a character in them.
fn unquoted(value: &str) -> String {
    let quoted = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(literal) = quoted('\'') {
        return literal.to_owned();
    }
    let mut out = String::with_capacity(value.len());
    let mut characters = quoted('"').unwrap_or(value).chars();
    while let Some(character) = characters.next() {
        out.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    out
}

pub(super) fn find(image: &Image, files: &[File]) -> Option<Distribution> {
    PATHS.iter().find_map(|path| {
        let file = &files[kept_at(files, path)?];
        match image.layers[file.layer as usize].facts.get(&file.path) {
            Some(Fact::Distribution(distribution)) => Some(distribution.clone()),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_be_quoted() {
        let text =
            "PRETTY_NAME=\"A \\\"b\\\" 1\"\nVERSION_ID='12'\n# ID=no\nID=debian\nID_LIKE=x\n";
        let expected = Distribution {
            id: "debian".to_owned(),
            version: "12".to_owned(),
            name: "A \"b\" 1".to_owned(),
        };
        let found = fact(b"usr/lib/os-release", text.as_bytes());
        assert_eq!(found, Some(Fact::Distribution(expected)));
        assert_eq!(fact(b"etc/os-release", b"VERSION_ID=1\n"), None);
        assert_eq!(fact(b"etc/passwd", text.as_bytes()), None);
    }
}
