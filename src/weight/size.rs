//! Bytes, both ways.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// Bytes of something, on disk and on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Of the content of files.
    pub unpacked: u64,
    /// `None` where a blob is unknown: `docker save` writes layers without compression.
    pub compressed: Option<u64>,
}

impl Size {
    pub const ZERO: Self = Self { unpacked: 0, compressed: Some(0) };
}

impl Default for Size {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Add for Size {
    type Output = Self;

    /// A sum with something unknown is unknown. Sizes are what untrusted images state, so they stop
    /// at the largest number instead of overflowing.
    fn add(self, other: Self) -> Self {
        Self {
            unpacked: self.unpacked.saturating_add(other.unpacked),
            compressed: self.compressed.zip(other.compressed).map(|(a, b)| a.saturating_add(b)),
        }
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::ZERO, Add::add)
    }
}
