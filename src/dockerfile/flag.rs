//! `--name=value` between an instruction's keyword and its arguments (L-016, L-017).

use super::ast::{Span, Word};
use super::error::{Fault, SyntaxErrorKind};
use super::line::Fragment;
use super::suggest;

/// A flag as written, without its quotes and escapes.
#[derive(Clone)]
pub(super) struct Flag {
    name: String,
    value: Option<Word>,
    span: Span,
}

/// Which flags an instruction knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Boolean,
    Text,
    /// Text, any number of times.
    List,
}

/// Takes the flags off the front of the arguments.
pub(super) fn split<'a>(arguments: &Fragment<'a>, escape: char) -> (Vec<Flag>, Fragment<'a>) {
    let mut flags = Vec::new();
    let mut rest = arguments.trim();
    while rest.as_str().starts_with("--") {
        let (length, text) = word(rest.as_str(), escape);
        let (written, after) = rest.split_at(length);
        rest = after.trim();
        if text == "--" {
            break;
        }
        flags.push(Flag::new(&written, &text));
    }
    (flags, rest)
}

/// The length of the first word, and what it says.
fn word(text: &str, escape: char) -> (usize, String) {
    let mut result = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == escape {
            result.extend(chars.next().map(|(_, escaped)| escaped));
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_some() {
            result.push(c);
        } else if c.is_whitespace() {
            return (at, result);
        } else if matches!(c, '\'' | '"') {
            quote = Some(c);
        } else {
            result.push(c);
        }
    }
    (text.len(), result)
}

impl Flag {
    fn new(written: &Fragment<'_>, text: &str) -> Self {
        let text = text.strip_prefix("--").unwrap_or(text);
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let value = value.map(|value| {
            // Where quotes were removed, the whole flag is the best place to point at.
            let span = if written.as_str().ends_with(value) {
                written.from(written.as_str().len() - value.len()).span()
            } else {
                written.span()
            };
            Word { text: value.to_owned(), span }
        });
        Self { name: name.to_owned(), value, span: written.span() }
    }
}

/// The flags of one instruction, checked against those it knows.
pub(super) struct Flags {
    flags: Vec<Flag>,
}

impl Flags {
    pub(super) fn check(flags: Vec<Flag>, known: &[(&'static str, Takes)]) -> Result<Self, Fault> {
        for (index, flag) in flags.iter().enumerate() {
            let name = &flag.name;
            let Some((_, takes)) = known.iter().find(|(known, _)| known == name) else {
                let suggestion = suggest::nearest(name, known.iter().map(|(known, _)| *known));
                let suggestion = suggestion.map(str::to_owned);
                let kind = SyntaxErrorKind::UnknownFlag { name: name.clone(), suggestion };
                return Err(Fault::at(kind, flag.span));
            };
            if *takes != Takes::List && flags[..index].iter().any(|other| other.name == *name) {
                return Err(Fault::at(SyntaxErrorKind::DuplicateFlag(name.clone()), flag.span));
            }
            match (takes, &flag.value) {
                (Takes::Boolean, None) => {}
                (Takes::Boolean, Some(value)) if !value.text.is_empty() => {
                    if boolean(&value.text).is_none() {
                        let (name, value) = (name.clone(), value.text.clone());
                        let kind = SyntaxErrorKind::NotBoolean { name, value };
                        return Err(Fault::at(kind, flag.span));
                    }
                }
                (Takes::Text | Takes::List, Some(_)) => {}
                _ => {
                    let kind = SyntaxErrorKind::MissingFlagValue(name.clone());
                    return Err(Fault::at(kind, flag.span));
                }
            }
        }
        Ok(Self { flags })
    }

    fn find(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().find(|flag| flag.name == name)
    }

    /// `None` where the flag is missing.
    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        let flag = self.find(name)?;
        Some(flag.value.as_ref().is_none_or(|value| boolean(&value.text) == Some(true)))
    }

    /// `None` where the flag is missing or its value empty, which is the same.
    pub(super) fn text(&self, name: &str) -> Option<Word> {
        self.find(name)?.value.clone().filter(|value| !value.text.is_empty())
    }

    pub(super) fn list(&self, name: &str) -> Vec<Word> {
        let values = self.flags.iter().filter(|flag| flag.name == name);
        values.filter_map(|flag| flag.value.clone()).collect()
    }
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::tests::line;
    use super::*;

    #[test]
    fn flags_end_at_the_first_other_word() {
        for (text, expected, rest) in [
            ("a --b", vec![], "a --b"),
            ("--a b --c", vec![("a", None)], "b --c"),
            ("--a=b  --c= d", vec![("a", Some("b")), ("c", Some(""))], "d"),
            ("--a -- --b", vec![("a", None)], "--b"),
            ("--", vec![], ""),
            ("--a", vec![("a", None)], ""),
            ("--a='b c' d", vec![("a", Some("b c"))], "d"),
            (r#"--"a"=b\ c d"#, vec![("a", Some("b c"))], "d"),
            (r#"--a="b\"c" d"#, vec![("a", Some("b\"c"))], "d"),
            ("--a=é b", vec![("a", Some("é"))], "b"),
            ("--a='b", vec![("a", Some("b"))], ""),
            ("-a b", vec![], "-a b"),
        ] {
            let line = line(text);
            let (flags, arguments) = split(&line.as_fragment(), '\\');
            let flags: Vec<_> = flags
                .iter()
                .map(|flag| (flag.name.as_str(), flag.value.as_ref().map(|v| v.text.as_str())))
                .collect();
            assert_eq!(flags, expected, "{text}");
            assert_eq!(arguments.as_str(), rest, "{text}");
        }
    }

    #[test]
    fn flags_are_checked() {
        let known = [("link", Takes::Boolean), ("from", Takes::Text), ("exclude", Takes::List)];
        for (text, error) in [
            ("--link --from=a --exclude=b --exclude=c x", None),
            ("--link=TRUE x", None),
            ("--from= x", None),
            ("--link= x", Some("missing a value on flag: --link")),
            ("--link=1 x", Some("expecting boolean value for flag --link, not: 1")),
            ("--from x", Some("missing a value on flag: --from")),
            ("--exclude x", Some("missing a value on flag: --exclude")),
            ("--link --link x", Some("duplicate flag specified: --link")),
            ("--form=a x", Some("unknown flag: --form (did you mean from?)")),
            ("--platform=a x", Some("unknown flag: --platform")),
        ] {
            let line = line(text);
            let (flags, _) = split(&line.as_fragment(), '\\');
            let result = Flags::check(flags, &known).err().map(|fault| fault.kind.to_string());
            assert_eq!(result.as_deref(), error, "{text}");
        }
    }
}
