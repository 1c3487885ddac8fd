//! The folders that steps work in, and what dead processes left of them.

mod memory;
mod work;

pub use memory::MemoryLayers;
pub use work::{StepDirs, WorkDir};
