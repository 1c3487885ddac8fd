//! The folded parts: tables that can be cut by whole rows.

use super::escape::{block, code};
use super::{SizeReport, signed};
use crate::figures::{human, time};
use crate::report::difference_text::delta;
use crate::weight::{
    ChangeKind, Difference, DirectoryChange, FileChange, Finding, FindingKind, LayerChange, Patch,
    Size, path,
};

/// Rows of one table; more is for the whole report.
const ROWS: usize = 100;

/// Findings of fewer bytes are not worth a line.
const SMALL: u64 = 100_000;

/// A heading, then rows, then an end.
pub(super) struct Part {
    head: String,
    rows: Vec<String>,
    tail: &'static str,
    /// Rows that were never made.
    more: usize,
}

impl Part {
    /// A list that is not folded.
    pub(super) fn list(title: &str, rows: Vec<String>) -> Self {
        Self { head: format!("\n{title}\n\n"), rows, tail: "", more: 0 }
    }

    /// A table behind a click.
    fn table(title: &str, columns: &str, mut rows: Vec<String>) -> Option<Self> {
        if rows.is_empty() {
            return None;
        }
        let bars: String = columns
            .split('|')
            .map(|column| if column.starts_with(' ') { "---:|" } else { "---|" })
            .collect();
        let head = format!(
            "\n<details><summary>{title}</summary>\n\n|{columns}|\n|{bars}\n",
            columns = columns.split('|').map(str::trim).collect::<Vec<_>>().join("|"),
        );
        let more = rows.len().saturating_sub(ROWS);
        rows.truncate(ROWS);
        Some(Self { head, rows, tail: "\n</details>\n", more })
    }

    /// The part in at most `room` bytes, and whether that is all of it; `None` where not even one row
    /// fits.
    pub(super) fn within(self, room: usize) -> Option<(String, bool)> {
        let note = "\nand 1000000000 more\n".len();
        let mut text = self.head;
        let mut written = 0;
        for row in &self.rows {
            if text.len() + row.len() + 1 + self.tail.len() + note > room {
                break;
            }
            text.push_str(row);
            text.push('\n');
            written += 1;
        }
        if written == 0 {
            return None;
        }
        let more = self.rows.len() - written + self.more;
        if more > 0 {
            text.push_str(&format!("\nand {more} more\n"));
        }
        text.push_str(self.tail);
        Some((text, more == 0))
    }
}

/// A row of a table.
fn row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// What will not run.
pub(super) fn broken(report: &SizeReport<'_>) -> Option<Part> {
    let broken = report.weight.findings.iter().filter(|finding| finding.kind.is_broken());
    let rows: Vec<String> = broken
        .take(ROWS)
        .map(|finding| {
            let program = finding.paths.first().map(|p| format!("/{}", path::text(p)));
            let program = code(&program.unwrap_or_default());
            let missing = code(&finding.detail);
            let advice = finding.advice.as_ref().map(|advice| code(&advice.text));
            match (finding.kind, advice) {
                (FindingKind::MissingInterpreter, None) => {
                    format!("- {program} is run by {missing}, which is not in the image")
                }
                (_, None) => format!("- {program} needs {missing}, which is not in the image"),
                (_, Some(advice)) => format!("- {program} needs {missing}. {advice}"),
            }
        })
        .collect();
    if rows.is_empty() { None } else { Some(Part::list("**Will fail when it runs**", rows)) }
}

/// What could be lighter, and the lines to write instead.
pub(super) fn findings(report: &SizeReport<'_>) -> Option<Part> {
    let worth = |finding: &&Finding| !finding.kind.is_broken() && finding.size.unpacked >= SMALL;
    let rows: Vec<String> = report
        .weight
        .findings
        .iter()
        .filter(worth)
        .take(ROWS)
        .map(|f| finding(report, f))
        .collect();
    if rows.is_empty() {
        return None;
    }
    let waste = human(report.weight.waste().unpacked);
    let head = format!("\n<details><summary>What could be lighter: {waste} unpacked</summary>\n\n");
    Some(Part { head, rows, tail: "\n</details>\n", more: 0 })
}

