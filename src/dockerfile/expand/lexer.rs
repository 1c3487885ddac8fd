//! The walk over one word.

use std::iter::Peekable;
use std::str::Chars;

use super::pattern::{Length, Pattern};
use super::{Environment, ExpandError, ExpandErrorKind, Expanded};

/// `${a:-${b:-…}}`: deeper is a mistake or an attack.
const MAX_DEPTH: usize = 64;
/// Of a result. Longer than any environment or path that a kernel takes; the limit keeps
/// `ENV a=$a$a`, written forty times, from filling the memory.
const MAX_LENGTH: usize = 4 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotes {
    Remove,
    Keep,
}

/// Both readings of one pass.
pub(super) struct Output {
    pub(super) expanded: Expanded,
    pub(super) words: Vec<String>,
}

pub(super) fn run(
    word: &str,
    escape: char,
    quotes: Quotes,
    env: &dyn Environment,
) -> Result<Output, ExpandError> {
    let mut walk = Walk {
        rest: word.chars().peekable(),
        escape,
        quotes,
        env,
        undefined: Vec::new(),
        depth: 0,
    };
    let mut text = Text::default();
    match walk.until(None, Escapes::Remove, &mut text) {
        Ok(()) => Ok(Output {
            words: text.words.finish(),
            expanded: Expanded { text: text.whole, undefined: walk.undefined },
        }),
        Err(kind) => Err(ExpandError { word: word.to_owned(), kind }),
    }
}

/// Patterns keep their escapes: they have their own use for them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Remove,
    Keep,
}

struct Walk<'a> {
    rest: Peekable<Chars<'a>>,
    escape: char,
    quotes: Quotes,
    env: &'a dyn Environment,
    undefined: Vec<String>,
    depth: usize,
}

