//! A build result, a weight and a difference as terminal text and JSON, the latter two as HTML and SVG;
//! a forecast as these and Mermaid.

mod difference_text;
mod html;
mod json;
mod markup;
mod metadata;
mod palette;
pub mod plan;
mod squarify;
mod svg;
mod table;
mod text;
mod treemap;
mod weight_json;
mod weight_text;

pub use crate::figures::{human, time};
pub use difference_text::difference_text;
pub use html::{Point, difference_html, weight_html};
pub use json::json;
pub use metadata::metadata;
pub use svg::{difference_svg, weight_svg};
pub use text::{explanation, text};
pub use weight_json::{difference_json, weight_json};
pub use weight_text::weight_text;
