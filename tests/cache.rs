//! What is built again, and what is not: on one machine, and on machines that are born empty.
//!
//! Needs root and a static busybox; without them every test says so and passes.

#[path = "support/docker_registry.rs"]
mod docker_registry;
#[path = "cache/runner.rs"]
mod runner;

use docker_registry::DockerRegistry;
use runner::Project;

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
    let created = |machine: &runner::Machine<'_>| {
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
    assert_eq!(again.ran_titles(), ["RUN echo 2 > /below", "COPY --from=maker /made /copied"]);
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
