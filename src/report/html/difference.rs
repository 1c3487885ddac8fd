//! The page of two images.

use std::cmp::Reverse;

use super::chart;
use super::data::{self, shorten, shorten_path};
use super::table::{Cell, ROWS, column, grouped, long, number, path, table, words};
use super::weight::{findings, identity, instruction};
use super::{Page, figure, section};
use crate::figures::human;
use crate::report::difference_text::{delta, signed, unpacked, word};
use crate::report::markup::text;
use crate::report::palette;
use crate::report::treemap;
use crate::report::weight_text::{UNKNOWN, bytes, lines, shown};
use crate::weight::{
    ChangeKind, Difference, FileChange, LayerChange, LayerSide, Logged, PackageChange, PackageSide,
    Size, Weight,
};

/// `new` is the newer of the two that were compared; `history` is of its branch, the oldest first.
#[must_use]
pub fn difference_html(difference: &Difference, new: &Weight, history: &[Logged]) -> String {
    let root = treemap::of_difference(difference, new);
    let sections = [
        section(
            "New findings",
            "What the old image had not.",
            &findings(&new.layers, &difference.new_findings),
        ),
        section(
            "Layers",
            "Matched by content, then by the line that made them. Equal ones are left out.",
            &layers(difference),
        ),
        section("Packages", "", &packages(difference)),
        section("Files", "That changed most, unpacked.", &files(difference)),
        chart::history(history),
    ];
    let (from, to) = (&difference.old.image.name, &difference.new.image.name);
    let page = Page {
        title: format!("{from} → {to}"),
        heading: format!(
            "<h1><span class=\"text\">{}</span> <span class=\"arrow\">→</span> \
             <span class=\"text\">{}</span></h1>{}",
            text(from),
            text(to),
            identity(&difference.new.image)
        ),
        glance: glance(difference),
        map: "What changed",
        sections: sections.concat(),
        data: data::data(new, &root, true),
    };
    page.write()
}

fn glance(difference: &Difference) -> String {
    let (old, new) = (&difference.old, &difference.new);
    let growth = difference.growth();
    let from_to = |old: String, new: String| format!("{old} → {new}");
    let mut figures = vec![
        figure(
            "Compressed",
            &growth.compressed.map_or_else(|| UNKNOWN.to_owned(), signed),
            color(growth.compressed.unwrap_or(0)),
            &from_to(bytes(old.size.compressed), bytes(new.size.compressed)),
        ),
        figure(
            "Unpacked",
            &signed(growth.unpacked),
            color(growth.unpacked),
            &from_to(human(old.size.unpacked), human(new.size.unpacked)),
        ),
        figure("To pull", &bytes(new.own), "", "compressed, where the old image is"),
        figure(
            "Files",
            &grouped(new.files),
            "",
            &format!(
                "{} before, {} changed",
                grouped(old.files),
                grouped(difference.files.len() as u64)
            ),
        ),
    ];
    for (name, old, new) in
        [("Not visible", old.buried, new.buried), ("Avoidable", old.waste, new.waste)]
    {
        if old.unpacked != new.unpacked {
            let growth = delta(old.unpacked, new.unpacked);
            let note = from_to(human(old.unpacked), human(new.unpacked));
            figures.push(figure(name, &signed(growth), color(growth), &note));
        }
    }
    figures.concat()
}

fn color(growth: i64) -> &'static str {
    match growth {
        0 => "",
        1.. => "more",
        _ => "less",
    }
}

/// A sign and a word; the color is a third way to say it.
fn kind(kind: ChangeKind) -> Cell {
    let class = match kind {
        ChangeKind::Added | ChangeKind::Grown => " more",
        ChangeKind::Removed | ChangeKind::Shrunk => " less",
        ChangeKind::Altered | ChangeKind::Same => "",
    };
    let html = format!("<span class=\"tag{class}\">{} {}</span>", palette::sign(kind), word(kind));
    Cell { html, sort: None }
}

fn growth(growth: i64) -> Cell {
    Cell { html: signed(growth), sort: Some(growth.into()) }
}

fn layers(difference: &Difference) -> String {
    let row = |change: &LayerChange| {
        let size = |side: &Option<LayerSide>| side.as_ref().map(|side| side.size);
        let (old, new) = (size(&change.old), size(&change.new));
        let known = |size: Option<Size>| size.map_or(Some(0), |size| size.compressed);
        let compressed = match known(old).zip(known(new)) {
            Some((old, new)) => growth(delta(old, new)),
            None => words(UNKNOWN),
        };
        let step = change.new.as_ref().or(change.old.as_ref()).map(|side| &side.step);
        vec![
            kind(change.kind()),
            growth(unpacked(old, new)),
            compressed,
            words(&lines(step.and_then(|step| step.lines))),
            instruction(step.map_or("", |step| &step.instruction)),
        ]
    };
    let columns =
        [column(""), number("Unpacked"), number("Compressed"), number("Lines"), long("Made by")];
    let changed = difference.layers.iter().filter(|change| change.kind() != ChangeKind::Same);
    table(&columns, changed.map(row).collect(), false)
}

fn packages(difference: &Difference) -> String {
    let size = |side: &Option<PackageSide>| side.as_ref().map(|side| side.size);
    let moved = |change: &&PackageChange| {
        Reverse(unpacked(size(&change.old), size(&change.new)).unsigned_abs())
    };
    let mut packages: Vec<&PackageChange> = difference.packages.iter().collect();
    packages.sort_by_key(moved);
    let row = |change: &&PackageChange| {
        let version = |side: &Option<PackageSide>| {
            words(&side.as_ref().map_or_else(String::new, |side| shorten(&side.version)))
        };
        vec![
            words(&shorten(&change.name)),
            words(change.kind.name()),
            kind(change.kind()),
            growth(unpacked(size(&change.old), size(&change.new))),
            version(&change.old),
            version(&change.new),
        ]
    };
    let columns = [
        long("Package"),
        column("Kind"),
        column("Change"),
        number("Unpacked"),
        column("Old version"),
        column("New version"),
    ];
    let all = table(&columns, packages.iter().take(ROWS).map(row).collect(), true);
    all + &more(packages.len())
}

fn files(difference: &Difference) -> String {
    let by = |change: &FileChange| {
        unpacked(change.old.map(|side| side.size), change.new.map(|side| side.size))
    };
    let mut files: Vec<&FileChange> = difference.files.iter().collect();
    files.sort_by_key(|change| Reverse(by(change).unsigned_abs()));
    let row = |change: &&FileChange| {
        let layer = change.new.map_or_else(String::new, |side| (side.layer + 1).to_string());
        vec![
            path(&shorten_path(&shown(&change.path))),
            kind(change.kind()),
            growth(by(change)),
            words(&layer),
        ]
    };
    let columns = [long("File"), column("Change"), number("Unpacked"), column("Layer")];
    let all = table(&columns, files.iter().take(ROWS).map(row).collect(), true);
    all + &more(files.len())
}

fn more(rows: usize) -> String {
    match rows.checked_sub(ROWS) {
        None | Some(0) => String::new(),
        Some(more) => format!("<p class=\"quiet\">and {more} that changed less</p>"),
    }
}
