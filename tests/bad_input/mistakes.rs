//! Mistakes in what was given.

use std::fs;

use crate::bench::{Bench, names};
use crate::registry::{FakeRegistry, Fault, FaultKind, Options};

/// What is said to a Dockerfile: the last words, whole.
#[track_caller]
fn says(bench: &Bench, dockerfile: &str, flags: &[&str], code: i32, expected: &str) {
    let flags = [flags, &["-o", "type=oci,dest=image.tar"]].concat();
    let ended = bench.build(dockerfile, &flags);
    assert_eq!(ended.message(), expected, "{}", ended.stderr);
    assert_eq!(ended.code, Some(code));
    assert!(ended.stdout.is_empty());
    assert!(!bench.path("image.tar").exists());
    bench.is_clean();
}

#[test]
fn no_dockerfile() {
    let bench = Bench::new();
    let mut command = bench.command("", &[]);
    fs::remove_file(bench.path("Dockerfile")).unwrap();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        text,
        "ERROR: failed to read dockerfile: open Dockerfile: no such file or directory\n"
    );
}

#[test]
fn a_missing_source() {
    says(
        &Bench::new(),
        "FROM scratch\nCOPY nothing /\n",
        &[],
        1,
        r#"Dockerfile:2
--------------------
   1 |     FROM scratch
   2 | >>> COPY nothing /
   3 |     
--------------------
ERROR: failed to build: failed to solve: failed to compute cache key: failed to calculate checksum of ref: "/nothing": not found
"#,
    );
}

#[test]
fn an_unknown_instruction() {
    says(
        &Bench::new(),
        "FROM scratch\nCOPPY a /\n",
        &[],
        1,
        r#"Dockerfile:2
--------------------
   1 |     FROM scratch
   2 | >>> COPPY a /
   3 |     
--------------------
ERROR: failed to build: failed to solve: dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)
  --> Dockerfile:2:1
"#,
    );
}

#[test]
fn a_cycle_of_stages() {
    says(
        &Bench::new(),
        "FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\n",
        &[],
        1,
        r"Dockerfile:4
--------------------
   2 |     COPY --from=b / /
   3 |     FROM scratch AS b
   4 | >>> COPY --from=a / /
   5 |     
--------------------
Dockerfile:2
--------------------
   1 |     FROM scratch AS a
   2 | >>> COPY --from=b / /
   3 |     FROM scratch AS b
   4 |     COPY --from=a / /
--------------------
ERROR: failed to build: failed to solve: circular dependency detected on stage: a
hint: Each stage can copy only from stages that don't copy from it.
",
    );
}

#[test]
fn a_base_that_does_not_exist() {
    let server = FakeRegistry::start(Options::default());
    let base = format!("{}/some/where:1", server.host());
    let bench = Bench::new();
    let ended = bench.build(&format!("# a comment\nFROM {base}\nRUN true\n"), &[]);
    assert_eq!(ended.code, Some(1));
    let message = ended.message();
    assert!(message.starts_with("Dockerfile:2\n"), "{message}");
    assert!(message.contains(&format!("   2 | >>> FROM {base}\n")), "{message}");
    assert!(message.contains("404 Not Found: MANIFEST_UNKNOWN"), "{message}");
    assert!(message.ends_with("\nhint: Check the image's name and tag.\n"), "{message}");
    bench.is_clean();
}

#[test]
fn a_registry_that_refuses() {
    let refuses = |method, path| {
        let kind = FaultKind::Code(403, "DENIED");
        let faults = vec![Fault { method, path, skip: 0, times: usize::MAX, kind }];
        FakeRegistry::start(Options { faults, ..Options::default() })
    };
    let server = refuses("GET", "/manifests/");
    let base = format!("{}/some/where:1", server.host());
    let ended = Bench::new().build(&format!("FROM {base}\n"), &[]);
    let message = ended.message();
    assert_eq!(ended.code, Some(1));
    assert!(message.starts_with("Dockerfile:1\n"), "{message}");
    assert!(message.contains("403") && message.contains(&base), "{message}");

    let bench = Bench::new();
    let push = |server: &FakeRegistry| {
        let name = format!("{}/some/where:1", server.host());
        bench.build("FROM scratch\nENV A=b\n", &["-t", &name, "--push"])
    };
    let server = refuses("POST", "/uploads/");
    let ended = push(&server);
    let message = ended.message();
    assert_eq!(ended.code, Some(1), "{message}");
    assert!(message.starts_with("ERROR: failed to build: failed to solve: "), "{message}");
    assert!(message.contains("403 Forbidden: DENIED") && !message.contains("_state"), "{message}");
    assert_eq!(server.manifest("some/where", "1"), None);
    bench.is_clean();
    let server = FakeRegistry::start(Options::default());
    push(&server).well();
    assert!(server.manifest("some/where", "1").is_some());
}

