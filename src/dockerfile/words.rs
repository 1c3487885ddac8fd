//! The two ways in which the arguments of an instruction are split.

use super::line::Fragment;

/// What separates a keyword from its arguments, and arguments from each other.
pub(super) fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0b' | '\x0c' | '\r')
}

/// At every run of spaces, whatever the quotes: `FROM`, `EXPOSE`, `COPY`, `ADD`, `VOLUME`.
pub(super) fn plain<'a>(text: &Fragment<'a>) -> Vec<Fragment<'a>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in text.as_str().char_indices() {
        match (start, is_separator(c)) {
            (None, false) => start = Some(at),
            (Some(begin), true) => {
                words.push(text.slice(begin..at));
                start = None;
            }
            _ => {}
        }
    }
    words.extend(start.map(|begin| text.from(begin)));
    words
}

/// At spaces outside of quotes; quotes and escapes stay in the words: `ENV`, `LABEL`, `ARG`
/// (L-160). An escape with nothing after it is dropped.
pub(super) fn quoted<'a>(text: &Fragment<'a>, escape: char) -> Vec<Fragment<'a>> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut end = text.as_str().len();
    let mut chars = text.as_str().char_indices();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(start.take().map(|begin| text.slice(begin..at)));
            continue;
        }
        let begin = *start.get_or_insert(at);
        if c == escape && quote != Some('\'') {
            if chars.next().is_none() {
                end = at;
                start = (begin < at).then_some(begin);
            }
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '\'' | '"') {
            quote = Some(c);
        }
    }
    words.extend(start.map(|begin| text.slice(begin..end)));
    words
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::line::{Line, Lines, LogicalLine};
    use super::*;

    /// One logical line out of one physical line, whatever its last character.
    pub(in super::super) fn line(text: &str) -> LogicalLine {
        LogicalLine::read(Line { raw: text, start: 0, number: 1 }, &mut Lines::new("", 0), '\0')
    }

    #[test]
    fn quotes_hold_words_together() {
        for (text, plain_words, quoted_words) in [
            ("a  b\tc", vec!["a", "b", "c"], vec!["a", "b", "c"]),
            ("a='b c' d", vec!["a='b", "c'", "d"], vec!["a='b c'", "d"]),
            (r#"a="b \" c" d"#, vec![r#"a="b"#, r#"\""#, "c\"", "d"], vec![r#"a="b \" c""#, "d"]),
            (r"a='b\' c", vec![r"a='b\'", "c"], vec![r"a='b\'", "c"]),
            (r"a=b\ c d", vec![r"a=b\", "c", "d"], vec![r"a=b\ c", "d"]),
            (r"a=b\", vec![r"a=b\"], vec!["a=b"]),
            (r"a \", vec!["a", r"\"], vec!["a"]),
            ("a='b c", vec!["a='b", "c"], vec!["a='b c"]),
            ("\"\" b", vec!["\"\"", "b"], vec!["\"\"", "b"]),
        ] {
            let line = line(text);
            let whole = line.as_fragment();
            let texts = |words: Vec<Fragment<'_>>| -> Vec<String> {
                words.iter().map(|word| word.as_str().to_owned()).collect()
            };
            assert_eq!(texts(plain(&whole)), plain_words, "{text}");
            assert_eq!(texts(quoted(&whole, '\\')), quoted_words, "{text}");
        }
    }
}
