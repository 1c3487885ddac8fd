//! The life of a runner of GitHub Actions: born empty, the cache service within reach, and dead after
//! the job. The service is a fake in this process.
//!
//! Needs root and a static busybox; without them every test says so and passes.

#[path = "support/actions_cache/mod.rs"]
mod actions_cache;
#[path = "support/registry/mod.rs"]
mod fake_registry;
#[path = "support/loopback.rs"]
mod loopback;
#[path = "cache/runner.rs"]
mod runner;

use actions_cache::{
    CREATE, FakeActionsCache, FaultKind, GET_BLOB, LOOKUP, Options, SIGNATURE_CANARY, TOKEN_CANARY,
    token,
};
use fake_registry::FakeRegistry;
use runner::{Built, COMPILE, DEPENDENCIES, Machine, Project, begin};

const MAIN: &str = "refs/heads/main";
const PULL: &str = "refs/pull/7/merge";
/// To read and to write.
const BOTH: u32 = 3;
const READ: u32 = 1;
const COPIED: &str = "COPY --from=builder /program /bin/";

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
        assert_eq!(built.image(), project.without_cache().image(), "{}", built.log);
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

fn only_notice(built: &Built) -> &str {
    let [notice] = &built.notices[..] else { panic!("{:?}", built.notices) };
    notice
}

#[test]
fn an_empty_runner_has_what_others_have_made() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let job = Job::on_main(&service);
    let first = job.build(&project, &[]);
    assert_eq!((first.ran().len(), &first.notices[..]), (7, &[][..]), "first build");
    let entries = service.entries();
    assert!(entries.iter().any(|(_, key)| key.starts_with("plimsoll-b-")), "{entries:?}");

    let again = job.build(&project, &[]);
    begin(&again.ran_titles(), &[]);
    assert_eq!(again.notices, [""; 0]);
    assert_eq!(service.entries(), entries, "nothing changed, nothing new");

    project.write("main.txt", "another program\n");
    begin(&job.build(&project, &[]).ran_titles(), &["COPY main.txt .", COMPILE, COPIED]);
    project.write("deps.txt", "another library\n");
    let ran = job.build(&project, &[]).ran_titles();
    begin(&ran, &["COPY deps.txt .", DEPENDENCIES, COMPILE, COPIED]);
    begin(&job.build(&project, &[]).ran_titles(), &[]);

    for (_, key) in service.entries() {
        let bytes = service.content(&key).unwrap();
        let plain = zstd::decode_all(&bytes[..]).unwrap_or_else(|_| bytes.to_vec());
        assert!(!String::from_utf8_lossy(&plain).contains(TOKEN_CANARY), "{key}");
    }
}

#[test]
fn nothing_changed_is_a_few_requests_and_no_layer() {
    let Some(project) = Project::slow_stages() else { return };
    let registry = FakeRegistry::start(fake_registry::Options::default());
    let base = format!("{}/team/base:1", registry.host());
    let dockerfile = std::fs::read_to_string(project.path("context/Dockerfile")).unwrap();
    project.write("Dockerfile", "FROM base\n");
    project.machine().build(&["--push", "-t", &base]);
    project.write("Dockerfile", &dockerfile.replace("FROM base", &format!("FROM {base}")));

    let service = service();
    let job = Job::on_main(&service);
    let name = format!("{}/team/app:1", registry.host());
    let flags = ["--push", "-t", name.as_str()];
    let first = job.build_on(&project.machine(), &flags);
    assert_eq!(first.ran().len(), 7);

    service.forget_log();
    registry.forget_log();
    let again = job.build_on(&project.machine(), &flags);
    begin(&again.ran_titles(), &[]);
    assert_eq!((again.image(), &again.notices[..]), (first.image(), &[][..]));
    let (asked, pulled) = (service.log(), registry.log());
    let all = format!("{asked:#?}\n{pulled:#?}");
    assert!(asked.len() + pulled.len() <= 12, "{} and {}: {all}", asked.len(), pulled.len());
    assert_eq!(service.count(LOOKUP), 1, "{all}");
    assert_eq!(service.count(CREATE), 0, "{all}");
    // The index and nothing else.
    let index = service.entries().into_iter().find(|(_, key)| key.starts_with("plimsoll-i-"));
    let index = service.content(&index.unwrap().1).unwrap().len();
    let received = asked.iter().filter(|logged| logged.operation == GET_BLOB);
    assert_eq!(received.map(|logged| logged.sent).sum::<usize>(), index, "{all}");
    assert_eq!(registry.uploaded(), 0, "{all}");
    let manifest = registry.manifest("team/app", "1").unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 3);
    for layer in layers {
        let digest = layer["digest"].as_str().unwrap();
        assert_eq!(registry.count("GET", digest), 0, "{all}");
    }
    eprintln!("{} requests to the service, {} to the registry", asked.len(), pulled.len());
}

