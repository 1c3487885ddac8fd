//! The patterns of `${name#p}`, `${name%p}` and `${name/p/r}`: `*`, `?` and literals (L-033, L-034).

use super::ExpandErrorKind;

/// A pattern, read.
pub(super) struct Pattern {
    tokens: Vec<Token>,
}

#[derive(Clone, Copy)]
enum Token {
    Literal(char),
    /// `?`: one character that is not a line's end.
    Any,
    /// `*`: any number of such characters.
    Star,
}

/// Which of several possible matches is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Shortest,
    Longest,
}

impl Pattern {
    /// `\*`, `\?` and `\\` are literals; `\}` and `\/` only hide their character from the syntax
    /// around the pattern; nothing else can be escaped.
    pub(super) fn parse(pattern: &str) -> Result<Self, ExpandErrorKind> {
        let mut tokens = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => match chars.next() {
                    Some(c @ ('}' | '/' | '*' | '?' | '\\')) => Token::Literal(c),
                    other => {
                        return Err(ExpandErrorKind::InvalidEscape {
                            pattern: pattern.to_owned(),
                            escaped: other.map(String::from).unwrap_or_default(),
                        });
                    }
                },
                c => Token::Literal(c),
            });
        }
        Ok(Self { tokens })
    }

    pub(super) fn trim_prefix<'v>(&self, value: &'v str, length: Length) -> &'v str {
        match match_length(&self.tokens, value.chars(), length) {
            Some(matched) => &value[matched..],
            None => value,
        }
    }

    /// The same from the other end, so both the pattern and the value are read backwards.
    pub(super) fn trim_suffix<'v>(&self, value: &'v str, length: Length) -> &'v str {
        let reversed: Vec<Token> = self.tokens.iter().rev().copied().collect();
        match match_length(&reversed, value.chars().rev(), length) {
            Some(matched) => &value[..value.len() - matched],
            None => value,
        }
    }

    pub(super) fn replace_first(&self, value: &str, replacement: &str) -> String {
        match self.find(value, 0) {
            Some((start, end)) => [&value[..start], replacement, &value[end..]].concat(),
            None => value.to_owned(),
        }
    }

    /// Matches do not overlap, and an empty one directly after another does not count. In the
    /// replacement `$0` is what matched: BuildKit takes it for a template of Go's regular
    /// expressions, here but not in [`Self::replace_first`]. The result ends soon after `limit`
    /// bytes: what is longer is refused anyway.
    pub(super) fn replace_all(&self, value: &str, replacement: &str, limit: usize) -> String {
        let mut result = String::new();
        let mut copied = 0;
        let mut search = 0;
        let mut previous_end = None;
        while search <= value.len() && result.len() <= limit {
            let Some((start, end)) = self.find(value, search) else { break };
            if start < end || previous_end != Some(start) {
                result.push_str(&value[copied..start]);
                push_template(&mut result, replacement, &value[start..end]);
                copied = end;
                previous_end = Some(end);
            }
            search = if start < end {
                end
            } else {
                end + value[end..].chars().next().map_or(1, char::len_utf8)
            };
        }
        result.push_str(&value[copied..]);
        result
    }

    /// The leftmost match at or after `from`, the longest there: byte offsets.
    fn find(&self, value: &str, from: usize) -> Option<(usize, usize)> {
        let starts = value[from..].char_indices().map(|(at, _)| from + at).chain([value.len()]);
        starts.into_iter().find_map(|start| {
            match_length(&self.tokens, value[start..].chars(), Length::Longest)
                .map(|matched| (start, start + matched))
        })
    }
}

/// `$0` and `${0}` are the match, `$$` is a dollar, and any other name stands for a group that no
/// pattern has: nothing. A dollar before anything else is itself.
fn push_template(result: &mut String, template: &str, matched: &str) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
            continue;
        }
        let braced = after.strip_prefix('{');
        let from_name = braced.unwrap_or(after);
        let end = from_name.find(|c: char| !c.is_alphanumeric() && c != '_');
        let (name, after_name) = from_name.split_at(end.unwrap_or(from_name.len()));
        let end = if braced.is_some() { after_name.strip_prefix('}') } else { Some(after_name) };
        match end {
            Some(end) if !name.is_empty() => {
                result.push_str(if name == "0" { matched } else { "" });
                rest = end;
            }
            _ => {
                result.push('$');
                rest = after;
            }
        }
    }
    result.push_str(rest);
}

