//! `plimsoll action`: one step of a workflow. Reads the inputs and the event, builds, and tells.

mod door;
