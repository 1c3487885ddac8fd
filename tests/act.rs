//! Workflows that use the action, run by act on this machine: what a user sees. The registry is
//! Debian's; GitHub's API and its cache service are fakes.

#[path = "support/actions_cache/mod.rs"]
mod actions_cache;
#[path = "support/docker_registry.rs"]
mod docker_registry;
#[path = "support/github/mod.rs"]
mod github;
#[path = "support/loopback.rs"]
mod loopback;
#[path = "support/openssh.rs"]
mod openssh;
#[path = "support/program.rs"]
mod program;
#[path = "act/registries.rs"]
mod registries;
#[path = "act/runner.rs"]
mod runner;
#[path = "act/ssh.rs"]
mod ssh;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::Command;

use actions_cache::{FakeActionsCache, Options, SIGNATURE_CANARY, TOKEN_CANARY, token};
use docker_registry::DockerRegistry;
use github::{Access, FakeGithub};
use runner::{Ended, HEAD, Runner, SECRETS, repository};
use serde_json::json;

const PLIMSOLL: &str = env!("CARGO_BIN_EXE_plimsoll");

/// A user's workflow, with these lines of steps before the image's, and of its inputs besides.
fn workflow(steps: &[&str], inputs: &[&str]) -> String {
    let steps: String = steps.iter().map(|line| format!("      {line}\n")).collect();
    let inputs: String = inputs.iter().map(|line| format!("          {line}\n")).collect();
    format!(
        r#"on: [push, pull_request, workflow_run]
jobs:
  image:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v7
{steps}
      - uses: ./
        id: image
        with:
          binary: {PLIMSOLL}
{inputs}
      - if: always()
        env:
          DIGEST: ${{{{ steps.image.outputs.digest }}}}
          PUSHED: ${{{{ steps.image.outputs.pushed }}}}
          HITS: ${{{{ steps.image.outputs.cache-hit-ratio }}}}
          VERDICT: ${{{{ steps.image.outputs.size-verdict }}}}
          DELTA: ${{{{ steps.image.outputs.size-delta }}}}
          COMMENT: ${{{{ steps.image.outputs.comment-url }}}}
        run: |
          echo "digest=$DIGEST"
          echo "pushed=$PUSHED"
          echo "hits=$HITS"
          echo "verdict=$VERDICT"
          echo "delta=$DELTA"
          echo "comment=$COMMENT"
          for report in "$RUNNER_TEMP"/plimsoll-report-*; do
            [ ! -d "$report" ] || cp -r "$report" "$KEPT/report"
          done
"#
    )
}

/// What stands around a workflow.
struct World {
    runner: Runner,
    registry: DockerRegistry,
    cache: FakeActionsCache,
    github: FakeGithub,
}

impl World {
    /// Pushes `acme/boat`, with the registry's password.
    fn new(inputs: &[&str]) -> Option<Self> {
        let user = format!("username: {}", docker_registry::USER.0);
        let common = [
            "images: <registry>/acme/boat",
            user.as_str(),
            "password: ${{ secrets.REGISTRY_PASSWORD }}",
            "secrets: key=${{ secrets.BUILD_SECRET }}",
        ];
        Self::with(&[], &[&common, inputs].concat())
    }

    /// With all that [`workflow`] takes. In inputs the registry is `<registry>`.
    fn with(steps: &[&str], inputs: &[&str]) -> Option<Self> {
        let registry = DockerRegistry::with_password()?;
        let mut runner = Runner::new("")?;
        let cache = FakeActionsCache::start(Options::default());
        let github = FakeGithub::start();
        runner.set("ACTIONS_RESULTS_URL", &cache.url());
        runner.set("ACTIONS_RUNTIME_TOKEN", &token(&[("refs/heads/main", 3)]));
        runner.set("GITHUB_API_URL", &github.url());
        let world = Self { runner, registry, cache, github };
        world.change(steps, inputs);
        Some(world)
    }

    /// Has another workflow from now on.
    fn change(&self, steps: &[&str], inputs: &[&str]) {
        let inputs: Vec<String> =
            inputs.iter().map(|line| line.replace("<registry>", &self.registry.host)).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.runner.write(".github/workflows/image.yml", workflow(steps, &inputs));
        self.runner.commit();
    }

