//! What goes wrong: what is tried again, what is given up, and what is never told.

use std::time::{Duration, Instant};

use super::actions_cache::{
    CREATE, FINALIZE, FakeActionsCache, FaultKind, GET_BLOB, LOOKUP, Options, PUT_BLOB,
    SIGNATURE_CANARY, TOKEN_CANARY,
};
use super::{Job, MAIN, entry_key, token};
use plimsoll::cache::github::GithubSettings;
use plimsoll::cache::{CacheBackend as _, CacheFault, Saved};

fn fake() -> FakeActionsCache {
    FakeActionsCache::start(Options::default())
}

fn job(fake: &FakeActionsCache) -> Job {
    Job::new(fake, &[(MAIN, 3)])
}

/// What goes away by itself, for a call whose answer was lost included.
const PASSING: [FaultKind; 6] = [
    FaultKind::Status(500),
    FaultKind::Status(503),
    FaultKind::Html(502),
    FaultKind::Html(200),
    FaultKind::StatusAfter(429, 0),
    FaultKind::LoseAnswer,
];

#[test]
fn what_passes_is_tried_again() {
    for kind in PASSING {
        let fake = fake();
        let job = job(&fake);
        // What of a call's answer was lost has been done, and is no more to be done.
        let lost = matches!(kind, FaultKind::LoseAnswer);
        let saves: &[_] = if lost { &[PUT_BLOB] } else { &[CREATE, PUT_BLOB, FINALIZE] };
        for operation in saves {
            fake.fault(operation, 3, kind.clone());
        }
        assert_eq!(job.save("r-1", b"record").unwrap(), Saved::New, "{kind:?}");
        fake.fault(LOOKUP, 3, kind.clone());
        // A page with a good status could be the entry.
        if !matches!(kind, FaultKind::Html(200)) {
            fake.fault(GET_BLOB, 3, kind.clone());
        }
        assert_eq!(job.read("r-1").unwrap().unwrap(), b"record", "{kind:?}");
        assert_eq!(fake.count(LOOKUP), 4, "{kind:?}");
    }
}

#[test]
fn a_reservation_whose_answer_was_lost_is_one_more_name() {
    let fake = fake();
    fake.fault(CREATE, 1, FaultKind::LoseAnswer);
    assert_eq!(job(&fake).save("r-1", b"x").unwrap(), Saved::New);
    let keys: Vec<String> = fake.entries().into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, ["plimsoll-r-1~1"]);
    assert_eq!(job(&fake).read("r-1").unwrap().unwrap(), b"x");
}

#[test]
fn an_entry_whose_last_answer_was_lost_is_there_all_the_same() {
    let fake = fake();
    fake.fault(FINALIZE, 1, FaultKind::LoseAnswer);
    assert!(matches!(job(&fake).save("r-1", b"x"), Err(CacheFault::Failed(_))));
    assert_eq!(job(&fake).read("r-1").unwrap().unwrap(), b"x");
}

#[test]
fn a_service_that_stays_out_of_order_is_asked_no_more() {
    for kind in [FaultKind::Status(503), FaultKind::Html(502), FaultKind::LoseAnswer] {
        let fake = fake();
        let job = job(&fake);
        fake.fault(LOOKUP, 100, kind);
        let Err(CacheFault::Unavailable(text)) = job.find(&["r-1"]) else { panic!("found") };
        assert!(text.starts_with("the cache service is out of order (GetCacheEntry"), "{text}");
        assert_eq!(fake.log().len(), 4, "as often as the policy says");
        assert!(matches!(job.find(&["r-2"]), Err(CacheFault::Unavailable(_))));
        assert!(matches!(job.cache.newest("i-"), Err(CacheFault::Unavailable(_))));
        assert!(matches!(job.save("r-1", b"x"), Err(CacheFault::Unavailable(_))));
        assert_eq!(fake.log().len(), 4);
    }
}

#[test]
fn what_will_not_pass_is_not_tried_again() {
    for (kind, expected) in [
        (FaultKind::Html(404), "there is no cache service of version 2 here"),
        (FaultKind::Twirp(401, "unauthenticated"), "does not accept the job's token"),
    ] {
        let fake = fake();
        let job = job(&fake);
        fake.fault(CREATE, 1, kind);
        let Err(CacheFault::Unavailable(text)) = job.save("r-1", b"x") else { panic!("saved") };
        assert!(text.contains(expected), "{text}");
        assert!(matches!(job.find(&["r-1"]), Err(CacheFault::Unavailable(_))));
        assert_eq!(fake.log().len(), 1);
    }
    // One bad request says nothing of the next.
    let fake = fake();
    let job = job(&fake);
    fake.fault(CREATE, 1, FaultKind::Twirp(400, "invalid_argument"));
    assert!(matches!(job.save("r-1", b"x"), Err(CacheFault::Failed(_))));
    assert_eq!(job.save("r-1", b"x").unwrap(), Saved::New);
    assert_eq!(fake.count(CREATE), 2);
}

