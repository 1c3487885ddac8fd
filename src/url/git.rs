//! A git repository as a context or the source of an ADD names it (L-083, L-146): BuildKit's
//! `https://host/a.git#REF:SUBDIR`, the same as a query, and `git@host:a/b`.

use super::{is_web, percent_decoded, scheme};

/// What to take of which repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GitUrl {
    /// What git is asked for: no fragment, no query, but possibly a user and a password.
    pub remote: String,
    /// A branch, a tag, a full reference or a commit; `None` for the repository's default branch.
    pub reference: Option<String>,
    /// Relative and clean; empty for all of it.
    pub subdirectory: String,
    /// The commit that it must be, or how its id begins.
    pub checksum: Option<String>,
    /// `None` where the URL doesn't say.
    pub keep_git_dir: Option<bool>,
    pub skip_submodules: bool,
    /// `mtime=commit`: files are as old as the commit, not as the checkout.
    pub commit_times: bool,
    /// The checksum is a whole commit id, which is fetched without asking what the reference is.
    pub fetch_by_commit: bool,
}

/// The texts are BuildKit's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitUrlError {
    #[error("query {0:?} has no value")]
    NoValue(String),
    #[error("query {0:?} has multiple values")]
    SeveralValues(String),
    #[error("{what} conflicts: {first:?} vs {second:?}")]
    Conflict { what: &'static str, first: String, second: String },
    #[error("branch conflicts with tag")]
    BranchAndTag,
    #[error("invalid {key} value: {value:?}")]
    NotBoolean { key: String, value: String },
    #[error("invalid mtime value: {0:?} (must be \"checkout\" or \"commit\")")]
    Mtime(String),
    #[error("unexpected query {0:?}")]
    UnknownKey(String),
    #[error("invalid git ref {0:?}")]
    Reference(String),
    #[error("invalid checksum {0} for Git URL, expected hex commit hash")]
    Checksum(String),
    #[error("fetch-by-commit requires a full commit SHA, as the ref or as the checksum, got {0:?}")]
    FetchByWhat(String),
}

impl GitUrl {
    /// `None` for a text that names no git repository, such as a path or a download.
    ///
    /// # Errors
    /// A fragment or a query that can't be understood.
    pub fn parse(text: &str) -> Option<Result<Self, GitUrlError>> {
        let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (remote, query) = before.split_once('?').unwrap_or((before, ""));
        let is_git = match scheme(remote) {
            // Anything may be downloaded, so the name has to say it.
            Some((scheme, _)) if is_web(scheme) => percent_decoded(remote).ends_with(".git"),
            Some((scheme, _)) => ["git", "ssh"].iter().any(|s| scheme.eq_ignore_ascii_case(s)),
            None => is_scp_style(remote),
        };
        is_git.then(|| Self::assemble(remote, fragment, query))
    }

    /// [`GitUrl::parse`], and `github.com/a/b`, which in a Dockerfile would be a path.
    ///
    /// # Errors
    /// As [`GitUrl::parse`].
    pub fn parse_context(text: &str) -> Option<Result<Self, GitUrlError>> {
        if !text.starts_with("github.com/") {
            return Self::parse(text);
        }
        let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (remote, query) = before.split_once('?').unwrap_or((before, ""));
        Some(Self::assemble(&format!("https://{remote}"), fragment, query))
    }

    fn assemble(remote: &str, fragment: &str, query: &str) -> Result<Self, GitUrlError> {
        let fragment = percent_decoded(fragment);
        let (reference, subdirectory) = fragment.split_once(':').unwrap_or((&fragment, ""));
        let mut url = Self {
            remote: remote.to_owned(),
            reference: Some(reference.to_owned()).filter(|reference| !reference.is_empty()),
            subdirectory: clean(subdirectory),
            ..Self::default()
        };
        url.read_query(query)?;
        url.check()?;
        Ok(url)
    }

