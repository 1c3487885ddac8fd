//! One file per subcommand; exactly what was typed.

mod add_host;
mod annotation;
mod args;
mod build;
mod build_context;
mod csv;
mod docker_config;
mod dockerfile;
mod environment;
mod file;
mod flag;
mod output;
mod reference;
mod registry;
mod run;
mod secret;
mod size;
mod ssh;
mod store;
mod ulimit;

pub use run::run;
