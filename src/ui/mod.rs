//! What a person sees while it happens. The only folder that prints.

mod event;

pub use event::{Event, StepId, StepOutcome, Stream};
