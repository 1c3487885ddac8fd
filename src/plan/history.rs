//! `created_by` of the history, byte for byte what BuildKit writes (1.11). It prints Go values, so
//! their notation is here too.

use std::fmt::Write as _;

use crate::image::HealthConfig;

/// `CMD ["a" "b"]`: Go's `%q` of a list of strings.
pub(super) fn quoted_list(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", quoted.join(" "))
}

/// `[/a /b]`: Go's `%v` of a list of strings.
pub(super) fn plain_list(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

/// `RUN |2 a=1 b=2 /bin/sh -c make # buildkit` (L-059).
pub(super) fn run(args: &[(String, String)], argv: &[String]) -> String {
    let mut text = String::from("RUN ");
    if !args.is_empty() {
        let _ = write!(text, "|{} ", args.len());
        for (name, value) in args {
            let _ = write!(text, "{name}={value} ");
        }
    }
    text + &argv.join(" ") + " # buildkit"
}

/// `{Test:[CMD-SHELL x] Interval:30s …}`: Go's `%+v` of the structure.
pub(super) fn healthcheck(health: &HealthConfig) -> String {
    format!(
        "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        plain_list(&health.test),
        duration(health.interval),
        duration(health.timeout),
        duration(health.start_period),
        duration(health.start_interval),
        health.retries
    )
}

/// Go's `strconv.Quote`.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if is_printable(c) => out.push(c),
            c if c < '\u{80}' => _ = write!(out, "\\x{:02x}", u32::from(c)),
            c if c < '\u{10000}' => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => _ = write!(out, "\\U{:08x}", u32::from(c)),
        }
    }
    out.push('"');
    out
}

/// Close to Go's `unicode.IsPrint`: a space is printable only in ASCII, and format and private
/// characters are not.
fn is_printable(c: char) -> bool {
    let hidden = matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..);
    c == ' ' || !(c.is_control() || c.is_whitespace() || hidden)
}

/// Go's `time.Duration.String`: nanoseconds as `1h0m0s`, `1m30s`, `1.5s` or `100ms`.
fn duration(nanoseconds: i64) -> String {
    let total = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let decimal = |units: u64, of: u64, unit: &str| {
        let rest = units % of;
        if rest == 0 {
            return format!("{}{unit}", units / of);
        }
        let width = of.ilog10() as usize;
        let digits = format!("{rest:0width$}");
        format!("{}.{}{unit}", units / of, digits.trim_end_matches('0'))
    };
    const SECOND: u64 = 1_000_000_000;
    let text = match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{total}ns"),
        1_000..1_000_000 => decimal(total, 1_000, "µs"),
        1_000_000..SECOND => decimal(total, 1_000_000, "ms"),
        _ => {
            let (minutes, rest) = (total / (60 * SECOND), total % (60 * SECOND));
            let seconds = decimal(rest, SECOND, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    };
    sign.to_owned() + &text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_go_does() {
        for (text, expected) in [
            ("a b", r#""a b""#),
            ("a\"b\\", r#""a\"b\\""#),
            ("\n\t\x07\x0b", r#""\n\t\a\v""#),
            ("\x01\x7f", r#""\x01\x7f""#),
            ("é阶😀", "\"é阶😀\""),
            ("\u{a0}\u{200b}\u{85}", r#""\u00a0\u200b\u0085""#),
            ("\u{f0000}", r#""\U000f0000""#),
        ] {
            assert_eq!(quoted(text), expected, "{text:?}");
        }
    }

    #[test]
    fn durations_are_written_as_go_does() {
        for (nanoseconds, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (1_000_000, "1ms"),
            (100_500_000, "100.5ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_400_000_000_001, "1h30m0.000000001s"),
        ] {
            assert_eq!(duration(nanoseconds), expected);
        }
    }
}
