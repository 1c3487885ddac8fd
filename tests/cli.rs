//! The command line as a user meets it: messages, hints and exit codes of the program itself.

use std::path::Path;
use std::process::{Command, Output};

/// Runs `plimsoll build FLAGS .` in a folder with a Dockerfile, without the caller's environment.
fn build(flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    plimsoll(folder.path(), &[&["build"], flags, &["."]].concat(), variables)
}

fn plimsoll(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_usage_error_is_a_message_a_hint_and_code_2() {
    for (flags, expected) in [
        (
            &["--load"][..],
            "ERROR: --load: there is no daemon to load the image into\n\
             hint: Write -o type=docker,dest=- and pipe it into `docker load`.\n",
        ),
        (
            &["--push"],
            "ERROR: --push: a name is needed to push to\n\
             hint: Name the image with -t REGISTRY/REPOSITORY:TAG.\n",
        ),
        (
            &["-o", "type=ocii"],
            "ERROR: --output type=ocii: unknown type \"ocii\"\nhint: Did you mean type=oci?\n",
        ),
        (
            &["--platform", "linux/amd64,linux/arm64", "-o", "type=docker,dest=x"],
            "ERROR: --output: type=docker does not support manifest lists, which several platforms \
             are\n\
             hint: Write type=oci, or name one --platform.\n",
        ),
        (
            &["-f", "no.Dockerfile"],
            "ERROR: failed to read dockerfile: open no.Dockerfile: no such file or directory\n",
        ),
        (
            &["--progress", "plain", "-q"],
            "ERROR: --progress and --quiet can't be used together\n\
             hint: Leave one of them out.\n",
        ),
        (
            &["--ssh", "default"],
            "ERROR: --ssh default: no SSH agent: SSH_AUTH_SOCK is not set\n\
             hint: Start one with `eval $(ssh-agent)` and add a key with `ssh-add`, or name the \
             file of a key: ID=KEY.\n",
        ),
    ] {
        let output = build(flags, &[]);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert_eq!(stderr(&output), expected, "{flags:?}");
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
}

#[test]
fn an_unknown_flag_or_word_gets_the_nearest() {
    for (flags, expected) in [
        (&["--build-args", "a=b"][..], "a similar argument exists: '--build-arg'"),
        (&["--network", "hosts"], "a similar value exists: 'host'"),
        (&["--progress", "fancy"], "[possible values: auto, plain, tty, json, quiet]"),
        (&["--shm-size"], "--shm-size"),
    ] {
        let output = build(flags, &[]);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(stderr(&output).contains(expected), "{flags:?}: {}", stderr(&output));
    }
    let folder = tempfile::tempdir().unwrap();
    for words in [&["biuld", "."][..], &["build"], &[], &["cache"], &["cache", "ls", "x"]] {
        let output = plimsoll(folder.path(), words, &[]);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(!output.stderr.is_empty(), "{words:?}");
    }
}

#[test]
fn a_name_of_nothing_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    for (words, expected) in [
        (&["weigh", "weight:none"][..], "none: No such file"),
        (&["weigh", "docker-archive:none"], "none: it can't be read: No such file"),
        (&["cache", "ls", "--cache-from=type=local,src=none"], "there is no folder none"),
        (&["cache", "du", "--cache-from=type=local,src=none"], "there is no folder none"),
        (&["cache", "ls", "--store=none"], "--store: there is no folder none"),
        (&["cache", "prune", "--store=none"], "--store: there is no folder none"),
    ] {
        let output = plimsoll(folder.path(), words, &[]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(expected), "{words:?}: {said}");
    }
    let nothing = plimsoll(folder.path(), &["cache", "ls"], &[]);
    let said = String::from_utf8_lossy(&nothing.stdout);
    assert!(nothing.status.success() && said.starts_with("there is no store yet: "), "{said}");
}

#[test]
fn every_flag_of_the_help_is_docker_s() {
    let folder = tempfile::tempdir().unwrap();
    let output = plimsoll(folder.path(), &["build", "--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in [
        "-f, --file",
        "-t, --tag",
        "--target",
        "--build-arg",
        "--build-context",
        "--label",
        "--annotation",
        "--platform",
        "--no-cache",
        "--no-cache-filter",
        "--pull",
        "--cache-from",
        "--cache-to",
        "--push",
        "-o, --output",
        "--secret",
        "--ssh",
        "--network",
        "--add-host",
        "--shm-size",
        "--ulimit",
        "--iidfile",
        "--metadata-file",
        "--progress",
        "-q, --quiet",
        "--registry-mirror",
        "--insecure-registry",
        "--ca-cert",
        "--store",
    ] {
        let ends = [' ', '\n', '['].map(|end| format!("{flag}{end}"));
        assert!(ends.iter().any(|flag| help.contains(flag)), "{flag}");
    }
    assert!(!help.contains("--load"), "what is refused is not offered");
    let version = plimsoll(folder.path(), &["--version"], &[]);
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("plimsoll "));
}

#[test]
fn on_a_runner_an_error_is_an_annotation_too() {
    let output = build(&["--push"], &[("GITHUB_ACTIONS", "true")]);
    let text = stderr(&output);
    let last = text.lines().last().unwrap();
    assert_eq!(last, "::error::--push: a name is needed to push to");
    assert!(text.starts_with("::stop-commands::plimsoll-"), "{text}");
}

#[test]
fn as_json_an_error_is_an_object() {
    let output = build(&["--push", "--progress", "json"], &[]);
    let line: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(line["event"], "error");
    assert_eq!(line["message"], "--push: a name is needed to push to");
    assert_eq!(line["hints"][0], "Name the image with -t REGISTRY/REPOSITORY:TAG.");
}

#[test]
fn nothing_of_a_broken_configuration_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    std::fs::create_dir(folder.path().join(".docker")).unwrap();
    std::fs::write(folder.path().join(".docker/config.json"), "{\"auths\": hunter2").unwrap();
    let output = plimsoll(folder.path(), &["build", "."], &[]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains(".docker/config.json") && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_password_in_the_url_of_a_mirror_is_not_repeated() {
    let output = build(&["--registry-mirror", "docker.io=https://me:hunter2@mirror.example"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("no password") && !text.contains("hunter2"), "{text}");
}
