//! `plimsoll cache ls` and `plimsoll cache prune`.

use std::fmt::Write as _;
use std::time::SystemTime;

use super::args::{CacheArgs, CacheCommand, PruneArgs, StoreArgs};
use super::environment::Environment;
use super::{size, store};
use crate::cache::{PruneFilter, Store};
use crate::error::Error;
use crate::figures::human;

/// Does it; the text for standard output.
pub fn run(args: &CacheArgs, environment: &Environment) -> Result<String, Error> {
    match &args.command {
        CacheCommand::Ls(args) => list(args, environment),
        CacheCommand::Prune(args) => prune(args, environment),
    }
}

fn list(args: &StoreArgs, environment: &Environment) -> Result<String, Error> {
    let root = store::directory(args.store.as_ref(), environment)?;
    let items = Store::list(&root)?;
    let mut text = String::new();
    for item in &items {
        let (kind, size) = (item.kind.name(), human(item.size));
        let _ = writeln!(text, "{kind:<12} {size:>10}  {}", item.name);
    }
    let total = items.iter().map(|item| item.size).sum();
    let _ = writeln!(text, "{} items, {} on disk", items.len(), human(total));
    Ok(text)
}

fn prune(args: &PruneArgs, environment: &Environment) -> Result<String, Error> {
    let root = store::directory(args.store.store.as_ref(), environment)?;
    let keep_storage = match &args.keep {
        Some(text) => Some(size::parse(text).map_err(|e| e.of("--max-used-space", text))?),
        None => None,
    };
    let filter = PruneFilter { keep_storage, cache_mounts: args.all, unused_for: None };
    let removed = Store::prune(&root, &filter, SystemTime::now())?.ok_or_else(|| {
        Error::build(format!("a build is using {}", root.display()))
            .hinted("Try again when it has ended.")
    })?;
    let total = removed.iter().map(|item| item.size).sum();
    Ok(format!("removed {} items, {} on disk\n", removed.len(), human(total)))
}