fn finding(report: &SizeReport<'_>, finding: &Finding) -> String {
    let place = report.weight.layers.get(finding.layer as usize).map(|layer| {
        match (&layer.step.lines, layer.step.instruction.as_str()) {
            (Some((line, _)), instruction) => format!("line {line}: {}", code(instruction)),
            (None, "") => format!("layer {}", finding.layer + 1),
            (None, instruction) => code(instruction),
        }
    });
    let what = what(finding);
    let mut text = format!(
        "- **{} unpacked** {what}, {}",
        human(finding.size.unpacked),
        place.unwrap_or_default()
    );
    if let Some(largest) = finding.paths.first() {
        text.push_str(&format!(", such as {}", code(&format!("/{}", path::text(largest)))));
    }
    if let Some(advice) = &finding.advice {
        text.push_str(&format!("\n  {}\n", plain_sentence(&advice.text)));
        if let Some(patch) = &advice.patch {
            let indented = |line: &str| format!("  {line}\n");
            text.push('\n');
            text.extend(block("diff", &diff(patch)).lines().map(indented));
        }
    }
    text
}

/// Advice is our own text, but it names things of the image: no markup in it counts.
fn plain_sentence(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in crate::report::weight_text::plain(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A word joiner keeps a name from being a mention.
            '@' => out.push_str("@\u{2060}"),
            '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn diff(patch: &Patch) -> Vec<String> {
    let old = patch.old.iter().map(|line| format!("-{line}"));
    old.chain(patch.new.iter().map(|line| format!("+{line}"))).collect()
}

fn what(finding: &Finding) -> String {
    match finding.kind {
        FindingKind::Overwritten => "replaced by a later layer".to_owned(),
        FindingKind::Removed => "removed by a later layer".to_owned(),
        FindingKind::Recopied => "stored again for another owner, mode or time".to_owned(),
        FindingKind::PackageCache => format!("cache of {}", code(&finding.detail)),
        FindingKind::Git => "Git repository".to_owned(),
        FindingKind::Bytecode => "byte-compiled Python".to_owned(),
        FindingKind::DebugSymbols => "debug symbols".to_owned(),
        FindingKind::BuildTools => format!("build tools {}", code(&finding.detail)),
        FindingKind::Duplicate => "the same content twice".to_owned(),
        FindingKind::MissingLibrary | FindingKind::MissingInterpreter => "missing".to_owned(),
    }
}

/// Every layer, with its change where there is a baseline.
pub(super) fn layers(report: &SizeReport<'_>) -> Option<Part> {
    let compressed = |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), human);
    let line =
        |lines: Option<(u32, u32)>| lines.map_or(String::new(), |(first, _)| first.to_string());
    if let Some(difference) = report.difference {
        let rows = difference.layers.iter().map(|change: &LayerChange| {
            let side = change.new.as_ref().or(change.old.as_ref());
            let bytes = |size: Option<Size>| size.map_or(0, |size| size.unpacked);
            let old = change.old.as_ref().map(|side| side.size);
            let new = change.new.as_ref().map(|side| side.size);
            let made_by = side.map_or(String::new(), |side| code(&side.step.instruction));
            row(&[
                change.new.as_ref().map_or(String::new(), |side| line(side.step.lines)),
                if change.new.is_some() { made_by } else { format!("~~{made_by}~~") },
                new.map_or("—".to_owned(), |new| compressed(new.compressed)),
                new.map_or("—".to_owned(), |new| human(new.unpacked)),
                match change.kind() {
                    ChangeKind::Same => String::new(),
                    _ => signed(delta(bytes(old), bytes(new))),
                },
            ])
        });
        let changed = difference.layers.iter().filter(|c| c.kind() != ChangeKind::Same).count();
        let title = format!("Layers ({changed} of {} changed)", difference.layers.len());
        let columns = "Line|Made by| Compressed| Unpacked| Change";
        return Part::table(&title, columns, rows.collect());
    }
    let rows = report.weight.layers.iter().map(|layer| {
        row(&[
            line(layer.step.lines),
            code(&layer.step.instruction),
            compressed(layer.size().compressed),
            human(layer.unpacked),
        ])
    });
    let title = format!("Layers ({})", report.weight.layers.len());
    Part::table(&title, "Line|Made by| Compressed| Unpacked", rows.collect())
}

