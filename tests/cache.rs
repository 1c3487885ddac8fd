//! What is built again, and what is not: on one machine, and on machines that are born empty.
//!
//! Needs root and a static busybox; without them every test says so and passes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

#[path = "support/docker_registry.rs"]
mod docker_registry;
#[path = "cache/runner.rs"]
mod runner;

use docker_registry::DockerRegistry;
use runner::{Built, COMPILE, DEPENDENCIES, Machine, Project, SLOW_STAGES, begin};

/// Compiles one file and leaves the compiler behind.
const TWO_STAGES: &str = "\
FROM base AS builder
WORKDIR /src
COPY deps.txt .
RUN cp deps.txt /installed
COPY main.txt .
RUN cat /installed main.txt > /program

FROM base
COPY note.txt /
COPY --from=builder /program /bin/
CMD [\"/bin/program\"]
";

fn two_stages() -> Option<Project> {
    let project = Project::new(TWO_STAGES)?;
    project.write("deps.txt", "a library\n");
    project.write("main.txt", "a program\n");
    project.write("note.txt", "a note\n");
    Some(project)
}

#[test]
fn on_one_machine_only_what_changed_runs() {
    let Some(project) = two_stages() else { return };
    let machine = project.machine();
    assert_eq!(machine.build(&[]).ran_titles().len(), 7);
    let again = machine.build(&[]);
    assert_eq!(again.ran_titles(), [""; 0]);
    assert_eq!(again.image(), project.without_cache().image());
}

#[test]
fn another_epoch_makes_other_directories() {
    let Some(project) = Project::new("FROM base\nWORKDIR /made\nRUN echo x > x\n") else { return };
    let mut machine = project.machine();
    let first = machine.build(&[]);
    machine.epoch = "1500000000".to_owned();
    let second = machine.build(&[]);
    assert_eq!(second.ran_titles(), ["WORKDIR /made", "RUN echo x > x"]);
    assert_ne!(first.image(), second.image());
}

#[test]
fn the_dockerfile_s_own_epoch_counts_unless_another_is_given() {
    let text = "ARG SOURCE_DATE_EPOCH=86400\nFROM base\nRUN echo x > x\n";
    let Some(project) = Project::new(text) else { return };
    let mut machine = project.machine();
    machine.build(&[]);
    let created = |machine: &Machine<'_>| {
        let built = machine.build(&[]);
        let config =
            built.result["image"]["config"].as_str().unwrap()["sha256:".len()..].to_owned();
        let blob = machine.store().join("image/blobs/sha256").join(config);
        let config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(blob).unwrap()).unwrap();
        config["created"].as_str().unwrap().to_owned()
    };
    assert_eq!(created(&machine), "2020-09-13T12:26:40Z");
    machine.epoch.clear();
    assert_eq!(created(&machine), "1970-01-02T00:00:00Z");
}

#[test]
fn a_linked_copy_does_not_depend_on_what_is_below_it() {
    let text = "\
FROM base AS maker
RUN echo made > /made

FROM base
ARG BELOW
RUN echo $BELOW > /below
COPY --link --from=maker /made /linked
COPY --from=maker /made /copied
";
    let Some(project) = Project::new(text) else { return };
    let machine = project.machine();
    machine.build(&["--build-arg", "BELOW=1"]);
    let again = machine.build(&["--build-arg", "BELOW=2"]);
    assert_eq!(again.ran_titles(), ["RUN echo 2 > /below"]);
    let fresh = project.machine().build(&["--build-arg", "BELOW=2"]);
    assert_eq!(again.image(), fresh.image());
}

