//! Which place in a tar comes from which place in its blob.

/// Between two notes the blob is taken to be evenly spread.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// Ends of pieces: in the tar, in the blob. Both grow.
    notes: Vec<(u64, u64)>,
}

impl Curve {
    /// Tar bytes between two notes; a gigabyte has some 16,000.
    pub(super) const SPACING: u64 = 1 << 16;

    /// Notes that the first `position` bytes of the tar took the first `taken` of the blob.
    pub(super) fn note(&mut self, position: u64, taken: u64) {
        match self.notes.as_mut_slice() {
            [.., before, last] if position - before.0 <= Self::SPACING => *last = (position, taken),
            _ => self.notes.push((position, taken)),
        }
    }

    /// The place in the blob for one in the tar.
    #[must_use]
    pub fn compressed(&self, position: u64) -> u64 {
        let after = self.notes.partition_point(|(end, _)| *end < position);
        let (x0, y0) = after.checked_sub(1).map_or((0, 0), |before| self.notes[before]);
        let Some(&(x1, y1)) = self.notes.get(after) else { return y0 };
        let part = u128::from(y1 - y0) * u128::from(position - x0) / u128::from((x1 - x0).max(1));
        y0 + u64::try_from(part).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_notes_the_blob_is_evenly_spread() {
        let mut curve = Curve::default();
        for (position, taken) in
            [(100_000, 50_000), (150_000, 50_500), (200_000, 51_000), (200_000, 51_010)]
        {
            curve.note(position, taken);
        }
        for (position, expected) in [
            (0, 0),
            (50_000, 25_000),
            (100_000, 50_000),
            (150_000, 50_500),
            (200_000, 51_010),
            (1 << 40, 51_010),
        ] {
            assert_eq!(curve.compressed(position), expected, "{position}");
        }
    }
}
