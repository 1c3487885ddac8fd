//! Saving and finding: keys, scopes, immutability, and what a token may not do.

use super::actions_cache::{
    CREATE, FINALIZE, FakeActionsCache, FaultKind, GET_BLOB, LOOKUP, Options, PUT_BLOB,
};
use super::{Job, MAIN, PULL, entry_key, token};
use plimsoll::cache::github::Traffic;
use plimsoll::cache::{CacheBackend as _, CacheFault, Saved};

fn fake() -> FakeActionsCache {
    FakeActionsCache::start(Options::default())
}

/// A pull request's token: it writes its own scope and reads the main branch's too.
fn pull_request(fake: &FakeActionsCache) -> Job {
    Job::new(fake, &[(PULL, 3), (MAIN, 1)])
}

fn main_branch(fake: &FakeActionsCache) -> Job {
    Job::new(fake, &[(MAIN, 3)])
}

#[test]
fn what_is_saved_is_found_with_as_few_requests_as_can_be() {
    let fake = fake();
    let job = main_branch(&fake);
    assert_eq!(job.read("r-1").unwrap(), None);
    assert_eq!(job.save("r-1", b"record").unwrap(), Saved::New);
    assert_eq!(job.read("r-1").unwrap().unwrap(), b"record");
    let log = fake.log();
    let operations: Vec<_> = log.iter().map(|logged| logged.operation).collect();
    assert_eq!(operations, [LOOKUP, CREATE, PUT_BLOB, FINALIZE, LOOKUP, GET_BLOB]);
    let traffic = Traffic {
        requests: 6,
        sent: log.iter().map(|logged| logged.received as u64).sum(),
        received: log.iter().map(|logged| logged.sent as u64).sum(),
    };
    assert_eq!(job.cache.traffic(), traffic);
}

