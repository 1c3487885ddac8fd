//! Secrets in the output of a step, replaced before anything else sees it.

/// What stands for a secret.
const MASK: &[u8] = b"***";

/// A line of a secret is masked by itself if it has as many bytes: a shorter one (`{`, `key:`) is
/// more likely to be an ordinary word of the log.
const SHORTEST_LINE: usize = 6;

/// Masks secrets in a stream that comes in chunks, cut anywhere. What may be the start of a secret is
/// held back until it is known; that is always less than the longest secret.
#[derive(Clone, Debug)]
pub struct Masker {
    patterns: Vec<Vec<u8>>,
    /// Whether some pattern starts with this byte.
    starts: [bool; 256],
    held: Vec<u8>,
    /// How many bytes at the front of `held` belong to a secret whose mask is out already.
    covered: usize,
}

impl Masker {
    /// For the values as a whole, without trailing line ends too, and for the longer lines of each.
    #[must_use]
    pub fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut patterns = Vec::new();
        for value in values {
            let trimmed = value.trim_ascii();
            patterns.push(trimmed.to_vec());
            let lines = trimmed.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
            patterns.extend(lines.filter(|line| line.len() >= SHORTEST_LINE).map(<[u8]>::to_vec));
        }
        patterns.retain(|pattern| !pattern.is_empty());
        patterns.sort();
        patterns.dedup();
        let mut starts = [false; 256];
        for pattern in &patterns {
            starts[usize::from(pattern[0])] = true;
        }
        Self { patterns, starts, held: Vec::new(), covered: 0 }
    }

    /// What of the stream so far may be shown now.
    #[must_use]
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(chunk);
        self.advance(false)
    }

    /// What was held back: the stream has ended.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        self.advance(true)
    }

    fn advance(&mut self, ended: bool) -> Vec<u8> {
        let mut shown = Vec::with_capacity(self.held.len());
        let mut at = 0;
        // Everything before this offset belongs to a secret. Secrets that overlap are one mask.
        let mut covered = self.covered;
        while at < self.held.len() {
            let rest = &self.held[at..];
            if self.starts[usize::from(rest[0])] {
                let begins = |p: &&Vec<u8>| p.len() > rest.len() && p.starts_with(rest);
                if !ended && self.patterns.iter().any(|pattern| begins(&pattern)) {
                    break;
                }
                let whole = self.patterns.iter().filter(|pattern| rest.starts_with(pattern));
                if let Some(longest) = whole.map(Vec::len).max() {
                    if covered <= at {
                        shown.extend_from_slice(MASK);
                    }
                    covered = covered.max(at + longest);
                }
            }
            if covered <= at {
                shown.push(rest[0]);
            }
            at += 1;
        }
        self.held.drain(..at);
        self.covered = covered.saturating_sub(at);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(secrets: &[&str], chunks: &[&str]) -> String {
        let mut masker = Masker::new(secrets.iter().map(|secret| secret.as_bytes()));
        let mut shown = Vec::new();
        for chunk in chunks {
            shown.extend(masker.push(chunk.as_bytes()));
        }
        shown.extend(masker.finish());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn secrets_are_masked_across_chunks() {
        for (secrets, chunks, expected) in [
            (&["hunter2"][..], &["a hunter2 b"][..], "a *** b"),
            (&["hunter2"], &["a hun", "ter", "2 b"], "a *** b"),
            (&["hunter2"], &["a hun", "dred"], "a hundred"),
            (&["hunter2"], &["hunter"], "hunter"),
            (&["hunter2\n"], &["hunter2"], "***"),
            (&["abc", "abcdef"], &["abcd", "ef abc"], "*** ***"),
            (&["abcd", "cdef"], &["xab", "cdefx"], "x***x"),
            (&["aab"], &["aaab"], "a***"),
            (&["aa"], &["aaa"], "***"),
            (&["x"], &["xyx"], "***y***"),
            (&["", "\n"], &["a\nb"], "a\nb"),
            (&[], &["a"], "a"),
            (
                &["-----BEGIN KEY-----\nAAAABBBB\nCC\n-----END KEY-----\n"],
                &["key: AAAABBBB\nCC"],
                "key: ***\nCC",
            ),
        ] {
            assert_eq!(masked(secrets, chunks), expected, "{secrets:?} {chunks:?}");
        }
    }

    #[test]
    fn only_a_possible_start_is_held_back() {
        let mut masker = Masker::new([&b"hunter2"[..]]);
        assert_eq!(masker.push(b"downloading hu"), b"downloading ");
        assert_eq!(masker.push(b"b\n"), b"hub\n");
    }

    proptest! {
        #[test]
        fn the_cut_never_matters(
            secrets in prop::collection::vec("[ab]{1,4}", 0..4),
            text in "[abc]{0,24}",
            cuts in prop::collection::vec(0_usize..24, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                chunks.push(&text[from..cut]);
                from = cut;
            }
            let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
            let whole = masked(&secrets, &[&text]);
            prop_assert_eq!(&masked(&secrets, &chunks), &whole);
            for secret in secrets {
                prop_assert!(!whole.contains(secret), "{} in {}", secret, whole);
            }
        }
    }
}
