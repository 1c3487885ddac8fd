//! The forecast as a picture: a card for every stage, its steps in it, arrows from what is copied to
//! the step that copies it. It has the colors of a light or a dark page, as the reader's are.

use std::fmt::Write as _;

use super::layout::{Graph, Layout};
use super::{contents, fate, headline, shortened, stage_of};
use crate::build::{Forecast, StageFate, StageForecast, StepFate, StepForecast};

const MARGIN: f64 = 28.0;
const CARD: f64 = 400.0;
/// Between two columns.
const CHANNEL: f64 = 90.0;
const HEAD: f64 = 52.0;
const ROW: f64 = 21.0;
/// The line below a step that says what it reads.
const NOTE: f64 = 16.0;
const FOOT: f64 = 9.0;
/// Below the headline.
const TOP: f64 = 96.0;
/// Stages that are left out, in a grid.
const SMALL: f64 = 50.0;

/// Characters of a fixed width that fit on a card.
const TITLE_CHARACTERS: usize = 44;
const NAME_CHARACTERS: usize = 25;
const BASE_CHARACTERS: usize = 50;
/// A stage with more steps than these shows one less, and how many there are besides.
const MAX_ROWS: usize = 18;

const STYLE: &str = "\
svg{--page:#fff;--card:#f8fafc;--line:#cbd5e1;--text:#0f172a;--dim:#64748b;--runs:#c2620a;\
--cached:#15803d;--arrow:#64748b;background:var(--page)}\
@media(prefers-color-scheme:dark){svg{--page:#0d1117;--card:#161b22;--line:#3d444d;--text:#e6edf3;\
--dim:#9198a1;--runs:#f0a04b;--cached:#4ac26b;--arrow:#848d97}}\
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;\
fill:var(--text);white-space:pre}\
.page{fill:var(--page)}.h{font-size:16px;font-weight:600}.n{font-size:15px;font-weight:600}\
.d{fill:var(--dim)}.s{font-size:11.5px;fill:var(--dim)}\
.card{fill:var(--card);stroke:var(--line);stroke-width:1.2}\
.card.runs{stroke:var(--runs)}.card.cached,.card.unseen{stroke:var(--cached)}\
.card.unseen{stroke-dasharray:3 3}.card.leftout{fill:none;stroke-dasharray:7 5}\
.card.target{stroke-width:3}\
.f.runs{fill:var(--runs)}.f.cached,.f.unseen{fill:var(--cached)}.f.leftout{fill:var(--dim)}\
.dot{stroke-width:1.6;fill:none}.dot.runs{fill:var(--runs);stroke:var(--runs)}\
.dot.cached{stroke:var(--cached)}.dot.config{stroke:none;fill:var(--line)}\
.a{fill:none;stroke:var(--arrow);stroke-width:1.4}.a.base{stroke-width:3.2}\
.a.runs{stroke:var(--runs)}.tip{fill:var(--arrow)}.tip.runs{fill:var(--runs)}";

/// A whole SVG document.
#[must_use]
pub fn svg(forecast: &Forecast) -> String {
    let picture = Picture::of(forecast);
    let (width, height) = (picture.width(), picture.height());
    let title = escape(&headline(forecast));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"h\" x=\"{MARGIN}\" y=\"42\">{title}</text>\n"
    );
    legend(&mut out);
    // The arrows first: what they pass is drawn over them.
    picture.arrows(&mut out);
    picture.cards(&mut out);
    picture.left_out(&mut out);
    out + "</svg>\n"
}

/// An arrow from a card to the head of another, or to one of its steps.
struct Arrow {
    from: usize,
    to: usize,
    /// The step; `None` where the card stands on the other.
    step: Option<usize>,
}

struct Picture<'a> {
    /// What the target needs; cards are counted in it.
    needed: Vec<&'a StageForecast>,
    left_out: Vec<&'a StageForecast>,
    target: usize,
    arrows: Vec<Arrow>,
    layout: Layout,
}

impl<'a> Picture<'a> {
    fn of(forecast: &'a Forecast) -> Self {
        let is_needed = |index: &usize| forecast.stages[*index].fate != StageFate::LeftOut;
        let (positions, others): (Vec<usize>, Vec<usize>) =
            (0..forecast.stages.len()).partition(is_needed);
        let stages = |positions: &[usize]| -> Vec<&StageForecast> {
            positions.iter().map(|position| &forecast.stages[*position]).collect()
        };
        let card = |index: usize| positions.iter().position(|position| *position == index);
        let needed = stages(&positions);
        let mut arrows = Vec::new();
        for (to, stage) in needed.iter().enumerate() {
            let mut arrow = |origin, step| {
                if let Some(from) = stage_of(origin).and_then(card) {
                    arrows.push(Arrow { from, to, step });
                }
            };
            arrow(&stage.base, None);
            for (index, step) in stage.steps.iter().enumerate() {
                step.reads.iter().for_each(|read| arrow(&read.from, Some(index)));
            }
        }
        let heights: Vec<f64> = needed.iter().map(|stage| height(stage)).collect();
        let ends: Vec<(usize, usize)> = arrows.iter().map(|arrow| (arrow.from, arrow.to)).collect();
        let layout = Graph { heights: &heights, arrows: &ends }.layout();
        let target = card(forecast.target).unwrap_or_default();
        Self { needed, left_out: stages(&others), target, arrows, layout }
    }

