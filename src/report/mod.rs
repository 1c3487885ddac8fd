//! A build result as terminal text and JSON.

mod json;
mod metadata;
mod table;
mod text;

pub use crate::figures::{human, time};
pub use json::json;
pub use metadata::metadata;
pub use text::text;
