//! Dockerfile text → instructions with their places. **Pure.**

mod ast;

pub use ast::*;
