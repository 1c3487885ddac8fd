//! Plimsoll builds multi-stage Dockerfiles without a daemon and says what the image weighs.
//!
//! The folders follow the data: text → instructions ([`dockerfile`]) → graph of stages and steps
//! ([`plan`]) → what is cached ([`cache`]) → what must run ([`build`], [`sandbox`], [`snapshot`]) →
//! file trees ([`tree`]) → layers ([`layer`]) → image ([`image`]) → registry ([`registry`]).
//! ARCHITECTURE.md has the map and the invariants.

pub mod attest;
pub mod build;
pub mod cache;
pub mod cli;
pub mod context;
pub mod digest;
pub mod dockerfile;
pub mod error;
pub mod figures;
pub mod github;
pub mod http;
pub mod ignore;
pub mod image;
pub mod inspect;
pub mod layer;
pub mod plan;
pub mod platform;
pub mod reference;
pub mod registry;
pub mod report;
pub mod request;
pub mod sandbox;
pub mod snapshot;
pub mod tree;
pub mod ui;
pub mod url;
pub mod weight;
