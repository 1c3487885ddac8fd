//! Text from images in Markdown.

use crate::report::weight_text::plain;

/// A longer name is cut in its middle, where it says least.
const LONGEST: usize = 120;

/// A code span that stands in a table as well: no line breaks, `|` escaped, and more backticks around
/// it than in it.
pub(super) fn code(text: &str) -> String {
    let text = shortened(&plain(text)).replace('|', "\\|");
    let mut fence = "`".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    // A space next to the fence is taken off again by whoever renders it.
    let edge = text.starts_with(['`', ' ']) || text.ends_with(['`', ' ', '\\']);
    match (text.is_empty(), edge) {
        (true, _) => "` `".to_owned(),
        (false, true) => format!("{fence} {text} {fence}"),
        (false, false) => format!("{fence}{text}{fence}"),
    }
}

fn shortened(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= LONGEST {
        return text.to_owned();
    }
    let (head, tail) = (LONGEST * 2 / 3, LONGEST / 3);
    let (first, last) = (&chars[..head], &chars[chars.len() - tail..]);
    format!("{}…{}", first.iter().collect::<String>(), last.iter().collect::<String>())
}

/// Lines as a fenced block that none of them can end.
pub(super) fn block(language: &str, lines: &[String]) -> String {
    let longest = lines.iter().map(|line| longest_run(line)).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let lines: String = lines.iter().map(|line| format!("{}\n", plain(line))).collect();
    format!("{fence}{language}\n{lines}{fence}\n")
}

fn longest_run(line: &str) -> usize {
    line.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_a_code_span() {
        for (text, expected) in [
            ("a/b", "`a/b`"),
            ("", "` `"),
            ("a`b", "``a`b``"),
            ("``", "``` `` ```"),
            ("`", "`` ` ``"),
            ("a|b", "`a\\|b`"),
            ("@octocat <img src=x>", "`@octocat <img src=x>`"),
            ("two\nlines\t", "`two\u{fffd}lines\u{fffd}`"),
            (" x", "`  x `"),
            ("back\\", "` back\\ `"),
        ] {
            assert_eq!(code(text), expected, "{text:?}");
        }
        let long = code(&"é".repeat(500));
        assert_eq!(long.chars().count(), LONGEST + 3);
        let cut = code(&"|".repeat(500));
        assert_eq!(cut.matches('|').count(), cut.matches("\\|").count(), "{cut}");
    }

    #[test]
    fn nothing_ends_a_block() {
        let lines = ["a".to_owned(), "````".to_owned(), "b```c".to_owned()];
        assert_eq!(block("diff", &lines), "`````diff\na\n````\nb```c\n`````\n");
    }
}