#[test]
fn a_run_that_fails() {
    let Some(bench) = Bench::with_root() else { return };
    let dockerfile = |code| {
        format!(
            "FROM scratch\nCOPY root/ /\nRUN echo before; \\\n    echo worse >&2; exit {code}\n"
        )
    };
    let expected = r#"Dockerfile:3
--------------------
   2 |     COPY root/ /
   3 | >>> RUN echo before; \
   4 | >>>     echo worse >&2; exit 7
   5 |     
--------------------
ERROR: failed to build: failed to solve: process "/bin/sh -c echo before;     echo worse >&2; exit 7" did not complete successfully: exit code: 7
"#;
    says(&bench, &dockerfile(7), &[], 1, expected);
    let ended = bench.build(&dockerfile(7), &[]);
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("#3 ")).collect();
    let [_, before, worse, end] = lines[..] else { panic!("{lines:?}") };
    assert!(before.ends_with(" before") && worse.ends_with(" worse"), "{lines:?}");
    assert!(end.starts_with("#3 ERROR: process "), "{end}");
    assert!(ended.stderr.contains("\n#2 CACHED\n"), "what was finished is known: {}", ended.stderr);
    bench.build(&dockerfile(0), &["-o", "type=oci,dest=image.tar"]).well();
    assert!(bench.path("image.tar").exists());
}

#[test]
fn a_stage_that_waits_for_a_failed_one_is_canceled() {
    let Some(bench) = Bench::with_root() else { return };
    let dockerfile = "FROM scratch AS base\nCOPY root/ /\n\
        FROM base AS fails\nRUN exit 7\n\
        FROM base AS runs\nRUN sleep 600\n\
        FROM scratch\nCOPY --from=fails / /\nCOPY --from=runs / /\n";
    let ended = bench.build(dockerfile, &[]);
    assert_eq!(ended.code, Some(1));
    let ends: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with('#'))
        .filter_map(|line| line.split_once(' ').map(|(_, rest)| rest))
        .filter(|rest| rest.starts_with("ERROR") || *rest == "CANCELED")
        .collect();
    let failed = "ERROR: process \"/bin/sh -c exit 7\" did not complete successfully: exit code: 7";
    let (failures, others): (Vec<&str>, Vec<&str>) =
        ends.into_iter().partition(|end| *end != "CANCELED");
    assert_eq!(failures, [failed], "{}", ended.stderr);
    // What runs beside it; the last stage may have begun to wait for both.
    assert!(matches!(others.len(), 1 | 2), "{}", ended.stderr);
    assert!(ended.message().starts_with("Dockerfile:4\n"), "{}", ended.message());
    bench.is_clean();
}

#[test]
fn an_output_that_can_not_be_written() {
    let bench = Bench::new();
    let dockerfile = "FROM scratch\nCOPY . /\n";
    fs::write(bench.path("file"), "").unwrap();
    for output in [
        "type=oci,dest=nowhere/image.tar",
        "type=oci,tar=false,dest=file/image",
        "type=docker,dest=nowhere/image.tar",
        "type=tar,dest=nowhere/files.tar",
        "type=local,dest=file",
    ] {
        let ended = bench.build(dockerfile, &["-o", output]);
        let message = ended.message();
        let place = output.rsplit_once('=').unwrap().1;
        assert_eq!(ended.code, Some(1), "{output}: {message}");
        assert!(message.starts_with("ERROR: "), "{output}: {message}");
        assert!(message.contains(place), "{output}: {message}");
        bench.is_clean();
    }
    assert_eq!(names(&bench.path("")), ["Dockerfile", "context", "file", "store"]);
}
