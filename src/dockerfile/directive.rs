//! Parser directives, `# name=value` at the top of the file (L-011 to L-015).

use serde_json::Value;

use super::ast::{Directives, Span, Word};
use super::error::{SyntaxError, SyntaxErrorKind};
use super::line::Lines;

/// What the top of the file says.
pub(super) struct Header {
    pub(super) directives: Directives,
    pub(super) errors: Vec<SyntaxError>,
    /// The last line that is a directive, and so no comment of an instruction; 0 for none.
    pub(super) last_line: usize,
}

/// `text` is the file from `start` on, which is where a byte-order mark ends.
pub(super) fn read(text: &str, start: usize) -> Header {
    let mut header = read_comments(&text[start..], start, "#");
    if header.directives.syntax.is_none() {
        // Other languages write the directive in their own comments.
        let elsewhere = read_comments(&text[start..], start, "//").directives.syntax;
        header.directives.syntax = elsewhere.or_else(|| json_syntax(&text[start..], start));
    }
    header
}

fn read_comments(text: &str, start: usize, comment: &str) -> Header {
    let mut header = Header { directives: Directives::default(), errors: Vec::new(), last_line: 0 };
    let mut escape_seen = false;
    let mut after_shebang = false;
    for line in Lines::new(text, start) {
        if line.number == 1 && line.raw.starts_with("#!") {
            after_shebang = true;
            continue;
        }
        let Some(directive) = line.text().trim_start().strip_prefix(comment) else { break };
        let Some((name, value)) = split(directive) else { break };
        let end = line.start + line.raw.trim_end().len();
        let span = Span { start: end - value.len(), end };
        let word = Word { text: value.to_owned(), span };
        let repeated = match name.as_str() {
            "syntax" => header.directives.syntax.replace(word).is_some(),
            "check" => header.directives.check.replace(word).is_some(),
            // BuildKit's parser stops at the line `#!`; its look-out for the others does not.
            "escape" if after_shebang => break,
            "escape" => std::mem::replace(&mut escape_seen, true),
            _ => break,
        };
        header.last_line = line.number;
        let kind = if repeated {
            SyntaxErrorKind::RepeatedDirective(name)
        } else if name != "escape" {
            continue;
        } else if let "\\" | "`" = value {
            header.directives.escape = if value == "`" { '`' } else { '\\' };
            continue;
        } else {
            SyntaxErrorKind::EscapeToken(value.to_owned())
        };
        header.errors.push(SyntaxError::new(kind, line.number..=line.number));
    }
    header
}

/// Name in lower case, and value.
pub(super) fn split(directive: &str) -> Option<(String, &str)> {
    let (name, value) = directive.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && !value.is_empty();
    valid.then(|| (name.to_ascii_lowercase(), value))
}

/// `{"syntax": "…"}`: a build definition in JSON.
fn json_syntax(text: &str, start: usize) -> Option<Word> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let syntax = value.get("syntax")?.as_str()?;
    Some(Word { text: syntax.to_owned(), span: Span { start, end: start } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_the_file() {
        for (text, syntax, escape, check, last_line) in [
            ("", None, '\\', None, 0),
            ("# syntax=docker/dockerfile:1\n", Some("docker/dockerfile:1"), '\\', None, 1),
            ("#SYNTAX = a b \r\n#escape=`\nFROM a", Some("a b"), '`', None, 2),
            ("  # check = skip=all\n# comment\n# escape=`", None, '\\', Some("skip=all"), 1),
            ("\n# escape=`", None, '\\', None, 0),
            ("# comment\n# escape=`", None, '\\', None, 0),
            ("# other=1\n# escape=`", None, '\\', None, 0),
            ("#!/usr/bin/env x\n# syntax=y\n", Some("y"), '\\', None, 2),
            ("// syntax=y\nx", Some("y"), '\\', None, 0),
            ("{\"syntax\": \"y\"}", Some("y"), '\\', None, 0),
            ("# syntax=\n# escape=`", None, '\\', None, 0),
        ] {
            let header = read(text, 0);
            let text_of = |word: &Option<Word>| word.as_ref().map(|word| word.text.clone());
            assert_eq!(text_of(&header.directives.syntax).as_deref(), syntax, "{text:?}");
            assert_eq!(header.directives.escape, escape, "{text:?}");
            assert_eq!(text_of(&header.directives.check).as_deref(), check, "{text:?}");
            assert_eq!(header.last_line, last_line, "{text:?}");
            assert_eq!(header.errors, [], "{text:?}");
        }
    }

    #[test]
    fn the_span_is_that_of_the_value() {
        let text = "\u{feff}# escape=`\n#  syntax =  a b  \n";
        let header = read(text, 3);
        let span = header.directives.syntax.map(|word| word.span).unwrap_or_default();
        assert_eq!(&text[span.start..span.end], "a b");
    }

    #[test]
    fn mistakes() {
        for (text, message, line) in [
            ("# escape=x", "invalid escape token 'x' does not match ` or \\", 1),
            ("# escape=`\n# Escape=`", "only one escape parser directive can be used", 2),
            ("# syntax=a\n# syntax=b", "only one syntax parser directive can be used", 2),
        ] {
            let errors = read(text, 0).errors;
            let found: Vec<_> =
                errors.iter().map(|error| (error.to_string(), *error.lines.start())).collect();
            assert_eq!(found, [(message.to_owned(), line)], "{text}");
        }
    }
}
