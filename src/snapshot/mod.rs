//! The folders that steps work in, and what dead processes left of them.

mod work;

pub use work::{StepDirs, WorkDir};
