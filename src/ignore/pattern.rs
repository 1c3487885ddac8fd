//! One line of an ignore file, compiled.

use super::glob::{BadPattern, Glob, Token};

/// A pattern of Moby's matcher, cleaned, without its `!`.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    matcher: Matcher,
    /// `!`: what matches is taken back.
    pub negated: bool,
    /// The components before the first one with a wildcard.
    literal_parents: Vec<u8>,
    has_wildcard: bool,
    /// Written so that nothing escapes it.
    pub is_everything: bool,
}

#[derive(Clone, Debug)]
enum Matcher {
    Exact(Vec<u8>),
    /// `a/**`: all that begins so.
    Prefix(Vec<u8>),
    /// `**/a`: all that ends so, or is just that after the slash.
    Suffix(Vec<u8>),
    Glob(Glob),
}

impl Pattern {
    pub fn new(pattern: &str, negated: bool) -> Result<Self, BadPattern> {
        // Moby checks the syntax by Go's rules before it compiles by its own.
        let plain = Glob::new(pattern)?;
        let wild = |component: &str| component.contains(['*', '?', '[', '\\']);
        let literal: Vec<&str> = pattern.split('/').take_while(|part| !wild(part)).collect();
        Ok(Self {
            matcher: Matcher::new(pattern, &plain),
            negated,
            literal_parents: literal.join("/").into_bytes(),
            has_wildcard: wild(pattern),
            is_everything: matches!(pattern, "*" | "**" | "**/*"),
        })
    }

    pub fn matches(&self, path: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Exact(text) => path == text,
            Matcher::Prefix(text) => path.starts_with(text),
            Matcher::Suffix(text) => {
                path.ends_with(text) || text.strip_prefix(b"/").is_some_and(|name| name == path)
            }
            Matcher::Glob(glob) => glob.matches(path),
        }
    }

    /// Whether something below `directory` could match.
    pub fn may_match_below(&self, directory: &[u8]) -> bool {
        let begins = |path: &[u8], with: &[u8]| {
            path.strip_prefix(with)
                .is_some_and(|rest| with.is_empty() || rest.first() == Some(&b'/'))
        };
        begins(&self.literal_parents, directory)
            || self.has_wildcard
                && (self.literal_parents == directory || begins(directory, &self.literal_parents))
    }
}

impl Matcher {
    /// `**` alone at the beginning or the end is compared as text, which is more than the same
    /// pattern as a glob would match: `**a` matches `ba`.
    fn new(pattern: &str, plain: &Glob) -> Self {
        if let Some(text) = pattern.strip_prefix("**")
            && !text.contains(['*', '?', '[', ']', '\\'])
        {
            return Self::Suffix(text.as_bytes().to_vec());
        }
        if let Some(text) = pattern.strip_suffix("**")
            && !text.contains(['*', '?', '[', ']', '\\'])
        {
            return Self::Prefix(text.as_bytes().to_vec());
        }
        if !pattern.contains(['*', '?', '[', ']', '\\']) {
            return Self::Exact(pattern.as_bytes().to_vec());
        }
        Self::Glob(Glob::from_tokens(deep(plain.tokens())))
    }
}

/// Joins stars to `**`. An escaped star is a byte, so pairs of [`Token::Star`] are what was
/// written as `**`.
fn deep(plain: &[Token]) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(plain.len());
    let mut rest = plain;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let (Token::Star, Some(Token::Star)) = (first, after.first()) else {
            tokens.push(first.clone());
            continue;
        };
        rest = &after[1..];
        let slash = rest.first() == Some(&Token::Byte(b'/'));
        if slash {
            rest = &rest[1..];
        }
        tokens.push(if rest.is_empty() { Token::Anything } else { Token::Directories });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_to_look_below_a_directory() {
        for (pattern, directory, expected) in [
            ("a/b/c", "a", true),
            ("a/b/c", "a/b", true),
            ("a/b/c", "a/b/c", false),
            ("a/b/c", "a/x", false),
            ("a/b/c", "ab", false),
            ("a/*/c", "a", true),
            ("a/*/c", "a/x", true),
            ("a/*/c", "b", false),
            ("**/c", "x/y", true),
            ("a/**", "a/b/c", true),
            ("a/**", "b", false),
            ("a**", "abc", true),
            ("a\\*b/c", "a*b", true),
        ] {
            let pattern_ = Pattern::new(pattern, true).expect("valid");
            let found = pattern_.may_match_below(directory.as_bytes());
            assert_eq!(found, expected, "{pattern} below {directory}");
        }
    }
}
