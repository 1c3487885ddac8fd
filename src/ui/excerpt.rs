//! What went wrong, with the Dockerfile's own lines (dockerfile.md, 1.12).

use std::fmt::Write as _;

use super::clean;
use crate::error::{Error, ErrorKind, Location};

const RULE: &str = "--------------------";

/// The whole message: an excerpt per location, the error, its places, its hints. `dockerfile` is the
/// name as typed and the bytes.
#[must_use]
pub fn failure(error: &Error, dockerfile: Option<(&str, &[u8])>) -> String {
    let mut text = String::new();
    let excerpts = dockerfile.into_iter().flat_map(|(name, bytes)| {
        error.locations.iter().filter_map(move |location| excerpt(name, bytes, location))
    });
    text.extend(excerpts);
    let _ = writeln!(text, "ERROR: {}", clean::text(&message(error)));
    if let Some((name, _)) = dockerfile {
        for location in &error.locations {
            if let Some(column) = location.column {
                let line = location.lines.start();
                let _ = writeln!(text, "  --> {}:{line}:{column}", clean::line(name));
            }
        }
    }
    for hint in &error.hints {
        let _ = writeln!(text, "hint: {}", clean::text(hint));
    }
    text
}

/// What failed of the whole: as `docker buildx build` words it, except for what was typed wrong.
#[must_use]
pub fn message(error: &Error) -> String {
    match error.kind {
        ErrorKind::Usage | ErrorKind::Machine if error.locations.is_empty() => {
            error.message.clone()
        }
        ErrorKind::Command | ErrorKind::Size | ErrorKind::Canceled => error.message.clone(),
        ErrorKind::Usage | ErrorKind::Machine | ErrorKind::Build => {
            format!("failed to build: failed to solve: {}", error.message)
        }
    }
}

/// The lines of `location` marked, and some around them; `None` where the file has no such line.
pub(super) fn excerpt(name: &str, bytes: &[u8], location: &Location) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split('\n').collect();
    let (first, last) = (*location.lines.start(), *location.lines.end());
    if first < 1 || first > lines.len() {
        return None;
    }
    let last = last.clamp(first, lines.len());
    let (from, to) = padded(first, last, lines.len());
    let mut excerpt = format!("{}:{first}\n{RULE}\n", clean::line(name));
    for number in from..=to {
        let marker = if (first..=last).contains(&number) { ">>>" } else { "   " };
        let line = lines[number - 1];
        let line = clean::line(line.strip_suffix('\r').unwrap_or(line));
        let _ = writeln!(excerpt, " {number:3} | {marker} {line}");
    }
    excerpt.push_str(RULE);
    excerpt.push('\n');
    Some(excerpt)
}

/// BuildKit's loop: each round adds a line before and one after, where there is one, and counts one
/// more, until two are reached; four for a single line.
fn padded(first: usize, last: usize, count: usize) -> (usize, usize) {
    let wanted = if first == last { 4 } else { 2 };
    let (mut from, mut to) = (first, last);
    let mut padding = 0;
    while padding < wanted {
        if from > 1 {
            from -= 1;
            padding += 1;
        }
        if to < count {
            to += 1;
            padding += 1;
        }
        padding += 1;
    }
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_reference() {
        let error = Error::build(
            "process \"/bin/sh -c false\" did not complete successfully: exit code: 1",
        )
        .at(Location::lines(3..=3));
        let expected = "\
Dockerfile:3
--------------------
   1 |     FROM busybox
   2 |     COPY a /b
   3 | >>> RUN false
   4 |     \n--------------------
ERROR: failed to build: failed to solve: process \"/bin/sh -c false\" did not complete successfully: exit code: 1
";
        let file = b"FROM busybox\nCOPY a /b\nRUN false\n";
        assert_eq!(failure(&error, Some(("Dockerfile", file))), expected);
    }

    #[test]
    fn padding_is_buildkit_s() {
        for (first, last, count, expected) in [
            (1, 1, 1, (1, 1)),
            (1, 1, 2, (1, 2)),
            (1, 1, 10, (1, 3)),
            (5, 5, 10, (3, 7)),
            (2, 2, 10, (1, 4)),
            (10, 10, 10, (8, 10)),
            (4, 6, 10, (3, 7)),
            (1, 3, 10, (1, 4)),
            (1, 10, 10, (1, 10)),
        ] {
            assert_eq!(padded(first, last, count), expected, "{first}..{last} of {count}");
        }
    }

    #[test]
    fn several_places_columns_and_hints() {
        let mut error = Error::build("circular dependency detected on stage: a")
            .at(Location { lines: 1..=1, column: Some(6) })
            .hinted("Break the circle.");
        error.locations.push(Location::lines(2..=3));
        let file = b"FROM b AS a\r\nFROM \\\n a AS b\n";
        let expected = "\
app/Dockerfile:1
--------------------
   1 | >>> FROM b AS a
   2 |     FROM \\
   3 |      a AS b
--------------------
app/Dockerfile:2
--------------------
   1 |     FROM b AS a
   2 | >>> FROM \\
   3 | >>>  a AS b
   4 |     \n--------------------
ERROR: failed to build: failed to solve: circular dependency detected on stage: a
  --> app/Dockerfile:1:6
hint: Break the circle.
";
        assert_eq!(failure(&error, Some(("app/Dockerfile", file))), expected);
    }

    #[test]
    fn what_was_typed_wrong_has_no_prefix_and_foreign_text_no_power() {
        let error = Error::usage("--tag \u{1b}[2J: bad").hinted("Try again.");
        assert_eq!(failure(&error, None), "ERROR: --tag ␛[2J: bad\nhint: Try again.\n");
        let error = Error::build("no").at(Location::lines(9..=9));
        let text = failure(&error, Some(("Dockerfile", b"FROM a")));
        assert_eq!(text, "ERROR: failed to build: failed to solve: no\n", "there is no line 9");
    }
}
