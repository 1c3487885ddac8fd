//! What a user meets when something is wrong: one message with its place, the right exit code, and
//! nothing left behind that would be in the way of the next run.
//!
//! Needs root and a static busybox for what has a RUN, and root to make a disk that is full; without
//! them a test says so and passes.

#[path = "bad_input/bench.rs"]
mod bench;
#[path = "bad_input/disk.rs"]
mod disk;
#[path = "bad_input/mistakes.rs"]
mod mistakes;
#[path = "support/registry/mod.rs"]
mod registry;
#[path = "bad_input/signals.rs"]
mod signals;
