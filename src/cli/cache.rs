//! `plimsoll cache ls`, `du` and `prune`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use super::args::{CacheArgs, CacheCommand, HeldArgs, PruneArgs};
use super::environment::Environment;
use super::flag::FlagError;
use super::{cache_spec, size, store};
use crate::cache::{LocalFolder, PruneFilter, Store, StoreItem};
use crate::error::Error;
use crate::figures::human;
use crate::request::CachePlace;

/// Does it; the text for standard output.
pub fn run(args: &CacheArgs, environment: &Environment) -> Result<String, Error> {
    match &args.command {
        CacheCommand::Ls(args) => Ok(list(&Held::of(args, environment)?.items()?)),
        CacheCommand::Du(args) => Ok(sums(&Held::of(args, environment)?.items()?)),
        CacheCommand::Prune(args) => prune(args, environment),
    }
}

/// What is looked at.
enum Held {
    Store(PathBuf),
    Folder(LocalFolder),
}

impl Held {
    fn of(args: &HeldArgs, environment: &Environment) -> Result<Self, Error> {
        let Some(text) = &args.cache_from else {
            return Ok(Self::Store(store::directory(args.store.store.as_ref(), environment)?));
        };
        let fail = |error: FlagError| error.of("--cache-from", text);
        match cache_spec::source(text, environment).map_err(fail)? {
            Ok(CachePlace::Local(folder)) => Ok(Self::Folder(LocalFolder::new(folder))),
            Ok(CachePlace::Registry(_)) => Err(fail(
                FlagError::new("what a registry keeps is its own matter")
                    .hinted("Delete the repository\'s tags, or let the registry expire them."),
            )),
            Ok(CachePlace::Github { .. }) | Err(_) => Err(fail(
                FlagError::new("what GitHub keeps is its own matter")
                    .hinted("`gh cache list` shows it, `gh cache delete` deletes it."),
            )),
        }
    }

    fn items(&self) -> Result<Vec<StoreItem>, Error> {
        Ok(match self {
            Self::Store(root) => Store::list(root)?,
            Self::Folder(folder) => folder.list()?,
        })
    }
}

fn list(items: &[StoreItem]) -> String {
    let mut text = String::new();
    for item in items {
        let (kind, size) = (item.kind.name(), human(item.size));
        let _ = writeln!(text, "{kind:<12} {size:>10}  {}", item.name);
    }
    text + &total(items)
}

fn sums(items: &[StoreItem]) -> String {
    let mut kinds: BTreeMap<_, (usize, u64)> = BTreeMap::new();
    for item in items {
        let (count, size) = kinds.entry(item.kind).or_default();
        *count += 1;
        *size += item.size;
    }
    let mut text = String::new();
    for (kind, (count, size)) in kinds {
        let (kind, size) = (kind.name(), human(size));
        let _ = writeln!(text, "{kind:<12} {size:>10}  {count} items");
    }
    text + &total(items)
}

fn total(items: &[StoreItem]) -> String {
    let size = items.iter().map(|item| item.size).sum();
    format!("{} items, {} on disk\n", items.len(), human(size))
}

fn prune(args: &PruneArgs, environment: &Environment) -> Result<String, Error> {
    let keep_storage = match &args.keep {
        Some(text) => Some(size::parse(text).map_err(|e| e.of("--max-used-space", text))?),
        None => None,
    };
    let filter = PruneFilter { keep_storage, cache_mounts: args.all, unused_for: None };
    let now = SystemTime::now();
    let removed = match Held::of(&args.held, environment)? {
        Held::Folder(folder) => folder.prune(&filter, now)?,
        Held::Store(root) => Store::prune(&root, &filter, now)?.ok_or_else(|| {
            Error::build(format!("a build is using {}", root.display()))
                .hinted("Try again when it has ended.")
        })?,
    };
    Ok(format!("removed {}", total(&removed)))
}