    fn width(&self) -> f64 {
        let columns = self.layout.columns.max(2) as f64;
        MARGIN * 2.0 + columns * CARD + (columns - 1.0) * CHANNEL
    }

    fn height(&self) -> f64 {
        let rows = self.left_out.len().div_ceil(self.small_columns()) as f64;
        let below = if self.left_out.is_empty() { 0.0 } else { 60.0 + rows * (SMALL + 14.0) };
        TOP + self.layout.height + below + MARGIN
    }

    fn corner(&self, card: usize) -> (f64, f64) {
        let (column, top) = self.layout.cards[card];
        (left_of(column), TOP + top)
    }

    fn arrows(&self, out: &mut String) {
        for (arrow, bends) in std::iter::zip(&self.arrows, &self.layout.bends) {
            let (from, to) = (self.corner(arrow.from), self.corner(arrow.to));
            let reads = arrow.step.map(|step| &self.needed[arrow.to].steps[step]);
            let runs = matches!(reads, Some(StepForecast { fate: StepFate::Runs { .. }, .. }));
            let mut class = String::from(if runs { " runs" } else { "" });
            class.push_str(if arrow.step.is_none() { " base" } else { "" });
            let mut points = vec![(from.0 + CARD, from.1 + HEAD / 2.0)];
            let column = self.layout.cards[arrow.from].0;
            for (passed, bend) in (column + 1..).zip(bends) {
                points.push((left_of(passed), TOP + bend));
                points.push((left_of(passed) + CARD, TOP + bend));
            }
            let row = arrow.step.map_or(HEAD / 2.0, |step| row(self.needed[arrow.to], step));
            let end = (to.0 - 7.0, to.1 + row);
            points.push(end);
            let _ = writeln!(out, "<path class=\"a{class}\" d=\"{}\"/>", curve(&points));
            let _ = writeln!(
                out,
                "<path class=\"tip{}\" d=\"M{:.1} {:.1}l-8 -4.5v9z\"/>",
                if runs { " runs" } else { "" },
                to.0 - 1.0,
                end.1
            );
        }
    }

    fn cards(&self, out: &mut String) {
        for (index, stage) in self.needed.iter().enumerate() {
            let (x, y) = self.corner(index);
            let target = if index == self.target { " target" } else { "" };
            card(out, stage, (x, y), height(stage), target);
            for (index, step) in shown(stage).iter().enumerate() {
                write_step(out, step, x, y + row(stage, index));
            }
            let hidden = stage.steps.len() - shown(stage).len();
            if hidden > 0 {
                let y = y + row(stage, stage.steps.len()) + 4.5;
                let x = x + 32.0;
                let _ = writeln!(
                    out,
                    "<text class=\"d\" x=\"{x:.1}\" y=\"{y:.1}\">… {hidden} more steps</text>"
                );
            }
        }
    }

    fn small_columns(&self) -> usize {
        self.layout.columns.max(2)
    }

    fn left_out(&self, out: &mut String) {
        if self.left_out.is_empty() {
            return;
        }
        let top = TOP + self.layout.height + 60.0;
        let _ = writeln!(
            out,
            "<text class=\"d\" x=\"{MARGIN}\" y=\"{:.1}\">Left out: {} does not need them</text>",
            top - 16.0,
            escape(&shortened(&self.needed[self.target].name, NAME_CHARACTERS))
        );
        for (index, stage) in self.left_out.iter().enumerate() {
            let (row, column) = (index / self.small_columns(), index % self.small_columns());
            let y = top + row as f64 * (SMALL + 14.0);
            card(out, stage, (left_of(column), y), SMALL, "");
        }
    }
}

fn left_of(column: usize) -> f64 {
    MARGIN + column as f64 * (CARD + CHANNEL)
}

/// The steps that have a line of their own.
fn shown(stage: &StageForecast) -> &[StepForecast] {
    let count = stage.steps.len();
    &stage.steps[..if count > MAX_ROWS { MAX_ROWS - 1 } else { count }]
}

fn height(stage: &StageForecast) -> f64 {
    match stage.steps.len() {
        0 => HEAD,
        count if count > MAX_ROWS => row(stage, count) + ROW / 2.0 + FOOT,
        count => row(stage, count) - ROW / 2.0 + FOOT,
    }
}