impl Walk<'_> {
    /// Up to `stop`, which is taken too, or to the end where there is no `stop`.
    fn until(
        &mut self,
        stop: Option<char>,
        escapes: Escapes,
        text: &mut Text,
    ) -> Result<(), ExpandErrorKind> {
        while let Some(c) = self.rest.next() {
            match c {
                c if Some(c) == stop => return Ok(()),
                '$' => text.push_value(&self.dollar()?),
                '\'' if self.quotes == Quotes::Remove => text.push_quoted(&self.single_quoted()?),
                '"' if self.quotes == Quotes::Remove => {
                    text.push_quoted(&self.double_quoted(escapes)?);
                }
                c if c == self.escape => {
                    if escapes == Escapes::Keep {
                        text.push_quoted(c.encode_utf8(&mut [0; 4]));
                    }
                    // At the very end, there is nothing to escape.
                    if let Some(escaped) = self.rest.next() {
                        text.push_quoted(escaped.encode_utf8(&mut [0; 4]));
                    }
                }
                c => text.push_char(c),
            }
            if text.whole.len() > MAX_LENGTH {
                return Err(ExpandErrorKind::TooLong { limit: MAX_LENGTH });
            }
        }
        // Where something had to follow, the caller knows what.
        if stop.is_none() { Ok(()) } else { Err(ExpandErrorKind::MissingBrace) }
    }

    /// The operand of a substitution.
    fn operand(&mut self, stop: char, escapes: Escapes) -> Result<String, ExpandErrorKind> {
        let mut text = Text::default();
        match self.until(Some(stop), escapes, &mut text) {
            Ok(()) => Ok(text.whole),
            // Whatever is wrong inside: the end came before the substitution was closed.
            Err(_) if self.rest.peek().is_none() => Err(match stop {
                '/' => ExpandErrorKind::MissingSlash,
                _ => ExpandErrorKind::MissingBrace,
            }),
            Err(kind) => Err(kind),
        }
    }

    fn single_quoted(&mut self) -> Result<String, ExpandErrorKind> {
        let mut result = String::new();
        loop {
            match self.rest.next() {
                Some('\'') => return Ok(result),
                Some(c) => result.push(c),
                None => return Err(ExpandErrorKind::SingleQuote),
            }
        }
    }

    /// Variables count; the escape works before `"`, `$` and itself only (L-036).
    fn double_quoted(&mut self, escapes: Escapes) -> Result<String, ExpandErrorKind> {
        let mut result = String::new();
        loop {
            match self.rest.next() {
                Some('"') => return Ok(result),
                Some('$') => result.push_str(&self.dollar()?),
                Some(c) if c == self.escape => {
                    if escapes == Escapes::Keep {
                        result.push(c);
                    }
                    let escape = self.escape;
                    result.push(
                        self.rest
                            .next_if(|next| matches!(next, '"' | '$') || *next == escape)
                            .unwrap_or(c),
                    );
                }
                Some(c) => result.push(c),
                None => return Err(ExpandErrorKind::DoubleQuote),
            }
            if result.len() > MAX_LENGTH {
                return Err(ExpandErrorKind::TooLong { limit: MAX_LENGTH });
            }
        }
    }

    /// What follows a `$`.
    fn dollar(&mut self) -> Result<String, ExpandErrorKind> {
        if self.rest.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Ok(if name.is_empty() {
                "$".to_owned()
            } else {
                self.value(&name).unwrap_or_default()
            });
        }
        match self.rest.peek() {
            None => return Err(ExpandErrorKind::MissingBrace),
            Some('{' | '}' | ':') => return Err(ExpandErrorKind::BadSubstitution),
            Some(_) => {}
        }
        if self.depth == MAX_DEPTH {
            return Err(ExpandErrorKind::TooDeep { limit: MAX_DEPTH });
        }
        self.depth += 1;
        let result = self.substitution();
        self.depth -= 1;
        result
    }

    /// `name…}` of `${name…}`.
    fn substitution(&mut self) -> Result<String, ExpandErrorKind> {
        let name = self.name();
        let operator = self.rest.next().ok_or(ExpandErrorKind::MissingBrace)?;
        match operator {
            '}' => Ok(self.value(&name).unwrap_or_default()),
            ':' => match self.rest.next().ok_or(ExpandErrorKind::MissingBrace)? {
                operator @ ('-' | '+' | '?') => self.conditional(&name, operator, true),
                other => self.unsupported(format!(":{other}")),
            },
            '-' | '+' | '?' => self.conditional(&name, operator, false),
            '#' | '%' => self.trimmed(&name, operator),
            '/' => self.replaced(&name),
            other => Err(ExpandErrorKind::UnsupportedModifier(other.to_string())),
        }
    }

    /// Reads to the closing brace first: if that is missing, it is the more helpful error.
    fn unsupported(&mut self, modifier: String) -> Result<String, ExpandErrorKind> {
        self.operand('}', Escapes::Keep)?;
        Err(ExpandErrorKind::UnsupportedModifier(modifier))
    }

    /// `-`, `+` and `?`; after a colon, an empty value counts as none (L-031, L-032).
    fn conditional(
        &mut self,
        name: &str,
        operator: char,
        empty_is_unset: bool,
    ) -> Result<String, ExpandErrorKind> {
        let word = self.operand('}', Escapes::Remove)?;
        let value = self.value(name);
        let usable = value.as_ref().is_some_and(|value| !(empty_is_unset && value.is_empty()));
        match (operator, usable) {
            ('-', false) | ('+', true) => Ok(word),
            ('+', false) => Ok(String::new()),
            ('?', false) => {
                let message = match (word.is_empty(), value) {
                    (false, _) => word,
                    (true, None) => "is not allowed to be unset".to_owned(),
                    (true, Some(_)) => "is not allowed to be empty".to_owned(),
                };
                Err(ExpandErrorKind::Required { name: name.to_owned(), message })
            }
            _ => Ok(value.unwrap_or_default()),
        }
    }

    /// `#` and `##` take from the front, `%` and `%%` from the back; twice is the longest (L-033).
    fn trimmed(&mut self, name: &str, operator: char) -> Result<String, ExpandErrorKind> {
        let word = self.operand('}', Escapes::Keep)?;
        let value = self.value(name).unwrap_or_default();
        let (word, length) = match word.strip_prefix(operator) {
            Some(word) => (word, Length::Longest),
            None => (word.as_str(), Length::Shortest),
        };
        let pattern = Pattern::parse(word)?;
        Ok(match operator {
            '#' => pattern.trim_prefix(&value, length),
            _ => pattern.trim_suffix(&value, length),
        }
        .to_owned())
    }

    /// `${name/p/r}` and `${name//p/r}` (L-034).
    fn replaced(&mut self, name: &str) -> Result<String, ExpandErrorKind> {
        let all = self.rest.next_if_eq(&'/').is_some();
        let pattern = self.operand('/', Escapes::Keep)?;
        let replacement = self.operand('}', Escapes::Keep)?;
        let value = self.value(name).unwrap_or_default();
        let pattern = Pattern::parse(&pattern)?;
        Ok(if all {
            pattern.replace_all(&value, &replacement, MAX_LENGTH)
        } else {
            pattern.replace_first(&value, &replacement)
        })
    }

    /// Letters, digits and underscores; or, at the beginning, digits only or one special
    /// parameter; empty where there is no name (L-030).
    fn name(&mut self) -> String {
        let mut name = String::new();
        if self.rest.peek().is_some_and(char::is_ascii_digit) {
            while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
                name.push(digit);
            }
        } else if let Some(special) = self.rest.next_if(|c| "@*#?-$!".contains(*c)) {
            name.push(special);
        } else {
            while let Some(c) = self.rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                name.push(c);
            }
        }
        name
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let value = self.env.get(name).map(std::borrow::Cow::into_owned);
        if value.is_none() && !self.undefined.iter().any(|known| known == name) {
            self.undefined.push(name.to_owned());
        }
        value
    }
}

/// A result in the making: as one text, and split into words.
#[derive(Default)]
struct Text {
    whole: String,
    words: Words,
}

impl Text {
    fn push_char(&mut self, c: char) {
        self.whole.push(c);
        self.words.push_char(c);
    }

    /// The value of a variable: its spaces separate words.
    fn push_value(&mut self, value: &str) {
        self.whole.push_str(value);
        value.chars().for_each(|c| self.words.push_char(c));
    }

    /// Quoted or escaped text: its spaces do not.
    fn push_quoted(&mut self, text: &str) {
        self.whole.push_str(text);
        self.words.current.push_str(text);
    }
}

#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
}

impl Words {
    fn push_char(&mut self, c: char) {
        if !c.is_whitespace() {
            self.current.push(c);
        } else if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.current.is_empty() {
            self.done.push(self.current);
        }
        self.done
    }
}
