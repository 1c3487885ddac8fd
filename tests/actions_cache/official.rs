//! The fake proved by the client that GitHub publishes, `@actions/cache`: what it gets here is what
//! it expects of GitHub. And the client's blobs proved by Azurite.

use std::path::Path;

use serde_json::Value;

use super::actions_cache::programs::{self, Azurite};
use super::actions_cache::{
    BLOB_PROPERTIES, CREATE, FINALIZE, FakeActionsCache, GET_BLOB, LOOKUP, Options, PUT_BLOB,
    PUT_BLOCK, PUT_BLOCK_LIST, token,
};
use super::{Job, MAIN, PULL, noise};
use plimsoll::cache::Saved;

/// A job that runs the official client in a folder of its own.
struct OfficialJob<'a> {
    fake: &'a FakeActionsCache,
    token: String,
    home: tempfile::TempDir,
}

impl<'a> OfficialJob<'a> {
    fn new(fake: &'a FakeActionsCache, scopes: &[(&str, u32)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { fake, token: token(scopes), home }
    }

    fn kept(&self) -> std::path::PathBuf {
        self.home.path().join("kept")
    }

    /// Its result, and all that it wrote to its log.
    fn run(&self, arguments: &[&str]) -> (Value, String) {
        let home: &Path = self.home.path();
        let output = programs::node("official.mjs")
            .unwrap()
            .args(arguments)
            .current_dir(home)
            .env("ACTIONS_CACHE_SERVICE_V2", "True")
            .env("ACTIONS_RESULTS_URL", self.fake.url())
            .env("ACTIONS_RUNTIME_TOKEN", &self.token)
            .env("GITHUB_WORKSPACE", home)
            .env("RUNNER_TEMP", home)
            .env_remove("ACTIONS_CACHE_MODE")
            .env_remove("GITHUB_SERVER_URL")
            .output()
            .unwrap();
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{log}{}", String::from_utf8_lossy(&output.stderr));
        let result = log.lines().find_map(|line| line.strip_prefix("result ")).unwrap();
        (serde_json::from_str(result).unwrap(), log)
    }

    fn save(&self, key: &str) -> (i64, String) {
        let (result, log) = self.run(&["save", key]);
        (result["id"].as_i64().unwrap(), log)
    }

    /// The key that was found, and the file that came of it.
    fn restore(&self, keys: &[&str]) -> Option<(String, Vec<u8>)> {
        let _ = std::fs::remove_file(self.kept());
        let (result, log) = self.run(&[&["restore"], keys].concat());
        let key = result["key"].as_str()?.to_owned();
        Some((key, std::fs::read(self.kept()).unwrap_or_else(|error| panic!("{error}: {log}"))))
    }
}

fn installed() -> bool {
    programs::node("official.mjs").is_some()
}

#[test]
fn the_official_client_saves_and_restores() {
    if !installed() {
        return;
    }
    let fake = FakeActionsCache::start(Options::default());
    let main = OfficialJob::new(&fake, &[(MAIN, 3)]);
    assert_eq!(main.restore(&["go-1"]), None);
    std::fs::write(main.kept(), b"first").unwrap();
    assert!(main.save("go-1").0 > 0);
    let operations: Vec<_> = fake.log().iter().map(|logged| logged.operation).collect();
    assert_eq!(operations, [LOOKUP, CREATE, PUT_BLOB, FINALIZE]);
    assert_eq!(main.restore(&["go-1"]).unwrap(), ("go-1".to_owned(), b"first".to_vec()));

    // What is there stays.
    let (id, log) = main.save("go-1");
    assert!(id == -1 && log.contains("already exists"), "{id}: {log}");

    // Another job reads it by prefix, and does not write where it may not.
    let reader = OfficialJob::new(&fake, &[(PULL, 1), (MAIN, 1)]);
    let found = reader.restore(&["go-2", "none-", "go-"]).unwrap();
    assert_eq!(found, ("go-1".to_owned(), b"first".to_vec()));
    let (id, log) = reader.save("go-2");
    assert!(id == -1 && log.contains("cache write denied"), "{id}: {log}");
    let writer = OfficialJob::new(&fake, &[(MAIN, 2)]);
    let (result, log) = writer.run(&["restore", "go-1"]);
    assert!(result["key"].is_null() && log.contains("cache read denied"), "{log}");
}

#[test]
fn the_official_client_sends_blocks_and_asks_for_ranges() {
    if !installed() {
        return;
    }
    let fake = FakeActionsCache::start(Options { azure_host: true, ..Options::default() });
    let job = OfficialJob::new(&fake, &[(MAIN, 3)]);
    // More than it sends at once, whatever its compression makes of it.
    let bytes = noise(130 << 20);
    std::fs::write(job.kept(), &bytes).unwrap();
    assert!(job.save("large").0 > 0);
    assert!(fake.count(PUT_BLOCK) > 1 && fake.count(PUT_BLOCK_LIST) == 1);
    let (_, restored) = job.restore(&["large"]).unwrap();
    assert!(restored == bytes);
    assert!(fake.count(BLOB_PROPERTIES) == 1 && fake.count(GET_BLOB) > 8);
    let ranges = fake.log().into_iter().filter(|logged| logged.operation == GET_BLOB);
    assert!(ranges.into_iter().all(|logged| logged.status == 206));
}

#[test]
fn azurite_takes_and_gives_what_our_client_sends_and_asks() {
    let Some(azurite) = Azurite::start() else { return };
    for size in [0, 1000, 40 << 20] {
        let elsewhere = Some(azurite.signed_urls(&format!("of-{size}")));
        let fake = FakeActionsCache::start(Options { elsewhere, ..Options::default() });
        let job = Job::new(&fake, &[(MAIN, 3)]);
        let bytes = noise(size);
        assert_eq!(job.save("b-1", &bytes).unwrap(), Saved::New);
        // The first URL to read it has expired, so another is asked for.
        assert!(job.read("b-1").unwrap().unwrap() == bytes, "{size}");
        assert_eq!(fake.count(LOOKUP), 2, "{size}");
    }
}
