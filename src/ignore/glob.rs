//! Shell patterns in two dialects: Go's `filepath.Match`, and Moby's, which adds `**`.

/// A pattern with an unclosed or empty class, or a backslash at its end.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("syntax error in pattern {0:?}")]
pub struct BadPattern(pub String);

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<Token>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Byte(u8),
    /// `?`: one character, not `/`.
    One,
    /// `*`: any characters, not `/`.
    Star,
    /// `[a-z]`; negated for `[^a-z]`. It may match `/`.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `**/`: nothing, or anything that ends with `/`.
    Directories,
    /// `**` before something that is not `/`, or at the end: anything.
    Anything,
}

impl Glob {
    /// A pattern of Go's `filepath.Match`: `*`, `?`, `[a-z]`, `[^a-z]`, `\x`.
    ///
    /// # Errors
    /// Where Go says `ErrBadPattern`.
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        let mut tokens = Vec::new();
        let mut rest = pattern.chars();
        let bad = || BadPattern(pattern.to_owned());
        while let Some(first) = rest.next() {
            match first {
                '*' => tokens.push(Token::Star),
                '?' => tokens.push(Token::One),
                '[' => tokens.push(class(&mut rest).ok_or_else(bad)?),
                '\\' => literal(&mut tokens, rest.next().ok_or_else(bad)?),
                _ => literal(&mut tokens, first),
            }
        }
        Ok(Self(tokens))
    }

    pub(super) fn from_tokens(tokens: Vec<Token>) -> Self {
        Self(tokens)
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.0
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        matches(&self.0, text)
    }

    /// What the pattern stands for where it has no wildcard, escapes resolved.
    #[must_use]
    pub fn as_literal(&self) -> Option<Vec<u8>> {
        let byte = |token: &Token| match token {
            Token::Byte(byte) => Some(*byte),
            _ => None,
        };
        self.0.iter().map(byte).collect()
    }
}

fn literal(tokens: &mut Vec<Token>, character: char) {
    let mut buffer = [0; 4];
    tokens.extend(character.encode_utf8(&mut buffer).bytes().map(Token::Byte));
}

/// The rest of a class after `[`.
fn class(rest: &mut std::str::Chars<'_>) -> Option<Token> {
    let mut ranges = Vec::new();
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
    }
    loop {
        if rest.as_str().starts_with(']') && !ranges.is_empty() {
            rest.next();
            return Some(Token::Class { negated, ranges });
        }
        let low = class_character(rest)?;
        let mut high = low;
        if rest.as_str().starts_with('-') {
            rest.next();
            high = class_character(rest)?;
        }
        ranges.push((low, high));
    }
}

fn class_character(rest: &mut std::str::Chars<'_>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        character => Some(character),
    }
}

/// Keeps the set of places in `text` that the tokens so far can reach, so that no pattern is slow.
/// Literal text at both ends is compared first: most paths end there.
fn matches(tokens: &[Token], text: &[u8]) -> bool {
    let (mut tokens, mut text) = (tokens, text);
    while let [Token::Byte(byte), rest @ ..] = tokens {
        let Some((first, after)) = text.split_first() else { return false };
        if first != byte {
            return false;
        }
        (tokens, text) = (rest, after);
    }
    while let [rest @ .., Token::Byte(byte)] = tokens {
        let Some((last, before)) = text.split_last() else { return false };
        if last != byte {
            return false;
        }
        (tokens, text) = (rest, before);
    }
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut next = reached.clone();
    for token in tokens {
        advance(token, text, &reached, &mut next);
        std::mem::swap(&mut reached, &mut next);
    }
    reached[text.len()]
}

/// From the places that are `reached`, those that `token` leads to.
fn advance(token: &Token, text: &[u8], reached: &[bool], next: &mut [bool]) {
    let single = |accepts: &dyn Fn(&[u8]) -> Option<usize>, next: &mut [bool]| {
        next.fill(false);
        for (at, _) in reached[..text.len()].iter().enumerate().filter(|(_, here)| **here) {
            if let Some(length) = accepts(&text[at..]) {
                next[at + length] = true;
            }
        }
    };
    match token {
        Token::Byte(byte) => single(&|rest| (rest[0] == *byte).then_some(1), next),
        Token::One => single(
            &|rest| {
                let (character, length) = first_character(rest);
                (character != Some('/')).then_some(length)
            },
            next,
        ),
        Token::Class { negated, ranges } => single(
            &|rest| {
                let (character, length) = first_character(rest);
                let inside = character
                    .is_some_and(|c| ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)));
                (inside != *negated).then_some(length)
            },
            next,
        ),
        Token::Star | Token::Directories | Token::Anything => {
            // Whether the wildcard has begun and may still go on.
            let mut open = false;
            for at in 0..=text.len() {
                let after_slash = at > 0 && text[at - 1] == b'/';
                open = open && !(after_slash && *token == Token::Star);
                next[at] = reached[at] || open && (after_slash || *token != Token::Directories);
                open = open || reached[at];
            }
        }
    }
}

