//! A build result, a weight and a difference as terminal text, Markdown and JSON.

mod difference_text;
mod json;
mod markdown;
mod metadata;
mod size;
mod table;
mod text;
mod weight_json;
mod weight_text;

pub use difference_text::difference_text;
pub use json::json;
pub use markdown::{SizeReport, markdown};
pub use metadata::metadata;
pub use size::{human, time};
pub use text::text;
pub use weight_json::{difference_json, weight_json};
pub use weight_text::weight_text;
