//! A build result as terminal text and JSON; a forecast as these, Mermaid and SVG.

mod json;
mod metadata;
pub mod plan;
mod size;
mod table;
mod text;

pub use json::json;
pub use metadata::metadata;
pub use size::{human, time};
pub use text::text;