/// The first character and its length in bytes; no character for a byte that is not UTF-8.
fn first_character(text: &[u8]) -> (Option<char>, usize) {
    let character = text[..text.len().min(4)]
        .utf8_chunks()
        .next()
        .and_then(|chunk| chunk.valid().chars().next());
    (character, character.map_or(1, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_go_s_do() {
        for (pattern, matching, others) in [
            ("word", "word", "wor words x/word"),
            ("*", "a word .x", "a/b"),
            ("*d", "d word", "words a/d"),
            ("w*", "w word", "aw w/d"),
            ("w*d/x", "wd/x word/x", "w/d/x word/xx"),
            ("*a*b*c/z", "abc/z xaxbxc/z aabbcc/z", "acb/z abc/d/z abcx/z"),
            ("x*y?z*", "xyaz xayyzzz x-y-z-", "xyz xay/z"),
            ("one?two", "one-two one☺two", "onetwo one/two one--two"),
            ("[k]", "k", "l kk"),
            ("v[0-3]", "v0 v3", "v4 v v00"),
            ("v[^0-3]", "v4 v☺", "v2 v"),
            ("v[0-3ax]", "va vx v1", "vb"),
            ("[α-ω]*", "λ λόγος", "a l"),
            (r"\*\?\[", "*?[", "a?[ *a["),
            (r"[\]\-\\]", r"] - \", "a"),
        ] {
            let glob = Glob::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            for (texts, expected) in [(matching, true), (others, false)] {
                for text in texts.split(' ') {
                    assert_eq!(glob.matches(text.as_bytes()), expected, "{pattern} on {text}");
                }
            }
        }
        for bad in ["[", "x[", "[^", "[^xy", "[xy", "[]x]", "[x-]", "[-x]", "[-]", "[a-c-e]", "x\\"]
        {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_single_characters() {
        let one = Glob::new("a?b").expect("valid");
        assert!(one.matches(b"a\xffb"));
        assert!(!one.matches(b"a\xff\xffb"));
        assert!(Glob::new("a[^x]b").expect("valid").matches(b"a\xe2b"));
    }

    /// Tries everything.
    fn slow(tokens: &[Token], text: &[u8]) -> bool {
        let Some((first, rest)) = tokens.split_first() else { return text.is_empty() };
        let within = |allowed: fn(u8) -> bool| {
            let run = text.iter().take_while(|byte| allowed(**byte)).count();
            (0..=run).any(|taken| slow(rest, &text[taken..]))
        };
        match first {
            Token::Byte(byte) => text.first() == Some(byte) && slow(rest, &text[1..]),
            Token::One => text.first().is_some_and(|b| *b != b'/') && slow(rest, &text[1..]),
            Token::Star => within(|byte| byte != b'/'),
            Token::Anything => within(|_| true),
            Token::Directories => (0..=text.len())
                .filter(|taken| *taken == 0 || text[taken - 1] == b'/')
                .any(|taken| slow(rest, &text[taken..])),
            Token::Class { negated, ranges } => {
                text.first().is_some_and(|byte| {
                    ranges.iter().any(|(l, h)| (*l..=*h).contains(&(*byte as char))) != *negated
                }) && slow(rest, &text[1..])
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_quick_match_agrees_with_trying_everything(
            tokens in prop::collection::vec(
                prop_oneof![
                    4 => prop::sample::select(b"ab/".as_slice()).prop_map(Token::Byte),
                    1 => Just(Token::One),
                    2 => Just(Token::Star),
                    1 => Just(Token::Directories),
                    1 => Just(Token::Anything),
                    1 => any::<bool>().prop_map(|negated| Token::Class {
                        negated,
                        ranges: vec![('a', 'a')],
                    }),
                ],
                0..8,
            ),
            text in "[ab/]{0,9}",
        ) {
            prop_assert_eq!(matches(&tokens, text.as_bytes()), slow(&tokens, text.as_bytes()));
        }
    }
}
