//! Sizes such as `64m`.

use super::flag::FlagError;
use crate::dockerfile::parse_size;

/// Bytes, in binary units as in Docker's `--shm-size`.
pub fn parse(text: &str) -> Result<u64, FlagError> {
    parse_size(text).ok_or_else(|| {
        FlagError::new(format!("expected a size but found {text:?}"))
            .hinted("Write a number and a unit, such as 64m or 1.5g.")
    })
}
