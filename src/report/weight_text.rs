//! A weight as terminal text.

use super::table::{Align, Column, render};
use crate::figures::human;
use crate::weight::{Directory, Finding, FindingKind, Layer, Patch, Size, Source, Weight, path};

/// Rows of a table that would be long.
const ROWS: usize = 10;
/// Names in one line.
const NAMES: usize = 5;
/// Components of a directory that has a row.
const DEPTH: usize = 3;
/// Bytes of a finding that is not worth a line.
const SMALL: u64 = 1000;
pub(super) const UNKNOWN: &str = "unknown";

/// Together with the gaps at most 100 characters.
const LAYERS: [Column; 5] = [
    Column { heading: "LAYER", align: Align::Right, limit: 5 },
    Column { heading: "UNPACKED", align: Align::Right, limit: 9 },
    Column { heading: "COMPRESSED", align: Align::Right, limit: 10 },
    Column { heading: "LINES", align: Align::Right, limit: 9 },
    Column { heading: "MADE BY", align: Align::Start, limit: 59 },
];
const PARTS: [Column; 4] = [
    Column { heading: "", align: Align::Left, limit: 50 },
    Column { heading: "UNPACKED", align: Align::Right, limit: 9 },
    Column { heading: "COMPRESSED", align: Align::Right, limit: 11 },
    Column { heading: "", align: Align::Left, limit: 20 },
];

/// Lines of at most 100 characters, but for names and advice, which are never cut.
#[must_use]
pub fn weight_text(weight: &Weight) -> String {
    let mut text = format!("{} ({})\n", weight.image.name, weight.image.platform);
    text.push_str(&totals(weight));
    section(
        &mut text,
        &render(&LAYERS, &weight.layers.iter().enumerate().map(layer).collect::<Vec<_>>()),
    );
    let sources: Vec<Vec<String>> = weight
        .sources()
        .iter()
        .map(|s| part(source(&s.source), s.size, "", counted(s.layers.into(), "layer")))
        .collect();
    titled(&mut text, "FROM", &sources);
    titled(&mut text, "DIRECTORY", &directories(weight));
    titled(&mut text, "PACKAGE", &packages(weight));
    titled(&mut text, "FILE", &files(weight));
    findings(&mut text, weight);
    text
}

fn totals(weight: &Weight) -> String {
    let size = weight.size();
    let buried = weight.buried();
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<11} {value}\n"));
    line(
        "Size",
        format!(
            "{} compressed, {} unpacked, {}",
            bytes(size.compressed),
            human(size.unpacked),
            counted(weight.layers.len() as u64, "layer")
        ),
    );
    if buried.unpacked > 0 {
        line(
            "Not visible",
            format!(
                "{} unpacked, in files that higher layers replace or remove",
                human(buried.unpacked)
            ),
        );
    }
    let waste = weight.waste();
    if waste.unpacked > 0 {
        line("Avoidable", format!("{} unpacked, see below", human(waste.unpacked)));
    }
    let efficiency = weight.efficiency;
    line(
        "Efficiency",
        format!(
            "{:.1} %, {} wasted, as dive counts them",
            efficiency.score() * 100.0,
            human(efficiency.wasted)
        ),
    );
    text
}

fn layer((index, layer): (usize, &Layer)) -> Vec<String> {
    vec![
        (index + 1).to_string(),
        human(layer.unpacked),
        bytes(layer.size().compressed),
        lines(layer.step.lines),
        plain(&layer.step.instruction),
    ]
}

/// `7` or `7-9`.
pub(super) fn lines(lines: Option<(u32, u32)>) -> String {
    match lines {
        None => String::new(),
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first}-{last}"),
    }
}

pub(super) fn source(source: &Source) -> String {
    match source {
        Source::Base(name) => format!("base {}", plain(name)),
        Source::Stage(name) => format!("stage {}", plain(name)),
        Source::CopiedFrom(name) => format!("copied from {}", plain(name)),
        Source::Context => "build context".to_owned(),
        Source::Unknown => "not known".to_owned(),
    }
}

/// The heaviest that are not just the only thing in the one above.
fn directories(weight: &Weight) -> Vec<Vec<String>> {
    let directories = weight.directories();
    let is_deep = |d: &&Directory| {
        !d.path.is_empty() && d.path.iter().filter(|byte| **byte == b'/').count() < DEPTH
    };
    let mut heaviest: Vec<&Directory> = directories.iter().filter(is_deep).collect();
    heaviest.sort_by(|a, b| (b.size.unpacked, &a.path).cmp(&(a.size.unpacked, &b.path)));
    let row = |d: &&Directory| part(shown(&d.path), d.size, "~", counted(d.files, "file"));
    heaviest.iter().take(ROWS).map(row).collect()
}

fn packages(weight: &Weight) -> Vec<Vec<String>> {
    let mut packages: Vec<_> = weight.packages.iter().collect();
    packages.sort_by_key(|package| std::cmp::Reverse(package.size.unpacked));
    let row = |package: &&crate::weight::Package| {
        let name = format!("{} {}", plain(&package.name), plain(&package.version));
        part(name, package.size, "~", package.kind.name().to_owned())
    };
    let mut rows: Vec<Vec<String>> = packages.iter().take(ROWS).map(row).collect();
    if packages.len() > ROWS {
        let rest: Size = packages[ROWS..].iter().map(|package| package.size).sum();
        rows.push(part(format!("{} more", packages.len() - ROWS), rest, "~", String::new()));
    }
    if !rows.is_empty() {
        rows.push(part("in no package".to_owned(), weight.unpackaged(), "~", String::new()));
    }
    rows
}

