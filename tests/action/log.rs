//! The log: nothing that a build prints is a command, and mistakes stand where they were made.

use std::fs;
use std::process::{Command, Stdio};

use super::runner::Runner;

/// With a base that has a shell; `None`, loudly, where RUN can't be tried.
fn with_shell(dockerfile: &str) -> Option<Runner> {
    if !rustix::process::getuid().is_root() || !fs::exists("/usr/bin/busybox").unwrap() {
        eprintln!("SKIPPED: needs root and a static busybox (Debian package busybox-static)");
        return None;
    }
    let runner = Runner::new();
    fs::copy("/usr/bin/busybox", runner.path("workspace/busybox")).unwrap();
    runner.write(
        "Dockerfile",
        format!("FROM scratch\nCOPY busybox /bin/sh\nENV PATH=/bin\n{dockerfile}"),
    );
    Some(runner)
}

#[test]
fn a_step_gives_no_commands() {
    let Some(mut runner) = with_shell(
        "RUN --mount=type=secret,id=key echo '::error::forged'; echo 'x ##[error]forged'; \
         echo '::add-mask::a'; read line < /run/secrets/key; echo \"key $line\"\n",
    ) else {
        return;
    };
    runner.input("secrets", "key=hunter2");
    let ended = runner.built();
    assert_eq!(ended.commands("::error"), [""; 0]);
    assert!(ended.log.contains("::error::forged"), "it is text: {}", ended.log);
    assert!(!ended.log.contains("##["), "{}", ended.log);
    assert!(ended.log.contains("key ***"), "{}", ended.log);
    assert_eq!(ended.commands("::add-mask::hunter2").len(), 1);
    assert_eq!(ended.commands("::add-mask::a"), [""; 0]);
    let groups = ended.commands("::group::").len();
    assert!(groups > 1, "{}", ended.log);
    assert_eq!(ended.commands("::endgroup::").len(), groups);
}

#[test]
fn a_file_of_the_image_gives_no_commands() {
    for output in ["-", "type=tar", "type=oci", "type=oci,dest=-", "type=docker,dest=-"] {
        let mut runner = Runner::new();
        runner.write("data", "\n::error::forged\n");
        runner.input("outputs", output);
        // That nothing is on standard output is for the runner to see.
        let ended = runner.run();
        assert_eq!(ended.code, 2, "{output}: {}", ended.log);
        let errors = ended.commands("::error").join("\n");
        let expected = format!("input outputs: {output} goes to standard output");
        assert!(errors.contains(&expected), "{errors}");
        assert!(ended.log.contains("dest=FILE"), "{}", ended.log);
        assert!(!ended.log.contains("forged"), "{}", ended.log);
    }
}

#[test]
fn what_fails_is_an_annotation_in_the_dockerfile_and_stands_in_the_summary() {
    let Some(mut runner) = with_shell("RUN exit 7\n") else { return };
    let ended = runner.run();
    assert_eq!(ended.code, 1, "{}", ended.log);
    let [error] = ended.commands("::error")[..] else { panic!("{}", ended.log) };
    assert!(error.starts_with("::error file=Dockerfile,line=4,endLine=4::"), "{error}");
    assert!(ended.summary.starts_with("### The build failed\n\n```text\n"), "{}", ended.summary);
    assert!(ended.summary.contains("RUN exit 7"), "{}", ended.summary);
    runner.input("annotate", "false");
    runner.input("summary", "false");
    let ended = runner.run();
    assert_eq!((ended.code, ended.commands("::error").len(), &*ended.summary), (1, 0, ""));
}

#[test]
fn checks_are_warnings_unless_nobody_wants_annotations() {
    let mut runner = Runner::new();
    runner.write("Dockerfile", "FROM scratch as one\nCOPY data /\n");
    let ended = runner.built();
    let [warning] = ended.commands("::warning")[..] else { panic!("{}", ended.log) };
    assert!(warning.starts_with("::warning file=Dockerfile,line=1,"), "{warning}");
    assert_eq!(ended.output("warnings-count"), "1");
    runner.input("annotate", "false");
    let ended = runner.built();
    assert_eq!((ended.commands("::warning").len(), ended.notices().len()), (0, 0));
    assert!(ended.log.contains("warning: FromAsCasing"), "{}", ended.log);
    assert_eq!(ended.output("warnings-count"), "1");
}

#[test]
fn a_cancelled_step_ends_at_once_and_the_last_act_cleans_up() {
    let Some(runner) = with_shell("RUN echo begun; while :; do :; done\n") else { return };
    let mut command = runner.command(&["action"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let work = runner.path("store/tmp");
    let begun = || {
        Command::new("pgrep")
            .args(["-P", &child.id().to_string()])
            .output()
            .unwrap()
            .status
            .success()
    };
    while !begun() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let ended = runner.ended(&child.wait_with_output().unwrap());
    assert_eq!(ended.code, 130, "{}", ended.log);
    assert_eq!(ended.state["ended"], "true");

    // Killed, it leaves its folder, which the last act removes.
    let mut child = runner.command(&["action"]).stderr(Stdio::null()).spawn().unwrap();
    let begun = |id: u32| {
        Command::new("pgrep").args(["-P", &id.to_string()]).output().unwrap().status.success()
    };
    while !begun(child.id()) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(fs::read_dir(&work).unwrap().count(), 0, "nothing is left to clean up");
    let post = runner.ended(&runner.command(&["action", "--post"]).output().unwrap());
    assert_eq!((post.code, &*post.log), (0, ""));
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
}

/// With a limit of one, what two stages do to the same folder can't meet.
#[test]
fn runs_wait_for_their_turn() {
    let Some(mut runner) = with_shell("") else { return };
    let own =
        "RUN --mount=type=cache,id=shared,target=/c mkdir /c/taken && sleep 0.4 && rmdir /c/taken";
    let copies =
        ["sh", "mkdir", "rmdir", "sleep"].map(|name| format!("COPY busybox /bin/{name}\n"));
    let dockerfile = format!(
        "FROM scratch AS base\n{}ENV PATH=/bin\nFROM base AS a\n{own} && echo 1 >/a\n\
         FROM base AS b\n{own} && echo 2 >/b\n\
         FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n",
        copies.concat()
    );
    runner.write("Dockerfile", dockerfile);
    runner.input("max-parallelism", "1");
    runner.built();
}

#[test]
fn a_control_group_that_can_t_be_made_is_one_warning() {
    let Some(mut runner) = with_shell("RUN echo one\nRUN echo two\n") else { return };
    runner.input("cgroup-parent", "ci/../..");
    let ended = runner.built();
    let warnings = ended.commands("::warning");
    assert_eq!(warnings.len(), 1, "{}", ended.log);
    assert!(warnings[0].contains("RUN is in no control group below ci/../.."), "{warnings:?}");
    assert_eq!(ended.output("warnings-count"), "1");
}