/// Packages that changed, or the heaviest.
pub(super) fn packages(report: &SizeReport<'_>) -> Option<Part> {
    if let Some(difference) = report.difference {
        let mut changes: Vec<_> = difference.packages.iter().collect();
        let bytes = |side: &Option<crate::weight::PackageSide>| {
            side.as_ref().map_or(0, |side| side.size.unpacked)
        };
        let grown =
            |change: &crate::weight::PackageChange| delta(bytes(&change.old), bytes(&change.new));
        changes.sort_by_key(|change| std::cmp::Reverse(grown(change).unsigned_abs()));
        let version = |side: &Option<crate::weight::PackageSide>| {
            side.as_ref().map_or("—".to_owned(), |side| code(&side.version))
        };
        let rows = changes.iter().map(|change| {
            row(&[
                format!("{} {}", change.kind.name(), code(&change.name)),
                version(&change.old),
                version(&change.new),
                signed(grown(change)),
            ])
        });
        let title = format!("Packages ({} changed)", changes.len());
        return Part::table(&title, "Package|Old|New| Unpacked", rows.collect());
    }
    let mut packages: Vec<_> = report.weight.packages.iter().collect();
    packages.sort_by_key(|package| std::cmp::Reverse(package.size.unpacked));
    let rows = packages.iter().map(|package| {
        let name = format!("{} {}", package.kind.name(), code(&package.name));
        row(&[name, code(&package.version), human(package.size.unpacked)])
    });
    let title = format!("Packages ({})", packages.len());
    Part::table(&title, "Package|Version| Unpacked", rows.collect())
}

/// Directories that changed, the largest change first.
pub(super) fn directories(report: &SizeReport<'_>) -> Option<Part> {
    let difference = report.difference?;
    let shallow = |change: &&DirectoryChange| {
        let depth = change.path.iter().filter(|byte| **byte == b'/').count();
        !change.path.is_empty() && depth < 3
    };
    let grown = |change: &DirectoryChange| delta(change.old.unpacked, change.new.unpacked);
    let mut changes: Vec<_> = difference.directories.iter().filter(shallow).collect();
    changes.sort_by_key(|change| std::cmp::Reverse(grown(change).unsigned_abs()));
    let rows = changes.iter().map(|change| {
        let path = code(&format!("/{}", path::text(&change.path)));
        row(&[path, human(change.new.unpacked), signed(grown(change))])
    });
    let title = format!("Directories ({} changed)", changes.len());
    Part::table(&title, "Directory| Unpacked| Change", rows.collect())
}

/// Files that changed, the largest change first.
pub(super) fn files(report: &SizeReport<'_>) -> Option<Part> {
    let difference: &Difference = report.difference?;
    let bytes = |side: Option<crate::weight::FileSide>| side.map_or(0, |side| side.size.unpacked);
    let grown = |change: &FileChange| delta(bytes(change.old), bytes(change.new));
    let mut changes: Vec<_> = difference.files.iter().collect();
    changes.sort_by_key(|change| std::cmp::Reverse(grown(change).unsigned_abs()));
    let rows = changes.iter().take(ROWS * 2).map(|change| {
        let path = code(&format!("/{}", path::text(&change.path)));
        let new = change.new.map_or("—".to_owned(), |side| human(side.size.unpacked));
        row(&[path, new, signed(grown(change))])
    });
    let mut part = Part::table(
        &format!("Files ({} changed)", changes.len()),
        "File| Unpacked| Change",
        rows.collect(),
    )?;
    part.more = changes.len() - part.rows.len();
    Some(part)
}

/// The stages of the build: what each weighs, and what was cached.
pub(super) fn stages(report: &SizeReport<'_>) -> Option<Part> {
    let build = report.build?;
    let rows = build.stages.iter().map(|stage| {
        let (hits, all) = stage.cache_hits();
        row(&[
            code(&stage.name),
            code(&stage.base),
            stage.unpacked_bytes().map_or("unknown".to_owned(), human),
            format!("{hits} of {all}"),
            time(stage.took),
            if stage.in_image { "yes" } else { "no" }.to_owned(),
        ])
    });
    let (hits, all) = build.cache_hits();
    let left = match build.left_behind_bytes() {
        Some(bytes) if bytes > 0 => format!(", {} unpacked left behind", human(bytes)),
        _ => String::new(),
    };
    let title = format!("Stages ({hits} of {all} steps cached{left})");
    let columns = "Stage|Base| Unpacked| Cached| Time|In image";
    Part::table(&title, columns, rows.collect())
}
