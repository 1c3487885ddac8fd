//! What the builds of a branch weighed, as line charts.

use jiff::Timestamp;

use super::section;
use crate::figures::human;
use crate::report::markup::text;
use crate::weight::Logged;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 210.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 26.0;
/// About as many lines to read a height by.
const LINES: u64 = 4;
/// As many digits of a commit as people write.
const COMMIT: usize = 9;

/// A chart for each of the two sizes; nothing for fewer than two points.
pub(super) fn history(points: &[Logged]) -> String {
    let compressed: Vec<(&Logged, u64)> =
        points.iter().filter_map(|point| Some((point, point.size.compressed?))).collect();
    let unpacked: Vec<(&Logged, u64)> =
        points.iter().map(|point| (point, point.size.unpacked)).collect();
    let charts = chart("Compressed", &compressed) + &chart("Unpacked", &unpacked);
    if charts.is_empty() {
        return charts;
    }
    let about = "Builds of this branch, the oldest first. The scale does not begin at zero.";
    section("History", about, &format!("<div class=\"charts\">{charts}</div>"))
}

fn chart(name: &str, points: &[(&Logged, u64)]) -> String {
    let (Some((first, _)), Some((last, latest))) = (points.first(), points.last()) else {
        return String::new();
    };
    if points.len() < 2 {
        return String::new();
    }
    let scale = Scale::of(points.iter().map(|(_, bytes)| *bytes));
    #[allow(clippy::cast_precision_loss, reason = "drawn in pixels")]
    let x = |index: usize| LEFT + (WIDTH - LEFT - RIGHT) * index as f64 / (points.len() - 1) as f64;
    let mut svg = format!(
        "<figure><figcaption>{name}, now <b>{}</b></figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{name} size of {} builds, now {}\">",
        human(*latest),
        points.len(),
        human(*latest)
    );
    for line in scale.lines() {
        let y = scale.y(line);
        svg.push_str(&format!(
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0,
            human(line)
        ));
    }
    let places: Vec<String> = points
        .iter()
        .enumerate()
        .map(|(index, (_, bytes))| format!("{:.1},{:.1}", x(index), scale.y(*bytes)))
        .collect();
    svg.push_str(&format!("<polyline points=\"{}\"/>", places.join(" ")));
    for (index, (point, bytes)) in points.iter().enumerate() {
        svg.push_str(&format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}: {} on {}</title></circle>",
            x(index),
            scale.y(*bytes),
            text(&short(&point.commit)),
            human(*bytes),
            day(point)
        ));
    }
    let bottom = HEIGHT - 6.0;
    for (point, at, anchor) in [(first, LEFT, "start"), (last, WIDTH - RIGHT, "end")] {
        svg.push_str(&format!(
            "<text x=\"{at:.1}\" y=\"{bottom:.1}\" text-anchor=\"{anchor}\">{} · {}</text>",
            text(&short(&point.commit)),
            day(point)
        ));
    }
    svg + "</svg></figure>"
}

fn short(commit: &str) -> String {
    match commit {
        "" => "uncommitted".to_owned(),
        commit => commit.chars().take(COMMIT).collect(),
    }
}

fn day(point: &Logged) -> String {
    // A time that no calendar has comes from a logbook that somebody else wrote.
    let time = Timestamp::from_second(point.time).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d").to_string()
}

/// From a round number below all values to one above them.
struct Scale {
    low: u64,
    high: u64,
    step: u64,
}

impl Scale {
    fn of(values: impl Iterator<Item = u64> + Clone) -> Self {
        let (low, high) = (values.clone().min().unwrap_or(0), values.max().unwrap_or(0));
        // Where nothing changes the line is in the middle of something.
        let span = (high - low).max(high / 50).max(10);
        let step = round(span / LINES);
        let low = (low / step).saturating_sub(u64::from(low.is_multiple_of(step))) * step;
        let high = (high / step).saturating_add(1).saturating_mul(step);
        Self { low, high, step }
    }

    fn y(&self, value: u64) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "drawn in pixels")]
        let part = (value - self.low) as f64 / (self.high - self.low) as f64;
        HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - TOP)
    }

    fn lines(&self) -> impl Iterator<Item = u64> {
        (self.low..=self.high).step_by(usize::try_from(self.step).unwrap_or(usize::MAX))
    }
}

/// The next of 1, 2, 5, 10, 20, …
fn round(value: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for digit in [1, 2, 5] {
            let round = power.saturating_mul(digit);
            if round >= value {
                return round;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weight::Size;

    fn points(sizes: &[u64]) -> Vec<Logged> {
        let point = |(index, bytes): (usize, &u64)| Logged {
            commit: format!("{index:040x}"),
            time: 1_700_000_000 + 86_400 * i64::try_from(index).unwrap(),
            size: Size { unpacked: *bytes, compressed: None },
        };
        sizes.iter().enumerate().map(point).collect()
    }

    #[test]
    fn two_points_make_a_line() {
        assert_eq!(history(&[]), "");
        assert_eq!(history(&points(&[1_000_000])), "");
        let html = history(&points(&[40_000_000, 42_000_000, 41_000_000]));
        assert_eq!(html.matches("<svg").count(), 1, "compressed sizes are not known");
        assert_eq!(html.matches("<circle").count(), 3);
        assert!(
            html.contains("now <b>41.0 MB</b>") && html.contains("000000000 · 2023-11-14"),
            "{html}"
        );
    }

    #[test]
    fn every_value_is_within_its_scale() {
        for values in
            [vec![0, 0], vec![7, 7], vec![1, 1_000_000_000], vec![999, 1001], vec![u64::MAX, 1]]
        {
            let scale = Scale::of(values.iter().copied());
            assert!(scale.lines().count() <= 9, "{values:?}");
            for value in values {
                assert!((TOP - 0.1..=HEIGHT - BOTTOM + 0.1).contains(&scale.y(value)), "{value}");
            }
        }
    }
}
