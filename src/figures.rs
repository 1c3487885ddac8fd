//! Sizes and times as people read them.

use std::time::Duration;

const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];

/// `512 B`, `4.2 MB`: decimal units, one digit after the point.
#[must_use]
pub fn human(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    // In tenths of the unit, rounded half up, and exact: 999 950 is 1.0 MB, not 1000.0 kB.
    let mut tenth = 100_u64;
    let mut unit = 0;
    let rounded = |tenth: u64| bytes / tenth + u64::from(bytes % tenth >= tenth / 2);
    while rounded(tenth) >= 10_000 && unit + 1 < UNITS.len() {
        tenth *= 1000;
        unit += 1;
    }
    let tenths = rounded(tenth);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `0.3s`, `12.3s`, `2m 05s`.
#[must_use]
pub fn time(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths < 600 {
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    let seconds = (duration.as_millis() + 500) / 1000;
    format!("{}m {:02}s", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1049, "1.0 kB"),
            (1050, "1.1 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (4_237_000, "4.2 MB"),
            (809_301_200, "809.3 MB"),
            (1_500_000_000, "1.5 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn times() {
        for (millis, text) in [
            (0, "0.0s"),
            (49, "0.0s"),
            (50, "0.1s"),
            (59_940, "59.9s"),
            (59_960, "1m 00s"),
            (125_400, "2m 05s"),
        ] {
            assert_eq!(time(Duration::from_millis(millis)), text);
        }
    }
}
