//! The client of GitHub's cache service against a fake of it in this process; the fake against the
//! official client; and the client's uploads and downloads against Azurite.

#[path = "support/actions_cache/mod.rs"]
mod actions_cache;
#[path = "support/loopback.rs"]
mod loopback;

#[path = "actions_cache/basics.rs"]
mod basics;
#[path = "actions_cache/faults.rs"]
mod faults;
#[path = "actions_cache/official.rs"]
mod official;
#[path = "actions_cache/repository.rs"]
mod repository;
#[path = "actions_cache/transfer.rs"]
mod transfer;

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use actions_cache::{FakeActionsCache, token};
use plimsoll::cache::github::{GithubCache, GithubSettings};
use plimsoll::cache::{CacheBackend as _, CacheFault, EntryContent, EntryKey, Saved};
use plimsoll::http::RetryPolicy;
use tokio::runtime::Runtime;

const MAIN: &str = "refs/heads/main";
const PULL: &str = "refs/pull/7/merge";

/// As many attempts as ever, without the waiting.
const IMPATIENT: RetryPolicy = RetryPolicy {
    attempts: 4,
    first_delay: Duration::from_millis(1),
    longest_delay: Duration::from_millis(5),
    longest_wait: Duration::from_secs(2),
};

/// A client, and the runtime that it runs on.
struct Job {
    cache: GithubCache,
    _runtime: Runtime,
}

impl Job {
    /// A job whose token has these scopes.
    fn new(fake: &FakeActionsCache, scopes: &[(&str, u32)]) -> Self {
        Self::with(fake, &token(scopes), "")
    }

    fn with(fake: &FakeActionsCache, token: &str, mode: &str) -> Self {
        Self::at(&fake.url(), token, mode)
    }

    fn at(url: &str, token: &str, mode: &str) -> Self {
        let variables = [
            ("ACTIONS_RESULTS_URL", url.to_owned()),
            ("ACTIONS_RUNTIME_TOKEN", token.to_owned()),
            ("ACTIONS_CACHE_MODE", mode.to_owned()),
        ];
        let variable = |name: &str| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| value.clone())
        };
        let settings = GithubSettings::from_variables(variable).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let cache = GithubCache::new(settings, Arc::default(), runtime.handle().clone());
        Self { cache: cache.with_retry_policy(IMPATIENT), _runtime: runtime }
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<Saved, CacheFault> {
        self.cache.save(&entry_key(key), EntryContent::Bytes(bytes), &[])
    }

    /// The key that was found, of these in their order.
    fn find(&self, keys: &[&str]) -> Result<Option<String>, CacheFault> {
        let keys: Vec<EntryKey> = keys.iter().copied().map(entry_key).collect();
        Ok(self.cache.find(&keys)?.map(|found| found.key.0))
    }

    /// The bytes of an entry; `None` if there is none.
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, CacheFault> {
        let Some(found) = self.cache.find(&[entry_key(key)])? else { return Ok(None) };
        let mut bytes = Vec::new();
        self.cache.open(&found)?.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }
}

fn entry_key(text: &str) -> EntryKey {
    EntryKey(text.to_owned())
}

/// `length` bytes that no two places share for long.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0; length];
    for piece in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        piece.copy_from_slice(&state.to_le_bytes()[..piece.len()]);
    }
    bytes
}