fn files(weight: &Weight) -> Vec<Vec<String>> {
    let mut files: Vec<_> = weight.kept().filter(|file| file.bytes > 0).collect();
    files.sort_by(|a, b| (b.bytes, &a.path).cmp(&(a.bytes, &b.path)));
    let row = |file: &&crate::weight::File| {
        part(shown(&file.path), weight.size_of(file), "~", format!("layer {}", file.layer + 1))
    };
    files.iter().take(ROWS).map(row).collect()
}

fn findings(text: &mut String, weight: &Weight) {
    let worth = |finding: &&Finding| finding.kind.is_broken() || finding.size.unpacked >= SMALL;
    let findings: Vec<&Finding> = weight.findings.iter().filter(worth).collect();
    // What is broken is always told.
    let (broken, heavy): (Vec<&Finding>, _) =
        findings.into_iter().partition(|finding| finding.kind.is_broken());
    let more = heavy.len().saturating_sub(ROWS);
    let shown_findings: Vec<&Finding> = heavy.into_iter().take(ROWS).chain(broken).collect();
    if !shown_findings.is_empty() {
        text.push('\n');
    }
    for finding in shown_findings {
        text.push_str(&headline(weight, finding));
        for path in finding.paths.iter().take(3) {
            text.push_str(&format!("    {}\n", shown(path)));
        }
        if let Some(advice) = &finding.advice {
            text.push_str(&format!("    {}\n", plain(&advice.text)));
            if let Some(patch) = &advice.patch {
                text.push_str(&diff(patch));
            }
        }
    }
    if more > 0 {
        text.push_str(&format!("and {more} more, all in --format json\n"));
    }
}

fn headline(weight: &Weight, finding: &Finding) -> String {
    let what = what(finding);
    let step = &weight.layers[finding.layer as usize].step;
    let place = match step.lines {
        Some((first, last)) if first == last => format!("line {first}"),
        Some(_) => format!("lines {}", lines(step.lines)),
        None => format!("layer {}", finding.layer + 1),
    };
    if finding.kind.is_broken() {
        return format!("BROKEN  {what} ({place})\n");
    }
    format!(
        "{:>8}  {what} ({place}, {})\n",
        human(finding.size.unpacked),
        counted(finding.files.into(), "file")
    )
}

/// What a finding is, in a few words.
pub(super) fn what(finding: &Finding) -> String {
    let detail = some(&plain(&finding.detail));
    match finding.kind {
        FindingKind::Overwritten => "replaced by a higher layer".to_owned(),
        FindingKind::Removed => "removed by a higher layer".to_owned(),
        FindingKind::Recopied => "stored again for another owner, mode or time".to_owned(),
        FindingKind::PackageCache => format!("cache of {detail}"),
        FindingKind::Git => "Git repository".to_owned(),
        FindingKind::Bytecode => "byte-compiled Python".to_owned(),
        FindingKind::DebugSymbols => "debug symbols".to_owned(),
        FindingKind::BuildTools => format!("build tools: {detail}"),
        FindingKind::Duplicate => "the same content elsewhere".to_owned(),
        FindingKind::MissingLibrary => format!("no {detail}"),
        FindingKind::MissingInterpreter => format!("no interpreter {detail}"),
    }
}

/// The first names of a list, and how many more there are.
fn some(list: &str) -> String {
    let names: Vec<&str> = list.split(", ").collect();
    if names.len() <= NAMES {
        return list.to_owned();
    }
    format!("{} and {} more", names[..NAMES].join(", "), names.len() - NAMES)
}

/// As `diff -u` marks lines.
fn diff(patch: &Patch) -> String {
    let marked = |mark: char, lines: &[String]| -> String {
        lines.iter().map(|line| format!("      {mark} {}\n", plain(line))).collect()
    };
    let kept = patch.old.iter().zip(&patch.new).take_while(|(old, new)| old == new).count();
    format!("{}{}", marked('-', &patch.old[kept..]), marked('+', &patch.new[kept..]))
}

/// A row of a table of parts; `mark` stands before what is an estimate.
pub(super) fn part(name: String, size: Size, mark: &str, note: String) -> Vec<String> {
    let compressed =
        size.compressed.map_or_else(|| UNKNOWN.to_owned(), |c| format!("{mark}{}", human(c)));
    vec![name, human(size.unpacked), compressed, note]
}

/// The table with this heading for its first column, after an empty line; nothing for no rows.
pub(super) fn titled(text: &mut String, heading: &'static str, rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    let mut columns = PARTS;
    columns[0].heading = heading;
    section(text, &render(&columns, rows));
}

pub(super) fn section(text: &mut String, lines: &str) {
    text.push('\n');
    text.push_str(lines);
}

pub(super) fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| UNKNOWN.to_owned(), human)
}

pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A path as users know it.
pub(super) fn shown(path: &[u8]) -> String {
    format!("/{}", plain(&path::text(path)))
}

/// What comes from an image may hold anything: without what would move the cursor or turn the text.
pub(super) fn plain(text: &str) -> String {
    let is_harmless = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    text.chars().map(|c| if is_harmless(&c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_says_cannot_steer_a_terminal() {
        assert_eq!(shown(b"a\x1b[31mb"), "/a\u{fffd}[31mb");
        assert_eq!(plain("x\u{202e}y\n"), "x\u{fffd}y\u{fffd}");
        assert_eq!(shown("é\\".as_bytes()), "/é\\\\");
    }

    #[test]
    fn ranges_of_lines() {
        assert_eq!(lines(Some((7, 7))), "7");
        assert_eq!(lines(Some((7, 9))), "7-9");
        assert_eq!(lines(None), "");
    }
}
