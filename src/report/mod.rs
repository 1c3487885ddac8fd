//! A build result, a weight and a difference as terminal text and JSON; a forecast as these, Mermaid
//! and SVG.

mod difference_text;
mod json;
mod metadata;
pub mod plan;
mod table;
mod text;
mod weight_json;
mod weight_text;

pub use crate::figures::{human, time};
pub use difference_text::difference_text;
pub use json::json;
pub use metadata::metadata;
pub use text::{explanation, text};
pub use weight_json::{difference_json, weight_json};
pub use weight_text::weight_text;