    fn read_query(&mut self, query: &str) -> Result<(), GitUrlError> {
        let mut seen: Vec<String> = Vec::new();
        let (mut tag, mut branch) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| percent_decoded(&text.replace('+', " "));
            let (key, value) = (decode(key), decode(value));
            if seen.contains(&key) {
                return Err(GitUrlError::SeveralValues(key));
            }
            let is_switch =
                matches!(key.as_str(), "keep-git-dir" | "submodules" | "fetch-by-commit");
            if value.is_empty() && !is_switch {
                return Err(GitUrlError::NoValue(key));
            }
            match key.as_str() {
                "ref" => self.refer(value)?,
                "tag" => tag = Some(qualified("refs/tags/", &value)),
                "branch" => branch = Some(qualified("refs/heads/", &value)),
                "subdir" => {
                    let value = clean(&value);
                    if !self.subdirectory.is_empty() && self.subdirectory != value {
                        let first = self.subdirectory.clone();
                        return Err(GitUrlError::Conflict { what: "subdir", first, second: value });
                    }
                    self.subdirectory = value;
                }
                "checksum" | "commit" => self.checksum = Some(value),
                "keep-git-dir" => self.keep_git_dir = Some(boolean(&key, &value)?),
                "submodules" => self.skip_submodules = !boolean(&key, &value)?,
                "fetch-by-commit" => self.fetch_by_commit = boolean(&key, &value)?,
                "mtime" => match value.as_str() {
                    "checkout" => {}
                    "commit" => self.commit_times = true,
                    _ => return Err(GitUrlError::Mtime(value)),
                },
                _ => return Err(GitUrlError::UnknownKey(key)),
            }
            seen.push(key);
        }
        if tag.is_some() && branch.is_some() {
            return Err(GitUrlError::BranchAndTag);
        }
        tag.or(branch).map_or(Ok(()), |reference| self.refer(reference))
    }

    fn refer(&mut self, to: String) -> Result<(), GitUrlError> {
        match &self.reference {
            Some(first) if *first != to => {
                Err(GitUrlError::Conflict { what: "ref", first: first.clone(), second: to })
            }
            _ => {
                self.reference = Some(to);
                Ok(())
            }
        }
    }

    /// Checks what the other parts have to say of each other.
    fn check(&self) -> Result<(), GitUrlError> {
        if let Some(reference) = self.reference.as_ref().filter(|name| name.starts_with('-')) {
            // git would take it for an option.
            return Err(GitUrlError::Reference(reference.clone()));
        }
        self.check_checksum()?;
        if self.fetch_by_commit && self.known_commit().is_none() {
            return Err(GitUrlError::FetchByWhat(self.checksum.clone().unwrap_or_default()));
        }
        Ok(())
    }

    /// Whether the checksum can be one.
    ///
    /// # Errors
    /// [`GitUrlError::Checksum`]
    pub fn check_checksum(&self) -> Result<(), GitUrlError> {
        match &self.checksum {
            Some(sum) if sum.is_empty() || !sum.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Err(GitUrlError::Checksum(sum.clone()))
            }
            _ => Ok(()),
        }
    }

    /// The commit, where the URL itself says which.
    #[must_use]
    pub fn known_commit(&self) -> Option<&str> {
        let sum = self.checksum.as_deref().filter(|_| self.fetch_by_commit);
        self.reference.as_deref().filter(|name| is_commit(name)).or(sum.filter(|s| is_commit(s)))
    }

    /// The remote as a log may show it: without user and password, but for the user of SSH.
    #[must_use]
    pub fn shown(&self) -> String {
        match scheme(&self.remote) {
            Some((scheme, _)) if is_web(scheme) => {
                self.credentials().map_or_else(|| self.remote.clone(), |(remote, _)| remote)
            }
            Some((scheme, rest)) => {
                let (user, host) = rest.split_once('@').unwrap_or(("", rest));
                let user = user.split(':').next().unwrap_or_default();
                let at = if user.is_empty() { "" } else { "@" };
                format!("{scheme}://{user}{at}{host}")
            }
            None => self.remote.clone(),
        }
    }

    /// The remote without, and `user:password`, of a web URL that has it.
    #[must_use]
    pub fn credentials(&self) -> Option<(String, String)> {
        let (scheme, rest) = scheme(&self.remote).filter(|(scheme, _)| is_web(scheme))?;
        let authority_end = rest.find('/').unwrap_or(rest.len());
        let at = rest[..authority_end].rfind('@')?;
        let remote = format!("{scheme}://{}", &rest[at + 1..]);
        Some((remote, percent_decoded(&rest[..at])))
    }
}

/// A whole id, of SHA-1 or SHA-256.
#[must_use]
fn is_commit(text: &str) -> bool {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    matches!(text.len(), 40 | 64) && text.bytes().all(is_hex)
}

/// `user@host:path`
fn is_scp_style(text: &str) -> bool {
    let word = |part: &str, more: &[u8]| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    text.split_once('@').and_then(|(user, rest)| Some((user, rest.split_once(':')?))).is_some_and(
        |(user, (host, path))| {
            // A host that begins with a dash would be an option of ssh.
            word(user, b"-_") && word(host, b"-.") && !host.starts_with('-') && !path.is_empty()
        },
    )
}