#[test]
fn a_tag_that_was_resolved_before_does_without_its_registry() {
    let Some(project) = Project::new("FROM base\nCOPY note.txt /\n") else { return };
    project.write("note.txt", "a note\n");
    let Some(registry) = DockerRegistry::start("http: {addr: ADDRESS}\n", |_| {}) else { return };
    let machine = project.machine();
    let name = format!("{}/team/base:1", registry.host);
    machine.build(&["--push", "-t", &name]);

    project.write("Dockerfile", &format!("FROM {name}\nCOPY note.txt /again\n"));
    let first = machine.build(&[]);
    assert_eq!(first.notices, [""; 0]);
    drop(registry);
    let second = machine.build(&[]);
    assert_eq!(second.image(), first.image());
    let [notice] = &second.notices[..] else { panic!("{:?}", second.notices) };
    assert!(notice.contains("does not answer") && notice.contains(&name), "{notice}");

    let output = machine.command(&["--pull"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

/// Machines that are born empty, and a folder that outlives them.
struct Runners(Project);

impl Runners {
    fn flags(&self, folder: &str) -> [String; 2] {
        let folder = self.0.path(folder).display().to_string();
        [
            format!("--cache-from=type=local,src={folder}"),
            format!("--cache-to=type=local,dest={folder},mode=max"),
        ]
    }

    /// A build on a new machine, whose image is the one that is built without cache.
    fn build(&self) -> Built {
        self.build_with(&[])
    }

    fn build_with(&self, more: &[&str]) -> Built {
        let flags = self.flags("cache");
        let flags: Vec<&str> =
            flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let built = self.0.machine().build(&flags);
        assert_eq!(built.image(), self.0.machine().build(more).image(), "{}", built.log);
        built
    }

    fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path("cache")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn entry(&self, name: &str) -> std::path::PathBuf {
        self.0.path("cache").join(name)
    }
}

fn slow_stages() -> Option<Runners> {
    Project::slow_stages().map(Runners)
}

#[test]
fn an_empty_machine_has_what_others_have_made() {
    let Some(runners) = slow_stages() else { return };
    let first = runners.build();
    assert_eq!(first.ran().len(), 7, "first build");
    let entries = runners.entries();
    assert!(entries.iter().any(|name| name.starts_with("b-")), "{entries:?}");

    let again = runners.build();
    begin(&again.ran_titles(), &[]);
    assert_eq!(runners.entries(), entries, "nothing changed, nothing new");
    let builder = |built: &Built| built.result["stages"][0]["unpacked_bytes"].as_u64();
    assert!(builder(&first) > Some(900_000), "{:?}", first.result["stages"]);
    assert_eq!(builder(&again), None, "of a stage that nobody needed, nobody knows");
    let from = format!("type=local,src={}", runners.0.path("cache").display());
    let output = runner::plimsoll().args(["cache", "du", "--cache-from", &from]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.ends_with(&format!("{} items, {}", entries.len(), text.rsplit(", ").next().unwrap())),
        "{text}"
    );

    runners.0.write("main.txt", "another program\n");
    let copied = "COPY --from=builder /program /bin/";
    begin(&runners.build().ran_titles(), &["COPY main.txt .", COMPILE, copied]);

    runners.0.write("deps.txt", "another library\n");
    begin(&runners.build().ran_titles(), &["COPY deps.txt .", DEPENDENCIES, COMPILE, copied]);
    begin(&runners.build().ran_titles(), &[]);
}

#[test]
fn what_is_evicted_damaged_or_forged_costs_time_only() {
    let Some(runners) = slow_stages() else { return };
    runners.build();
    let cache = runners.0.path("cache");
    let saved = runners.0.path("saved");
    std::fs::rename(&cache, &saved).unwrap();
    let restore = || {
        let _ = std::fs::remove_dir_all(&cache);
        let status = std::process::Command::new("cp").arg("-a").args([&saved, &cache]).status();
        assert!(status.unwrap().success());
    };
    // One that has to unpack the layer of the dependencies.
    runners.0.write("main.txt", "another program\n");
    restore();
    let usual = ["COPY main.txt .", COMPILE, "COPY --from=builder /program /bin/"];
    begin(&runners.build().ran_titles(), &usual);
    // What the attempt before the loss had copied is there for the one after it.
    let again = [DEPENDENCIES, usual[1], usual[2]];

    let blobs = || runners.entries().into_iter().filter(|name| name.starts_with("b-"));
    restore();
    for name in blobs() {
        std::fs::remove_file(runners.entry(&name)).unwrap();
    }
    begin(&runners.build().ran_titles(), &again);

    for damage in [
        |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2),
        |bytes: &mut Vec<u8>| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
    ] {
        restore();
        for name in blobs() {
            let mut bytes = std::fs::read(runners.entry(&name)).unwrap();
            damage(&mut bytes);
            std::fs::write(runners.entry(&name), bytes).unwrap();
        }
        let built = runners.build();
        begin(&built.ran_titles(), &again);
        assert_eq!(built.notices.len(), 1, "{:?}", built.notices);
    }
    // Every entry, one after the other, in place of another.
    restore();
    let names = runners.entries();
    for (name, other) in names.iter().zip(names.iter().cycle().skip(1)) {
        std::fs::copy(saved.join(other), runners.entry(name)).unwrap();
    }
    let built = runners.build();
    assert_eq!(built.notices.len(), 1, "{:?}", built.notices);
}

#[test]
fn a_cache_that_fails_is_one_notice() {
    let Some(project) = two_stages() else { return };
    let runners = Runners(project);
    std::fs::write(runners.0.path("cache"), "a file").unwrap();
    let built = runners.build();
    assert_eq!(built.ran().len(), 7);
    let [notice] = &built.notices[..] else { panic!("{:?}", built.notices) };
    assert!(notice.contains("costs time only"), "{notice}");
}

#[test]
fn two_builds_at_once_save_the_same() {
    let Some(runners) = slow_stages() else { return };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(runners.build().ran().len(), 7));
        }
    });
    begin(&runners.build().ran_titles(), &[]);
}

