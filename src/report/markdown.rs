//! The report on a pull request: at a glance, then the few things that matter, then folded detail.
//!
//! Names come from images and may hold anything. They stand in code spans only, where they can't
//! mention a user, break a table or be HTML.

mod escape;
mod grown;
mod parts;

use crate::build::BuildResult;
use crate::weight::budget::{Status, Verdict};
use crate::weight::{Difference, Logged, Weight};

use super::markup;
use super::verdict::{breach_line, unknown};
use crate::figures::human;
use escape::{block, code};

/// What is told about one image.
#[derive(Clone, Copy, Debug)]
pub struct SizeReport<'a> {
    pub weight: &'a Weight,
    /// Against the baseline.
    pub difference: Option<&'a Difference>,
    /// Where the baseline is from, in words: `abc1234 on main`.
    pub baseline: Option<&'a str>,
    pub verdict: Option<&'a Verdict>,
    /// The build that made the image, for its stages and its cache.
    pub build: Option<&'a BuildResult>,
    /// The last builds of the base branch and this one, the oldest first.
    pub history: &'a [Logged],
    /// It is one of several platforms.
    pub shows_platform: bool,
    /// Where the whole report is, for what did not fit.
    pub more: Option<&'a str>,
}

impl<'a> SizeReport<'a> {
    /// Of an image alone.
    #[must_use]
    pub fn of(weight: &'a Weight) -> Self {
        Self {
            weight,
            difference: None,
            baseline: None,
            verdict: None,
            build: None,
            history: &[],
            shows_platform: false,
            more: None,
        }
    }
}

/// The report in at most `limit` bytes; what does not fit is left out from the end, and said so.
#[must_use]
pub fn markdown(report: &SizeReport<'_>, limit: usize) -> String {
    let mut text = headline(report);
    text.push_str(&verdict(report));
    let note = match report.more {
        Some(place) => format!("\nSome detail did not fit; all of it is in {place}.\n"),
        None => "\nSome detail did not fit.\n".to_owned(),
    };
    let parts = [
        grown::part(report),
        parts::broken(report),
        parts::findings(report),
        parts::layers(report),
        parts::packages(report),
        parts::directories(report),
        parts::files(report),
        parts::stages(report),
    ];
    let mut left_out = false;
    for part in parts.into_iter().flatten() {
        // Each part is cut to what is left of the room, by whole rows.
        let room = limit.saturating_sub(text.len() + note.len());
        match part.within(room) {
            Some((part, whole)) => {
                text.push_str(&part);
                left_out |= !whole;
            }
            None => left_out = true,
        }
    }
    if left_out {
        text.push_str(&note);
    }
    text
}

