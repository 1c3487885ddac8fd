//! Inputs: mistakes, what is left alone, and where the context is.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::fake_registry::{FakeRegistry, Options};
use super::github::FakeGithub;
use super::loopback::{Asked, Loopback, Reply};
use super::runner::{COMMITTED, Runner, SHA, TOKEN};

#[test]
fn a_wrong_input_is_code_2_and_names_it() {
    for (name, value, expected) in [
        ("push", "perhaps", "input push: expected auto, true, false but found \"perhaps\""),
        ("cache", "yes", "input cache: expected auto, read, off"),
        ("comment", "summary", "input comment: expected auto, always, changed, never"),
        ("size-gate", "hard", "input size-gate: expected fail, warn, off"),
        ("size-budget", "big", "input size-budget: expected"),
        ("fork-mode", "x", "input fork-mode: expected auto, skip"),
        ("call", "inline", "input call: expected build, check, outline or targets but found"),
        ("pull", "yes", "input pull: expected true or false"),
        ("annotate", "perhaps", "input annotate: expected true or false"),
        ("summary", "no", "input summary: expected true or false"),
        ("max-parallelism", "many", "input max-parallelism: expected a whole number"),
        ("push-retries", "-1", "input push-retries: expected a whole number"),
        ("allow", "everything", "input allow: expected network.host, security.insecure"),
        ("registry-auth", "{", "input registry-auth: expected a YAML list"),
        ("tags", "type=nonsense", "nonsense"),
        ("platforms", "a/b/c/d", "input platforms: "),
        ("context", "nowhere", "nowhere"),
        ("cache-from", "type=s4", "input cache-from: type=s4: unknown type"),
        ("outputs", "type=pipe", "input outputs: "),
        ("build-args", "=x", "input build-args: the name is empty"),
    ] {
        let mut runner = Runner::new();
        runner.input("cache", "auto");
        runner.input(name, value);
        let ended = runner.run();
        assert_eq!(ended.code, 2, "{name}: {}", ended.log);
        let errors = ended.commands("::error").join("\n");
        assert!(errors.contains(expected), "{name}: {errors}");
        assert!(!ended.log.contains("hunter2"), "{}", ended.log);
    }
}

#[test]
fn what_is_no_step_is_said() {
    let mut runner = Runner::new();
    runner.unset("GITHUB_EVENT_NAME");
    let ended = runner.run();
    assert_eq!(ended.code, 2);
    assert!(ended.log.contains("GITHUB_EVENT_NAME is not set"), "{}", ended.log);
    let runner = Runner::new();
    fs::write(runner.path("event.json"), "{").unwrap();
    let ended = runner.run();
    assert_eq!(ended.code, 2);
    assert!(ended.log.contains("the event in GITHUB_EVENT_PATH can't be read"), "{}", ended.log);
}

#[test]
fn what_can_t_be_written_is_a_warning() {
    let mut runner = Runner::new();
    runner.set("GITHUB_OUTPUT", "/nowhere/output");
    runner.set("RUNNER_TEMP", "/nowhere");
    let ended = runner.built();
    let warnings = ended.commands("::warning").join("\n");
    assert!(warnings.contains("can't write GITHUB_OUTPUT, /nowhere/output: "), "{warnings}");
    assert!(warnings.contains("can't write the report into /nowhere: "), "{warnings}");
}

#[test]
fn inputs_without_meaning_are_told() {
    let mut runner = Runner::new();
    runner.input("builder", "some");
    let notices = runner.built().notices().join("\n");
    assert!(notices.contains("the input builder does nothing here: "), "{notices}");
}

/// As build-push-action does, but without showing it.
#[test]
fn a_line_that_is_no_secret_is_a_warning() {
    let mut runner = Runner::new();
    runner.input("secrets", "key=hunter3\nhunter2");
    let ended = runner.built();
    let warnings = ended.commands("::warning").join("\n");
    let expected = "entry 2 of the input secrets is left out: it is no ID=VALUE";
    assert!(warnings.contains(expected), "{warnings}");
    assert!(!warnings.contains("hunter2"), "{warnings}");
    assert_eq!(ended.commands("::add-mask::hunter2").len(), 1, "{}", ended.log);
    for input in ["secret-envs", "secret-files"] {
        let mut runner = Runner::new();
        runner.input(input, "A=");
        let warnings = runner.built().commands("::warning").join("\n");
        let expected = format!("entry 1 of the input {input} is left out: it is no ID=");
        assert!(warnings.contains(&expected), "{warnings}");
    }
}