    fn comments(&self) -> Vec<String> {
        self.github.bodies(7)
    }
}

/// The run ended well, and its log has no secret.
#[track_caller]
fn succeeded(ended: &Ended) {
    assert!(ended.succeeded, "{}", ended.log);
    has_no_secret(ended);
}

#[track_caller]
fn has_no_secret(ended: &Ended) {
    let hidden = SECRETS.iter().map(|(_, secret)| *secret);
    for secret in hidden.chain([TOKEN_CANARY, SIGNATURE_CANARY]) {
        assert!(!ended.log.contains(secret), "{secret} shows: {}", ended.log);
    }
}

#[test]
fn a_push_is_built_pushed_and_found_again() {
    let Some(world) = World::new(&[]) else { return };
    let first = world.runner.push();
    succeeded(&first);
    assert!(world.registry.has_tag("acme/boat", "main"));
    assert_eq!(first.said("pushed"), "true");
    assert_ne!(first.said("hits"), "1.000");
    let digest = first.said("digest").to_owned();
    assert!(digest.starts_with("sha256:"), "a build has forged its digest: {digest}");
    assert!(!world.cache.entries().is_empty());

    world.registry.forget_requests();
    let again = world.runner.push();
    succeeded(&again);
    assert_eq!((again.said("digest"), again.said("hits")), (digest.as_str(), "1.000"));
    assert_eq!(world.registry.count("PATCH", "/blobs/uploads/"), 0, "nothing is new");
}

#[test]
fn a_pull_request_that_grows_has_one_comment_that_says_so() {
    let Some(world) = World::new(&["size-baseline: <registry>/acme/boat:main"]) else { return };
    succeeded(&world.runner.push());
    world.runner.write("data", noise(300_000));
    world.runner.commit();
    let ended = world.runner.pull_request("acme/boat");
    succeeded(&ended);
    assert_eq!(ended.said("pushed"), "false");
    assert!(!world.registry.has_tag("acme/boat", "pr-7"));
    let delta: i64 = ended.said("delta").parse().unwrap();
    assert!((300_000..310_000).contains(&delta), "{delta}");
    let comments = world.comments();
    assert_eq!(comments.len(), 1);
    assert!(comments[0].contains("+300."), "{}", comments[0]);
    assert!(ended.said("comment").starts_with("https://github.com/acme/boat/pull/7#"));

    world.runner.write("data", noise(600_000));
    world.runner.commit();
    succeeded(&world.runner.pull_request("acme/boat"));
    let later = world.comments();
    assert_eq!(later.len(), 1);
    assert_ne!(later, comments);
}

#[test]
fn a_budget_that_is_broken_fails_the_job() {
    let Some(world) = World::new(&["size-budget: 1kB"]) else { return };
    let ended = world.runner.pull_request("acme/boat");
    assert!(!ended.succeeded, "{}", ended.log);
    has_no_secret(&ended);
    assert!(ended.log.contains("exit status 3"), "{}", ended.log);
    assert_eq!(ended.said("verdict"), "fail");
    assert_eq!(world.comments().len(), 1);
    let state = world.github.state();
    assert_eq!(state.checks[0]["conclusion"], "failure");
    assert_eq!(state.checks[0]["head_sha"], HEAD);
}

