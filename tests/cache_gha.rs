//! The life of a runner of GitHub Actions: born empty, the cache service within reach, and dead after
//! the job. The service is a fake in this process.
//!
//! Needs root and a static busybox; without them every test says so and passes.

#[path = "support/actions_cache/mod.rs"]
mod actions_cache;
#[path = "cache_gha/elsewhere.rs"]
mod elsewhere;
#[path = "support/registry/mod.rs"]
mod fake_registry;
#[path = "cache_gha/faults.rs"]
mod faults;
#[path = "cache_gha/life.rs"]
mod life;
#[path = "support/loopback.rs"]
mod loopback;
#[path = "cache/runner.rs"]
mod runner;
#[path = "cache_gha/secrets.rs"]
mod secrets;
#[path = "cache_gha/spoiled.rs"]
mod spoiled;
#[path = "cache_gha/weights.rs"]
mod weights;

use actions_cache::{
    CREATE, FakeActionsCache, FaultKind, GET_BLOB, LOOKUP, Options, PUT_BLOB, SIGNATURE_CANARY,
    TOKEN_CANARY, token,
};
use fake_registry::FakeRegistry;
use runner::{Built, COMPILE, DEPENDENCIES, Machine, Project, begin};

const MAIN: &str = "refs/heads/main";
const PULL: &str = "refs/pull/7/merge";
/// To read and to write.
const BOTH: u32 = 3;
const READ: u32 = 1;
const COPIED: &str = "COPY --from=builder /program /bin/";
/// The attempt before the loss has left the COPY of the source.
const AFTER_A_LOSS: &[&str] = &[COMPILE, COPIED];

/// A job: what the runner sets.
struct Job(Vec<(&'static str, String)>);

impl Job {
    /// One whose token has these scopes.
    fn new(service: &FakeActionsCache, scopes: &[(&str, u32)]) -> Self {
        Self(vec![
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_SERVER_URL", "https://github.com".to_owned()),
            ("ACTIONS_RESULTS_URL", service.url()),
            ("ACTIONS_RUNTIME_TOKEN", token(scopes)),
        ])
    }

    fn on_main(service: &FakeActionsCache) -> Self {
        Self::new(service, &[(MAIN, BOTH)])
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.push((name, value.to_owned()));
        self
    }

    /// What a machine says that builds, which must not fail. No secret is in it.
    fn build_on(&self, machine: &Machine<'_>, flags: &[&str]) -> Built {
        let variables = self.0.iter().map(|(name, value)| (name, value));
        let output = machine.command(flags).envs(variables).output().unwrap();
        let built = Built::of(&output.stderr);
        assert!(output.status.success(), "{}", built.log);
        for canary in [TOKEN_CANARY, SIGNATURE_CANARY, &encoded_signature()] {
            assert!(!built.log.contains(canary), "{canary}: {}", built.log);
            assert!(!String::from_utf8_lossy(&output.stdout).contains(canary), "{canary}");
            assert!(!holds(machine.store(), canary), "{canary} is in the store");
        }
        built
    }

    /// A build on a new machine, whose image is the one that is built without cache.
    fn build(&self, project: &Project, flags: &[&str]) -> Built {
        let built = self.build_on(&project.machine(), flags);
        assert_eq!(built.image(), project.image_without_cache(), "{}", built.log);
        built
    }
}

/// As it stands in a URL.
fn encoded_signature() -> String {
    SIGNATURE_CANARY.replace('+', "%2B").replace('/', "%2F")
}

/// Whether a file below `folder` has this text.
fn holds(folder: &std::path::Path, text: &str) -> bool {
    let grep = std::process::Command::new("grep").args(["-rqF", text]).arg(folder).status();
    match grep.unwrap().code() {
        Some(0) => true,
        Some(1) => false,
        other => panic!("grep: {other:?}"),
    }
}

fn service() -> FakeActionsCache {
    FakeActionsCache::start(Options::default())
}

/// Drops all entries with names like this.
fn evict(service: &FakeActionsCache, prefix: &str) {
    for (_, key) in service.entries() {
        if key.starts_with(prefix) {
            service.evict(&key);
        }
    }
}

fn only_notice(built: &Built) -> &str {
    let [notice] = &built.notices[..] else { panic!("{:?}", built.notices) };
    notice
}
