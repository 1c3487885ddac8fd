//! Instructions → graph of stages and steps for one target and one platform, and the steps' keys.
//! **Pure.**

mod graph;

pub use graph::*;
