//! `250MB`, `5%` and `10MB, 5%`, as people write limits.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} but found {found:?}")]
pub struct AmountError {
    pub expected: &'static str,
    pub found: String,
}

/// Bytes or a share, as a limit or as what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    Bytes(u64),
    Percent(Percent),
}

/// A share in hundredths of a percent: exact, and comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u64);

impl Percent {
    pub(super) const WHOLE: Self = Self(10_000);

    /// `part` of `whole`, rounded up, so that whatever is above a limit shows as such.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Self {
        if whole == 0 {
            return Self(if part == 0 { 0 } else { 10_000 });
        }
        let share = (u128::from(part) * 10_000).div_ceil(u128::from(whole));
        Self(u64::try_from(share).unwrap_or(u64::MAX))
    }
}

impl Serialize for Percent {
    #[allow(clippy::cast_precision_loss, reason = "a ratio for people")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 100.0)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match rest {
            0 => write!(f, "{whole} %"),
            rest if rest % 10 == 0 => write!(f, "{whole}.{} %", rest / 10),
            rest => write!(f, "{whole}.{rest:02} %"),
        }
    }
}

/// By how much an image may grow; whichever is less counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrowthLimit {
    pub bytes: Option<u64>,
    pub percent: Option<Percent>,
}

/// Decimal units, and binary ones by their own names.
const UNITS: [(&str, u64); 12] = [
    ("b", 1),
    ("kb", 1000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("k", 1000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tb", 1_000_000_000_000),
    ("", 1),
];

/// `1500000`, `1.5MB`, `1.5 MiB`
pub(super) fn bytes(text: &str) -> Result<u64, AmountError> {
    let fault = || AmountError { expected: "a size such as 250MB", found: text.to_owned() };
    let (number, unit) = split(text).ok_or_else(fault)?;
    let unit = unit.to_ascii_lowercase();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(fault)?;
    let bytes = number.thousandths.checked_mul(u128::from(*factor)).ok_or_else(fault)? / 1000;
    u64::try_from(bytes).map_err(|_| fault())
}

impl FromStr for Percent {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let fault = || AmountError { expected: "a share such as 95%", found: text.to_owned() };
        let (number, unit) = split(text).ok_or_else(fault)?;
        let hundredths = u64::try_from(number.thousandths / 10).map_err(|_| fault())?;
        if unit == "%" { Ok(Self(hundredths)) } else { Err(fault()) }
    }
}

impl FromStr for GrowthLimit {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let fault =
            || AmountError { expected: "a growth such as 10MB or 5%", found: text.to_owned() };
        let mut limit = Self::default();
        for part in text.split(',') {
            let part = part.trim();
            let part = part.strip_prefix('+').unwrap_or(part);
            let twice = if part.ends_with('%') {
                limit.percent.replace(part.parse().map_err(|_| fault())?).is_some()
            } else {
                limit.bytes.replace(bytes(part).map_err(|_| fault())?).is_some()
            };
            if twice {
                return Err(fault());
            }
        }
        Ok(limit)
    }
}

struct Number {
    thousandths: u128,
}

/// A number with up to three digits after its point, and what follows it.
fn split(text: &str) -> Option<(Number, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 3 || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction: u128 = format!("{fraction:0<3}").parse().ok()?;
    Some((Number { thousandths: u128::from(whole) * 1000 + fraction }, unit.trim_start()))
}
