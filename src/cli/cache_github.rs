//! GitHub's end of `plimsoll cache`: what a repository's cache holds of ours, and `gc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::args::GcArgs;
use super::cache_spec::{self, GithubRepository};
use super::environment::Environment;
use super::flag::FlagError;
use super::size;
use crate::cache::CacheFault;
use crate::cache::github::{FREE_SPACE, ListedEntry, RepositoryCaches};
use crate::error::Error;
use crate::figures::human;
use crate::http::Clients;

/// A repository's cache, seen through the REST API.
pub struct GithubEntries {
    caches: RepositoryCaches,
    _runtime: Runtime,
}

impl GithubEntries {
    /// `None`: `text` is another type of cache.
    pub fn of(text: &str, environment: &Environment) -> Result<Option<Self>, Error> {
        // What was typed may hold the token, so it is not repeated.
        let fail = |error: FlagError| error.of_flag_alone("--cache-from");
        let Some(GithubRepository { api, name, token }) =
            cache_spec::github_repository(text, environment).map_err(fail)?
        else {
            return Ok(None);
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|e| Error::build(format!("can't start the network thread: {e}")))?;
        let clients = Arc::new(Clients::default());
        let caches = RepositoryCaches::new(&api, &name, &token, clients, runtime.handle().clone())
            .ok_or_else(|| fail(FlagError::new("repository= is no OWNER/NAME")))?;
        Ok(Some(Self { caches, _runtime: runtime }))
    }

    pub fn list(&self) -> Result<String, Error> {
        let entries = self.entries()?;
        let mut text = String::new();
        for ListedEntry { key, scope, size, used, .. } in &entries {
            let (kind, size) = (key.kind(), human(*size));
            let _ = writeln!(text, "{kind:<12} {size:>10}  {}  {scope}  {used}", key.0);
        }
        Ok(text + &total(&entries) + "\n")
    }

    pub fn sums(&self) -> Result<String, Error> {
        let entries = self.entries()?;
        let mut kinds: BTreeMap<_, (usize, u64)> = BTreeMap::new();
        for entry in &entries {
            let (count, size) = kinds.entry(entry.key.kind()).or_default();
            *count += 1;
            *size += entry.size;
        }
        let mut text = String::new();
        for (kind, (count, size)) in kinds {
            let _ = writeln!(text, "{kind:<12} {:>10}  {count} entries", human(size));
        }
        let usage = self.caches.usage().map_err(failed)?;
        let _ = writeln!(
            text,
            "{}; with those of others {} of {}",
            total(&entries),
            human(usage.size),
            human(FREE_SPACE)
        );
        Ok(text)
    }

    /// Those not used for longest first.
    fn entries(&self) -> Result<Vec<ListedEntry>, Error> {
        self.caches.list("", None).map_err(failed)
    }

    /// Deletes what no job will read, and says what it was.
    pub fn gc(&self, args: &GcArgs) -> Result<String, Error> {
        let limit = match &args.keep {
            Some(text) => Some(size::parse(text).map_err(|e| e.of("--max-used-space", text))?),
            None => None,
        };
        let entries = self.entries()?;
        let mut text = String::new();
        let over = self.scopes_that_are_over(&entries, &mut text);
        let (mut deleted, mut left) = (Vec::new(), Vec::new());
        for (entry, why) in judge(entries, &over, limit) {
            let Some(why) = why else {
                left.push(entry);
                continue;
            };
            if !args.dry_run {
                // One that has gone meanwhile is as good.
                self.caches.delete(&entry).map_err(failed)?;
            }
            let _ = writeln!(
                text,
                "{:>10}  {}  {}: {why}",
                human(entry.size),
                entry.key.0,
                entry.scope
            );
            deleted.push(entry);
        }
        let verb = if args.dry_run { "would delete" } else { "deleted" };
        Ok(format!("{text}{verb} {}, {} remain\n", total(&deleted), total(&left)))
    }

