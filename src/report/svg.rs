//! The treemap of an image, or of a difference, as an SVG that stands alone.

use super::markup::text;
use super::palette::{self, NONE, REST};
use super::squarify::{Rectangle, squarify};
use super::treemap::{self, Content, Leaf, Node, Owner};
use super::weight_text::{bytes, lines};
use crate::figures::human;
use crate::weight::{ChangeKind, Difference, Layer, Weight};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 600.0;
const MARGIN: f64 = 16.0;
const MAP: Rectangle = Rectangle { x: MARGIN, y: 64.0, width: WIDTH - 2.0 * MARGIN, height: 464.0 };
const LEGEND: f64 = 546.0;
const LEGEND_ROW: f64 = 20.0;
const LEGEND_COLUMNS: usize = 4;
/// The name of a directory stands in a strip over what is in it.
const STRIP: f64 = 17.0;
const GAP: f64 = 2.0;
/// A directory smaller than this is drawn as one tile, and nothing smaller than the other is drawn.
const NESTED: f64 = 44.0;
const VISIBLE: f64 = 1.5;
/// Average widths of characters, in the two sizes of type.
const LABEL: f64 = 6.4;
const SMALL: f64 = 5.9;

const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;font-size:11.5px;fill:var(--ink)}\
.title{font-size:20px;font-weight:650}.quiet{fill:var(--quiet)}.small{font-size:10.5px;opacity:.8}\
.ground{fill:var(--ground)}.directory{fill:var(--panel);stroke:var(--line)}";

/// Colored by layer.
#[must_use]
pub fn weight_svg(weight: &Weight) -> String {
    let sizes: Vec<u64> = weight.layers.iter().map(|layer| layer.unpacked).collect();
    let tones = palette::tones(&sizes);
    let size = weight.size();
    let subtitle = format!(
        "{} unpacked, {} compressed · by layer",
        human(size.unpacked),
        bytes(size.compressed)
    );
    let mut legend: Vec<Entry> = Vec::new();
    for hue in 0..palette::HUES {
        if let Some(index) = tones.iter().position(|tone| *tone == hue.to_string()) {
            let layer = &weight.layers[index];
            legend.push(Entry { tone: hue.to_string(), name: layer_name(index, layer) });
        }
    }
    legend.push(Entry { tone: REST.to_owned(), name: "others".to_owned() });
    let picture = Picture {
        title: &weight.image.name,
        subtitle,
        legend,
        measure: &Leaf::area,
        tone: &|leaf| match leaf.layer {
            Owner::One(layer) => tones.get(layer as usize).map_or(REST, String::as_str),
            Owner::Nobody | Owner::Several => REST,
        },
    };
    picture.draw(&treemap::of_weight(weight))
}

/// What changed, colored by how.
#[must_use]
pub fn difference_svg(difference: &Difference, new: &Weight) -> String {
    let root = treemap::of_difference(difference, new);
    let moved = |leaf: &Leaf| leaf.change.map_or(0, |change| change.moved);
    let title = format!("{} → {}", difference.old.image.name, difference.new.image.name);
    let sum = |more: bool| {
        root.total(&|leaf: &Leaf| {
            let old = leaf.change.map_or(0, |change| change.old);
            if (leaf.size.unpacked > old) == more { moved(leaf) } else { 0 }
        })
    };
    let subtitle = format!(
        "files: +{} and −{} unpacked · by what changed",
        human(sum(true)),
        human(sum(false))
    );
    let kinds = [ChangeKind::Added, ChangeKind::Grown, ChangeKind::Removed, ChangeKind::Shrunk];
    let legend = kinds.iter().map(|kind| {
        let name = palette::change(*kind);
        Entry { tone: name.to_owned(), name: format!("{} {name}", palette::sign(*kind)) }
    });
    let picture = Picture {
        title: &title,
        subtitle,
        legend: legend.collect(),
        measure: &moved,
        tone: &|leaf| leaf.change.map_or(NONE, |change| palette::change(change.kind)),
    };
    picture.draw(&root)
}