#[test]
fn many_keys_go_in_few_lookups_and_the_first_wins() {
    let fake = fake();
    let job = main_branch(&fake);
    let keys: Vec<String> = (0..20).map(|number| format!("r-{number:02}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(job.find(&keys).unwrap(), None);
    assert_eq!(fake.count(LOOKUP), 3, "nine keys each");
    for key in ["r-12", "r-15", "r-05"] {
        job.save(key, b"x").unwrap();
    }
    assert_eq!(job.find(&keys).unwrap().unwrap(), "r-05");
    fake.evict("plimsoll-r-05~");
    fake.forget_log();
    assert_eq!(job.find(&keys).unwrap().unwrap(), "r-12");
    assert_eq!(fake.count(LOOKUP), 2);
    assert_eq!(job.find(&[]).unwrap(), None);
}

#[test]
fn a_key_never_finds_a_longer_key() {
    for exact_key in [false, true] {
        let fake = FakeActionsCache::start(Options { exact_key, ..Options::default() });
        let job = main_branch(&fake);
        job.save("m-go-10", b"ten").unwrap();
        assert_eq!(job.find(&["m-go-1"]).unwrap(), None);
        assert_eq!(job.find(&["m-go-1", "m-go-10"]).unwrap().unwrap(), "m-go-10");
    }
}

#[test]
fn the_newest_of_a_prefix_is_found_in_the_own_scope_first() {
    for exact_key in [false, true] {
        let fake = FakeActionsCache::start(Options { exact_key, ..Options::default() });
        let newest = |job: &Job| job.cache.newest("i-app-").unwrap().map(|found| found.key.0);
        let (main, pull) = (main_branch(&fake), pull_request(&fake));
        assert_eq!(newest(&pull), None);
        main.save("i-app-2", b"first").unwrap();
        main.save("i-app-1", b"second").unwrap();
        main.save("i-other-9", b"third").unwrap();
        assert_eq!(newest(&pull).unwrap(), "i-app-1");
        pull.save("i-app-0", b"own").unwrap();
        main.save("i-app-3", b"newer, but further away").unwrap();
        assert_eq!(newest(&pull).unwrap(), "i-app-0");
        assert_eq!(newest(&main).unwrap(), "i-app-3");
    }
}

#[test]
fn a_late_key_of_the_own_scope_does_not_hide_an_early_one_of_main() {
    let fake = fake();
    let (main, pull) = (main_branch(&fake), pull_request(&fake));
    let keys = ["r-deep", "r-middle", "r-shallow"];
    pull.save("r-shallow", b"x").unwrap();
    assert_eq!(pull.find(&keys).unwrap().unwrap(), "r-shallow");
    main.save("r-middle", b"x").unwrap();
    main.save("r-deep", b"x").unwrap();
    pull.save("r-middle", b"x").unwrap();
    fake.forget_log();
    assert_eq!(pull.find(&keys).unwrap().unwrap(), "r-deep");
    assert_eq!(fake.count(LOOKUP), 2);
    // With one scope there is nothing to hide.
    main.save("r-other", b"x").unwrap();
    fake.forget_log();
    assert_eq!(main.find(&["r-none", "r-other"]).unwrap().unwrap(), "r-other");
    assert_eq!(fake.count(LOOKUP), 1);
}

#[test]
fn main_does_not_see_what_a_pull_request_saves() {
    let fake = fake();
    let (main, pull) = (main_branch(&fake), pull_request(&fake));
    main.save("r-main", b"main").unwrap();
    pull.save("r-pull", b"pull").unwrap();
    assert_eq!(pull.read("r-main").unwrap().unwrap(), b"main");
    assert_eq!(main.read("r-pull").unwrap(), None);
    let scopes: Vec<String> = fake.entries().into_iter().map(|(scope, _)| scope).collect();
    assert_eq!(scopes, [MAIN, PULL]);
}

#[test]
fn a_key_that_was_saved_before_is_left_as_it_is() {
    let fake = fake();
    let job = main_branch(&fake);
    job.save("b-1", b"first").unwrap();
    fake.forget_log();
    assert_eq!(job.save("b-1", b"second").unwrap(), Saved::AlreadyThere);
    assert_eq!(job.read("b-1").unwrap().unwrap(), b"first");
    let operations: Vec<_> = fake.log().iter().map(|logged| logged.operation).collect();
    assert_eq!(operations, [CREATE, LOOKUP, LOOKUP, GET_BLOB]);
}

#[test]
fn a_key_that_was_reserved_and_never_filled_is_saved_under_another_name() {
    let fake = fake();
    let job = main_branch(&fake);
    fake.fault(PUT_BLOB, 100, FaultKind::Status(400));
    assert!(matches!(job.save("b-1", b"lost"), Err(CacheFault::Failed(_))));
    assert!(matches!(job.save("b-1", b"lost"), Err(CacheFault::Failed(_))));
    assert_eq!(fake.count(FINALIZE), 0);
    let fake_entries = || fake.entries().into_iter().map(|(_, key)| key).collect::<Vec<_>>();
    assert_eq!(fake_entries(), [] as [String; 0]);

    let next = Job::new(&fake, &[(MAIN, 3)]);
    fake.stop_faults();
    assert_eq!(next.save("b-1", b"kept").unwrap(), Saved::New);
    assert_eq!(fake_entries(), ["plimsoll-b-1~2"]);
    assert_eq!(next.read("b-1").unwrap().unwrap(), b"kept");
    fake.forget_log();
    assert_eq!(next.save("b-1", b"again").unwrap(), Saved::AlreadyThere);
    assert_eq!((fake.count(CREATE), fake.count(LOOKUP)), (1, 1));
}

#[test]
fn names_that_are_all_reserved_are_given_up() {
    let fake = fake();
    let job = main_branch(&fake);
    fake.fault(FINALIZE, 100, FaultKind::Twirp(400, "invalid_argument"));
    for _ in 0..4 {
        assert!(matches!(job.save("b-1", b"lost"), Err(CacheFault::Failed(_))));
    }
    fake.forget_log();
    let Err(CacheFault::Failed(text)) = job.save("b-1", b"lost") else { panic!("saved") };
    assert_eq!(text, "plimsoll-b-1~ is reserved by uploads that never ended");
    assert_eq!((fake.count(CREATE), fake.count(LOOKUP), fake.log().len()), (4, 1, 5));
    // Other keys are as good as ever.
    fake.stop_faults();
    assert_eq!(job.save("b-2", b"kept").unwrap(), Saved::New);
}

#[test]
fn two_jobs_at_once_on_one_key_both_end_well() {
    let fake = fake();
    fake.fault(PUT_BLOB, 2, FaultKind::Slow(50));
    let jobs = [main_branch(&fake), main_branch(&fake)];
    std::thread::scope(|scope| {
        for job in &jobs {
            scope.spawn(|| {
                let saved = job.save("b-1", b"same").unwrap();
                assert!(matches!(saved, Saved::New | Saved::AlreadyThere), "{saved:?}");
            });
        }
    });
    assert_eq!(jobs[0].read("b-1").unwrap().unwrap(), b"same");
}

#[test]
fn a_token_that_may_only_read_is_known_before_anything_is_asked() {
    let fake = fake();
    main_branch(&fake).save("r-1", b"x").unwrap();
    fake.forget_log();
    for (scopes, mode) in [(vec![(MAIN, 1)], ""), (vec![(MAIN, 3)], "read")] {
        let job = Job::with(&fake, &token(&scopes), mode);
        let Saved::Denied(reason) = job.save("r-2", b"x").unwrap() else { panic!("saved") };
        assert!(reason.contains("read"), "{reason}");
        assert_eq!(fake.log().len(), 0);
        assert_eq!(job.find(&["r-1"]).unwrap().unwrap(), "r-1");
        fake.forget_log();
    }
}

#[test]
fn a_token_that_may_only_write_asks_for_nothing() {
    let fake = fake();
    for (scopes, mode) in [(vec![(MAIN, 2)], ""), (vec![(MAIN, 3)], "write-only")] {
        let job = Job::with(&fake, &token(&scopes), mode);
        assert_eq!(job.find(&["r-1"]).unwrap(), None);
        assert_eq!(job.cache.newest("i-").unwrap(), None);
        assert_eq!(fake.count(LOOKUP), 0);
    }
    let job = Job::new(&fake, &[(MAIN, 2)]);
    assert_eq!(job.save("r-1", b"x").unwrap(), Saved::New);
    assert_eq!(job.save("r-1", b"x").unwrap(), Saved::AlreadyThere);
    assert_eq!((fake.count(CREATE), fake.count(LOOKUP)), (2, 0));
}

#[test]
fn after_the_first_denial_nothing_more_is_saved() {
    for message in [
        "cache write denied: token has no writable scopes",
        "insufficient usage to create cache entry",
    ] {
        let fake = fake();
        let job = main_branch(&fake);
        fake.fault(CREATE, 1, FaultKind::NotOk(message));
        let denied = Saved::Denied(message.to_owned());
        assert_eq!(job.save("r-1", b"x").unwrap(), denied);
        assert_eq!(job.save("r-2", b"x").unwrap(), denied);
        assert_eq!(fake.log().len(), 1);
        assert_eq!(job.find(&["r-1"]).unwrap(), None, "reading goes on");
    }
}

#[test]
fn a_denied_lookup_is_told_once_and_saving_goes_on() {
    let fake = fake();
    let job = main_branch(&fake);
    fake.fault(LOOKUP, 1, FaultKind::Twirp(403, "permission_denied"));
    let Err(CacheFault::Failed(text)) = job.find(&["r-1"]) else { panic!("found") };
    assert!(text.contains("permission_denied"), "{text}");
    assert_eq!(job.find(&["r-1"]).unwrap(), None);
    assert_eq!(fake.count(LOOKUP), 1);
    assert_eq!(job.save("r-1", b"x").unwrap(), Saved::New);
}

#[test]
fn entries_go_when_there_is_no_room() {
    let fake = FakeActionsCache::start(Options { quota: Some(25), ..Options::default() });
    let job = main_branch(&fake);
    job.save("b-1", &[1; 10]).unwrap();
    job.save("b-2", &[2; 10]).unwrap();
    let found = job.cache.find(&[entry_key("b-1")]).unwrap().unwrap();
    job.save("b-3", &[3; 10]).unwrap();
    assert_eq!(job.find(&["b-2"]).unwrap(), None, "the one not used for longest");
    assert!(job.find(&["b-1"]).unwrap().is_some());
    // It may go between finding and opening, too.
    fake.evict("plimsoll-b-1~");
    assert!(matches!(job.cache.open(&found), Err(CacheFault::Failed(_))));
}