#[test]
fn a_pull_request_reads_main_s_entries_and_does_not_write_them() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    Job::on_main(&service).build(&project, &[]);
    let of_main = service.entries();
    assert!(of_main.iter().all(|(scope, _)| scope == MAIN), "{of_main:?}");

    let pull = Job::new(&service, &[(PULL, BOTH), (MAIN, READ)]);
    begin(&pull.build(&project, &[]).ran_titles(), &[]);
    project.write("main.txt", "another program\n");
    begin(&pull.build(&project, &[]).ran_titles(), &["COPY main.txt .", COMPILE, COPIED]);
    begin(&pull.build(&project, &[]).ran_titles(), &[]);
    let (main, others): (Vec<_>, Vec<_>) =
        service.entries().into_iter().partition(|(scope, _)| scope == MAIN);
    assert_eq!(main, of_main);
    assert!(!others.is_empty() && others.iter().all(|(scope, _)| scope == PULL), "{others:?}");

    // What the pull request made is not there for main.
    let ran = Job::on_main(&service).build(&project, &[]).ran_titles();
    begin(&ran, &["COPY main.txt .", COMPILE, COPIED]);
}

#[test]
fn a_token_that_may_only_read_is_one_notice() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    Job::on_main(&service).build(&project, &[]);
    let entries = service.entries();
    project.write("main.txt", "another program\n");
    service.forget_log();
    for job in [
        Job::new(&service, &[(MAIN, READ)]),
        Job::on_main(&service).with("ACTIONS_CACHE_MODE", "read"),
    ] {
        let built = job.build(&project, &[]);
        begin(&built.ran_titles(), &["COPY main.txt .", COMPILE, COPIED]);
        let notice = only_notice(&built);
        assert!(notice.starts_with("nothing is saved in the cache gha: the job's "), "{notice}");
    }
    assert_eq!(service.count(CREATE), 0);
    assert_eq!(service.entries(), entries);
}

#[test]
fn a_denial_in_the_middle_ends_the_saving() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let denial = FaultKind::NotOk("cache write denied: the policy has changed");
    service.fault_later(CREATE, 1, usize::MAX, denial);
    let built = Job::on_main(&service).build(&project, &[]);
    assert_eq!(built.ran().len(), 7);
    let notice = only_notice(&built);
    assert!(notice.contains("nothing is saved") && notice.contains("policy"), "{notice}");
    assert_eq!(service.count(CREATE), 2, "one that was let, one that was denied");
    assert_eq!(service.entries().len(), 1);
}

#[test]
fn what_was_evicted_is_made_again() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let job = Job::on_main(&service);
    job.build(&project, &[]);
    // Its layer is needed below the compilation.
    for (_, key) in service.entries() {
        if key.starts_with("plimsoll-b-") {
            service.evict(&key);
        }
    }
    project.write("main.txt", "another program\n");
    let built = job.build(&project, &[]);
    begin(&built.ran_titles(), &[DEPENDENCIES, COMPILE, COPIED]);
    // It is back, though the first record that names it may still be of the one that is gone.
    project.write("main.txt", "a third program\n");
    let titles = job.build(&project, &[]).ran_titles();
    assert!(!titles.iter().any(|title| title.starts_with(DEPENDENCIES)), "{titles:?}");
}