/// buildx ignores what it does not know in a cache.
#[test]
fn keys_of_a_cache_that_do_nothing_are_notices() {
    let mut runner = Runner::new();
    runner.input("cache", "auto");
    runner.input("cache-from", "type=gha,mode=max\ntype=local,src=cache,nonsense=1\na:1,b:2");
    runner.input("cache-to", "type=local,dest=cache,ignore-error=false,compression=zstd");
    // Nothing listens there: the registry of the bare names is not asked.
    runner.input("registry-mirrors", "docker.io=http://127.0.0.1:9");
    let ended = runner.built();
    let notices = ended.notices().join("\n");
    for key in ["mode", "nonsense", "ignore-error=false", "compression"] {
        let said = format!("the cache key {key} does nothing here: ");
        assert_eq!(notices.matches(&said).count(), 1, "{key}: {notices}");
    }
    assert!(runner.path("workspace/cache").exists(), "the cache is written");
}

#[test]
fn a_provenance_names_the_workflow_and_not_the_run() {
    let mut runner = Runner::new();
    runner.set("GITHUB_SERVER_URL", "https://github.com");
    runner.set("GITHUB_WORKFLOW_REF", "acme/boat/.github/workflows/ship.yml@refs/heads/main");
    runner.input("provenance", "true");
    let ended = runner.built();
    let metadata: serde_json::Value = serde_json::from_str(ended.output("metadata")).unwrap();
    let provenance = &metadata["buildx.build.provenance"];
    let builder = "https://github.com/acme/boat/.github/workflows/ship.yml@refs/heads/main";
    assert_eq!(provenance["runDetails"]["builder"]["id"], builder);
    assert!(ended.output("digest").starts_with("sha256:"), "{:?}", ended.outputs);
    let without = Runner::new().built();
    assert!(!without.output("metadata").contains("provenance"), "{:?}", without.outputs);
}

#[test]
fn a_list_of_packages_stands_beside_the_image() {
    let registry = FakeRegistry::start(Options::default());
    let mut runner = Runner::new();
    runner.input("tags", &format!("{}/acme/boat:1", registry.host()));
    runner.input("push", "true");
    for (sbom, attests) in [("true", ""), ("", "type=sbom,generator=docker.io/a/b")] {
        runner.input("sbom", sbom);
        runner.input("attests", attests);
        let ended = runner.built();
        let index = registry.manifest("acme/boat", ended.output("digest")).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        let attached = index["manifests"][1]["digest"].as_str().unwrap();
        let attached = registry.manifest("acme/boat", attached).unwrap();
        let attached: serde_json::Value = serde_json::from_slice(&attached).unwrap();
        let kind = &attached["layers"][0]["annotations"]["in-toto.io/predicate-type"];
        assert_eq!(kind, "https://spdx.dev/Document");
        let told = ended.notices().join("\n").contains("the generator docker.io/a/b does not run");
        assert_eq!(told, !attests.is_empty(), "{}", ended.log);
    }
}

#[test]
fn no_value_can_set_another_output() {
    let mut runner = Runner::new();
    runner.input("labels", "a=1\n\"b=x\nEOF\ndigest=forged\ndigest<<EOF\nforged\"");
    let ended = runner.built();
    assert!(ended.output("digest").starts_with("sha256:"), "{:?}", ended.outputs);
    assert!(ended.output("labels").contains("digest=forged"), "{:?}", ended.outputs);
}

#[test]
fn the_checks_alone() {
    let mut runner = Runner::new();
    runner.input("call", "check");
    assert_eq!(runner.built().output("digest"), "");
    runner.write("Dockerfile", "FROM scratch as one\nCOPY data /\n");
    let ended = runner.run();
    assert_eq!((ended.code, ended.output("warnings-count")), (1, "1"), "{}", ended.log);
    assert_eq!(ended.commands("::warning file=Dockerfile,line=1").len(), 1, "{}", ended.log);
}

/// build-push-action asks buildx for them.
#[test]
fn the_metadata_have_the_warnings_of_the_build() {
    let runner = Runner::new();
    assert!(!runner.built().output("metadata").contains("buildx.build.warnings"));
    runner.write("Dockerfile", "FROM scratch as one\nCOPY data /\n");
    let ended = runner.built();
    let metadata: serde_json::Value = serde_json::from_str(ended.output("metadata")).unwrap();
    let warnings = &metadata["buildx.build.warnings"];
    assert_eq!(warnings[0]["range"][0]["start"]["line"], 1, "{warnings}");
    assert_eq!(warnings[0]["sourceInfo"]["filename"], "Dockerfile");
    assert_eq!(warnings.as_array().unwrap().len(), 1);
}

