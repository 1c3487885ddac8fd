//! The page of one image.

use super::chart;
use super::data::{self, first, shorten, shorten_path};
use super::table::{
    Cell, ROWS, column, compressed, count, grouped, long, number, path, share, size, table, words,
};
use super::{Page, figure, section};
use crate::figures::human;
use crate::report::markup::text;
use crate::report::treemap;
use crate::report::weight_text::{bytes, counted, lines, plain, shown, source, what};
use crate::weight::{Finding, Identity, Layer, Logged, Package, Patch, Size, Weight};

/// An image with more findings than this has one problem many times.
const FINDINGS: usize = 200;
/// A finding below this is not worth a look.
const SMALL: u64 = 1000;
/// Nothing that is told in full is longer than this.
const LONGEST: usize = 2000;

/// `history` is of the branch, the oldest first; fewer than two points are not drawn.
#[must_use]
pub fn weight_html(weight: &Weight, history: &[Logged]) -> String {
    let root = treemap::of_weight(weight);
    let sections = [
        section(
            "What could be better",
            "The heaviest first. What is saved is computed from the files, unpacked.",
            &findings(&weight.layers, &weight.findings),
        ),
        section("Layers", "From the lowest. Both sizes are exact.", &layers(weight)),
        section(
            "Where the bytes come from",
            "All layers of one origin together.",
            &sources(weight),
        ),
        section("Packages", "What a container sees of them.", &packages(weight)),
        chart::history(history),
    ];
    let page = Page {
        title: weight.image.name.clone(),
        heading: format!(
            "<h1><span class=\"text\">{}</span></h1>{}",
            text(&weight.image.name),
            identity(&weight.image)
        ),
        glance: glance(weight),
        map: "What is in it",
        sections: sections.concat(),
        data: data::data(weight, &root, false),
    };
    page.write()
}

pub(super) fn identity(image: &Identity) -> String {
    let digest = image.manifest.map_or_else(
        || format!("image ID {}", image.config),
        |manifest| format!("manifest {manifest}"),
    );
    format!("<div class=\"quiet\">{} · {}</div>", text(&image.platform), text(&digest))
}

fn glance(weight: &Weight) -> String {
    let (size, buried, waste) = (weight.size(), weight.buried(), weight.waste());
    let mut figures = vec![
        figure("Compressed", &bytes(size.compressed), "", "to push and to pull"),
        figure("Unpacked", &human(size.unpacked), "", "files of all layers"),
        figure("Layers", &weight.layers.len().to_string(), "", ""),
        figure("Files", &grouped(weight.kept().count() as u64), "", "that a container sees"),
    ];
    if buried.unpacked > 0 {
        let note = "unpacked, replaced or removed by higher layers";
        figures.push(figure("Not visible", &human(buried.unpacked), "more", note));
    }
    if waste.unpacked > 0 {
        figures.push(figure("Avoidable", &human(waste.unpacked), "more", "unpacked, see below"));
    }
    let score = format!("{:.1} %", weight.efficiency.score() * 100.0);
    let note = format!("{} wasted, as dive counts them", human(weight.efficiency.wasted));
    figures.push(figure("Efficiency", &score, "", &note));
    figures.concat()
}

fn layers(weight: &Weight) -> String {
    let whole = weight.layers.iter().map(|layer| layer.unpacked).max().unwrap_or(0);
    let row = |(index, layer): (usize, &Layer)| {
        vec![
            count(index as u64 + 1),
            size(layer.unpacked),
            compressed(layer.size().compressed, ""),
            share(layer.unpacked, whole),
            words(&lines(layer.step.lines)),
            instruction(&layer.step.instruction),
        ]
    };
    let columns = [
        number("Layer"),
        number("Unpacked"),
        number("Compressed"),
        column(""),
        number("Lines"),
        long("Made by"),
    ];
    table(&columns, weight.layers.iter().enumerate().map(row).collect(), false)
}

pub(super) fn instruction(instruction: &str) -> Cell {
    path(&shorten(instruction))
}

fn sources(weight: &Weight) -> String {
    let sources = weight.sources();
    let row = |s: &crate::weight::SourceWeight| {
        vec![
            words(&source(&s.source)),
            size(s.size.unpacked),
            compressed(s.size.compressed, ""),
            count(s.layers.into()),
        ]
    };
    let columns = [long("From"), number("Unpacked"), number("Compressed"), number("Layers")];
    table(&columns, sources.iter().map(row).collect(), true)
}

