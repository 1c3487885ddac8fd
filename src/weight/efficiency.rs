//! The figures of dive, computed as dive computes them, so that its users can compare.

use serde::{Deserialize, Serialize};

/// Exact counts; the figures follow from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Efficiency {
    /// Over all paths, the smallest size that a path has in any layer.
    pub least: u64,
    /// Over all paths, its sizes in all layers.
    pub found: u64,
    /// Of `found`, the paths that are in more than one layer.
    pub wasted: u64,
    /// Bytes of all layers, and of all but the lowest, which dive takes for the base image.
    pub image: u64,
    pub user: u64,
}

impl Efficiency {
    /// From 0 to 1; 1 where no path is in two layers.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn score(&self) -> f64 {
        if self.found == 0 { 1.0 } else { self.least as f64 / self.found as f64 }
    }

    /// Wasted bytes as a part of what is above the base: from 0, usually below 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn user_wasted(&self) -> f64 {
        if self.user == 0 { 0.0 } else { self.wasted as f64 / self.user as f64 }
    }
}
