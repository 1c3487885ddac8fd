//! From a Dockerfile to an image in a registry, by the program itself: Debian's docker-registry takes
//! it, skopeo and umoci read it back.

#[path = "support/docker_registry.rs"]
mod docker_registry;
#[path = "push/failures.rs"]
mod failures;
#[path = "support/registry/mod.rs"]
mod fake;
#[path = "push/memory.rs"]
mod memory;
#[path = "support/program.rs"]
mod program;
#[path = "push/transfers.rs"]
mod transfers;
#[path = "push/trust.rs"]
mod trust;
