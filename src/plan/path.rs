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
    }
}
