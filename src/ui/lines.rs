//! Chunks of output, cut anywhere → lines.

/// A longer line is cut, so that no step makes us remember more.
const LONGEST: usize = 64 << 10;

/// The unfinished line of one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// The lines that `chunk` ends, without their ends; what is no UTF-8 is replaced.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in chunk.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(piece);
            while self.partial.len() > LONGEST + 1 {
                let cut = character_boundary(&self.partial, LONGEST);
                let rest = self.partial.split_off(cut);
                lines.extend(self.finish());
                self.partial = rest;
            }
            if self.partial.ends_with(b"\n") {
                self.partial.pop();
                let line = std::mem::take(&mut self.partial);
                lines.push(shown(&line));
            }
        }
        lines
    }

    /// The last line, if it had no end.
    pub(super) fn finish(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.partial);
        (!line.is_empty()).then(|| shown(&line))
    }
}

/// What a terminal would show at the end: a progress bar writes its line again and again behind a
/// carriage return.
fn shown(line: &[u8]) -> String {
    let last = line.split(|&byte| byte == b'\r').rfind(|part| !part.is_empty());
    String::from_utf8_lossy(last.unwrap_or_default()).into_owned()
}

/// At most `at`, but not inside a character.
fn character_boundary(bytes: &[u8], at: usize) -> usize {
    let is_continuation = |&index: &usize| bytes[index] & 0b1100_0000 == 0b1000_0000;
    (at.saturating_sub(3)..=at).rev().find(|index| !is_continuation(index)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found: Vec<String> = chunks.iter().flat_map(|chunk| lines.push(chunk)).collect();
        found.extend(lines.finish());
        found
    }

    #[test]
    fn lines_end_where_they_end() {
        for (chunks, expected) in [
            (&[&b"a\nb\n"[..]][..], &["a", "b"][..]),
            (&[b"a", b"b\nc"], &["ab", "c"]),
            (&[b"\n\n"], &["", ""]),
            (&[b"a\r\nb\r\n"], &["a", "b"]),
            (&[b"10%\r50%\r100%\n"], &["100%"]),
            (&[b"\xc3", b"\xbc\n"], &["ü"]),
            (&[b"\xff\n"], &["\u{fffd}"]),
            (&[b""], &[]),
        ] {
            assert_eq!(lines(chunks), expected);
        }
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let text = format!("a{}", "ü".repeat(LONGEST));
        let found = lines(&[text.as_bytes()]);
        assert!(found.iter().all(|line| line.len() <= LONGEST), "within the limit");
        assert_eq!(found.len(), 3);
        assert_eq!(found.concat(), text);
        let exact = "x".repeat(LONGEST);
        assert_eq!(lines(&[exact.as_bytes(), b"\n"]), [exact]);
    }
}