/// How many bytes of `chars`, from the first on, the tokens match. All positions in the pattern
/// that could have been reached are followed at once, so no input takes exponential time.
fn match_length(
    tokens: &[Token],
    chars: impl Iterator<Item = char>,
    length: Length,
) -> Option<usize> {
    let mut active = vec![false; tokens.len() + 1];
    reach(tokens, &mut active, 0);
    let mut found = active[tokens.len()].then_some(0);
    let mut matched = 0;
    for c in chars {
        if found.is_some() && length == Length::Shortest {
            break;
        }
        let mut next = vec![false; tokens.len() + 1];
        for (position, token) in tokens.iter().enumerate().filter(|(position, _)| active[*position])
        {
            match token {
                Token::Literal(literal) if *literal == c => reach(tokens, &mut next, position + 1),
                Token::Any if c != '\n' => reach(tokens, &mut next, position + 1),
                Token::Star if c != '\n' => reach(tokens, &mut next, position),
                _ => {}
            }
        }
        if !next.contains(&true) {
            break;
        }
        active = next;
        matched += c.len_utf8();
        if active[tokens.len()] {
            found = Some(matched);
        }
    }
    found
}

/// Marks a position, and those after it that need no character.
fn reach(tokens: &[Token], active: &mut [bool], mut position: usize) {
    while !active[position] {
        active[position] = true;
        if !matches!(tokens.get(position), Some(Token::Star)) {
            return;
        }
        position += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn prefixes_and_suffixes() {
        use Length::{Longest, Shortest};
        for (text, value, length, without_prefix, without_suffix) in [
            ("", "abc", Shortest, "abc", "abc"),
            ("*", "abc", Shortest, "abc", "abc"),
            ("*", "abc", Longest, "", ""),
            ("?", "äbc", Shortest, "bc", "äb"),
            ("*x", "axbxc", Shortest, "bxc", "axbxc"),
            ("*x", "axbxc", Longest, "c", "axbxc"),
            ("x*", "axbxc", Shortest, "axbxc", "axb"),
            ("x*", "axbxc", Longest, "axbxc", "a"),
            ("*/", "a/b/c", Longest, "c", "a/b/c"),
            ("a?c", "abcabc", Shortest, "abc", "abc"),
            ("\\*", "*a*", Shortest, "a*", "*a"),
            ("*b", "a\nb", Longest, "a\nb", "a\n"),
        ] {
            assert_eq!(pattern(text).trim_prefix(value, length), without_prefix, "{text} {value}");
            assert_eq!(pattern(text).trim_suffix(value, length), without_suffix, "{text} {value}");
        }
    }

    #[test]
    fn replacements() {
        for (text, value, first, all) in [
            ("a", "banana", "bXnana", "bXnXnX"),
            ("a*n", "banana", "bXa", "bXa"),
            ("*", "abc", "X", "X"),
            ("", "abc", "Xabc", "XaXbXcX"),
            ("?", "äö", "Xö", "XX"),
            ("z", "abc", "abc", "abc"),
            ("\\/", "/a/", "Xa/", "XaX"),
        ] {
            assert_eq!(pattern(text).replace_first(value, "X"), first, "{text} {value}");
            assert_eq!(pattern(text).replace_all(value, "X", 100), all, "{text} {value}");
        }
    }

    #[test]
    fn a_replacement_of_all_matches_is_a_template() {
        for (template, expected) in [
            ("<$0>", "<a>b<a>"),
            ("${0}0", "a0ba0"),
            ("$0x", "b"),
            ("$1${name}", "b"),
            ("$$0", "$0b$0"),
            ("${0", "${0b${0"),
            ("$", "$b$"),
            ("$-", "$-b$-"),
        ] {
            assert_eq!(pattern("a").replace_all("aba", template, 100), expected, "{template}");
            assert_eq!(pattern("a").replace_first("ab", template), format!("{template}b"));
        }
    }

    #[test]
    fn only_some_characters_can_be_escaped() {
        for text in ["\\", "\\x", "\\\\\\"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn many_stars_end() {
        let text = "*a".repeat(40);
        assert_eq!(pattern(&text).trim_prefix(&"a".repeat(39), Length::Longest).len(), 39);
    }
}
