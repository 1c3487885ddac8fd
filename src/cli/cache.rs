//! `plimsoll cache ls`, `du`, `prune` and `gc`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::args::{CacheArgs, CacheCommand, HeldArgs, PruneArgs};
use super::cache_github::GithubEntries;
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
        CacheCommand::Ls(args) => Held::of(args, environment)?.list(),
        CacheCommand::Du(args) => Held::of(args, environment)?.sums(),
        CacheCommand::Prune(args) => prune(args, environment),
        CacheCommand::Gc(args) => match GithubEntries::of(&args.cache_from, environment)? {
            Some(entries) => entries.gc(args),
            None => Err(FlagError::new("gc is for type=gha")
                .hinted("`plimsoll cache prune` empties a folder.")
                .of("--cache-from", &args.cache_from)),
        },
    }
}

/// What is looked at.
enum Held {
    Store(PathBuf),
    Folder(LocalFolder),
    Github(Box<GithubEntries>),
}

impl Held {
    fn of(args: &HeldArgs, environment: &Environment) -> Result<Self, Error> {
        let Some(text) = &args.cache_from else {
            let named = args.store.store.as_ref();
            if let Some(path) = named.filter(|path| !path.is_dir()) {
                let error = format!("--store: there is no folder {}", path.display());
                return Err(Error::usage(error));
            }
            return Ok(Self::Store(store::directory(named, environment)?));
        };
        if let Some(entries) = GithubEntries::of(text, environment)? {
            return Ok(Self::Github(Box::new(entries)));
        }
        let fail = |error: FlagError| error.of("--cache-from", text);
        match cache_spec::source(text, environment, false).map_err(fail)?.place {
            Ok(CachePlace::Local(folder)) => Ok(Self::Folder(LocalFolder::new(folder))),
            // GitHub's was looked for before.
            Ok(CachePlace::Registry(_) | CachePlace::Github { .. }) | Err(_) => Err(fail(
                FlagError::new("what a registry keeps is its own matter")
                    .hinted("Delete the repository\'s tags, or let the registry expire them."),
            )),
        }
    }

    fn list(&self) -> Result<String, Error> {
        Ok(match self {
            Self::Store(root) if !root.is_dir() => none_yet(root),
            Self::Store(root) => list(&Store::list(root)?),
            Self::Folder(folder) => list(&entries(folder)?),
            Self::Github(entries) => entries.list()?,
        })
    }

    fn sums(&self) -> Result<String, Error> {
        Ok(match self {
            Self::Store(root) if !root.is_dir() => none_yet(root),
            Self::Store(root) => sums(&Store::list(root)?),
            Self::Folder(folder) => sums(&entries(folder)?),
            Self::Github(entries) => entries.sums()?,
        })
    }
}

/// What is in a folder that is there: the name of another is a mistake.
fn entries(folder: &LocalFolder) -> Result<Vec<StoreItem>, Error> {
    let path = folder.folder();
    if !path.is_dir() {
        return Err(Error::usage(format!("--cache-from: there is no folder {}", path.display()))
            .hinted(
                "Name the folder that a build has saved to with --cache-to type=local,dest=.",
            ));
    }
    Ok(folder.list()?)
}

/// The first build makes it.
fn none_yet(root: &Path) -> String {
    format!("there is no store yet: {}\n", root.display())
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
        let _ = writeln!(text, "{kind:<12} {size:>10}  {}", counted(count));
    }
    text + &total(items)
}

fn counted(items: usize) -> String {
    if items == 1 { "1 item".to_owned() } else { format!("{items} items") }
}

fn total(items: &[StoreItem]) -> String {
    let size = items.iter().map(|item| item.size).sum();
    format!("{}, {} on disk\n", counted(items.len()), human(size))
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
        Held::Github(_) => {
            return Err(FlagError::new("prune is for folders")
                .hinted("`plimsoll cache gc` deletes what no job will read any more.")
                .of_flag_alone("--cache-from"));
        }
        Held::Store(root) => Store::prune(&root, &filter, now)?.ok_or_else(|| {
            Error::build(format!("a build is using {}", root.display()))
                .hinted("Try again when it has ended.")
        })?,
    };
    Ok(format!("removed {}", total(&removed)))
}