fn qualified(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

/// Relative, without `.` and `..`, never above the root.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Go's `strconv.ParseBool`; a key alone is true.
fn boolean(key: &str, value: &str) -> Result<bool, GitUrlError> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(GitUrlError::NotBoolean { key: key.to_owned(), value: value.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_paths_and_downloads() {
        for (text, expected) in [
            ("a/b", false),
            ("./git@host:x", false),
            ("a@b", false),
            ("git@host", false),
            ("git@-oProxyCommand=x:y", false),
            ("github.com/a/b", false),
            ("https://example.com/a.tar.gz", false),
            ("HTTP://example.com/a.git/b", false),
            ("file:///a.git", false),
            ("ext::sh -c x.git", false),
            ("https://example.com/a.git", true),
            ("https://example.com/a.git#main:dir", true),
            ("https://example.com/a.git?ref=main", true),
            ("git://example.com/a", true),
            ("ssh://git@example.com/a", true),
            ("git@example.com:a/b.git", true),
            ("git@example.com:a/b.git#main", true),
        ] {
            assert_eq!(GitUrl::parse(text).is_some(), expected, "{text}");
        }
        let url = GitUrl::parse_context("github.com/a/b#v1:c").unwrap().unwrap();
        assert_eq!(url.remote, "https://github.com/a/b");
        assert_eq!((url.reference.as_deref(), url.subdirectory.as_str()), (Some("v1"), "c"));
    }

    #[test]
    fn fragment_and_query_say_the_same() {
        let parse = |text: &str| GitUrl::parse(text).unwrap().unwrap();
        let expected = GitUrl {
            remote: "https://h/a.git".to_owned(),
            reference: Some("v1".to_owned()),
            subdirectory: "b/c".to_owned(),
            ..GitUrl::default()
        };
        for text in ["https://h/a.git#v1:b/c", "https://h/a.git#v1:/../b/./c/"] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("https://h/a.git?ref=v1&subdir=b%2Fc"), expected);
        assert_eq!(parse("https://h/a.git?ref=v1#v1:b/c"), expected);
        let url = parse(
            "git@h:a.git?tag=v1&checksum=0a&keep-git-dir&submodules=0&mtime=commit#refs/tags/v1",
        );
        assert_eq!(url.reference.as_deref(), Some("refs/tags/v1"));
        assert_eq!((url.checksum.as_deref(), url.keep_git_dir), (Some("0a"), Some(true)));
        assert!(url.skip_submodules && url.commit_times && !url.fetch_by_commit);
        assert_eq!(parse("git://h/a?branch=x").reference.as_deref(), Some("refs/heads/x"));
    }

    #[test]
    fn mistakes_have_buildkits_words() {
        for (rest, expected) in [
            ("?ref=a#b", r#"ref conflicts: "b" vs "a""#),
            ("?ref", r#"query "ref" has no value"#),
            ("?ref=a&ref=a", r#"query "ref" has multiple values"#),
            ("?subdir=a#:b", r#"subdir conflicts: "b" vs "a""#),
            ("?tag=a&branch=b", "branch conflicts with tag"),
            ("?submodules=maybe", r#"invalid submodules value: "maybe""#),
            ("?mtime=now", r#"invalid mtime value: "now" (must be "checkout" or "commit")"#),
            ("?depth=1", r#"unexpected query "depth""#),
            ("#--upload-pack=x", r#"invalid git ref "--upload-pack=x""#),
            ("?checksum=xyz", "invalid checksum xyz for Git URL, expected hex commit hash"),
            (
                "?fetch-by-commit&checksum=abc",
                "fetch-by-commit requires a full commit SHA, as the ref or as the checksum, got \
                 \"abc\"",
            ),
        ] {
            let error = GitUrl::parse(&format!("https://h/a.git{rest}")).unwrap().unwrap_err();
            assert_eq!(error.to_string(), expected, "{rest}");
        }
    }

    #[test]
    fn a_shown_remote_has_no_password() {
        for (text, shown, credentials) in [
            ("https://h/a.git", "https://h/a.git", None),
            ("https://u:p%40@h:1/a.git", "https://h:1/a.git", Some("u:p@")),
            ("https://[::1]:8/a.git", "https://[::1]:8/a.git", None),
            ("ssh://git:x@h/a", "ssh://git@h/a", None),
            ("git@h:a/b", "git@h:a/b", None),
        ] {
            let url = GitUrl::parse(text).unwrap().unwrap();
            assert_eq!(url.shown(), shown, "{text}");
            let found = url.credentials().map(|(_, credentials)| credentials);
            assert_eq!(found.as_deref(), credentials, "{text}");
        }
    }

    #[test]
    fn a_commit_is_known_from_the_reference_or_a_trusted_checksum() {
        let id = "0123456789".repeat(4);
        let known = |rest: &str| {
            let url = GitUrl::parse(&format!("https://h/a.git{rest}")).unwrap().unwrap();
            url.known_commit().map(str::to_owned)
        };
        assert_eq!(known(&format!("#{id}")), Some(id.clone()));
        assert_eq!(known(&format!("?checksum={id}&fetch-by-commit#main")), Some(id.clone()));
        assert_eq!(known(&format!("?checksum={id}#main")), None);
        assert_eq!(known("#0123456"), None);
    }
}
