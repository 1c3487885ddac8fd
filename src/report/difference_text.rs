//! A difference as terminal text.

use super::table::{Align, Column, render};
use super::weight_text::{bytes, lines, plain, section, shown};
use crate::figures::human;
use crate::weight::{
    ChangeKind, Difference, DirectoryChange, FileChange, LayerChange, LayerSide, PackageChange,
    PackageSide, Size,
};

const ROWS: usize = 15;

const LAYERS: [Column; 5] = [
    Column { heading: "LAYER", align: Align::Left, limit: 8 },
    Column { heading: "UNPACKED", align: Align::Right, limit: 10 },
    Column { heading: "COMPRESSED", align: Align::Right, limit: 10 },
    Column { heading: "LINES", align: Align::Right, limit: 9 },
    Column { heading: "MADE BY", align: Align::Start, limit: 55 },
];
const CHANGES: [Column; 4] = [
    Column { heading: "", align: Align::Left, limit: 50 },
    Column { heading: "UNPACKED", align: Align::Right, limit: 10 },
    Column { heading: "", align: Align::Left, limit: 8 },
    Column { heading: "", align: Align::Left, limit: 40 },
];

/// The totals, then what changed most. Directories and files by unpacked size.
#[must_use]
pub fn difference_text(difference: &Difference) -> String {
    let (old, new) = (&difference.old, &difference.new);
    let mut text = format!("{} → {}\n", plain(&old.image.name), plain(&new.image.name));
    if difference.is_empty() {
        text.push_str("No difference.\n");
        return text;
    }
    let growth = difference.growth();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<11} {value}\n"));
    let compressed = growth.compressed.map_or_else(String::new, |g| format!(" ({})", signed(g)));
    line(
        "Compressed",
        format!("{} → {}{compressed}", bytes(old.size.compressed), bytes(new.size.compressed)),
    );
    line(
        "Unpacked",
        format!(
            "{} → {} ({})",
            human(old.size.unpacked),
            human(new.size.unpacked),
            signed(growth.unpacked)
        ),
    );
    line("To pull", format!("{} compressed, where the old image is", bytes(new.own)));
    if old.buried.unpacked != new.buried.unpacked {
        line(
            "Not visible",
            format!("{} → {} unpacked", human(old.buried.unpacked), human(new.buried.unpacked)),
        );
    }
    let layers: Vec<Vec<String>> =
        difference.layers.iter().filter(|c| c.kind() != ChangeKind::Same).map(layer).collect();
    if !layers.is_empty() {
        section(&mut text, &render(&LAYERS, &layers));
    }
    table(&mut text, "PACKAGE", difference.packages.iter().map(package).collect());
    table(
        &mut text,
        "DIRECTORY",
        difference.directories.iter().filter(is_shallow).map(directory).collect(),
    );
    table(&mut text, "FILE", difference.files.iter().map(file).collect());
    text
}

fn layer(change: &LayerChange) -> Vec<String> {
    let size = |side: &Option<LayerSide>| side.as_ref().map(|side| side.size);
    let (old, new) = (size(&change.old), size(&change.new));
    let compressed = |size: Option<Size>| size.map_or(Some(0), |size| size.compressed);
    let compressed = compressed(old).zip(compressed(new)).map(|(old, new)| delta(old, new));
    let step = change.new.as_ref().or(change.old.as_ref()).map(|side| &side.step);
    vec![
        word(change.kind()).to_owned(),
        signed(unpacked(old, new)),
        compressed.map_or_else(|| "unknown".to_owned(), signed),
        lines(step.and_then(|step| step.lines)),
        step.map(|step| plain(&step.instruction)).unwrap_or_default(),
    ]
}

/// What a row is sorted by, and the row.
type Row = (u64, Vec<String>);

fn package(change: &PackageChange) -> Row {
    let size = |side: &Option<PackageSide>| side.as_ref().map(|side| side.size);
    let version = |side: &Option<PackageSide>| side.as_ref().map(|side| plain(&side.version));
    let note = match (version(&change.old), version(&change.new)) {
        (Some(old), Some(new)) if old == new => old,
        (Some(old), Some(new)) => format!("{old} → {new}"),
        (old, new) => old.or(new).unwrap_or_default(),
    };
    let name = format!("{} {}", change.kind.name(), plain(&change.name));
    row(name, unpacked(size(&change.old), size(&change.new)), change.kind(), note)
}

/// Deep ones repeat what is above them.
fn is_shallow(change: &&DirectoryChange) -> bool {
    !change.path.is_empty() && change.path.iter().filter(|byte| **byte == b'/').count() < 3
}

fn directory(change: &DirectoryChange) -> Row {
    let growth = unpacked(Some(change.old), Some(change.new));
    row(shown(&change.path), growth, change.kind(), String::new())
}

fn file(change: &FileChange) -> Row {
    let growth = unpacked(change.old.map(|side| side.size), change.new.map(|side| side.size));
    let note = change.new.map_or_else(String::new, |side| format!("layer {}", side.layer + 1));
    row(shown(&change.path), growth, change.kind(), note)
}

fn row(name: String, growth: i64, kind: ChangeKind, note: String) -> Row {
    (growth.unsigned_abs(), vec![name, signed(growth), word(kind).to_owned(), note])
}

fn table(text: &mut String, heading: &'static str, mut rows: Vec<Row>) {
    if rows.is_empty() {
        return;
    }
    // A stable sort: what is equal stays in the order of the paths.
    rows.sort_by(|(a, _), (b, _)| b.cmp(a));
    let more = rows.len().saturating_sub(ROWS);
    let rows: Vec<Vec<String>> = rows.into_iter().take(ROWS).map(|(_, row)| row).collect();
    let mut columns = CHANGES;
    columns[0].heading = heading;
    section(text, &render(&columns, &rows));
    if more > 0 {
        text.push_str(&format!("and {more} more\n"));
    }
}

pub(super) fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Grown => "grown",
        ChangeKind::Shrunk => "shrunk",
        ChangeKind::Altered => "altered",
        ChangeKind::Same => "same",
    }
}

pub(super) fn unpacked(old: Option<Size>, new: Option<Size>) -> i64 {
    let bytes = |size: Option<Size>| size.map_or(0, |size| size.unpacked);
    delta(bytes(old), bytes(new))
}

pub(super) fn delta(old: u64, new: u64) -> i64 {
    let difference = i128::from(new) - i128::from(old);
    i64::try_from(difference).unwrap_or(if difference > 0 { i64::MAX } else { i64::MIN })
}

/// `+1.2 MB`, `-3 B`, `0 B`.
pub(super) fn signed(bytes: i64) -> String {
    let sign = match bytes {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    format!("{sign}{}", human(bytes.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs() {
        for (bytes, text) in [(0, "0 B"), (5, "+5 B"), (-1500, "-1.5 kB"), (i64::MIN, "-9.2 EB")] {
            assert_eq!(signed(bytes), text);
        }
    }
}