#[test]
fn what_a_canceled_build_had_finished_is_there_for_the_next() {
    let Some(runners) = slow_stages() else { return };
    let flags = runners.flags("cache");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let machine = runners.0.machine();
    let mut building = machine.command(&flags).stderr(std::process::Stdio::null()).spawn().unwrap();
    let saved = (0..3000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let entries = std::fs::read_dir(runners.0.path("cache"));
        entries.is_ok_and(|mut entries| {
            entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("r-"))
        })
    });
    assert!(saved, "nothing was saved early");
    // As a runner that loses its machine: nothing can be done any more.
    building.kill().unwrap();
    building.wait().unwrap();
    let titles = runners.build().ran_titles();
    begin(
        &titles,
        &["COPY main.txt .", COMPILE, "COPY note.txt /", "COPY --from=builder /program /bin/"],
    );
}

#[test]
fn what_is_quickly_made_is_not_saved_and_told() {
    let text = "FROM base\nRUN dd if=/bin/busybox bs=1000 count=900 of=/large\n";
    let Some(project) = Project::new(text) else { return };
    let runners = Runners(project);
    let built = runners.build();
    let skipped = &built.result["not_saved"];
    assert!(skipped[0]["title"].as_str().unwrap().contains("RUN dd"), "{skipped}");
    assert!(skipped[0]["bytes"].as_u64().unwrap() > 256 << 10, "{skipped}");
    assert_eq!(runners.build().ran().len(), 1);
}

#[test]
fn only_the_image_s_own_stages_are_saved_with_mode_min() {
    let Some(runners) = slow_stages() else { return };
    let folder = runners.0.path("cache").display().to_string();
    let to = format!("--cache-to=type=local,dest={folder},mode=min");
    let from = format!("--cache-from=type=local,src={folder}");
    runners.0.machine().build(&[&to]);
    assert_eq!(runners.0.machine().build(&[&from]).ran().len(), 0);
    runners.0.write("main.txt", "another program\n");
    let ran = runners.0.machine().build(&[&from]).ran_titles();
    assert_eq!(ran.len(), 6, "all of the builder: {ran:?}");
}

#[test]
fn no_secret_is_in_anything_that_is_kept() {
    const CANARY: &str = "canary-5b1c9e77";
    let text = "\
FROM base
RUN --mount=type=secret,id=token sleep 2; cat /run/secrets/token > /dev/null
RUN --mount=type=secret,id=token,env=TOKEN echo $TOKEN; echo x > /y
";
    let Some(project) = Project::new(text) else { return };
    let runners = Runners(project);
    let secret = runners.0.path("token");
    std::fs::write(&secret, CANARY).unwrap();
    let flags = runners.flags("cache");
    let secret = format!("--secret=id=token,src={}", secret.display());
    let machine = runners.0.machine();
    let built = machine.build(&[&flags[0], &flags[1], &secret]);
    assert!(!built.log.contains(CANARY), "{}", built.log);
    let status = std::process::Command::new("grep")
        .args(["-rl", CANARY])
        .args([machine.store(), &runners.0.path("cache")])
        .status();
    assert_eq!(status.unwrap().code(), Some(1), "grep finds nothing");
    // What is compressed is looked at plain.
    for name in runners.entries() {
        let bytes = std::fs::read(runners.entry(&name)).unwrap();
        let plain = zstd::decode_all(&bytes[..]).unwrap_or(bytes);
        let text = String::from_utf8_lossy(&plain).into_owned();
        assert!(!text.contains(CANARY), "{name}");
    }
}

