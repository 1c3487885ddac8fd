//! `<<NAME` and the lines that follow (L-104, L-105, L-141).

use std::borrow::Cow;

use super::ast::{Command, Heredoc, Run, Span};
use super::line::Lines;

/// `<<NAME` without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeredocStart {
    pub name: String,
    pub expand: bool,
    pub chomp: bool,
    pub file_descriptor: u32,
}

impl HeredocStart {
    /// Reads `[N]<<[-]NAME`, the name quoted in part or in whole; `None` where `text` is not
    /// exactly that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (file_descriptor, rest) = text.split_at(digits);
        let rest = rest.strip_prefix("<<")?;
        let (chomp, rest) = match rest.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        if rest.contains('<') {
            return None;
        }
        let (name, quoted) = unquote(rest.trim())?;
        // As in the shell, no digits mean standard input.
        let file_descriptor = file_descriptor.parse().unwrap_or(0);
        Some(Self { name, expand: !quoted, chomp, file_descriptor })
    }

    /// All that a line begins, in order.
    pub(super) fn find_all(line: &str) -> Vec<Self> {
        if !line.contains("<<") {
            return Vec::new();
        }
        words(line).into_iter().filter_map(Self::parse).collect()
    }

    /// Reads the body; `None` where the end line is missing.
    pub(super) fn read_body(self, lines: &mut Lines<'_>) -> Option<Heredoc> {
        let mut content = String::new();
        let mut span: Option<Span> = None;
        for line in lines {
            let text = line.text();
            let text = if self.chomp { text.trim_start_matches('\t') } else { text };
            if text == self.name {
                return Some(Heredoc {
                    name: self.name,
                    expand: self.expand,
                    chomp: self.chomp,
                    file_descriptor: self.file_descriptor,
                    content,
                    span: span.unwrap_or(Span { start: line.start, end: line.start }),
                });
            }
            content.push_str(line.raw);
            let start = span.map_or(line.start, |span| span.start);
            span = Some(Span { start, end: line.start + line.raw.len() });
        }
        None
    }
}

/// The words of a line, quotes and escapes kept; `<<` holds on to a name after spaces. Empty where
/// a quote is not closed: then the shell, too, sees no heredoc.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(start.take().map(|begin| &line[begin..at]));
            continue;
        }
        start.get_or_insert(at);
        match c {
            '\\' if quote != Some('\'') => {
                chars.next();
            }
            '\'' | '"' if quote.is_none() => quote = Some(c),
            _ if quote == Some(c) => quote = None,
            '<' if quote.is_none() && chars.next_if(|(_, next)| *next == '<').is_some() => {
                while chars.next_if(|(_, next)| matches!(next, ' ' | '\t' | '\r')).is_some() {}
            }
            _ => {}
        }
    }
    if quote.is_some() {
        return Vec::new();
    }
    words.extend(start.map(|begin| &line[begin..]));
    words
}

/// The text without quotes and escapes, and whether there were quotes; `None` where it is not
/// exactly one word.
fn unquote(text: &str) -> Option<(String, bool)> {
    let mut name = String::new();
    let mut quoted = false;
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => return None,
            (None, '\\') => name.extend(chars.next()),
            (None, '\'' | '"') => {
                quoted = true;
                quote = Some(c);
            }
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '\\') => {
                name.push(chars.next_if(|next| matches!(next, '"' | '$' | '\\')).unwrap_or('\\'));
            }
            (_, c) => name.push(c),
        }
    }
    (quote.is_none() && !name.is_empty()).then_some((name, quoted))
}

impl Heredoc {
    /// The body, without its leading tabs where it was written as `<<-`.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        if !self.chomp {
            return Cow::Borrowed(&self.content);
        }
        let lines = self.content.split_inclusive('\n');
        Cow::Owned(lines.map(|line| line.trim_start_matches('\t')).collect())
    }
}

