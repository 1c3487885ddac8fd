//! `plimsoll action` as the action starts it: inputs and the event in the environment, files for what
//! the runner takes, and registries, GitHub's API and its cache service as fakes.

#[path = "support/actions_cache/mod.rs"]
mod actions_cache;
#[path = "action/amazon.rs"]
mod amazon;
#[path = "action/basics.rs"]
mod basics;
#[path = "support/registry/mod.rs"]
mod fake_registry;
#[path = "action/forks.rs"]
mod forks;
#[path = "support/github/mod.rs"]
mod github;
#[path = "action/inputs.rs"]
mod inputs;
#[path = "action/log.rs"]
mod log;
#[path = "support/loopback.rs"]
mod loopback;
#[path = "action/moving.rs"]
mod moving;
#[path = "action/pulls.rs"]
mod pulls;
#[path = "action/pushing.rs"]
mod pushing;
#[path = "action/root.rs"]
mod root;
#[path = "action/runner.rs"]
mod runner;
