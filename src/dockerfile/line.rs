//! Physical lines, the logical lines they form, and the way back from either to the file.

use std::ops::{Range, RangeInclusive};

use super::ast::{Span, Word};

/// One physical line.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// With its line ending.
    pub(super) raw: &'a str,
    /// Byte offset in the file.
    pub(super) start: usize,
    /// Counted from one.
    pub(super) number: usize,
}

impl<'a> Line<'a> {
    pub(super) fn text(&self) -> &'a str {
        self.raw.trim_end_matches(['\r', '\n'])
    }

    /// What follows the `#`, where the line is a comment (L-005).
    pub(super) fn comment(&self) -> Option<&'a str> {
        self.text().trim_start().strip_prefix('#')
    }

    pub(super) fn is_blank(&self) -> bool {
        self.raw.trim().is_empty()
    }
}

/// The physical lines of a text, one after the other.
pub(super) struct Lines<'a> {
    rest: &'a str,
    start: usize,
    number: usize,
    /// Where the last line ended, without its line ending.
    end_of_last: usize,
}

impl<'a> Lines<'a> {
    /// `start` is the offset of `text` in the file: a byte-order mark stands before it (L-001).
    pub(super) fn new(text: &'a str, start: usize) -> Self {
        Self { rest: text, start, number: 0, end_of_last: start }
    }

    /// The number of the last line read.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The offset of its end, without the line ending.
    pub(super) fn end_of_last(&self) -> usize {
        self.end_of_last
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let length = self.rest.find('\n').map_or(self.rest.len(), |newline| newline + 1);
        let (raw, rest) = self.rest.split_at(length);
        let line = Line { raw, start: self.start, number: self.number + 1 };
        self.rest = rest;
        self.start += length;
        self.number += 1;
        self.end_of_last = line.start + line.text().len();
        Some(line)
    }
}

/// An instruction's line with its continuations joined and the comments between them removed.
pub(super) struct LogicalLine {
    text: String,
    /// Where in the file each part of `text` comes from, in order.
    pieces: Vec<Piece>,
    pub(super) lines: RangeInclusive<usize>,
    /// Whether an empty line stood between the others (L-008).
    pub(super) has_blank: bool,
}

struct Piece {
    /// Offset in the joined text.
    at: usize,
    /// Offset in the file.
    source: usize,
}

impl LogicalLine {
    /// `first` is the line the instruction begins on; the rest is taken from `lines`.
    pub(super) fn read(first: Line<'_>, lines: &mut Lines<'_>, escape: char) -> Self {
        let mut logical = Self {
            text: String::new(),
            pieces: Vec::new(),
            lines: first.number..=first.number,
            has_blank: false,
        };
        // Leading space goes from the first line only (L-006).
        let text = first.text();
        let skipped = text.len() - text.trim_start().len();
        let mut more = logical.push(&text[skipped..], first.start + skipped, escape);
        while more {
            let Some(line) = lines.next() else { break };
            logical.lines = first.number..=line.number;
            if line.comment().is_some() {
                continue;
            }
            if line.is_blank() {
                logical.has_blank = true;
                continue;
            }
            more = logical.push(line.text(), line.start, escape);
        }
        logical
    }

    /// Adds a line; true if it continues on the next.
    fn push(&mut self, text: &str, source: usize, escape: char) -> bool {
        let kept = without_continuation(text, escape);
        self.pieces.push(Piece { at: self.text.len(), source });
        self.text.push_str(kept.unwrap_or(text));
        kept.is_some()
    }

    pub(super) fn as_fragment(&self) -> Fragment<'_> {
        Fragment { line: self, range: 0..self.text.len() }
    }

    /// The offset in the file of the character at `at`.
    fn source(&self, at: usize) -> usize {
        let following = self.pieces.partition_point(|piece| piece.at <= at);
        // The first piece begins at 0, so one precedes every offset.
        let piece = &self.pieces[following.saturating_sub(1)];
        piece.source + (at - piece.at)
    }
}