/// `7-9 RUN apt-get update`
fn layer_name(index: usize, layer: &Layer) -> String {
    let place = match layer.step.lines {
        Some(_) => format!("line {}", lines(layer.step.lines)),
        None => format!("layer {}", index + 1),
    };
    format!("{place} {}", layer.step.instruction)
}

struct Entry {
    tone: String,
    name: String,
}

struct Picture<'a> {
    title: &'a str,
    subtitle: String,
    legend: Vec<Entry>,
    measure: &'a dyn Fn(&Leaf) -> u64,
    tone: &'a dyn Fn(&Leaf) -> &'a str,
}

impl Picture<'_> {
    fn draw(&self, root: &Node) -> String {
        let title = text(&cut(self.title, MAP.width, 11.0));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{title}\">\n<style>{}{STYLE}</style>\n\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"8\"/>\n\
             <text class=\"title\" x=\"{MARGIN}\" y=\"32\">{title}</text>\n\
             <text class=\"quiet\" x=\"{MARGIN}\" y=\"52\">{}</text>\n",
            colors(),
            text(&self.subtitle),
        );
        if root.total(&self.measure) == 0 {
            svg.push_str(&format!(
                "<text class=\"quiet\" x=\"{MARGIN}\" y=\"{}\">Nothing to draw.</text>\n",
                MAP.y + 24.0
            ));
        }
        self.children(root, MAP, &mut svg);
        for (index, entry) in self.legend.iter().enumerate() {
            svg.push_str(&legend_entry(index, entry));
        }
        svg + "</svg>\n"
    }

    fn children(&self, node: &Node, within: Rectangle, svg: &mut String) {
        let (Content::Directory(children) | Content::Buried(children)) = &node.content else {
            return;
        };
        let mut sized: Vec<(u64, &Node)> =
            children.iter().map(|child| (child.total(&self.measure), child)).collect();
        sized.retain(|(size, _)| *size > 0);
        sized.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
        #[allow(clippy::cast_precision_loss, reason = "drawn in pixels")]
        let weights: Vec<f64> = sized.iter().map(|(size, _)| *size as f64).collect();
        for (rectangle, (size, child)) in squarify(&weights, within).into_iter().zip(sized) {
            if rectangle.width >= VISIBLE && rectangle.height >= VISIBLE {
                self.node(child, size, rectangle, svg);
            }
        }
    }

    fn node(&self, node: &Node, size: u64, at: Rectangle, svg: &mut String) {
        let name = label(node);
        let is_leaf = matches!(node.content, Content::File(_) | Content::Rest(..));
        if is_leaf || at.width < NESTED || at.height < NESTED {
            let tone = self.heaviest_tone(node);
            let name = format!("{}{name}", palette::sign_of_tone(&tone));
            svg.push_str(&tile(&tone, &name, size, at));
            return;
        }
        svg.push_str(&rectangle("directory", at));
        let room = at.width - 8.0;
        let whole = format!("{name}  {}", human(size));
        let shown = if columns(&whole, SMALL) <= room { whole } else { cut(&name, room, SMALL) };
        svg.push_str(&caption("small", at.x + 4.0, at.y + 12.5, &shown));
        let inside = Rectangle {
            x: at.x + GAP,
            y: at.y + STRIP,
            width: at.width - 2.0 * GAP,
            height: at.height - STRIP - GAP,
        };
        self.children(node, inside, svg);
    }

    /// That of most of its bytes.
    fn heaviest_tone(&self, node: &Node) -> String {
        let mut tones: Vec<(&str, u64)> = Vec::new();
        let mut waiting = vec![node];
        while let Some(node) = waiting.pop() {
            match &node.content {
                Content::Directory(children) | Content::Buried(children) => {
                    waiting.extend(children)
                }
                Content::File(leaf) | Content::Rest(_, leaf) => {
                    let (tone, size) = ((self.tone)(leaf), (self.measure)(leaf));
                    match tones.iter_mut().find(|(known, _)| *known == tone) {
                        Some((_, sum)) => *sum = sum.saturating_add(size),
                        None => tones.push((tone, size)),
                    }
                }
            }
        }
        tones.into_iter().max_by_key(|(_, size)| *size).map_or(REST, |(tone, _)| tone).to_owned()
    }
}

