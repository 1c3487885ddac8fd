//! One runner after the other: what ran is exactly what had to, and the image is the same.

use super::*;

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
    // The index; what the names of base and image lead to; and one question of the base's layer, which
    // begins before anything is known.
    assert!(asked.len() + pulled.len() <= 5, "{} and {}: {all}", asked.len(), pulled.len());
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

    assert!(pulled.iter().all(|logged| logged.method == "HEAD"), "{all}");
    let another = format!("{}/team/app:2", registry.host());
    job.build_on(&project.machine(), &["--push", "-t", &another]);
    assert_eq!(registry.manifest("team/app", "2"), registry.manifest("team/app", "1"));
}

/// What a RUN stands on is nobody's after the job: it is unpacked where that is fast.
#[test]
fn a_runner_of_github_s_unpacks_in_memory() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    for (kind, on_disk) in [("self-hosted", true), ("github-hosted", false)] {
        let job = Job::on_main(&service).with("RUNNER_ENVIRONMENT", kind);
        // The first restores nothing, the second a layer of the cache beside the base's.
        project.write("main.txt", kind);
        let machine = project.machine();
        let built = job.build_on(&machine, &[]);
        assert!(built.ran_titles().iter().any(|title| title.starts_with(COMPILE)), "{}", built.log);
        assert_eq!(built.image(), project.image_without_cache(), "{}", built.log);
        let layers = machine.store().join("layers").read_dir().unwrap().count();
        assert_eq!(layers > 0, on_disk, "{kind}: {layers} layers in the store");
    }
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
fn another_base_with_the_same_files_leaves_everything_cached() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let job = Job::on_main(&service);
    job.build(&project, &[]);
    // Another digest: a label.
    project.base("two", "");
    begin(&job.build(&project, &[]).ran_titles(), &[]);
    // A layer more, below the same files: what was copied onto them stays.
    project.base("three", "COPY bin/sh /bin/another");
    let ran = job.build(&project, &[]).ran_titles();
    begin(&ran, &[DEPENDENCIES, COMPILE]);
}

#[test]
fn two_jobs_at_once_save_one_result_of_each_step() {
    let Some(project) = Project::slow_stages() else { return };
    let service = service();
    let job = Job::on_main(&service);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let built = job.build(&project, &[]);
                assert_eq!((built.ran().len(), &built.notices[..]), (7, &[][..]));
            });
        }
    });
    let mut keys: Vec<String> = service.entries().into_iter().map(|(_, key)| key).collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all, "nothing is there twice");
    begin(&job.build(&project, &[]).ran_titles(), &[]);
    // A record is of one of the two, whole, and never of both.
    evict(&service, "plimsoll-i-");
    project.write("main.txt", "another program\n");
    let ran = ["COPY main.txt .", COMPILE, "COPY note.txt /", COPIED];
    begin(&job.build(&project, &[]).ran_titles(), &ran);
}
