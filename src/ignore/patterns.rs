//! A list of patterns: the file, and what of a tree it leaves.

use super::glob::BadPattern;
use super::pattern::Pattern;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IgnoreError {
    #[error("line {line}: {source}")]
    Pattern { line: usize, source: BadPattern },
    #[error("line {line}: illegal exclusion pattern: \"!\"")]
    LoneExclamation { line: usize },
    #[error("line {line}: the pattern is not UTF-8 text")]
    NotText { line: usize },
}

/// The patterns of an ignore file or of `--exclude`, in order.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

/// What the patterns say of one path.
#[derive(Clone, Debug, Default)]
pub struct Matched {
    /// Whether the path matches in the end: it is ignored.
    pub matched: bool,
    /// Which patterns matched the path or a parent; empty above the top.
    each: Vec<bool>,
}

impl Patterns {
    /// Reads an ignore file: one pattern in a line, `#` at the very beginning of a line for a
    /// comment, a byte order mark allowed (L-191).
    ///
    /// # Errors
    /// With the number of the line.
    pub fn parse(file: &[u8]) -> Result<Self, IgnoreError> {
        let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
        let mut patterns = Vec::new();
        for (line, bytes) in (1..).zip(file.split(|byte| *byte == b'\n')) {
            if bytes.starts_with(b"#") {
                continue;
            }
            let text = std::str::from_utf8(bytes).map_err(|_| IgnoreError::NotText { line })?;
            let Some((clean, negated)) = read(text, line)? else { continue };
            let relative = clean.strip_prefix('/').filter(|rest| !rest.is_empty());
            let pattern = Pattern::new(relative.unwrap_or(&clean), negated)
                .map_err(|source| IgnoreError::Pattern { line, source })?;
            patterns.push(pattern);
        }
        Ok(Self { patterns })
    }

    /// Patterns as a flag gives them, one in each value. Unlike in a file, one that begins with `/`
    /// matches nothing (L-139).
    ///
    /// # Errors
    /// With the number of the value in place of the line.
    pub fn from_flags<T: AsRef<str>>(values: &[T]) -> Result<Self, IgnoreError> {
        let mut patterns = Vec::new();
        for (line, value) in (1..).zip(values) {
            let Some((clean, negated)) = read(value.as_ref(), line)? else { continue };
            let pattern = Pattern::new(&clean, negated)
                .map_err(|source| IgnoreError::Pattern { line, source })?;
            patterns.push(pattern);
        }
        Ok(Self { patterns })
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a pattern has `!`.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.negated)
    }

    /// Whether a pattern ignores whatever is there.
    #[must_use]
    pub fn has_everything(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_everything && !pattern.negated)
    }

    /// What holds for `path`, given what holds for the directory it stands in
    /// ([`Matched::default`] at the top). Paths have no leading `/`.
    #[must_use]
    pub fn step(&self, parent: &Matched, path: &[u8]) -> Matched {
        let mut matched = false;
        let each = (self.patterns.iter().enumerate())
            .map(|(index, pattern)| {
                // A pattern that can't change the result is not tried, and its absence is
                // inherited: that is how Moby's walk has it.
                let matches = parent.each.get(index).copied().unwrap_or(false)
                    || pattern.negated == matched && pattern.matches(path);
                if matches {
                    matched = !pattern.negated;
                }
                matches
            })
            .collect();
        Matched { matched, each }
    }

    /// Whether `path` is ignored, seen from the top.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let parents = slashes.map(|(at, _)| &path[..at]);
        let parent = parents.fold(Matched::default(), |above, path| self.step(&above, path));
        self.step(&parent, path).matched
    }

    /// Whether a walk has to look into `directory` although it is ignored: something below may be
    /// taken back (L-192).
    #[must_use]
    pub fn may_take_back_below(&self, directory: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern.negated && pattern.may_match_below(directory))
    }
}

/// A clean path, and whether it was negated; `None` for a blank line.
fn read(text: &str, line: usize) -> Result<Option<(String, bool)>, IgnoreError> {
    let text = text.trim();
    let (text, negated) = match text.strip_prefix('!') {
        Some(text) => (text.trim(), true),
        None => (text, false),
    };
    match (text, negated) {
        ("", true) => Err(IgnoreError::LoneExclamation { line }),
        ("", false) => Ok(None),
        (text, negated) => Ok(Some((clean(text), negated))),
    }
}

/// As Go's `filepath.Clean`.
pub(crate) fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            _ => parts.push(part),
        }
    }
    match (absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests;
