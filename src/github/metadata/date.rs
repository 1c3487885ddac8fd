//! Dates in the letters of Moment: `{{date 'YYYYMMDD' tz='Asia/Tokyo'}}`.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

use super::MetadataError;
use super::template::Template;

/// `at` as the expression wants it; without a format, as ISO 8601 has it.
pub(super) fn format(at: Timestamp, template: &Template<'_>) -> Result<String, MetadataError> {
    let mut zone = TimeZone::UTC;
    for (key, value) in &template.options {
        if key != "tz" {
            return Err(MetadataError(format!("unknown attribute {key:?} of {}", template.name)));
        }
        zone = TimeZone::get(value)
            .map_err(|_| MetadataError(format!("unknown time zone {value:?}")))?;
    }
    let text = template.arguments.first().map_or("YYYY-MM-DDTHH:mm:ssZ", String::as_str);
    Ok(formatted(&at.to_zoned(zone), text))
}

/// Longer ones before those that they begin with.
const TOKENS: [&str; 51] = [
    "YYYY", "YY", "GGGG", "GG", "gggg", "gg", "Qo", "Q", "MMMM", "MMM", "MM", "Mo", "M", "DDDD",
    "DDDo", "DDD", "DD", "Do", "D", "dddd", "ddd", "dd", "do", "d", "E", "e", "WW", "Wo", "W",
    "ww", "wo", "w", "HH", "H", "hh", "h", "kk", "k", "mm", "m", "ss", "s", "A", "a", "ZZ", "Z",
    "zz", "z", "X", "x", "Y",
];

/// Long forms stand for others.
const LONG: [(&str, &str); 10] = [
    ("LTS", "h:mm:ss A"),
    ("LT", "h:mm A"),
    ("LLLL", "dddd, MMMM D, YYYY h:mm A"),
    ("LLL", "MMMM D, YYYY h:mm A"),
    ("LL", "MMMM D, YYYY"),
    ("L", "MM/DD/YYYY"),
    ("llll", "ddd, MMM D, YYYY h:mm A"),
    ("lll", "MMM D, YYYY h:mm A"),
    ("ll", "MMM D, YYYY"),
    ("l", "M/D/YYYY"),
];