#[test]
fn a_builder_that_makes_the_same_leaves_what_follows_cached() {
    let Some(runners) = slow_stages() else { return };
    runners.build();
    // Another instruction, the same program.
    runners.0.write(
        "Dockerfile",
        &SLOW_STAGES
            .replace("cat /installed main.txt", "cat main.txt /installed")
            .replace("COPY main.txt .", "COPY main.txt deps.txt ./")
            .replace("> /program", "> /x; cat /installed main.txt > /program"),
    );
    let ran = runners.build().ran_titles();
    begin(&ran, &["COPY main.txt deps.txt ./", COMPILE]);
}

#[test]
fn another_base_with_the_same_files_leaves_copies_cached() {
    let Some(runners) = slow_stages() else { return };
    runners.build();
    // Another configuration, and a layer more.
    runners.0.base("two", "COPY bin/sh /bin/another");
    let built = runners.build();
    let runs: Vec<String> =
        built.ran_titles().into_iter().filter(|title| !title.starts_with("RUN")).collect();
    assert_eq!(runs, [""; 0], "COPY and WORKDIR make what they made");
}

#[test]
fn another_base_of_the_same_layers_leaves_everything_cached() {
    let Some(runners) = slow_stages() else { return };
    runners.build();
    runners.0.base("two", "");
    begin(&runners.build().ran_titles(), &[]);
}

#[test]
fn a_run_that_made_the_same_leaves_the_next_cached() {
    let text = |first: &str| {
        format!(
            "\
FROM base AS tools
RUN {first}

FROM base
RUN {first}
RUN sleep 2; cat /x > /y
RUN --mount=from=tools,target=/tools sleep 1; cat /tools/x > /z
"
        )
    };
    let Some(project) = Project::new(&text("echo 1 > /x; touch -d @1 /x; : one")) else { return };
    let runners = Runners(project);
    runners.build();
    runners.0.write("Dockerfile", &text("echo 1 > /x; touch -d @1 /x; : two"));
    let dates = "--build-arg=SOURCE_DATE_EPOCH=1600000000";
    let ran = runners.build_with(&[dates]).ran_titles();
    begin(
        &ran,
        &["RUN echo 1 > /x; touch -d @1 /x; : two", "RUN echo 1 > /x; touch -d @1 /x; : two"],
    );
}

#[test]
fn what_follows_a_stage_without_cache_is_known_by_its_content() {
    let text = |made: &str| {
        format!(
            "FROM base AS maker\nRUN {made} > /made; touch -d @1 /made\n\
             FROM base\nCOPY --from=maker /made /\nRUN cat /made > /read\n"
        )
    };
    let Some(project) = Project::new(&text("echo same")) else { return };
    let machine = project.machine();
    machine.build(&[]);
    let filter = ["--no-cache-filter=maker"];
    let ran = machine.build(&filter).ran();
    assert_eq!(ran.len(), 1, "{ran:?}");
    assert_eq!(ran[0].1, "built without cache");

    project.write("Dockerfile", &text("cat /proc/sys/kernel/random/uuid"));
    machine.build(&[]);
    let ran = machine.build(&filter).ran();
    let whys: Vec<&str> = ran.iter().map(|(_, why)| why.as_str()).collect();
    let reads = "the stage maker was built without cache";
    assert_eq!(whys, ["built without cache", reads, reads]);
}

#[test]
fn folders_and_mounts_that_changed_are_told() {
    let Some(project) = Project::new("") else { return };
    project.write("src/folder/a.txt", "a");
    let why = |machine: &Machine<'_>, run: &str| {
        project.write("Dockerfile", &format!("FROM base\nCOPY src /src\nRUN {run} :\n"));
        let ran = machine.build(&[]).ran();
        ran.into_iter().map(|(_, why)| why).next().unwrap_or_default()
    };
    let machine = project.machine();
    why(&machine, "");
    let folder = project.path("context/src/folder");
    std::fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(why(&machine, ""), "the folder src/folder changed");
    assert_eq!(why(&machine, "--mount=type=tmpfs,target=/a"), "the mount /a is new");
    assert_eq!(why(&machine, "--mount=type=tmpfs,target=/a,size=1m"), "the mount /a changed");
    assert_eq!(why(&machine, "--mount=type=bind,source=src,target=/b"), "the mount /b is new");
    assert_eq!(why(&machine, "--mount=type=secret,id=x"), "the mount /run/secrets/x is new");
    assert_eq!(
        why(&machine, "--mount=type=secret,id=x,mode=0444"),
        "the mount /run/secrets/x changed"
    );
}

