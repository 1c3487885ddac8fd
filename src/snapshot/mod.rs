//! A root file system for a RUN out of layers.

mod overlay;

pub use overlay::{StepDirs, WorkDir};