    /// Scopes of closed pull requests and deleted branches. What can't be found out is told, and its
    /// entries are kept.
    fn scopes_that_are_over(&self, entries: &[ListedEntry], text: &mut String) -> BTreeSet<String> {
        let scopes: BTreeSet<&String> = entries.iter().map(|entry| &entry.scope).collect();
        let mut over = BTreeSet::new();
        for scope in scopes {
            match self.caches.is_over(scope) {
                Ok(true) => {
                    over.insert(scope.clone());
                }
                Ok(false) => {}
                Err(fault) => {
                    let _ = writeln!(text, "{scope} is taken to be in use: {fault}");
                }
            }
        }
        over
    }
}

/// For each entry why it may go, if it may. `entries` are those not used for longest first.
fn judge(
    entries: Vec<ListedEntry>,
    over: &BTreeSet<String>,
    limit: Option<u64>,
) -> Vec<(ListedEntry, Option<&'static str>)> {
    // Of each scope and series, the one that is read.
    let mut newest = BTreeMap::new();
    for entry in &entries {
        if let Some(series) = entry.key.series() {
            let newest = newest.entry((entry.scope.clone(), series.to_owned())).or_insert(entry.id);
            let created = |id: u64| entries.iter().find(|e| e.id == id).map(|e| (e.created, e.id));
            if created(entry.id) > created(*newest) {
                *newest = entry.id;
            }
        }
    }
    let is_old = |entry: &ListedEntry| {
        let series = entry.key.series().map(str::to_owned);
        series.is_some_and(|series| newest[&(entry.scope.clone(), series)] != entry.id)
    };
    let judged: Vec<_> = entries
        .iter()
        .map(|entry| match () {
            () if over.contains(&entry.scope) => Some("the branch or pull request is no more"),
            () if is_old(entry) => Some("a newer one is read"),
            () => None,
        })
        .collect();
    let kept = entries.iter().zip(&judged).filter(|(_, why)| why.is_none());
    let mut size: u64 = kept.map(|(entry, _)| entry.size).sum();
    entries
        .into_iter()
        .zip(judged)
        .map(|(entry, why)| {
            let why = why.or_else(|| {
                let too_much = limit.is_some_and(|limit| size > limit);
                size -= if too_much { entry.size } else { 0 };
                too_much.then_some("not used for longest")
            });
            (entry, why)
        })
        .collect()
}

fn total(entries: &[ListedEntry]) -> String {
    let size = entries.iter().map(|entry| entry.size).sum();
    format!("{} entries, {} compressed", entries.len(), human(size))
}

fn failed(fault: CacheFault) -> Error {
    Error::build(fault)
        .hinted("In a workflow, `permissions:` says what the token may; see README.md, Caches.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::EntryKey;

    fn entry(id: u64, key: &str, scope: &str, used: i64) -> ListedEntry {
        ListedEntry {
            id,
            key: EntryKey(key.to_owned()),
            scope: scope.to_owned(),
            size: 10,
            created: jiff::Timestamp::from_second(used).unwrap(),
            used: jiff::Timestamp::from_second(used).unwrap(),
        }
    }

    fn deleted(limit: Option<u64>) -> Vec<u64> {
        let (main, pull) = ("refs/heads/main", "refs/pull/7/merge");
        let entries = vec![
            entry(1, "i-app-linux-0a-100-aa", main, 1),
            entry(2, "r-1", main, 2),
            entry(3, "i-app-linux-0a-099-bb", pull, 3),
            entry(4, "i-app-linux-0a-200-cc", main, 4),
            entry(5, "i-other-linux-0a-150-dd", main, 5),
            entry(6, "b-1", "refs/heads/gone", 6),
        ];
        let over = BTreeSet::from(["refs/heads/gone".to_owned()]);
        let judged = judge(entries, &over, limit).into_iter();
        judged.filter(|(_, why)| why.is_some()).map(|(entry, _)| entry.id).collect()
    }

    #[test]
    fn only_what_nobody_reads_goes() {
        assert_eq!(deleted(None), [1, 6]);
        assert_eq!(deleted(Some(40)), [1, 6]);
        assert_eq!(deleted(Some(39)), [1, 2, 6]);
        assert_eq!(deleted(Some(0)), [1, 2, 3, 4, 5, 6]);
    }
}
