//! What GitHub Actions gives to a step and takes from it: the event, inputs, tags and labels from the
//! event, outputs.

pub mod api;
pub mod artifact;
pub mod bake;
pub mod event;
pub mod files;
pub mod inputs;
pub mod list;
pub mod metadata;
pub mod naming;
pub mod waiver;