impl Run {
    /// The heredoc of `RUN <<EOF`, which is itself the script; `None` where it is only the input
    /// of a command (L-104).
    #[must_use]
    pub fn script(&self) -> Option<&Heredoc> {
        let Command::Shell(line) = &self.command else { return None };
        HeredocStart::parse(line)?;
        self.heredocs.first()
    }

    /// A command of the shell form as the shell wants to see it, its heredocs behind it.
    #[must_use]
    pub fn shell_text(&self) -> Option<String> {
        let Command::Shell(line) = &self.command else { return None };
        let mut text = line.clone();
        push_bodies(&mut text, &self.heredocs);
        Some(text)
    }
}

/// Puts heredocs back behind the line that they belong to.
pub(super) fn push_bodies(text: &mut String, heredocs: &[Heredoc]) {
    for heredoc in heredocs {
        text.push('\n');
        text.push_str(&heredoc.content);
        text.push_str(&heredoc.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word() {
        for (text, name, expand, chomp, file_descriptor) in [
            ("<<END", "END", true, false, 0),
            ("<<-END", "END", true, true, 0),
            ("<<   END", "END", true, false, 0),
            ("<<- END", "END", true, true, 0),
            ("<< -END", "-END", true, false, 0),
            ("12<<END", "END", true, false, 12),
            ("<<$END", "$END", true, false, 0),
            // Any quote makes the body literal, wherever it stands.
            ("<<'END'", "END", false, false, 0),
            ("<<-\"END\"", "END", false, true, 0),
            ("<<the_'end'", "the_end", false, false, 0),
            ("<<'the end'", "the end", false, false, 0),
            // An escape is no quote.
            (r"<<that\'s", "that's", true, false, 0),
            (r#"<<"a\"b""#, "a\"b", false, false, 0),
        ] {
            let name = name.to_owned();
            let expected = Some(HeredocStart { name, expand, chomp, file_descriptor });
            assert_eq!(HeredocStart::parse(text), expected, "{text}");
        }
        for text in
            ["", "a", "7", "<<", "<<-", "<a", "<<<a", "<<a b", "<<'a", "<<a\"", "<<\"\"", "x<<a"]
        {
            assert_eq!(HeredocStart::parse(text), None, "{text}");
        }
    }

    #[test]
    fn in_a_line() {
        for (line, names) in [
            ("RUN <<END", vec!["END"]),
            ("RUN sort <<in > out; uniq <<more", vec!["in", "more"]),
            ("RUN sh -s << END", vec!["END"]),
            ("COPY --chmod=600 <<'one file' /there", vec!["one file"]),
            // Quoted or escaped, glued to another word, or with a third bracket, it is none.
            ("RUN echo '<<END'", vec![]),
            ("RUN echo \"<<END\"", vec![]),
            (r"RUN echo \<<END", vec![]),
            ("RUN tee x<<END", vec![]),
            ("RUN wc <<< END", vec![]),
            ("RUN echo $((4<<2))", vec![]),
            ("RUN echo don't <<END", vec![]),
        ] {
            let found = HeredocStart::find_all(line);
            let found: Vec<_> = found.iter().map(|start| start.name.as_str()).collect();
            assert_eq!(found, names, "{line}");
        }
    }

    #[test]
    fn tabs_are_removed_on_request() {
        let mut lines = Lines::new("\ta\r\n\t\tb\n\tEOF\n", 10);
        let start = HeredocStart::parse("<<-EOF");
        let heredoc = start.and_then(|start| start.read_body(&mut lines));
        let heredoc = heredoc.unwrap_or_else(|| panic!("there is an end line"));
        assert_eq!(heredoc.content, "\ta\r\n\t\tb\n");
        assert_eq!(heredoc.text(), "a\r\nb\n");
        assert_eq!(heredoc.span, Span { start: 10, end: 18 });
        assert_eq!(lines.number(), 3);
    }
}
