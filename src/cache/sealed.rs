//! Small JSON documents that carry the digest of their own bytes: a damaged one reads as none.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Sha256Sum;

/// `value` under a line with `format` and the digest. A format's name ends in its version.
pub(super) fn seal<T: Serialize>(format: &str, value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let body = serde_json::to_vec(value)?;
    let mut sealed = format!("{format} {}\n", Sha256Sum::of(&body).hex()).into_bytes();
    sealed.extend(body);
    Ok(sealed)
}

/// What [`seal`] was given; `None` for another format, and for anything that is not whole.
pub(super) fn unseal<T: DeserializeOwned>(format: &str, sealed: &[u8]) -> Option<T> {
    let end = sealed.iter().position(|byte| *byte == b'\n')?;
    let (line, body) = (&sealed[..end], &sealed[end + 1..]);
    let expected = format!("{format} {}", Sha256Sum::of(body).hex());
    if line != expected.as_bytes() {
        return None;
    }
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_nothing() {
        let sealed = seal("test-1", &vec![1, 2, 3]).unwrap();
        assert_eq!(unseal("test-1", &sealed), Some(vec![1, 2, 3]));
        assert_eq!(unseal::<Vec<u8>>("test-2", &sealed), None, "another format");
        let changed = String::from_utf8(sealed.clone()).unwrap().replace("[1,", "[4,");
        for damaged in [&sealed[..sealed.len() - 1], changed.as_bytes(), b"test-1", b"\n", b""] {
            assert_eq!(unseal::<Vec<u8>>("test-1", damaged), None);
        }
    }
}
