//! Cache mounts of RUN in the life of runners: each is born with an empty store and dies after the
//! build, and what a tool keeps in `--mount=type=cache` is there on the next one.
//!
//! Needs root and a static busybox, `tools` the tools that it shows; what is missing is said, and the
//! test passes.

#[path = "support/actions_cache/mod.rs"]
mod actions_cache;
#[path = "support/docker_registry.rs"]
mod docker_registry;
#[path = "support/loopback.rs"]
mod loopback;
#[path = "cache/runner.rs"]
mod runner;
#[path = "cache_mounts/tools.rs"]
mod tools;

use std::fs;
use std::process::Command;

use actions_cache::{FakeActionsCache, LOOKUP, Options, token};
use docker_registry::DockerRegistry;
use runner::{Built, Machine, Project, plimsoll};
use serde_json::{Value, json};

const MAIN: &str = "refs/heads/main";
/// To read and to write.
const BOTH: u32 = 3;
const READ: u32 = 1;

/// Fails unless the mount holds just what it should, and adds to it.
const ADDING: &str = "\
FROM base
ARG EXPECTED
ARG ADDED
RUN --mount=type=cache,target=/cache \
    FOUND=$(cat /cache/*); [ \"$FOUND\" = \"$EXPECTED\" ] || { echo \"found $FOUND\"; exit 1; }; \
    [ -z \"$ADDED\" ] || echo -n $ADDED > /cache/$ADDED
";

/// A job on a runner that GitHub gives.
struct Job<'a> {
    project: &'a Project,
    variables: Vec<(&'static str, String)>,
}

impl<'a> Job<'a> {
    fn new(project: &'a Project, service: &FakeActionsCache, scopes: &[(&str, u32)]) -> Self {
        let variables = vec![
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_SERVER_URL", "https://github.com".to_owned()),
            ("ACTIONS_RESULTS_URL", service.url()),
            ("ACTIONS_RUNTIME_TOKEN", token(scopes)),
        ];
        Self { project, variables }
    }

    fn on_main(project: &'a Project, service: &FakeActionsCache) -> Self {
        Self::new(project, service, &[(MAIN, BOTH)])
    }

    fn build_on(&self, machine: &Machine<'_>, flags: &[&str]) -> Built {
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        let output = machine.command(flags).envs(variables).output().unwrap();
        let built = Built::of(&output.stderr);
        assert!(output.status.success(), "{}", built.log);
        built
    }

    /// On a new machine, of [`ADDING`].
    fn build(&self, expected: &str, added: &str, flags: &[&str]) -> Built {
        let arguments = [format!("EXPECTED={expected}"), format!("ADDED={added}")];
        let mut all = vec!["--build-arg", &arguments[0], "--build-arg", &arguments[1]];
        all.extend(flags);
        self.build_on(&self.project.machine(), &all)
    }
}

fn service() -> FakeActionsCache {
    FakeActionsCache::start(Options::default())
}

/// Keys of manifests and packs, oldest first.
fn mount_entries(service: &FakeActionsCache) -> Vec<String> {
    let keys = service.entries().into_iter().map(|(_, key)| key);
    keys.filter(|key| key.starts_with("plimsoll-m-") || key.starts_with("plimsoll-p-")).collect()
}

fn last_pack(service: &FakeActionsCache) -> String {
    let keys = mount_entries(service);
    keys.into_iter().rfind(|key| key.starts_with("plimsoll-p-")).unwrap()
}

fn restored(built: &Built) -> &Value {
    &built.result["cache_mounts"][0]["restored"]
}

fn saved(built: &Built) -> &Value {
    &built.result["cache_mounts"][0]["saved"]["outcome"]
}

#[test]
fn what_a_run_keeps_is_there_on_the_next_runner() {
    let Some(project) = Project::new(ADDING) else { return };
    let service = service();
    let job = Job::on_main(&project, &service);
    let first = job.build("", "one", &[]);
    assert_eq!((restored(&first), saved(&first)), (&Value::Null, &json!("saved")));
    assert_eq!(mount_entries(&service).len(), 2, "a pack and a manifest");

    let second = job.build("one", "two", &[]);
    assert_eq!(restored(&second)["place"], "gha");
    assert_eq!(restored(&second)["unpacked_bytes"], 3);
    assert!(second.log.contains("restored 3 B unpacked, "), "{}", second.log);
    assert_eq!(mount_entries(&service).len(), 4, "a pack with the change, and a manifest");

    let third = job.build("onetwo", "", &[]);
    assert_eq!(saved(&third), "unchanged");
    assert_eq!(mount_entries(&service).len(), 4);
    for built in [&first, &second, &third] {
        assert_eq!(built.notices, [""; 0]);
    }

    // Nothing must run: nothing of a mount is asked for.
    service.forget_log();
    let same = job.build("onetwo", "", &[]);
    assert_eq!(same.ran().len(), 0);
    assert_eq!(same.result["cache_mounts"], json!([]));
    let log = service.log();
    let of_mounts = |key: &String| key.contains("-m-") || key.contains("-p-");
    assert!(!log.iter().any(|asked| asked.keys.iter().any(of_mounts)), "{log:#?}");
    assert_eq!(service.count(LOOKUP), 1, "{log:#?}");
}

#[test]
fn times_owners_modes_and_links_are_as_they_were() {
    let text = "\
FROM base
ARG RUNNER
RUN --mount=type=cache,target=/cache,mode=0750,uid=1000,gid=1001 cd /cache; \
    if [ $RUNNER = 1 ]; then \
        mkdir -p a/b; echo x > a/b/file; busybox ln a/b/file linked; busybox ln -s a/b symbolic; \
        busybox chown 12:34 a/b/file; busybox chmod 4711 a/b/file; busybox chmod 500 a/b; \
        touch -d @1500000000 a; \
    fi; \
    echo state $(busybox stat -c '%n=%f,%u,%g,%y,%h' . a a/b a/b/file linked symbolic)
";
    let Some(project) = Project::new(text) else { return };
    let service = service();
    let job = Job::on_main(&project, &service);
    let state = |runner: u32| {
        let argument = format!("RUNNER={runner}");
        let built = job.build_on(&project.machine(), &["--build-arg", &argument]);
        let from = built.log.find("state .=").expect("the state");
        built.log[from..].split('"').next().unwrap().to_owned()
    };
    let first = state(1);
    assert!(first.contains("a/b/file=89c9,12,34,") && first.contains(",1000,1001,"), "{first}");
    assert_eq!(state(2), first, "to the nanosecond");
}

#[test]
fn a_pack_that_is_damaged_or_gone_costs_time_only() {
    let Some(project) = Project::new(ADDING) else { return };
    let damages: [fn(&FakeActionsCache, &str); 3] = [
        |service, key| service.evict(key),
        |service, key| service.replace(key, "not a pack"),
        |service, key| {
            let bytes = service.content(key).unwrap();
            service.replace(key, bytes.slice(..bytes.len() - 1));
        },
    ];
    for damage in damages {
        let service = service();
        let job = Job::on_main(&project, &service);
        job.build("", "one", &[]);
        damage(&service, &last_pack(&service));
        let without = job.build("", "two", &[]);
        let [notice] = &without.notices[..] else { panic!("{:?}", without.notices) };
        assert!(notice.contains("costs time only: a cache mount can't be restored"), "{notice}");
        let mended = job.build("two", "three", &[]);
        assert_eq!((mended.notices.len(), restored(&mended)["place"].as_str()), (0, Some("gha")));
    }
}

#[test]
fn who_may_only_read_has_the_mount_and_saves_nothing() {
    let Some(project) = Project::new(ADDING) else { return };
    let service = service();
    Job::on_main(&project, &service).build("", "one", &[]);
    let entries = service.entries();
    let reading = Job::new(&project, &service, &[(MAIN, READ)]);
    let built = reading.build("one", "two", &[]);
    let [notice] = &built.notices[..] else { panic!("{:?}", built.notices) };
    assert!(notice.starts_with("nothing is saved in the cache gha"), "{notice}");
    assert_eq!(service.entries(), entries);
    // Where there is no service at all, nothing is restored and nothing said.
    let alone = Job { project: &project, variables: vec![("GITHUB_ACTIONS", "true".to_owned())] };
    let built = alone.build("", "three", &[]);
    assert_eq!((&built.notices[..], &built.result["cache_mounts"]), (&[][..], &json!([])));
}

#[test]
fn a_pull_request_has_main_s_mount_and_main_not_the_pull_request_s() {
    let Some(project) = Project::new(ADDING) else { return };
    let service = service();
    let main = Job::on_main(&project, &service);
    main.build("", "main", &[]);
    let pull = Job::new(&project, &service, &[("refs/pull/7/merge", BOTH), (MAIN, READ)]);
    pull.build("main", "poison", &[]);
    pull.build("mainpoison", "", &[]);
    main.build("main", "", &[]);
}

#[test]
fn two_jobs_at_once_overwrite_nothing() {
    let Some(project) = Project::new(ADDING) else { return };
    let service = service();
    let job = Job::on_main(&project, &service);
    job.build("", "a", &[]);
    std::thread::scope(|scope| {
        for added in ["one", "two"] {
            let job = &job;
            scope.spawn(move || job.build("a", added, &[]));
        }
    });
    let keys = mount_entries(&service);
    assert_eq!(keys.len(), 6, "{keys:?}");
    // The next job has what one of them had.
    let found = |expected: &str| {
        let flags = ["--build-arg", &format!("EXPECTED={expected}")];
        let machine = project.machine();
        let variables = job.variables.iter().map(|(name, value)| (name, value));
        machine.command(&flags).envs(variables).output().unwrap().status.success()
    };
    assert!(found("aone") != found("atwo"));
}

#[test]
fn every_kind_of_cache_keeps_mounts() {
    let Some(project) = Project::new(ADDING) else { return };
    let Some(registry) = DockerRegistry::start("http: {addr: ADDRESS}\n", |_| {}) else { return };
    let folder = project.path("cache");
    let local = format!("type=local,dest={}", folder.display());
    let image = format!("type=registry,ref={}/team/app:cache", registry.host);
    let job = Job { project: &project, variables: Vec::new() };
    for to in [&local, &image] {
        let from = format!("--cache-from={}", to.replace("dest=", "src="));
        let to = format!("--cache-to={to}");
        let flags = [from.as_str(), &to];
        for (expected, added) in [("", "one"), ("one", "two"), ("onetwo", "")] {
            let built = job.build(expected, added, &flags);
            assert_eq!(built.notices, [""; 0], "{to}");
        }
    }
    let held = |command: &str| {
        let mut asking = plimsoll();
        let from = format!("--cache-from=type=local,src={}", folder.display());
        String::from_utf8(asking.args(["cache", command, &from]).output().unwrap().stdout).unwrap()
    };
    let listed = held("ls");
    let rows = |kind: &str| listed.lines().filter(|line| line.starts_with(kind)).count();
    assert_eq!((rows("mount-files  "), rows("mount-pack   ")), (2, 2), "{listed}");
    assert!(held("du").contains("mount-pack"), "{}", held("du"));
}

#[test]
fn only_what_is_asked_for_is_kept() {
    let Some(project) = Project::new(ADDING) else { return };
    let service = service();
    let job = Job::on_main(&project, &service);
    for flag in ["--cache-mounts=off", "--cache-mounts=/other"] {
        let built = job.build("", "one", &[flag, "--no-cache"]);
        assert_eq!(mount_entries(&service), [""; 0], "{flag}");
        let expected: &[&str] = match flag {
            "--cache-mounts=off" => &[],
            _ => &["--cache-mounts /other: no RUN has a cache mount with this id"],
        };
        assert_eq!(built.notices, expected);
    }
    job.build("", "one", &["--cache-mounts=/cache", "--no-cache"]);
    assert_eq!(mount_entries(&service).len(), 2);
    job.build("one", "", &["--cache-mounts=auto"]);
    job.build("", "", &["--cache-mounts=off"]);
    // mode=min is for the image alone.
    let entries = mount_entries(&service);
    let flags = ["--cache-from=type=gha", "--cache-to=type=gha,mode=min"];
    job.build("one", "new", &flags);
    assert_eq!(mount_entries(&service), entries);
}

#[test]
fn what_is_over_the_budget_is_dropped_and_told() {
    let Some(project) = Project::new(ADDING) else { return };
    let service = service();
    let job = Job::on_main(&project, &service);
    job.build("", "one", &["--cache-mount-budget=5"]);
    let over = job.build("one", "two", &["--cache-mount-budget=5"]);
    assert_eq!(
        over.notices,
        [
            "the cache mount /cache is dropped: it holds more than 5 B unpacked, the budget of one cache \
          mount; the next build begins with an empty one"
        ]
    );
    assert_eq!(saved(&over), "dropped");
    job.build("", "three", &["--cache-mount-budget=5"]);
    job.build("three", "", &["--cache-mount-budget=5"]);
}

#[test]
fn a_build_that_fails_leaves_the_mount_for_the_next() {
    let text = "\
FROM base
RUN --mount=type=cache,target=/cache echo -n download > /cache/download
ARG ANSWER
RUN --mount=type=cache,target=/cache [ \"$ANSWER\" = yes ] || exit 1; [ $(cat /cache/*) = download ]
";
    let Some(project) = Project::new(text) else { return };
    let service = service();
    let job = Job::on_main(&project, &service);
    let machine = project.machine();
    let variables = job.variables.iter().map(|(name, value)| (name, value));
    let failed = machine.command(&[]).envs(variables).output().unwrap();
    assert!(!failed.status.success());
    assert_eq!(mount_entries(&service).len(), 2);
    let built = job.build_on(&project.machine(), &["--build-arg=ANSWER=yes"]);
    assert_eq!(restored(&built)["place"], "gha");
}

#[test]
fn a_seed_is_for_those_who_have_nothing() {
    let text = "\
FROM base AS seed
RUN mkdir /seed; echo -n seed > /seed/a
FROM base
ARG EXPECTED
RUN --mount=type=cache,target=/cache,from=seed,source=/seed \
    [ \"$(cat /cache/*)\" = $EXPECTED ] || exit 1; echo -n $EXPECTED-and-more > /cache/a
";
    let Some(project) = Project::new(text) else { return };
    let service = service();
    let job = Job::on_main(&project, &service);
    for expected in ["seed", "seed-and-more", "seed-and-more-and-more"] {
        let argument = format!("--build-arg=EXPECTED={expected}");
        job.build_on(&project.machine(), &[&argument]);
    }
}

#[test]
fn stages_that_share_a_mount_fetch_it_once_and_locked_ones_wait() {
    let text = "\
FROM base AS one
ARG EXPECTED
RUN --mount=type=cache,target=/cache,sharing=SHARING echo one > /cache/one; cat /cache/* > /one; sleep 1
FROM base AS two
ARG EXPECTED
RUN --mount=type=cache,target=/cache,sharing=SHARING echo two > /cache/two; cat /cache/* > /two; sleep 1
FROM base
COPY --from=one /one /
COPY --from=two /two /
";
    for sharing in ["shared", "locked", "private"] {
        let Some(project) = Project::new(&text.replace("SHARING", sharing)) else { return };
        let service = service();
        let job = Job::on_main(&project, &service);
        job.build_on(&project.machine(), &["--build-arg=EXPECTED=1"]);
        let packs = mount_entries(&service).iter().filter(|key| key.contains("-p-")).count();
        assert_eq!(packs, 1, "{sharing}: saved once, when both have ended");
        service.forget_log();
        let built = job.build_on(&project.machine(), &["--build-arg=EXPECTED=2"]);
        let fetched = |asked: &actions_cache::Logged| {
            asked.operation == LOOKUP && asked.keys.iter().any(|key| key.contains("-p-"))
        };
        let fetched = service.log().iter().filter(|asked| fetched(asked)).count();
        // Two at once, each with a folder of its own, both have what there was.
        assert_eq!(fetched, if sharing == "private" { 2 } else { 1 }, "{sharing}");
        assert_eq!(restored(&built)["place"], "gha", "{sharing}");
    }
}

#[test]
fn contents_of_a_mount_are_in_its_packs_and_nowhere_else() {
    const CONTENT: &str = "canary-content-8c1f";
    const NAME: &str = "canary-name-77b0";
    const ID: &str = "canary-id-42d6";
    // The words are put together in the RUN, whose own text is in logs and records.
    let text = "\
FROM base
ARG RUNNER
RUN --mount=type=cache,id=canary-id-42d6,target=/cache \
    echo canary-content-8\"\"c1f > /cache/canary-name-7\"\"7b0; echo $RUNNER > /made
";
    let Some(project) = Project::new(text) else { return };
    let service = service();
    let job = Job::on_main(&project, &service);
    for runner in ["1", "2"] {
        let machine = project.machine();
        let argument = format!("--build-arg=RUNNER={runner}");
        let built = job.build_on(&machine, &[&argument]);
        assert!(!built.log.contains(CONTENT) && !built.log.contains(NAME), "{}", built.log);
        // The store keeps the folder itself; the image lies in it too.
        fs::remove_dir_all(machine.store().join("mounts")).unwrap();
        for word in [CONTENT, NAME] {
            let grep = Command::new("grep").args(["-rqF", word]).arg(machine.store()).status();
            assert_eq!(grep.unwrap().code(), Some(1), "{word} is in the store");
        }
        for layer in fs::read_dir(machine.store().join("blobs/sha256")).unwrap() {
            let output =
                Command::new("gzip").arg("-cdf").arg(layer.unwrap().path()).output().unwrap();
            let plain = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!plain.contains(CONTENT) && !plain.contains(NAME), "a layer has it");
        }
    }
    let mut found = [0; 2];
    for (_, key) in service.entries() {
        for word in [CONTENT, NAME, ID] {
            assert!(!key.contains(word), "{key}");
        }
        let bytes = service.content(&key).unwrap();
        let plain = zstd::decode_all(&bytes[..]).unwrap_or_else(|_| bytes.to_vec());
        let plain = String::from_utf8_lossy(&plain).into_owned();
        let (is_pack, is_list) = (key.starts_with("plimsoll-p-"), key.starts_with("plimsoll-m-"));
        assert_eq!(plain.contains(CONTENT), is_pack, "{key}");
        assert_eq!(plain.contains(NAME), is_list, "{key}");
        found[0] += usize::from(is_pack);
        found[1] += usize::from(is_list);
    }
    assert!(found[0] > 0 && found[1] > 0, "{found:?}");
}
