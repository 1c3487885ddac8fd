//! What can be read off the text of a URL. **Pure.**

mod git;

pub use git::{GitUrl, GitUrlError};

/// Whether a text names something to download, a git repository aside (L-145).
#[must_use]
pub fn is_http(text: &str) -> bool {
    matches!(scheme(text), Some((scheme, _)) if is_web(scheme))
}

/// The name that ADD gives to a download: the last part of the URL's path without escapes, or
/// `__unnamed__` (L-145).
#[must_use]
pub fn file_name(url: &str) -> String {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let location = after_scheme.split(['?', '#']).next().unwrap_or_default();
    let path = location.split_once('/').map_or("", |(_, path)| path);
    let decoded = percent_decoded(path);
    match decoded.trim_end_matches('/').rsplit('/').next() {
        None | Some("" | "." | "..") => "__unnamed__".to_owned(),
        Some(name) if name.contains('\0') => "__unnamed__".to_owned(),
        Some(name) => name.to_owned(),
    }
}

/// A URL as a log may show it: no user, no query, no fragment; either may hold a secret.
#[must_use]
pub fn shown(url: &str) -> String {
    let Some((scheme, rest)) = scheme(url) else { return url.to_owned() };
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once('/').map_or("", |(_, path)| path);
    format!("{scheme}://{}/{path}", authority(url))
}

/// The host and port of a URL.
#[must_use]
pub fn authority(url: &str) -> &str {
    let rest = scheme(url).map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// The host of a URL, without brackets and port.
#[must_use]
pub fn host(url: &str) -> &str {
    let authority = authority(url);
    match authority.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// `https` and what follows `://`.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_word = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    is_word.then_some((scheme, rest))
}

fn is_web(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
}

/// `%41` read as `A`; what is no valid text stays as it was.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
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
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_last_part_of_the_path() {
        for (url, expected) in [
            ("https://h/a/b.tar.gz?x=/y#z", "b.tar.gz"),
            ("https://h/a/", "a"),
            ("https://h", "__unnamed__"),
            ("https://h/", "__unnamed__"),
            ("https://h/a%20b%zz", "a b%zz"),
            ("https://h/x%2Fy", "y"),
            ("https://h/%2E%2E", "__unnamed__"),
            ("https://h/a%00b", "__unnamed__"),
            ("https://h/%e4%b8%ad", "中"),
            ("https://h/%ff", "%ff"),
        ] {
            assert_eq!(file_name(url), expected, "{url}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        for (url, expected, host_expected) in [
            ("https://u:p@h:1/a@b:2", "h:1", "h"),
            ("https://h?x@y", "h", "h"),
            ("http://[::1]:8/", "[::1]:8", "::1"),
        ] {
            assert_eq!((authority(url), host(url)), (expected, host_expected), "{url}");
        }
        assert_eq!(shown("https://u:p@h:1/a/b?token=1#f"), "https://h:1/a/b");
    }

    #[test]
    fn downloads_are_told_by_their_scheme() {
        for (text, expected) in [
            ("https://example.com/a", true),
            ("HTTP://example.com/a", true),
            ("http", false),
            ("a/http://b", false),
            ("ftp://example.com/a", false),
        ] {
            assert_eq!(is_http(text), expected, "{text}");
        }
    }
}
