//! A build result, a weight and a difference as terminal text and JSON, the latter two as Markdown,
//! HTML and SVG as well; a forecast as text, JSON, Mermaid and SVG.

mod difference_text;
mod html;
mod json;
mod markdown;
mod markup;
mod metadata;
mod palette;
pub mod plan;
mod squarify;
mod svg;
mod table;
mod text;
mod treemap;
mod verdict;
mod weight_json;
mod weight_text;

pub use crate::figures::{human, time};
pub use difference_text::difference_text;
pub use html::{difference_html, weight_html};
pub use json::json;
pub use markdown::{SizeReport, failure_markdown, folded_markdown, markdown, sections};
pub use metadata::{WARNINGS, metadata};
pub use svg::{difference_svg, weight_svg};
pub use text::{explanation, text};
pub use verdict::verdict_text;
pub use weight_json::{difference_json, weight_json};
pub use weight_text::weight_text;