/// Several platforms, a section each, in at most `limit` bytes; `section` writes one.
#[must_use]
pub fn sections(
    reports: &[SizeReport<'_>],
    limit: usize,
    section: fn(&SizeReport<'_>, usize) -> String,
) -> String {
    let mut text = String::new();
    for (index, report) in reports.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let room = limit.saturating_sub(text.len() + reports.len()) / (reports.len() - index);
        let room = if reports.len() == 1 { limit } else { room };
        text.push_str(&section(report, room));
    }
    text
}

/// As [`markdown`], behind one line: for an image that weighs what it did.
#[must_use]
pub fn folded_markdown(report: &SizeReport<'_>, limit: usize) -> String {
    let weight = report.weight;
    let size = match weight.size().compressed {
        Some(compressed) => format!("{} compressed", human(compressed)),
        None => format!("{} unpacked", human(weight.size().unpacked)),
    };
    let name = markup::text(&weight.image.name);
    let platform = match report.shows_platform {
        true => format!(" for {}", markup::text(&weight.image.platform)),
        false => String::new(),
    };
    let head = format!(
        "<details><summary>Image size: <code>{name}</code>{platform} stays at {size}</summary>\n\n"
    );
    let tail = "\n</details>\n";
    let inner = markdown(report, limit.saturating_sub(head.len() + tail.len()));
    head + &inner + tail
}

/// Why a build failed; `text` is what the log says.
#[must_use]
pub fn failure_markdown(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    format!("### The build failed\n\n{}", block("text", &lines))
}

/// `### Size of app` and one line that says all.
fn headline(report: &SizeReport<'_>) -> String {
    let size = report.weight.size();
    let image = &report.weight.image;
    let mut text = match report.shows_platform {
        true => format!("### Image size: {} for {}\n\n", code(&image.name), code(&image.platform)),
        false => format!("### Image size: {}\n\n", code(&image.name)),
    };
    let growth = report.difference.map(Difference::growth);
    match size.compressed {
        Some(compressed) => {
            text.push_str(&format!("**{} compressed**", human(compressed)));
            if let (Some(difference), Some(Some(grown))) =
                (report.difference, growth.map(|g| g.compressed))
            {
                let old = difference.old.size.compressed;
                text.push_str(&format!(" ({})", change(grown, old)));
            }
            text.push_str(&format!(", {} unpacked", human(size.unpacked)));
        }
        None => text.push_str(&format!("**{} unpacked**", human(size.unpacked))),
    }
    if let (Some(difference), Some(growth)) = (report.difference, growth) {
        text.push_str(&format!(
            " ({})",
            change(growth.unpacked, Some(difference.old.size.unpacked))
        ));
    }
    text.push('.');
    match (report.difference, report.baseline) {
        (Some(difference), Some(baseline)) if difference.is_empty() => {
            text.push_str(&format!(" The same files as {}.", code(baseline)));
        }
        (Some(difference), baseline) => {
            if let Some(baseline) = baseline {
                text.push_str(&format!(" Compared with {}", code(baseline)));
                match difference.new.own {
                    Some(own) => text.push_str(&format!(
                        ", from which {} compressed are new to pull.",
                        human(own)
                    )),
                    None => text.push('.'),
                }
            }
        }
        (None, _) => text.push_str(" There is nothing to compare with yet."),
    }
    text.push('\n');
    let sizes: Vec<u64> = report.history.iter().filter_map(|b| b.size.compressed).collect();
    if sizes.len() > 1 {
        let builds = sizes.len();
        text.push_str(&format!("\n{} compressed, last {builds} builds\n", sparkline(&sizes)));
    }
    text
}

/// The limits, where there are any.
fn verdict(report: &SizeReport<'_>) -> String {
    let Some(verdict) = report.verdict else { return String::new() };
    let mut text = if verdict.limits > 0 { known(verdict) } else { String::new() };
    if let Some(unknown) = unknown(verdict, code) {
        text.push_str(&format!("\n⚠️ {unknown}.\n"));
    }
    text
}

fn known(verdict: &Verdict) -> String {
    let limits = match verdict.limits {
        1 => "the limit".to_owned(),
        limits => format!("all {limits} limits"),
    };
    let mut text = match (verdict.status, &verdict.waived_by) {
        (Status::Pass, _) => return format!("\n✅ Within {limits}.\n"),
        (Status::Warn, _) => "\n⚠️ **Above its limits**, which only warn:\n\n".to_owned(),
        (Status::Fail, _) => "\n❌ **Above its limits**:\n\n".to_owned(),
        (Status::Waived, by) => {
            let by = by.as_deref().unwrap_or_default();
            format!("\n⚠️ **Above its limits**, accepted by {}:\n\n", code(by))
        }
    };
    for breach in &verdict.breaches {
        text.push_str(&format!("- {}\n", breach_line(breach, code)));
    }
    text
}

/// `+1.2 MB, +1.5 %`
fn change(grown: i64, old: Option<u64>) -> String {
    let signed = signed(grown);
    match old {
        Some(old) if old > 0 && grown != 0 => {
            let tenths = (i128::from(grown) * 1000
                + i128::from(grown.signum()) * i128::from(old) / 2)
                / i128::from(old);
            let sign = if grown > 0 { "+" } else { "−" };
            let tenths = tenths.unsigned_abs();
            format!("{signed}, {sign}{}.{} %", tenths / 10, tenths % 10)
        }
        _ => signed,
    }
}

/// `+1.2 MB`, `−3 B`, `±0 B`
fn signed(bytes: i64) -> String {
    let sign = match bytes {
        0 => "±",
        1.. => "+",
        _ => "−",
    };
    format!("{sign}{}", human(bytes.unsigned_abs()))
}

/// One bar for each value, between the least and the most.
fn sparkline(values: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (least, most) = values.iter().fold((u64::MAX, 0), |(a, b), v| (a.min(*v), b.max(*v)));
    let span = u128::from(most - least).max(1);
    let bar = |value: &u64| BARS[(u128::from(value - least) * 7 / span) as usize];
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests;
