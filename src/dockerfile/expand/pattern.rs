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

    /// The leftmost match at or after `from`, the longest there: byte offsets. One pass, in which
    /// every place may begin a match until one is found.
    fn find(&self, value: &str, from: usize) -> Option<(usize, usize)> {
        let mut found = None;
        let mut places = Places::of(&self.tokens);
        let chars = value[from..].char_indices().map(|(at, c)| (from + at, Some(c)));
        for (at, c) in chars.chain([(value.len(), None)]) {
            if found.is_none() {
                places.reach(0, at);
            }
            if let Some(start) = places.ended() {
                found = Some((start, at));
                places.keep_up_to(start);
            }
            match c {
                Some(c) if found.is_none() || !places.is_empty() => places.step(c),
                _ => break,
            }
        }
        found
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

/// How many bytes of `chars`, from the first on, the tokens match.
fn match_length(
    tokens: &[Token],
    chars: impl Iterator<Item = char>,
    length: Length,
) -> Option<usize> {
    let mut places = Places::of(tokens);
    places.reach(0, 0);
    let mut found = places.ended().map(|_| 0);
    let mut matched = 0;
    for c in chars {
        if places.is_empty() || found.is_some() && length == Length::Shortest {
            break;
        }
        places.step(c);
        matched += c.len_utf8();
        if places.ended().is_some() {
            found = Some(matched);
        }
    }
    found
}

/// The places in a pattern that could have been reached, each with where that match began. All are
/// followed at once, so no input takes exponential time.
struct Places<'t> {
    tokens: &'t [Token],
    /// Those that began first come first.
    list: Vec<(usize, usize)>,
    /// By place.
    is_listed: Vec<bool>,
    /// For the next step.
    spare: Vec<(usize, usize)>,
}

impl<'t> Places<'t> {
    fn of(tokens: &'t [Token]) -> Self {
        let is_listed = vec![false; tokens.len() + 1];
        Self { tokens, list: Vec::new(), is_listed, spare: Vec::new() }
    }

    /// Adds a place, and those after it that need no character. What came there first stays.
    fn reach(&mut self, mut place: usize, start: usize) {
        while !self.is_listed[place] {
            self.is_listed[place] = true;
            self.list.push((place, start));
            if !matches!(self.tokens.get(place), Some(Token::Star)) {
                return;
            }
            place += 1;
        }
    }

    /// Takes one character.
    fn step(&mut self, c: char) {
        let before = std::mem::replace(&mut self.list, std::mem::take(&mut self.spare));
        before.iter().for_each(|(place, _)| self.is_listed[*place] = false);
        for &(place, start) in &before {
            match self.tokens.get(place) {
                Some(Token::Literal(literal)) if *literal == c => self.reach(place + 1, start),
                Some(Token::Any) if c != '\n' => self.reach(place + 1, start),
                Some(Token::Star) if c != '\n' => self.reach(place, start),
                _ => {}
            }
        }
        self.spare = before;
        self.spare.clear();
    }

    /// Where a match that is complete here began.
    fn ended(&self) -> Option<usize> {
        let end = self.tokens.len();
        let is_end = |(place, _): &&(usize, usize)| *place == end;
        self.is_listed[end].then(|| self.list.iter().find(is_end).map(|(_, start)| *start))?
    }

    /// Forgets what began behind `start`.
    fn keep_up_to(&mut self, start: usize) {
        let kept = self.list.iter().take_while(|(_, from)| *from <= start).count();
        for (place, _) in self.list.drain(kept..) {
            self.is_listed[place] = false;
        }
    }

    fn is_empty(&self) -> bool {
        self.list.is_empty()
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

    /// Found by fuzzing: one pass to see that nothing matches, not one from every place.
    #[test]
    fn a_long_value_without_a_match_ends() {
        let value = "a".repeat(1 << 20);
        for text in ["a*b", "*?b", "*a*b"] {
            assert_eq!(pattern(text).replace_all(&value, "", 1 << 21), value, "{text}");
        }
    }

    /// Tries every end of every beginning, the longest first.
    fn find_slowly(pattern: &Pattern, value: &str) -> Option<(usize, usize)> {
        let places = || (0..=value.len()).filter(|at| value.is_char_boundary(*at));
        let ends = |start| places().rev().take_while(move |end| *end >= start);
        let mut spans = places().flat_map(|start| ends(start).map(move |end| (start, end)));
        spans.find(|(start, end)| {
            let span = &value[*start..*end];
            match_length(&pattern.tokens, span.chars(), Length::Longest) == Some(span.len())
        })
    }

    proptest::proptest! {
        #[test]
        fn the_leftmost_longest_match_is_found(
            text in "[ab*?\n]{0,6}",
            value in "[abä\n]{0,12}",
        ) {
            let pattern = pattern(&text);
            proptest::prop_assert_eq!(pattern.find(&value, 0), find_slowly(&pattern, &value));
        }
    }
}
