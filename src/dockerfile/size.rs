//! Sizes as Docker reads those of memory.

/// Bytes of `64m`, `1.5 GiB`, `1024`: binary units in any case, as Docker reads sizes of memory;
/// `None` where the text is none.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let last = text.rfind(|c: char| c.is_ascii_digit() || matches!(c, '.' | ' '))?;
    let (number, unit) = text.split_at(last + 1);
    let number = number.strip_suffix(' ').unwrap_or(number);
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let unit = unit.to_ascii_lowercase();
    let prefix = match unit.as_str() {
        "" | "b" => "",
        unit => unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(unit),
    };
    let power = match prefix {
        "" if unit == "ib" => return None,
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let bytes = number * 1024_f64.powi(power);
    // Above 2^53 a float has no fractions, so the conversion is exact up to the limit.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
    (bytes < 9.2e18).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("32", Some(32)),
            ("32b", Some(32)),
            ("32k", Some(32 << 10)),
            ("1.5 KiB", Some(1536)),
            ("2MB", Some(2 << 20)),
            ("1g", Some(1 << 30)),
            ("", None),
            ("k", None),
            ("-1", None),
            ("1ib", None),
            ("1kk", None),
            ("1e3", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}