fn packages(weight: &Weight) -> String {
    let mut packages: Vec<&Package> = weight.packages.iter().collect();
    packages.sort_by_key(|package| std::cmp::Reverse(package.size.unpacked));
    let row = |name: Cell, version: &str, kind: &str, weighs: Size, files: u64| {
        vec![
            name,
            words(version),
            words(kind),
            size(weighs.unpacked),
            compressed(weighs.compressed, "~"),
            count(files),
        ]
    };
    let mut rows: Vec<Vec<Cell>> = packages
        .iter()
        .take(ROWS)
        .map(|package| {
            let (name, version) = (shorten(&package.name), shorten(&package.version));
            row(words(&name), &version, package.kind.name(), package.size, package.files.into())
        })
        .collect();
    if let Some(more) = packages.get(ROWS..).filter(|more| !more.is_empty()) {
        let weighs: Size = more.iter().map(|package| package.size).sum();
        let files = more.iter().map(|package| u64::from(package.files)).sum();
        rows.push(row(words(&format!("{} more", more.len())), "", "", weighs, files));
    }
    if !rows.is_empty() {
        let files = weight.kept().filter(|file| file.package.is_none()).count() as u64;
        rows.push(row(words("in no package"), "", "", weight.unpackaged(), files));
    }
    let columns = [
        long("Package"),
        column("Version"),
        column("Kind"),
        number("Unpacked"),
        number("Compressed"),
        number("Files"),
    ];
    table(&columns, rows, true)
}

/// A list, what will not run first; `layers` are those that the findings are about.
pub(super) fn findings(layers: &[Layer], findings: &[Finding]) -> String {
    let worth = |finding: &&Finding| finding.kind.is_broken() || finding.size.unpacked >= SMALL;
    let mut worth: Vec<&Finding> = findings.iter().filter(worth).collect();
    worth.sort_by_key(|finding| !finding.kind.is_broken());
    if worth.is_empty() {
        return String::new();
    }
    let mut html: String = worth.iter().take(FINDINGS).map(|one| finding(layers, one)).collect();
    if let Some(more) = worth.len().checked_sub(FINDINGS).filter(|more| *more > 0) {
        html.push_str(&format!("<li><p class=\"quiet\">and {more} more</p></li>"));
    }
    format!("<ul class=\"findings\">{html}</ul>")
}

fn finding(layers: &[Layer], finding: &Finding) -> String {
    let step = layers.get(finding.layer as usize).map(|layer| &layer.step);
    let place = match step.and_then(|step| step.lines) {
        Some(of) => format!("line {}", lines(Some(of))),
        None => format!("layer {}", finding.layer + 1),
    };
    let weighs = if finding.kind.is_broken() {
        "<div class=\"saves broken\">Won’t run</div>".to_owned()
    } else {
        format!("<div class=\"saves\">{}</div>", human(finding.size.unpacked))
    };
    let what = shorten(&what(finding));
    let mut html = format!(
        "<li>{weighs}<h3>{}</h3><p class=\"quiet\">{place}, {}</p>",
        text(&capital(&what)),
        counted(finding.files.into(), "file")
    );
    if let Some(advice) = &finding.advice {
        html.push_str(&format!("<p>{}</p>", text(&first(&advice.text, LONGEST))));
        if let Some(patch) = &advice.patch {
            html.push_str(&patch_html(patch));
        }
    }
    // The headline has only the first names of a list.
    let full = if what.contains(&plain(&finding.detail)) {
        String::new()
    } else {
        format!("<p>{}</p>", text(&first(&finding.detail, LONGEST)))
    };
    let paths: String = finding
        .paths
        .iter()
        .map(|path| format!("<li class=\"path\">{}</li>", text(&shorten_path(&shown(path)))))
        .collect();
    if !paths.is_empty() {
        let is_all = finding.files as usize <= finding.paths.len();
        let summary = if is_all { "Files" } else { "The heaviest files" };
        html.push_str(&format!(
            "<details><summary>{summary}</summary>{full}<ul>{paths}</ul></details>"
        ));
    }
    html + "</li>\n"
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// As `diff -u` marks lines.
fn patch_html(patch: &Patch) -> String {
    let kept = patch.old.iter().zip(&patch.new).take_while(|(old, new)| old == new).count();
    let marked = |class: &str, mark: char, lines: &[String]| -> String {
        lines
            .iter()
            .map(|line| format!("<span class=\"{class}\">{mark} {}</span>", text(&shorten(line))))
            .collect()
    };
    format!(
        "<pre class=\"patch\">{}{}{}</pre>",
        marked("", ' ', &patch.old[..kept]),
        marked("gone", '-', &patch.old[kept..]),
        marked("come", '+', &patch.new[kept..])
    )
}
