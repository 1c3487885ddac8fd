//! A build result as terminal text and JSON.

mod json;
mod metadata;
mod size;
mod table;
mod text;

pub use json::json;
pub use metadata::metadata;
pub use size::{human, time};
pub use text::{explanation, text};