#[test]
fn what_the_target_takes_alone() {
    let mut runner = Runner::new();
    runner.write("Dockerfile", "# A is one\nARG A=1\nFROM scratch\nARG A\nCOPY data /\n");
    runner.input("call", "outline");
    let ended = runner.built();
    assert_eq!(ended.output("digest"), "");
    assert!(ended.log.contains("A           1       is one"), "{}", ended.log);
    runner.input("call", "targets,format=json");
    let log = runner.built().log;
    assert!(log.contains("\"default\": true"), "{log}");
}

fn git(runner: &Runner, words: &[&str]) {
    let status = Command::new("git")
        .args(["-c", "user.name=ada", "-c", "user.email=a@b"])
        .args(words)
        .current_dir(runner.path("workspace"))
        .env("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z")
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
}

#[test]
fn times_are_those_of_the_commit_that_is_checked_out() {
    let mut runner = Runner::new();
    git(&runner, &["init", "-q"]);
    git(&runner, &["add", "."]);
    git(&runner, &["commit", "-qm", "Add sails"]);
    let label = "org.opencontainers.image.created=";
    runner.pull_request("acme/boat", &[]);
    let ended = runner.built();
    assert!(ended.output("labels").contains(&format!("{label}2020-01-01T00:00:00")), "checkout");
    // Nothing is checked out, and the event of a pull request does not say it.
    fs::remove_dir_all(runner.path("workspace/.git")).unwrap();
    let github = FakeGithub::start();
    runner.set("GITHUB_API_URL", &github.url());
    let ended = runner.built();
    let created = format!("{label}{}", COMMITTED.trim_end_matches('Z'));
    assert!(ended.output("labels").contains(&created), "API: {}", ended.output("labels"));
}

/// As build-push-action does, which adds the job's token where no secret is for git.
#[test]
fn the_token_of_the_user_comes_before_that_of_the_job() {
    let shown = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&shown);
    let server = Loopback::start(Duration::ZERO, |_| {
        move |asked: Asked| {
            seen.lock().unwrap().push(asked.header("authorization").to_owned());
            Reply::new(404, "")
        }
    });
    let of = |token: &str| format!("basic {}", BASE64.encode(format!("x-access-token:{token}")));
    let host = server.address;
    for (input, text, token) in [
        ("secrets", String::new(), TOKEN),
        ("secrets", "GIT_AUTH_TOKEN=mine".to_owned(), "mine"),
        ("secrets", format!("GIT_AUTH_TOKEN.{host}=mine"), "mine"),
        ("secrets", "GIT_AUTH_TOKEN.gitlab.com=mine".to_owned(), TOKEN),
        ("secret-envs", "GIT_AUTH_TOKEN=MINE".to_owned(), "mine"),
        ("secret-envs", "GIT_AUTH_TOKEN=EMPTY".to_owned(), TOKEN),
        ("secret-files", "GIT_AUTH_TOKEN=mine".to_owned(), "mine"),
    ] {
        let mut runner = Runner::new();
        fs::remove_file(runner.path("workspace/Dockerfile")).unwrap();
        runner.set("GITHUB_SERVER_URL", &format!("http://{host}"));
        runner.set("MINE", "mine");
        runner.set("EMPTY", "");
        runner.write("mine", "mine");
        runner.input(input, &text);
        let ended = runner.run();
        assert_eq!(ended.code, 1, "{}", ended.log);
        let shown = std::mem::take(&mut *shown.lock().unwrap());
        assert_eq!(shown.first(), Some(&of(token)), "{input}: {text}: {}", ended.log);
    }
}

#[test]
fn without_a_checkout_the_context_is_the_repository() {
    let mut runner = Runner::new();
    fs::remove_file(runner.path("workspace/Dockerfile")).unwrap();
    runner.set("GITHUB_SERVER_URL", "http://127.0.0.1:9");
    let ended = runner.run();
    assert_eq!(ended.code, 1, "{}", ended.log);
    let context = format!("http://127.0.0.1:9/acme/boat.git#{SHA}");
    let said = format!("::notice::the context is {context}: nothing is checked out");
    assert!(ended.notices()[0].starts_with(&said), "{:?}", ended.notices());
    assert!(ended.log.contains("failed to load http://127.0.0.1:9/acme/boat.git"), "{}", ended.log);
}