#[test]
fn nobody_there_is_unavailable() {
    let fake = fake();
    let job = job(&fake);
    drop(fake);
    let Err(CacheFault::Unavailable(text)) = job.find(&["r-1"]) else { panic!("found") };
    assert!(text.contains("cannot connect"), "{text}");
}

#[test]
fn the_rate_limit_is_waited_for_and_then_ends_the_saving() {
    let fake = fake();
    let job = job(&fake);
    fake.fault(CREATE, 1, FaultKind::StatusAfter(429, 1));
    let start = Instant::now();
    assert_eq!(job.save("r-1", b"x").unwrap(), Saved::New);
    assert!(start.elapsed() >= Duration::from_secs(1), "not before the service said");
    assert_eq!(fake.count(CREATE), 2);

    fake.fault(CREATE, 1, FaultKind::StatusAfter(429, 3600));
    let Saved::Denied(reason) = job.save("r-2", b"x").unwrap() else { panic!("saved") };
    assert!(reason.starts_with("too many uploads"), "{reason}");
    assert!(matches!(job.save("r-3", b"x").unwrap(), Saved::Denied(_)));
    assert_eq!(fake.count(CREATE), 3);
    assert_eq!(job.read("r-1").unwrap().unwrap(), b"x", "reading goes on");
}

#[test]
fn an_entry_of_another_size_than_was_sent_is_not_saved() {
    let fake = fake();
    let job = job(&fake);
    // The store's answer is not what happened: nothing was kept.
    fake.fault(PUT_BLOB, 1, FaultKind::Html(201));
    let Err(CacheFault::Failed(text)) = job.save("r-1", b"x") else { panic!("saved") };
    assert!(text.contains("size_bytes"), "{text}");
    assert_eq!(job.find(&["r-1"]).unwrap(), None);
}

/// Every way in which the service and the store say no, each time with an answer that repeats the
/// request's secrets.
#[test]
fn neither_token_nor_signature_is_ever_told() {
    let mut told = Vec::new();
    let operations = [CREATE, PUT_BLOB, FINALIZE, LOOKUP, GET_BLOB];
    for operation in operations {
        for kind in [
            FaultKind::Twirp(400, "invalid_argument"),
            FaultKind::Twirp(403, "permission_denied"),
            FaultKind::Twirp(500, "internal"),
            FaultKind::Html(404),
            FaultKind::Html(503),
            FaultKind::Html(200),
            FaultKind::Status(403),
            FaultKind::LoseAnswer,
            FaultKind::BreakAfterSending(0),
        ] {
            let fake = fake();
            job(&fake).save("r-0", b"x").unwrap();
            fake.fault(operation, 100, kind);
            let job = job(&fake);
            told.push(format!("{:?}", job.save("r-1", b"x")));
            if let Err(error) = job.save("r-2", b"x") {
                told.push(error.to_string());
            }
            told.push(format!("{:?}", job.cache));
            match job.cache.find(&[entry_key("r-0")]) {
                Ok(Some(found)) => {
                    assert!(found.place.contains("sig="), "the place is the signed URL");
                    told.push(format!("{found:?} {:?}", job.cache.open(&found).err()));
                }
                other => told.push(format!("{other:?}")),
            }
            told.push(format!("{:?}", job.read("r-0")));
        }
    }
    let variables = |name: &str| match name {
        "ACTIONS_RUNTIME_TOKEN" => Some(token(&[(MAIN, 3)])),
        _ => Some("http://127.0.0.1:9".to_owned()),
    };
    told.push(format!("{:?}", GithubSettings::from_variables(variables)));
    let told = told.join("\n");
    assert!(told.contains("Failed(") && told.contains("Unavailable(") && told.contains("***"));
    let encoded = reqwest::Url::parse_with_params("http://x", [("sig", SIGNATURE_CANARY)]).unwrap();
    let encoded = encoded.query().unwrap().to_owned();
    let claims = token(&[(MAIN, 3)]);
    let claims = claims.split('.').nth(1).unwrap();
    for secret in [TOKEN_CANARY, SIGNATURE_CANARY, &encoded, claims] {
        assert!(!told.contains(secret), "{secret} in:\n{told}");
    }
}
