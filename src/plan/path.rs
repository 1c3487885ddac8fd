//! Absolute paths inside an image, as text.

/// Without `.`, `..`, doubled and trailing slashes; never above the root. A relative path is taken
/// from the root.
pub(super) fn clean(path: &str) -> String {
    join("/", path)
}

/// `path` as seen from `directory`, clean.
pub(super) fn join(directory: &str, path: &str) -> String {
    let base = if path.starts_with('/') { "" } else { directory };
    let mut parts = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The last part of a path, as Go's `path.Base`: `.` for an empty one.
pub(super) fn base(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        path => path.rsplit('/').next().unwrap_or(path),
    }
}

/// A URL's path with `%41` read as `A`; what is no valid text stays as it was.
pub(super) fn percent_decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|&b| char::from(b).to_digit(16));
        match (byte, digit(0), digit(1)) {
            // Two hexadecimal digits are at most 255.
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_cleaned() {
        for (directory, path, expected) in [
            ("/", "", "/"),
            ("/a", "b/../c/", "/a/c"),
            ("/a", "/b//./c", "/b/c"),
            ("/a", "../../..", "/"),
            ("a", "b", "/a/b"),
        ] {
            assert_eq!(join(directory, path), expected);
        }
        assert_eq!(clean("a/.//b/"), "/a/b");
        for (path, expected) in [("", "."), ("/", "/"), ("a/b/", "b"), ("x", "x")] {
            assert_eq!(base(path), expected);
        }
        for (path, expected) in [("a%20b", "a b"), ("%", "%"), ("%zz", "%zz"), ("%ff", "%ff")] {
            assert_eq!(percent_decoded(path), expected);
        }
    }
}
