//! What the script of a page is given. `nodes.js` says how a node is written.

use serde_json::{Value, json};

use crate::report::palette::{self, REST};
use crate::report::treemap::{Content, Leaf, Node, Owner};
use crate::report::weight_text::{lines, plain};
use crate::weight::{Layer, Size, Weight};

/// Packages that have their name; the others are one.
const PACKAGES: usize = 1000;
/// Characters of a name, or of an instruction: a heredoc may be as long as a book.
const LENGTH: usize = 250;

/// `root` is what [`crate::report::treemap`] made of `weight`, or of a difference to it.
pub(super) fn data(weight: &Weight, root: &Node, is_compared: bool) -> Value {
    let layers: Vec<u64> = weight.layers.iter().map(|layer| layer.unpacked).collect();
    let layers: Vec<Value> = weight
        .layers
        .iter()
        .enumerate()
        .zip(palette::tones(&layers))
        .map(|((index, layer), tone)| json!({ "name": layer_name(index, layer), "tone": tone }))
        .collect();
    let packages = Packages::of(weight);
    json!({
        "compared": is_compared,
        "layers": layers,
        "packages": packages.shown,
        "tree": packages.node(root),
    })
}

/// `3 · line 7-9 · RUN apt-get update`
fn layer_name(index: usize, layer: &Layer) -> String {
    let step = &layer.step;
    let place = step.lines.map_or_else(String::new, |_| format!(" · line {}", lines(step.lines)));
    let instruction = plain(&shorten(&step.instruction));
    let instruction =
        if instruction.is_empty() { instruction } else { format!(" · {instruction}") };
    format!("{}{place}{instruction}", index + 1)
}

/// The start, at most [`LENGTH`] characters.
pub(super) fn shorten(text: &str) -> String {
    first(text, LENGTH)
}

pub(super) fn first(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The end, of as many: of a path it tells more.
pub(super) fn shorten_path(text: &str) -> String {
    match text.char_indices().rev().nth(LENGTH) {
        Some((start, _)) => format!("…{}", &text[start..]),
        None => text.to_owned(),
    }
}

struct Packages {
    shown: Vec<Value>,
    /// For every package of the weight, which of `shown` it is.
    places: Vec<usize>,
}

impl Packages {
    fn of(weight: &Weight) -> Self {
        let sizes: Vec<u64> = weight.packages.iter().map(|package| package.size.unpacked).collect();
        let tones = palette::tones(&sizes);
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(sizes[*index]));
        let mut places = vec![PACKAGES; sizes.len()];
        let mut shown = Vec::new();
        for (place, &index) in order.iter().enumerate().take(PACKAGES) {
            let package = &weight.packages[index];
            let name = format!("{} {}", package.name, package.version);
            places[index] = place;
            shown.push(json!({
                "name": plain(&shorten(name.trim_end())),
                "kind": package.kind.name(),
                "tone": tones[index],
            }));
        }
        if let Some(more) = sizes.len().checked_sub(PACKAGES).filter(|more| *more > 0) {
            let name = format!("one of {more} smaller packages");
            shown.push(json!({ "name": name, "kind": "any", "tone": REST }));
        }
        Self { shown, places }
    }

    fn node(&self, node: &Node) -> Value {
        let inside = |nodes: &[Node]| nodes.iter().map(|node| self.node(node)).collect::<Value>();
        match &node.content {
            Content::Directory(nodes) => json!([node.name, inside(nodes)]),
            Content::Buried(nodes) => json!([node.name, inside(nodes), 1]),
            Content::File(leaf) => self.leaf(json!(node.name), leaf),
            Content::Rest(files, leaf) => self.leaf(json!(files), leaf),
        }
    }

    fn leaf(&self, name: Value, leaf: &Leaf) -> Value {
        let layer = owner(leaf.layer, |index| Some(index as usize));
        let package = owner(leaf.package, |index| self.places.get(index as usize).copied());
        let Size { unpacked, compressed } = leaf.size;
        let mut fields = vec![name, json!(unpacked), json!(compressed), layer, package];
        if let Some(change) = leaf.change {
            fields.extend([json!(change.old), json!(palette::change(change.kind))]);
            fields.push(json!(change.moved));
        }
        Value::Array(fields)
    }
}

fn owner(owner: Owner, place: impl Fn(u32) -> Option<usize>) -> Value {
    match owner {
        Owner::Nobody => Value::Null,
        Owner::One(index) => json!(place(index)),
        Owner::Several => json!(-1),
    }
}
