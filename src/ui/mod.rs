//! What a person sees while it happens. The only folder that prints.

mod clean;
mod event;
mod excerpt;
mod lines;
mod mask;
mod plain;

pub use event::{Event, StepId, StepOutcome, Stream};
pub use excerpt::failure;
pub use mask::Masker;
pub use plain::Plain;