fn label(node: &Node) -> String {
    match &node.content {
        Content::Buried(_) => "replaced or removed".to_owned(),
        Content::Rest(1, _) => "1 smaller file".to_owned(),
        Content::Rest(files, _) => format!("{files} smaller files"),
        Content::Directory(_) | Content::File(_) => node.name.clone(),
    }
}

fn tile(tone: &str, name: &str, size: u64, at: Rectangle) -> String {
    let mut svg = rectangle(&format!("tone-{tone}"), inset(at));
    let room = at.width - 8.0;
    if room > 24.0 && at.height > 17.0 {
        svg.push_str(&caption("", at.x + 5.0, at.y + 14.0, &cut(name, room, LABEL)));
        let size = human(size);
        if at.height > 33.0 && columns(&size, SMALL) <= room {
            svg.push_str(&caption("small", at.x + 5.0, at.y + 27.0, &size));
        }
    }
    svg
}

fn inset(at: Rectangle) -> Rectangle {
    let gap = (at.width.min(at.height) / 4.0).min(0.75);
    Rectangle {
        x: at.x + gap,
        y: at.y + gap,
        width: at.width - 2.0 * gap,
        height: at.height - 2.0 * gap,
    }
}

fn rectangle(class: &str, at: Rectangle) -> String {
    let Rectangle { x, y, width, height } = at;
    format!(
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\" rx=\"2\"/>\n"
    )
}

fn caption(class: &str, x: f64, y: f64, shown: &str) -> String {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    format!("<text{class} x=\"{x:.1}\" y=\"{y:.1}\">{}</text>\n", text(shown))
}

fn legend_entry(index: usize, entry: &Entry) -> String {
    #[allow(clippy::cast_precision_loss, reason = "less than ten")]
    let (column, row) = ((index % LEGEND_COLUMNS) as f64, (index / LEGEND_COLUMNS) as f64);
    #[allow(clippy::cast_precision_loss, reason = "four")]
    let width = MAP.width / LEGEND_COLUMNS as f64;
    let (x, y) = (MAP.x + column * width, LEGEND + row * LEGEND_ROW);
    let swatch = Rectangle { x, y, width: 12.0, height: 12.0 };
    rectangle(&format!("tone-{}", entry.tone), swatch)
        + &caption("quiet", x + 18.0, y + 10.5, &cut(&entry.name, width - 30.0, LABEL))
}

/// Roughly how wide it is drawn.
fn columns(text: &str, each: f64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a width in pixels")]
    let count = text.chars().count() as f64;
    count * each
}

/// The start of `text` that `room` pixels hold.
fn cut(text: &str, room: f64, each: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
    let limit = (room / each).max(1.0) as usize;
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

/// Both themes: the one of whoever looks.
fn colors() -> String {
    let tone = |light: bool| {
        palette::declarations(|name, of_light, of_dark| {
            format!("--tone-{name}:{};", if light { of_light } else { of_dark })
        })
    };
    let classes =
        palette::declarations(|name, _, _| format!(".tone-{name}{{fill:var(--tone-{name})}}"));
    format!(
        ":root{{--ground:#fff;--panel:#f4f6f8;--line:#d5dae0;--ink:#14181d;--quiet:#57606a;{}}}\
         @media(prefers-color-scheme:dark){{:root{{--ground:#0f1317;--panel:#1a2027;--line:#333c46;\
         --ink:#f4f6f8;--quiet:#9aa5b1;{}}}}}{classes}",
        tone(true),
        tone(false),
    )
}
