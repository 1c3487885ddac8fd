//! What a step writes for the runner: outputs, state and the job summary.

/// The runner drops a summary that is larger, with an error: 1 MiB.
pub const SUMMARY_LIMIT: usize = 1 << 20;

/// Lines for the file of `GITHUB_OUTPUT` or `GITHUB_STATE`. `delimiter` must be a word that nobody
/// who writes the values can guess, or a value could set outputs of its own.
#[must_use]
pub fn assignments(values: &[(&str, String)], delimiter: &str) -> String {
    let line =
        |(name, value): &(&str, String)| format!("{name}<<{delimiter}\n{value}\n{delimiter}\n");
    values.iter().map(line).collect()
}

/// `text`, cut at the end of a line so that it and the note on it fit `limit` bytes.
#[must_use]
pub fn within(text: &str, limit: usize, note: &str) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub(note.len() + 2);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let end = text[..end].rfind('\n').unwrap_or(end);
    format!("{}\n\n{note}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_have_lines() {
        let text = assignments(&[("tags", "a\nb".to_owned()), ("digest", String::new())], "EOF1");
        assert_eq!(text, "tags<<EOF1\na\nb\nEOF1\ndigest<<EOF1\n\nEOF1\n");
    }

    #[test]
    fn what_is_too_long_ends_with_a_line_and_a_note() {
        assert_eq!(within("ab\ncd", 5, "More."), "ab\ncd");
        let cut = within("first\nsecond\nthird line\n", 18, "More.");
        assert_eq!(cut, "first\n\nMore.");
        assert!(within(&"é".repeat(100), 31, "More.").len() <= 31);
    }
}
