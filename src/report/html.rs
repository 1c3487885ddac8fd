//! A weight or a difference as one HTML page that stands alone: style, script and data are in it, and
//! its policy forbids every request.
//!
//! What can be read without a script is written here; `html/*.js` draws the treemap, searches and
//! sorts. Everything that an image says goes through [`markup::text`] or [`markup::script_json`].

mod chart;
mod data;
mod difference;
mod table;
mod weight;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub use difference::difference_html;
pub use weight::weight_html;

use super::markup;
use super::palette;

const TEMPLATE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = concat!(
    include_str!("html/squarify.js"),
    include_str!("html/nodes.js"),
    include_str!("html/treemap.js"),
    include_str!("html/page.js"),
);

/// The parts of a page, as HTML but for the title and the data.
struct Page {
    title: String,
    heading: String,
    glance: String,
    /// The heading of the treemap.
    map: &'static str,
    sections: String,
    data: Value,
}

impl Page {
    fn write(&self) -> String {
        let style = format!("{}{STYLE}", tones());
        markup::fill(TEMPLATE, |name| match name {
            "policy" => policy(&style),
            "title" => markup::text(&self.title),
            "style" => style.clone(),
            "heading" => self.heading.clone(),
            "glance" => self.glance.clone(),
            "map" => self.map.to_owned(),
            "sections" => self.sections.clone(),
            "footer" => format!(
                "Written by Plimsoll {}. Sizes are decimal; “~” marks an estimate: a file’s part of \
                 its compressed layer.",
                env!("CARGO_PKG_VERSION")
            ),
            "data" => markup::script_json(&self.data),
            "script" => SCRIPT.to_owned(),
            _ => String::new(),
        })
    }
}

/// This very style and this very script, the pictures within the page, and nothing else.
fn policy(style: &str) -> String {
    let sum = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; \
         base-uri 'none'; form-action 'none'",
        sum(style),
        sum(SCRIPT)
    )
}

fn tones() -> String {
    let variables = palette::declarations(|name, light, dark| {
        format!("--tone-{name}:light-dark({light},{dark});")
    });
    let classes =
        palette::declarations(|name, _, _| format!(".tone-{name}{{fill:var(--tone-{name})}}"));
    format!(":root{{{variables}}}\n{classes}\n")
}

/// One figure of those at a glance: what it is, its value, and a note.
fn figure(name: &str, value: &str, class: &str, note: &str) -> String {
    let text = markup::text;
    let note = if note.is_empty() { String::new() } else { format!("<dd>{}</dd>", text(note)) };
    format!("<div><dt>{}</dt><dd class=\"{class}\">{}</dd>{note}</div>", text(name), text(value))
}

/// A section with a heading and a line about it; nothing where `body` is nothing.
fn section(title: &str, about: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    let about = if about.is_empty() {
        String::new()
    } else {
        format!("<p class=\"quiet\">{}</p>", markup::text(about))
    };
    format!("<section class=\"card\"><h2>{}</h2>{about}{body}</section>\n", markup::text(title))
}