/// The line without its continuation character, if it ends in one: spaces may follow it, but not
/// another escape precede it (L-007).
fn without_continuation(text: &str, escape: char) -> Option<&str> {
    let kept = text.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!kept.ends_with(escape)).then_some(kept)
}

/// A part of a logical line that knows where in the file it stands.
#[derive(Clone)]
pub(super) struct Fragment<'a> {
    line: &'a LogicalLine,
    range: Range<usize>,
}

impl<'a> Fragment<'a> {
    pub(super) fn as_str(&self) -> &'a str {
        &self.line.text[self.range.clone()]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The part from `start` to `end`, counted in this fragment.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        debug_assert!(range.end <= self.range.len());
        let start = self.range.start;
        Self { line: self.line, range: start + range.start..start + range.end }
    }

    pub(super) fn from(&self, start: usize) -> Self {
        self.slice(start..self.range.len())
    }

    /// Both sides of an offset.
    pub(super) fn split_at(&self, at: usize) -> (Self, Self) {
        (self.slice(0..at), self.from(at))
    }

    pub(super) fn trim(&self) -> Self {
        let text = self.as_str();
        let start = text.len() - text.trim_start().len();
        self.slice(start..start + text.trim().len())
    }

    /// From the first to the last byte, in the file; comments and line ends between them included.
    pub(super) fn span(&self) -> Span {
        let start = self.line.source(self.range.start);
        let end = match self.range.len() {
            0 => start,
            _ => self.line.source(self.range.end - 1) + 1,
        };
        Span { start, end }
    }

    /// Of the whole logical line.
    pub(super) fn lines(&self) -> RangeInclusive<usize> {
        self.line.lines.clone()
    }

    pub(super) fn word(&self) -> Word {
        Word { text: self.as_str().to_owned(), span: self.span() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logical(text: &str, escape: char) -> LogicalLine {
        let mut lines = Lines::new(text, 0);
        let first = lines.next().unwrap_or(Line { raw: "", start: 0, number: 1 });
        LogicalLine::read(first, &mut lines, escape)
    }

    #[test]
    fn continuations() {
        for (text, escape, joined, last, has_blank) in [
            ("RUN a\nRUN b", '\\', "RUN a", 1, false),
            ("  RUN a \\\n  b", '\\', "RUN a   b", 2, false),
            ("RUN a\\  \t\nb", '\\', "RUN ab", 2, false),
            ("RUN a\\\r\nb\r\n", '\\', "RUN ab", 2, false),
            ("RUN a\\\\\nb", '\\', "RUN a\\\\", 1, false),
            ("RUN a\\\n\\\nb", '\\', "RUN ab", 3, false),
            ("RUN a\\\n # c \\\n\n  \nb", '\\', "RUN ab", 5, true),
            ("RUN a # b", '\\', "RUN a # b", 1, false),
            ("RUN a \\", '\\', "RUN a ", 1, false),
            ("RUN a `\nb \\", '`', "RUN a b \\", 2, false),
        ] {
            let line = logical(text, escape);
            assert_eq!(line.text, joined, "{text:?}");
            assert_eq!(line.lines, 1..=last, "{text:?}");
            assert_eq!(line.has_blank, has_blank, "{text:?}");
        }
    }

    #[test]
    fn every_part_knows_its_place() {
        let text = "  RUN one \\\n# comment\n two";
        let line = logical(text, '\\');
        let whole = line.as_fragment();
        let place = |part: &str| {
            let at = whole.as_str().find(part).unwrap_or_default();
            let span = whole.slice(at..at + part.len()).span();
            &text[span.start..span.end]
        };
        assert_eq!(place("RUN"), "RUN");
        assert_eq!(place("one"), "one");
        assert_eq!(place("two"), "two");
        assert_eq!(place("one  two"), "one \\\n# comment\n two");
    }
}