#[test]
fn a_fork_pushes_nothing_and_its_report_is_posted_by_the_companion() {
    let Some(world) = World::new(&["push: true"]) else { return };
    world.github.state().access = Access::Read;
    let ended = world.runner.pull_request("eve/boat");
    succeeded(&ended);
    assert_eq!((ended.said("pushed"), ended.said("comment")), ("false", ""));
    assert!(!world.registry.has_tag("acme/boat", "pr-7"));
    assert_eq!(world.registry.count("POST", "/blobs/uploads/"), 0);
    assert!(world.comments().is_empty());
    assert!(ended.log.contains("nothing is pushed: the pull request comes from a fork"));

    // With the rights of the repository, and nothing of the fork's but the report.
    world.github.state().access = Access::Write;
    let pull =
        json!({ "number": 7, "state": "open", "head": { "sha": HEAD, "label": "eve:sails" } });
    world.github.state().pulls.push((HEAD.to_owned(), pull));
    let companion = workflow(&[], &["comment-from: ${{ env.KEPT }}/report"]);
    world.runner.write(".github/workflows/image.yml", companion);
    world.runner.commit();
    let run = |sha: &str| {
        json!({
            "action": "completed",
            "workflow_run": {
                "id": 1, "event": "pull_request", "head_sha": sha, "head_branch": "sails",
                "head_repository": { "full_name": "eve/boat" },
            },
            "repository": repository(),
        })
    };
    let posted = world.runner.run("workflow_run", &run(HEAD));
    succeeded(&posted);
    assert_eq!(world.comments().len(), 1);
    assert!(world.comments()[0].contains("Weighed by the pull request's own workflow run"));

    // A report of another commit than the run's.
    let other = world.runner.run("workflow_run", &run("0123456789012345678901234567890123456789"));
    assert_eq!(world.comments().len(), 1);
    has_no_secret(&other);
}

#[test]
fn a_canceled_job_leaves_nothing_behind() {
    let Some(world) = World::new(&[]) else { return };
    let mark = format!("sleeping-{}", std::process::id());
    // The secret was printed when the signal comes.
    let sleep = format!(
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN --mount=type=secret,id=key \
        [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox cat /run/secrets/key; echo; \
        echo {mark}; /bin/busybox sleep 600\"]\n"
    );
    world.runner.write("Dockerfile", sleep);
    world.runner.commit();
    let payload = json!({ "ref": "refs/heads/main", "repository": repository() });
    let errors = world.runner.path("errors");
    let mut command = world.runner.command("push", &payload);
    let mut act = command.stderr(File::create(&errors).unwrap()).spawn().unwrap();
    let mut lines = BufReader::new(act.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut log = String::new();
    let started = lines.by_ref().any(|line| {
        log += &format!("{line}\n");
        line.ends_with(&mark)
    });
    assert!(started, "the step did not start: {log}");
    let id = rustix::process::Pid::from_child(&act);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    lines.for_each(|line| log += &format!("{line}\n"));
    let succeeded = act.wait().unwrap().success();
    log += &fs::read_to_string(&errors).unwrap();
    let ended = Ended { succeeded, log };
    assert!(!ended.succeeded, "{}", ended.log);
    assert!(ended.log.contains("***"), "the secret was not printed: {}", ended.log);
    has_no_secret(&ended);
    let left = Command::new("pgrep").args(["--full", &mark]).output().unwrap();
    assert!(left.stdout.is_empty(), "{}", String::from_utf8_lossy(&left.stdout));
    assert!(!world.registry.has_tag("acme/boat", "main"));
}

/// A runner gives the variables of its cache to actions alone; act gives them to commands, too.
#[test]
fn a_command_has_no_actions_cache_and_is_told_so() {
    let run = format!(
        "on: push\njobs:\n  image:\n    runs-on: ubuntu-latest\n    steps:\n      \
         - uses: actions/checkout@v7\n      \
         - run: env -u ACTIONS_RESULTS_URL -u ACTIONS_RUNTIME_TOKEN -u ACTIONS_CACHE_URL \
         {PLIMSOLL} build --target builder --cache-from type=gha .\n"
    );
    let Some(mut runner) = Runner::new(&run) else { return };
    runner.set("ACTIONS_RESULTS_URL", "http://127.0.0.1:9/");
    runner.set("ACTIONS_RUNTIME_TOKEN", "token");
    runner.write("Dockerfile", "FROM scratch AS builder\nCOPY data /\n");
    runner.commit();
    let ended = runner.push();
    succeeded(&ended);
    let notice =
        "::notice::the cache gha is not used: ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN are";
    assert!(ended.log.contains(notice), "{}", ended.log);
    assert!(ended.log.contains("pass them on from an action that exports them"), "{}", ended.log);
}

/// Bytes that no compression makes smaller by much.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}
