//! The fake cache service as a program, for clients in other processes.
//!
//!     cargo run --example actions-cache -- [--round-trip MS] [--quota BYTES] [SCOPE=PERMISSION...]
//!
//! Prints the variables that a runner would set, then serves until it is killed. A scope is such as
//! `refs/heads/main`, a permission 1 to read, 2 to write, 3 for both. `GET /requests` says what was
//! asked so far.

#[path = "mod.rs"]
mod actions_cache;
#[path = "../loopback.rs"]
mod loopback;

use std::process::ExitCode;
use std::time::Duration;

use actions_cache::{FakeActionsCache, Options, token};

fn main() -> ExitCode {
    let Some((options, scopes)) = parse(std::env::args().skip(1)) else {
        eprintln!("usage: actions-cache [--round-trip MS] [--quota BYTES] [SCOPE=PERMISSION...]");
        return ExitCode::FAILURE;
    };
    let fake = FakeActionsCache::start(options);
    let scopes: Vec<_> = scopes.iter().map(|(scope, may)| (scope.as_str(), *may)).collect();
    println!("ACTIONS_RESULTS_URL={}", fake.url());
    println!("ACTIONS_RUNTIME_TOKEN={}", token(&scopes));
    loop {
        std::thread::park();
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<(Options, Vec<(String, u32)>)> {
    let (mut options, mut scopes) = (Options::default(), Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--round-trip" => {
                options.round_trip = Duration::from_millis(arguments.next()?.parse().ok()?);
            }
            "--quota" => options.quota = Some(arguments.next()?.parse().ok()?),
            scope => {
                let (name, permission) = scope.rsplit_once('=')?;
                scopes.push((name.to_owned(), permission.parse().ok()?));
            }
        }
    }
    if scopes.is_empty() {
        scopes.push(("refs/heads/main".to_owned(), 3));
    }
    Some((options, scopes))
}