/// The middle of a step's line, from the top of its card; below the last for what has none.
fn row(stage: &StageForecast, step: usize) -> f64 {
    let above = &shown(stage)[..step.min(shown(stage).len())];
    let notes: usize = above.iter().map(|step| notes(step).count()).sum();
    HEAD + 6.0 + above.len() as f64 * ROW + notes as f64 * NOTE + ROW / 2.0
}

fn notes(step: &StepForecast) -> impl Iterator<Item = String> {
    step.reads.iter().filter_map(contents)
}

/// The frame and the head of a stage.
fn card(out: &mut String, stage: &StageForecast, (x, y): (f64, f64), height: f64, target: &str) {
    let class = class(stage.fate);
    let name = shortened(&stage.name, NAME_CHARACTERS);
    let in_image = if stage.in_image { ", in the image," } else { "" };
    let base = format!("line {}{in_image} on {}", stage.lines.first, stage.base);
    let _ = writeln!(
        out,
        "<g><title>{}: FROM {} (line {})</title>\n\
         <rect class=\"card {class}{target}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{CARD}\" \
         height=\"{height:.1}\" rx=\"8\"/>\n\
         <text class=\"n{}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\n\
         <text class=\"f {class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n\
         <text class=\"s\" x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
        escape(&stage.name),
        escape(&stage.base.to_string()),
        stage.lines.first,
        if stage.fate == StageFate::LeftOut { " d" } else { "" },
        x + 14.0,
        y + 22.0,
        escape(&name),
        x + CARD - 14.0,
        y + 22.0,
        escape(&fate(stage)),
        x + 14.0,
        y + 41.0,
        escape(&shortened(&base, BASE_CHARACTERS)),
    );
}

/// `y` is the middle of its line.
fn write_step(out: &mut String, step: &StepForecast, x: f64, y: f64) {
    let (dot, why) = match &step.fate {
        StepFate::Runs { why } => ("runs", format!("runs: {why}")),
        StepFate::Cached => ("cached", "cached".to_owned()),
        StepFate::Config => ("config", "changes the configuration only".to_owned()),
        StepFate::NotLookedAt | StepFate::LeftOut => ("config", "not needed now".to_owned()),
    };
    let dim = if step.fate == StepFate::Config { " class=\"d\"" } else { "" };
    let _ = writeln!(
        out,
        "<g><title>line {}: {}\n{}</title><circle class=\"dot {dot}\" cx=\"{:.1}\" cy=\"{y:.1}\" \
         r=\"{}\"/><text{dim} x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
        step.lines.first,
        escape(&step.title),
        escape(&why),
        x + 18.0,
        if dot == "config" { "2.5" } else { "4" },
        x + 32.0,
        y + 4.5,
        escape(&shortened(&step.title, TITLE_CHARACTERS)),
    );
    for (index, note) in notes(step).enumerate() {
        let _ = writeln!(
            out,
            "<text class=\"s\" x=\"{:.1}\" y=\"{:.1}\">← {}</text>",
            x + 32.0,
            y + 4.5 + (index + 1) as f64 * NOTE,
            escape(&shortened(&note, BASE_CHARACTERS - 3)),
        );
    }
}

fn legend(out: &mut String) {
    let mut x = MARGIN + 6.0;
    for (class, radius, word) in
        [("runs", 4.0, "runs"), ("cached", 4.0, "cached"), ("config", 2.5, "configuration only")]
    {
        let _ = write!(
            out,
            "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"66\" r=\"{radius}\"/>\
             <text class=\"s\" x=\"{:.1}\" y=\"70\">{word}</text>",
            x + 11.0
        );
        x += 34.0 + word.len() as f64 * 7.0;
    }
    for (class, word) in [(" base", "stands on"), ("", "copies from")] {
        let _ = write!(
            out,
            "<path class=\"a{class}\" d=\"M{x:.1} 66h26\"/>\
             <text class=\"s\" x=\"{:.1}\" y=\"70\">{word}</text>",
            x + 33.0
        );
        x += 56.0 + word.len() as f64 * 7.0;
    }
    out.push('\n');
}

/// A line through points that leaves and meets each of them level.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = format!("M{:.1} {:.1}", points[0].0, points[0].1);
    for ends in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
        let middle = f64::midpoint(x0, x1);
        let _ = write!(path, "C{middle:.1} {y0:.1} {middle:.1} {y1:.1} {x1:.1} {y1:.1}");
    }
    path
}

fn class(fate: StageFate) -> &'static str {
    match fate {
        StageFate::Runs => "runs",
        StageFate::Cached => "cached",
        StageFate::NotLookedAt => "unseen",
        StageFate::LeftOut => "leftout",
    }
}

/// Text of an element: what XML can't have is a replacement character.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
