//! Paths as text that gives the path back: UTF-8 as it is, `\` doubled, other bytes as `\xNN`.

use std::fmt::Write as _;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

use crate::tree::TreePath;

/// `usr/bin/caf\xe9`
#[must_use]
pub fn text(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The path that [`text()`] wrote; `None` for what it never writes.
#[must_use]
pub fn parse(text: &str) -> Option<TreePath> {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        path.extend_from_slice(plain.as_bytes());
        if let Some(after) = escaped.strip_prefix('\\') {
            path.push(b'\\');
            rest = after;
        } else {
            let digits = escaped.strip_prefix('x')?.get(..2)?;
            path.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &escaped[3..];
        }
    }
    path.extend_from_slice(rest.as_bytes());
    Some(path.into())
}

#[allow(clippy::missing_errors_doc, reason = "the two halves of serde's `with`")]
pub fn serialize<S: Serializer>(path: &TreePath, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(path))
}

#[allow(clippy::missing_errors_doc, reason = "the two halves of serde's `with`")]
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TreePath, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no path")))
}

/// The same for several.
pub mod list {
    use serde::ser::SerializeSeq as _;

    use super::*;

    #[allow(clippy::missing_errors_doc, reason = "the two halves of serde's `with`")]
    pub fn serialize<S: Serializer>(paths: &[TreePath], serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(paths.len()))?;
        for path in paths {
            list.serialize_element(&text(path))?;
        }
        list.end()
    }

    #[allow(clippy::missing_errors_doc, reason = "the two halves of serde's `with`")]
    pub fn deserialize<'de, D>(deserializer: D) -> Result<Vec<TreePath>, D::Error>
    where
        D: Deserializer<'de>,
    {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let path = |text: &String| {
            parse(text).ok_or_else(|| D::Error::custom(format!("{text:?} is no path")))
        };
        texts.iter().map(path).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn utf_8_stays_as_it_is() {
        assert_eq!(text("usr/café".as_bytes()), "usr/café");
        assert_eq!(text(b"a\\b/\xff"), "a\\\\b/\\xff");
        for bad in ["\\", "\\x", "\\xg0", "\\y", "\\xé"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_path_comes_back(path: Vec<u8>) {
            let back = parse(&text(&path));
            prop_assert_eq!(back.as_deref(), Some(&path[..]));
        }
    }
}
