//! What GitHub Actions gives to a step and takes from it: inputs, the event, tags and labels from
//! the event.

pub mod event;
pub mod list;
pub mod metadata;
