//! Foreign text made safe for a terminal: nothing of it may move the cursor, hide or reorder what is
//! there. Colors stay.

use std::fmt::Write as _;

/// Ends every color, so that one line's does not reach the next.
const RESET: &str = "\u{1b}[0m";

/// One line of a command's output: control characters are made visible, except tabs and colors.
#[must_use]
pub fn output_line(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut colored = false;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let taken = match color_sequence(rest) {
            Some(length) => {
                clean.push_str(&rest[..length]);
                colored = true;
                length
            }
            None => {
                push_visible(&mut clean, c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    if colored {
        clean.push_str(RESET);
    }
    clean
}

/// Text of several lines, all control characters but line ends and tabs made visible.
#[must_use]
pub fn text(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' { clean.push(c) } else { push_visible(&mut clean, c) }
    }
    clean
}

/// The same on one line.
#[must_use]
pub fn line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    text.chars().for_each(|c| push_visible(&mut clean, c));
    clean
}

/// Bytes of `ESC [ digits ; … m` at the start of `text`, which sets colors and nothing else.
fn color_sequence(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
    // Conceal (8) would hide the text behind it.
    let hides = parameters[..end].split([';', ':']).any(|parameter| parameter == "8");
    (parameters[end..].starts_with('m') && !hides).then_some(end + 3)
}

fn push_visible(clean: &mut String, c: char) {
    match c {
        '\t' => clean.push(c),
        // The pictures of the control characters stand in the order of the characters.
        '\0'..='\u{1f}' => clean.extend(char::from_u32(0x2400 + u32::from(c))),
        '\u{7f}' => clean.push('\u{2421}'),
        // C1 controls, and what reorders text from right to left.
        '\u{80}'..='\u{9f}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2066}'..='\u{2069}' => {
            let _ = write!(clean, "\\u{{{:x}}}", u32::from(c));
        }
        _ => clean.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_stay_and_the_rest_shows() {
        for (line, expected) in [
            ("plain ü\t.", "plain ü\t."),
            ("\u{1b}[31mred\u{1b}[0m", "\u{1b}[31mred\u{1b}[0m\u{1b}[0m"),
            ("\u{1b}[1;38;5;9mx", "\u{1b}[1;38;5;9mx\u{1b}[0m"),
            ("\u{1b}[2Jgone", "␛[2Jgone"),
            ("\u{1b}[1;8mhidden", "␛[1;8mhidden"),
            ("\u{1b}]0;title\u{7}", "␛]0;title␇"),
            ("\u{1b}[3", "␛[3"),
            ("a\u{8}b\0\u{7f}", "a␈b␀␡"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\u{202e}b", "a\\u{202e}b"),
        ] {
            assert_eq!(output_line(line), expected);
        }
    }

    #[test]
    fn only_text_keeps_its_line_ends() {
        assert_eq!(text("a\n\u{1b}[1mb"), "a\n␛[1mb");
        assert_eq!(line("a\n\rb"), "a␊␍b");
    }
}
