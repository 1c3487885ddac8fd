//! Listing and deleting through the REST API.

use std::sync::Arc;

use plimsoll::cache::CacheFault;
use plimsoll::cache::github::{RepositoryCaches, Usage};
use tokio::runtime::Runtime;

use super::actions_cache::rest::REST_TOKEN;
use super::actions_cache::{FakeActionsCache, FaultKind, Options, REST};
use super::{IMPATIENT, Job, MAIN, PULL};

fn caches(fake: &FakeActionsCache, token: &str) -> (RepositoryCaches, Runtime) {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle().clone();
    let caches = RepositoryCaches::new(&fake.url(), "acme/app", token, Arc::default(), handle);
    (caches.unwrap().with_retry_policy(IMPATIENT), runtime)
}

fn keys(caches: &RepositoryCaches, prefix: &str, scope: Option<&str>) -> Vec<String> {
    caches.list(prefix, scope).unwrap().into_iter().map(|entry| entry.key.0).collect()
}

#[test]
fn our_entries_are_listed_and_deleted() {
    let fake = FakeActionsCache::start(Options::default());
    let (main, pull) = (Job::new(&fake, &[(MAIN, 3)]), Job::new(&fake, &[(PULL, 3), (MAIN, 1)]));
    main.save("r-1", b"one").unwrap();
    main.save("b-1", b"blob").unwrap();
    pull.save("r-2", b"two").unwrap();
    main.read("r-1").unwrap();
    let (caches, _runtime) = caches(&fake, REST_TOKEN);
    assert_eq!(keys(&caches, "", None), ["b-1", "r-2", "r-1"], "by last use");
    assert_eq!(keys(&caches, "r-", None), ["r-2", "r-1"]);
    assert_eq!(keys(&caches, "", Some(PULL)), ["r-2"]);
    assert_eq!(caches.usage().unwrap(), Usage { entries: 3, size: 10 });

    let entry = caches.list("b-", None).unwrap().remove(0);
    assert_eq!((entry.scope.as_str(), entry.size), (MAIN, 4));
    assert!(entry.created <= entry.used);
    assert!(caches.delete(&entry).unwrap());
    assert!(!caches.delete(&entry).unwrap(), "it is gone");
    assert_eq!(keys(&caches, "", None), ["r-2", "r-1"]);
    assert_eq!(main.read("b-1").unwrap(), None);
}

#[test]
fn a_long_list_comes_in_pages() {
    let fake = FakeActionsCache::start(Options::default());
    let job = Job::new(&fake, &[(MAIN, 3)]);
    for number in 0..200 {
        job.save(&format!("r-{number:03}"), b"x").unwrap();
    }
    fake.forget_log();
    let (caches, _runtime) = caches(&fake, REST_TOKEN);
    let expected: Vec<String> = (0..200).map(|number| format!("r-{number:03}")).collect();
    assert_eq!(keys(&caches, "", None), expected);
    assert_eq!(fake.count(REST), 3, "the last is empty");
}

#[test]
fn a_token_that_may_not_is_told_what_it_needs_and_not_shown() {
    let fake = FakeActionsCache::start(Options::default());
    let (caches, _runtime) = caches(&fake, "wrong-canary");
    let Err(CacheFault::Failed(text)) = caches.usage() else { panic!("measured") };
    assert!(text.contains("Bad credentials") && text.contains("`actions: read`"), "{text}");
    assert!(!text.contains("canary") && !format!("{caches:?}").contains("canary"));
    assert_eq!(fake.count(REST), 1);
}

#[test]
fn what_passes_is_asked_again() {
    let fake = FakeActionsCache::start(Options::default());
    let (caches, _runtime) = caches(&fake, REST_TOKEN);
    fake.fault(REST, 2, FaultKind::Html(502));
    assert_eq!(caches.usage().unwrap(), Usage { entries: 0, size: 0 });
    assert_eq!(fake.count(REST), 3);
}

#[test]
fn a_repository_is_an_owner_and_a_name() {
    let runtime = Runtime::new().unwrap();
    for (api, repository, token) in [
        ("https://api.github.com", "acme", "t"),
        ("https://api.github.com", "acme/app/../../x", "t"),
        ("https://api.github.com", "acme/", "t"),
        ("api.github.com", "acme/app", "t"),
        ("https://api.github.com", "acme/app", ""),
    ] {
        let handle = runtime.handle().clone();
        let caches = RepositoryCaches::new(api, repository, token, Arc::default(), handle);
        assert!(caches.is_none(), "{api} {repository}");
    }
}
