//! `plimsoll action` as the action starts it: inputs and the event in the environment, files for what
//! the runner takes, and registries, GitHub's API and its cache service as fakes.

#[path = "support/actions_cache/mod.rs"]
mod actions_cache;
#[path = "action/basics.rs"]
mod basics;
#[path = "support/registry/mod.rs"]
mod fake_registry;
#[path = "support/github/mod.rs"]
mod github;
#[path = "support/loopback.rs"]
mod loopback;
#[path = "action/runner.rs"]
mod runner;
