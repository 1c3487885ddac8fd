//! Versions: semver.org 2.0.0 and PEP 440.

use std::sync::LazyLock;

use fancy_regex::Regex;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Semver {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) patch: u64,
    /// Without its dash; empty for a release.
    pub(super) prerelease: String,
    /// Without its plus; empty where there is none.
    pub(super) build: String,
    /// Without a leading `v` and without build metadata.
    pub(super) version: String,
}

/// A semantic version, with or without a leading `v`.
pub(super) fn semver(text: &str) -> Option<Semver> {
    let text = text.trim();
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, build) = text.split_once('+').map_or((text, None), |(text, b)| (text, Some(b)));
    if build.is_some_and(|build| !build.split('.').all(identifier)) {
        return None;
    }
    let (numbers, prerelease) = text.split_once('-').map_or((text, ""), |(n, p)| (n, p));
    if text.contains('-') {
        let valid = |part: &str| {
            let number = part.bytes().all(|b| b.is_ascii_digit());
            identifier(part) && (!number || self::number(part).is_some())
        };
        if !prerelease.split('.').all(valid) {
            return None;
        }
    }
    let mut parts = numbers.split('.').map(number);
    let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() {
        return None;
    }
    Some(Semver {
        major,
        minor,
        patch,
        prerelease: prerelease.to_owned(),
        build: build.unwrap_or_default().to_owned(),
        version: text.to_owned(),
    })
}

fn identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Digits without a leading zero.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pep440 {
    /// The numbers of the release, without leading zeros.
    pub(super) release: Vec<String>,
    /// No pre-release, post-release or development release.
    pub(super) is_final: bool,
    pub(super) normalized: String,
}

/// The grammar of PEP 440, appendix B, in our own order of groups.
static PEP440: LazyLock<Regex> = LazyLock::new(|| {
    let text = concat!(
        r"^v?(?:(?<epoch>[0-9]+)!)?(?<release>[0-9]+(?:\.[0-9]+)*)",
        r"(?:[-_.]?(?<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?<pren>[0-9]*))?",
        r"(?<post>-(?<bare>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?<postn>[0-9]*))?",
        r"(?<dev>[-_.]?dev[-_.]?(?<devn>[0-9]*))?",
        r"(?:\+(?<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?$",
    );
    Regex::new(text).expect("a constant, which every test compiles")
});

/// A version of a Python package.
pub(super) fn pep440(text: &str) -> Option<Pep440> {
    let text = text.trim().to_lowercase();
    let found = PEP440.captures(&text).ok()??;
    let group = |name| found.name(name).map(|m| m.as_str());
    // An empty number is zero.
    let digits = |text: &str| match text.trim_start_matches('0') {
        "" => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let release: Vec<String> = group("release")?.split('.').map(digits).collect();
    let mut normalized = String::new();
    if let Some(epoch) = group("epoch").map(digits).filter(|epoch| epoch != "0") {
        normalized += &format!("{epoch}!");
    }
    normalized += &release.join(".");
    if let Some(pre) = group("pre") {
        let letter = match pre {
            "alpha" | "a" => "a",
            "beta" | "b" => "b",
            _ => "rc",
        };
        normalized += &format!("{letter}{}", digits(group("pren").unwrap_or_default()));
    }
    if group("post").is_some() {
        let number = group("bare").or_else(|| group("postn")).unwrap_or_default();
        normalized += &format!(".post{}", digits(number));
    }
    if group("dev").is_some() {
        normalized += &format!(".dev{}", digits(group("devn").unwrap_or_default()));
    }
    if let Some(local) = group("local") {
        // PEP 440 has dots between its parts, metadata-action's tags have dashes.
        normalized += &format!("+{}", local.replace(['.', '_'], "-"));
    }
    let is_final = ["pre", "post", "dev"].iter().all(|part| group(part).is_none());
    Some(Pep440 { release, is_final, normalized })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semantic_versions() {
        let rows = [
            ("1.2.3", Some("1.2.3")),
            ("v1.2.3", Some("1.2.3")),
            ("v1.2.3-rc.1+build.5", Some("1.2.3-rc.1")),
            ("0.0.0-0", Some("0.0.0-0")),
            ("1.2.3--x", Some("1.2.3--x")),
            ("1.2", None),
            ("1.2.3.4", None),
            ("01.2.3", None),
            ("1.2.3-01", None),
            ("1.2.3-", None),
            ("1.2.3+", None),
            ("1.2.3-a..b", None),
            ("latest", None),
            ("=1.2.3", None),
        ];
        for (text, expected) in rows {
            assert_eq!(semver(text).map(|v| v.version).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn python_versions() {
        let rows = [
            ("1.2.3", Some(("1.2.3", true))),
            ("v1.02", Some(("1.2", true))),
            ("1!2.0", Some(("1!2.0", true))),
            ("1.0-Alpha.1", Some(("1.0a1", false))),
            ("1.0_preview", Some(("1.0rc0", false))),
            ("1.0-1", Some(("1.0.post1", false))),
            ("1.0.rev", Some(("1.0.post0", false))),
            ("1.0dev3", Some(("1.0.dev3", false))),
            ("1.0rc2.post1.dev0+Ubuntu-1", Some(("1.0rc2.post1.dev0+ubuntu-1", false))),
            ("1.0+local", Some(("1.0+local", true))),
            ("1.0-x", None),
            ("", None),
            ("release-1", None),
        ];
        for (text, expected) in rows {
            let found = pep440(text);
            let found = found.as_ref().map(|v| (v.normalized.as_str(), v.is_final));
            assert_eq!(found, expected, "{text}");
        }
    }
}