fn formatted(at: &Zoned, format: &str) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        if let Some((text, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            out.push_str(text);
            rest = after;
        } else if let Some((long, text)) = LONG.iter().find(|(long, _)| rest.starts_with(long)) {
            out.push_str(&formatted(at, text));
            rest = &rest[long.len()..];
        } else if first == 'S' {
            let after = rest.trim_start_matches('S');
            let digits = (rest.len() - after.len()).min(9);
            out.push_str(&format!("{:09}", at.subsec_nanosecond())[..digits]);
            rest = after;
        } else if let Some(token) = TOKENS.iter().find(|token| rest.starts_with(**token)) {
            out.push_str(&part(at, token));
            rest = &rest[token.len()..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

fn part(at: &Zoned, token: &str) -> String {
    let week = at.date().iso_week_date();
    let weekday = at.weekday().to_sunday_zero_offset();
    // American weeks begin on Sunday, and the first is that of January 1: its year is Saturday's.
    let saturday = at.date().saturating_add(i64::from(6 - weekday).days());
    let american_week = (saturday.day_of_year() - 1) / 7 + 1;
    let quarter = (at.month() + 2) / 3;
    let hour12 = (at.hour() + 11) % 12 + 1;
    let hour24 = if at.hour() == 0 { 24 } else { at.hour() };
    match token {
        "YYYY" => format!("{:04}", at.year()),
        "YY" => format!("{:02}", at.year() % 100),
        "Y" => at.year().to_string(),
        "GGGG" => format!("{:04}", week.year()),
        "GG" => format!("{:02}", week.year() % 100),
        "gggg" => format!("{:04}", saturday.year()),
        "gg" => format!("{:02}", saturday.year() % 100),
        "Q" => quarter.to_string(),
        "Qo" => ordinal(quarter.into()),
        "MMMM" => at.strftime("%B").to_string(),
        "MMM" => at.strftime("%b").to_string(),
        "MM" => format!("{:02}", at.month()),
        "Mo" => ordinal(at.month().into()),
        "M" => at.month().to_string(),
        "DDDD" => format!("{:03}", at.day_of_year()),
        "DDDo" => ordinal(at.day_of_year()),
        "DDD" => at.day_of_year().to_string(),
        "DD" => format!("{:02}", at.day()),
        "Do" => ordinal(at.day().into()),
        "D" => at.day().to_string(),
        "dddd" => at.strftime("%A").to_string(),
        "ddd" => at.strftime("%a").to_string(),
        "dd" => at.strftime("%a").to_string()[..2].to_owned(),
        "do" => ordinal(weekday.into()),
        "d" | "e" => weekday.to_string(),
        "E" => at.weekday().to_monday_one_offset().to_string(),
        "WW" => format!("{:02}", week.week()),
        "Wo" => ordinal(week.week().into()),
        "W" => week.week().to_string(),
        "ww" => format!("{american_week:02}"),
        "wo" => ordinal(american_week),
        "w" => american_week.to_string(),
        "HH" => format!("{:02}", at.hour()),
        "H" => at.hour().to_string(),
        "hh" => format!("{hour12:02}"),
        "h" => hour12.to_string(),
        "kk" => format!("{hour24:02}"),
        "k" => hour24.to_string(),
        "mm" => format!("{:02}", at.minute()),
        "m" => at.minute().to_string(),
        "ss" => format!("{:02}", at.second()),
        "s" => at.second().to_string(),
        "A" => if at.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        "a" => if at.hour() < 12 { "am" } else { "pm" }.to_owned(),
        "ZZ" => at.strftime("%z").to_string(),
        "Z" => at.strftime("%:z").to_string(),
        "zz" | "z" => at.strftime("%Z").to_string(),
        "X" => at.timestamp().as_second().to_string(),
        "x" => at.timestamp().as_millisecond().to_string(),
        other => other.to_owned(),
    }
}

fn ordinal(number: i16) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_a_format() {
        let at: Timestamp = "2026-01-02T13:04:05.678Z".parse().unwrap();
        let rows = [
            ("YYYYMMDD", "20260102"),
            ("YYYY-MM-DD HH:mm:ss.SSS", "2026-01-02 13:04:05.678"),
            ("YY M D H h m s", "26 1 2 13 1 4 5"),
            ("dddd ddd dd d E", "Friday Fri Fr 5 5"),
            ("MMMM MMM Do DDD DDDD", "January Jan 2nd 2 002"),
            ("[at] hh A a", "at 01 PM pm"),
            ("W WW GGGG Q Qo", "1 01 2026 1 1st"),
            ("e w ww wo gg gggg", "5 1 01 1st 26 2026"),
            ("l|ll", "1/2/2026|Jan 2, 2026"),
            ("X x", "1767359045 1767359045678"),
            ("Z ZZ z", "+00:00 +0000 UTC"),
            ("LT|L", "1:04 PM|01/02/2026"),
            ("k-kk", "13-13"),
            ("_é_", "_é_"),
        ];
        for (format, expected) in rows {
            assert_eq!(formatted(&at.to_zoned(TimeZone::UTC), format), expected, "{format}");
        }
    }

    #[test]
    fn american_weeks() {
        for (day, expected) in [
            ("2025-12-27", "2025-52"),
            ("2025-12-28", "2026-01"),
            ("2026-01-03", "2026-01"),
            ("2026-01-04", "2026-02"),
            ("2022-12-31", "2022-53"),
        ] {
            let at: Timestamp = format!("{day}T12:00:00Z").parse().unwrap();
            assert_eq!(formatted(&at.to_zoned(TimeZone::UTC), "gggg-ww"), expected, "{day}");
        }
    }

    #[test]
    fn zones_have_names() {
        let at: Timestamp = "2026-07-01T23:30:00Z".parse().unwrap();
        let template = |zone: &str| Template {
            name: "date",
            arguments: vec!["DD HH Z".to_owned()],
            options: vec![("tz".to_owned(), zone.to_owned())],
        };
        assert_eq!(format(at, &template("Asia/Tokyo")).unwrap(), "02 08 +09:00");
        assert_eq!(format(at, &template("America/New_York")).unwrap(), "01 19 -04:00");
        assert!(format(at, &template("Atlantis/Capital")).is_err());
    }
}