#[test]
fn no_service_is_one_notice_for_whoever_asked_for_it() {
    let Some(project) = Project::new("FROM base\nRUN echo x > /x\n") else { return };
    let typed = ["--cache-from=type=gha", "--cache-to=type=gha,mode=max,ignore-error=true"];
    let step = Job(vec![("GITHUB_ACTIONS", "true".to_owned())]);
    let service = service();
    let server = Job::on_main(&service);
    let server =
        Job(server.0.into_iter().filter(|(name, _)| *name != "GITHUB_SERVER_URL").collect())
            .with("GITHUB_SERVER_URL", "https://git.corp.example");
    let off = Job::on_main(&service).with("ACTIONS_CACHE_MODE", "none");
    for (job, reason) in [
        (&step, "GitHub gives them to actions, not to `run:` steps"),
        (&server, "git.corp.example is a GitHub Enterprise Server"),
        (&off, "the job's cache mode is none"),
    ] {
        let built = job.build(&project, &typed);
        let notice = only_notice(&built);
        assert!(notice.starts_with("the cache gha is not used: "), "{notice}");
        assert!(notice.contains(reason), "{notice}");
        assert_eq!(job.build(&project, &[]).notices, [""; 0], "nobody has asked for it");
    }
    assert_eq!(service.log().len(), 0);
}

#[test]
fn a_service_that_is_out_of_order_is_one_notice() {
    let Some(project) = Project::new("FROM base\nRUN echo x > /x\n") else { return };
    let service = service();
    service.fault(LOOKUP, usize::MAX, FaultKind::Html(404));
    let built = Job::on_main(&service).build(&project, &[]);
    let notice = only_notice(&built);
    assert!(notice.contains("costs time only") && notice.contains("type=registry"), "{notice}");
    assert_eq!(service.log().len(), 1, "it is asked no more");
}

#[test]
fn builds_of_another_scope_have_another_index() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let job = Job::on_main(&service);
    let flags = |scope: &str| {
        [
            format!("--cache-from=type=gha,scope={scope}"),
            format!("--cache-to=type=gha,scope={scope}"),
        ]
    };
    let build = |scope: &str| {
        let flags = flags(scope);
        job.build(&project, &[&flags[0], &flags[1]])
    };
    assert_eq!(build("one").ran().len(), 7);
    begin(&build("one").ran_titles(), &[]);
    let indexes = || {
        let entries = service.entries().into_iter();
        entries.filter(|(_, key)| key.starts_with("plimsoll-i-")).count()
    };
    assert_eq!(indexes(), 1);
    // What is worth an entry is there for all scopes.
    let titles = build("two").ran_titles();
    assert!(!titles.iter().any(|title| title.starts_with("RUN")), "{titles:?}");
    assert_eq!(indexes(), 2);
    begin(&build("two").ran_titles(), &[]);
}

#[test]
fn a_run_sees_neither_token_nor_service() {
    // The first process of its namespace may not show them either.
    let text = "\
FROM base
RUN ! /bin/busybox env | /bin/busybox grep -e ACTIONS -e GITHUB -e canary
RUN cat /proc/self/environ > /dev/null
RUN ! cat /proc/[0-9]*/environ | /bin/busybox grep -a -e ACTIONS -e GITHUB -e canary
RUN HERE=canary /bin/busybox env | /bin/busybox grep -q canary
";
    let Some(project) = Project::new(text) else { return };
    let service = service();
    assert_eq!(Job::on_main(&service).build(&project, &[]).ran().len(), 4);
}