#[test]
fn each_step_that_ran_says_what_changed() {
    let text = "\
ARG VERSION=1
FROM base AS builder
ARG VERSION
ENV MODE=fast
COPY src /src
RUN echo $VERSION $MODE > /version

FROM base
COPY --from=builder /version /
";
    let Some(project) = Project::new(text) else { return };
    project.write("src/a.txt", "a");
    project.write("src/b.txt", "b");
    let runners = Runners(project);
    let first = runners.build();
    for (_, why) in first.ran() {
        let folder = runners.0.path("cache");
        let expected =
            format!("no build like this is known in the local store or local {}", folder.display());
        assert_eq!(why, expected);
    }
    let why = |built: &Built| built.ran().into_iter().map(|(_, why)| why).collect::<Vec<_>>();
    runners.0.write("src/b.txt", "changed");
    assert_eq!(
        why(&runners.build())[..2],
        ["the file src/b.txt changed", "below it, the file src/b.txt changed"]
    );
    runners.0.write("src/c.txt", "new");
    assert_eq!(
        why(&runners.build())[..2],
        ["the file src/c.txt is new", "below it, the file src/c.txt is new"]
    );
    std::fs::remove_file(runners.0.path("context/src/c.txt")).unwrap();
    std::fs::remove_dir_all(runners.0.path("cache")).unwrap();
    runners.build();
    let version = runners.build_with(&["--build-arg", "VERSION=2"]);
    assert_eq!(why(&version)[0], "the build argument VERSION changed");
    runners.0.write("Dockerfile", &text.replace("MODE=fast", "MODE=slow"));
    let mode = runners.build_with(&["--build-arg", "VERSION=2"]);
    assert_eq!(why(&mode)[0], "the variable MODE changed");
    runners.0.base("two", "COPY bin/sh /bin/another");
    let base = runners.build_with(&["--build-arg", "VERSION=2"]);
    assert_eq!(why(&base)[0], "below it, the base base changed", "what was copied is still there");
    let uncached = runners.build_with(&["--no-cache"]);
    assert!(why(&uncached).iter().all(|why| why == "built without cache"));

    let machine = runners.0.machine();
    let output = machine.command(&["--progress=plain", "--explain"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("ran     [builder 2/3] COPY src /src ("), "{text}");
}

#[test]
fn a_registry_keeps_results_and_shares_layers_with_the_image() {
    let Some(runners) = slow_stages() else { return };
    let Some(registry) = DockerRegistry::start("http: {addr: ADDRESS}\n", |_| {}) else { return };
    let name = format!("{}/team/app", registry.host);
    let (from, to, tag) = (
        format!("--cache-from=type=registry,ref={name}:cache"),
        format!("--cache-to=type=registry,ref={name}:cache,mode=max"),
        format!("{name}:1"),
    );
    let flags: [&str; 5] = ["--push", "-t", &tag, &from, &to];
    let build = || {
        let built = runners.0.machine().build(&flags);
        assert_eq!(built.notices, [""; 0]);
        built
    };
    let first = build();
    assert_eq!(first.ran().len(), 7);
    let again = build();
    begin(&again.ran_titles(), &[]);
    assert_eq!(again.image(), first.image());
    let written = again.result["written"].as_array().unwrap();
    assert_eq!(written[0]["transferred_bytes"], 0, "{written:?}");

    runners.0.write("main.txt", "another program\n");
    let copied = "COPY --from=builder /program /bin/";
    begin(&build().ran_titles(), &["COPY main.txt .", COMPILE, copied]);
    begin(&build().ran_titles(), &[]);

    // Reading goes on where nobody may write; where nobody answers, the build does.
    drop(registry);
    let alone = runners.0.machine().build(&[&from, &to]);
    assert_eq!((alone.ran().len(), alone.notices.len()), (7, 1), "{:?}", alone.notices);
}
