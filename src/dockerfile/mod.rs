//! Dockerfile text → instructions with their places. **Pure.**
//!
//! [`parse`] gives stages of instructions as they were written. What variables stand for is the
//! planner's to know; [`expand`] and [`mount`] do the replacing for it.

mod ast;
pub(crate) mod csv;
mod directive;
mod duration;
mod error;
pub mod expand;
mod flag;
mod frontend;
mod heredoc;
mod instruction;
mod json;
mod keyword;
mod line;
pub mod lint;
pub mod mount;
pub mod outline;
mod parse;
mod size;
pub mod suggest;
#[cfg(test)]
mod tests;
mod words;

pub use ast::*;
pub use csv::CsvError;
pub use duration::{DurationError, parse_duration};
pub use error::{SyntaxError, SyntaxErrorKind};
pub use frontend::{ForeignFrontend, Frontend, frontend};
pub use heredoc::HeredocStart;
pub use parse::{
    Statement, Statements, parse, parse_builtin, parse_instruction, parse_instructions,
    parse_up_to_mistake,
};
pub use size::parse_size;
