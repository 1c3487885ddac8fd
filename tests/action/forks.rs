//! Pull requests from forks, and the workflow that comments for them.

use std::fs;

use serde_json::json;

use super::fake_registry::{FakeRegistry, Options};
use super::github::{Access, FakeGithub};
use super::runner::{Ended, HEAD, Runner, TOKEN};

fn fork(github: &FakeGithub) -> Runner {
    let mut runner = Runner::new();
    runner.pull_request("eve/boat", &[]);
    runner.set("GITHUB_API_URL", &github.url());
    runner
}

/// The companion's run, on a runner of its own, with a folder as it was downloaded.
struct Companion {
    github: FakeGithub,
    runner: Runner,
}

impl Companion {
    /// After the fork's run, whose report it has in `temp/report`.
    fn new() -> Self {
        let github = FakeGithub::start();
        github.state().access = Access::Read;
        Self::of(&fork(&github), github)
    }

    fn of(builder: &Runner, github: FakeGithub) -> Self {
        let built = builder.built();
        github.state().access = Access::Write;
        let head = json!({"sha": HEAD, "label": "eve:sails"});
        let pull = json!({"number": 7, "state": "open", "head": head});
        github.state().pulls.push((HEAD.to_owned(), pull));
        let mut runner = Runner::new();
        runner.workflow_run("eve/boat", HEAD);
        runner.set("GITHUB_API_URL", &github.url());
        runner.set("GITHUB_TOKEN", TOKEN);
        fs::rename(builder.report(&built), runner.path("temp/report")).unwrap();
        Self { github, runner }
    }

    fn comment(&self) -> Ended {
        let folder = self.runner.path("temp/report");
        let mut command = self.runner.command(&["comment", folder.to_str().unwrap()]);
        self.runner.ended(&command.output().unwrap())
    }

    fn about(&self, change: impl FnOnce(&mut serde_json::Value)) {
        let path = self.runner.path("temp/report/about.json");
        let mut about = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut about);
        fs::write(&path, about.to_string()).unwrap();
    }
}

#[test]
fn a_fork_gets_the_report_everywhere_but_on_the_pull_request() {
    let registry = FakeRegistry::start(Options::default());
    let github = FakeGithub::start();
    github.state().access = Access::Read;
    let mut runner = fork(&github);
    runner.input("images", &format!("{}/acme/boat", registry.host()));
    runner.input("push", "true");
    runner.input("cache-to", &format!("type=registry,ref={}/acme/cache", registry.host()));
    runner.input("cache", "auto");
    let ended = runner.built();
    assert_eq!(ended.output("pushed"), "false");
    assert_eq!(registry.count("POST", ""), 0, "{:?}", registry.log());
    assert_eq!(registry.count("PUT", ""), 0, "{:?}", registry.log());
    let notices = ended.notices().join("\n");
    assert!(notices.contains("nothing is pushed: the pull request comes from a fork"), "{notices}");
    assert!(notices.contains("a workflow on `workflow_run` can comment with it"), "{notices}");
    assert!(ended.summary.contains("### Image size"), "{}", ended.summary);
    let mut files: Vec<_> = fs::read_dir(runner.report(&ended))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["about.json", "image.weight", "report.md"]);
}

#[test]
fn a_fork_may_be_left_out() {
    let github = FakeGithub::start();
    let mut runner = fork(&github);
    runner.input("fork-mode", "skip");
    let ended = runner.built();
    assert_eq!((ended.output("pushed"), ended.output("digest")), ("false", ""));
    assert!(github.state().log.is_empty());
}

#[test]
fn another_workflow_comments_with_the_report() {
    let companion = Companion::new();
    let ended = companion.comment();
    assert_eq!(ended.code, 0, "{}", ended.log);
    let [body] = &companion.github.bodies(7)[..] else { panic!("{}", ended.log) };
    assert!(body.starts_with("<!-- plimsoll:ghcr.io/acme/boat -->\n### Image size"), "{body}");
    assert!(body.contains("Weighed by the pull request's own workflow run."), "{body}");
    assert_ne!(ended.output("comment-url"), "");
}

#[test]
fn the_action_comments_in_place_of_a_build_if_asked() {
    let mut companion = Companion::new();
    // Several artifacts are downloaded into a folder each.
    let folder = companion.runner.path("temp");
    companion.runner.input("comment-from", folder.to_str().unwrap());
    companion.runner.input("size-budget", "1kB");
    let ended = companion.runner.built();
    assert_eq!(ended.output("digest"), "");
    let body = companion.github.bodies(7).remove(0);
    assert!(body.contains("Above its limits"), "the limits are the workflow's: {body}");
}

#[test]
fn several_platforms_are_one_comment() {
    let github = FakeGithub::start();
    github.state().access = Access::Read;
    let mut builder = fork(&github);
    builder.input("platforms", "linux/amd64,linux/arm64");
    let companion = Companion::of(&builder, github);
    let ended = companion.comment();
    assert_eq!(ended.code, 0, "{}", ended.log);
    let [body] = &companion.github.bodies(7)[..] else { panic!("{}", ended.log) };
    for platform in ["linux/amd64", "linux/arm64"] {
        assert!(body.contains(&format!(" for `{platform}`\n")), "{body}");
    }
}

#[test]
fn text_of_the_report_is_never_taken_over() {
    let companion = Companion::new();
    fs::write(companion.runner.path("temp/report/report.md"), "@everyone look").unwrap();
    companion.about(|about| {
        about["key"] = json!("--> <b>@everyone</b>");
        about["baseline"] = json!("`@everyone` <img src=x>\n# hm");
    });
    assert_eq!(companion.comment().code, 0);
    let body = companion.github.bodies(7).remove(0);
    let marker = "<!-- plimsoll:-----b--everyone-/b- -->\n";
    assert!(body.starts_with(marker), "{body}");
    assert!(!body[marker.len()..].contains("everyone"), "{body}");
}

#[test]
fn a_report_that_is_not_of_the_run_is_refused() {
    let companion = Companion::new();
    let refused = |expected: &str| {
        let ended = companion.comment();
        assert_eq!(ended.code, 2, "{}", ended.log);
        assert!(ended.log.contains(expected), "{expected}: {}", ended.log);
        assert_eq!(companion.github.bodies(7), [""; 0]);
    };
    companion.about(|about| about["head-sha"] = json!("f".repeat(40)));
    refused("but the run was of");
    companion.about(|about| about["pull-request"] = json!(8));
    refused("unknown field `pull-request`");
    companion.about(|about| {
        about.as_object_mut().unwrap().remove("pull-request");
        about["head-sha"] = json!(HEAD);
    });
    fs::write(companion.runner.path("temp/report/image.weight"), "12 MB").unwrap();
    refused("image.weight: ");
    fs::remove_file(companion.runner.path("temp/report/image.weight")).unwrap();
    refused("it is missing");
    fs::remove_file(companion.runner.path("temp/report/about.json")).unwrap();
    refused("there is no report in it");
}

#[test]
fn a_pull_request_that_went_on_gets_no_old_report() {
    let companion = Companion::new();
    companion.github.state().pulls[0].1["head"]["sha"] = json!("f".repeat(40));
    let ended = companion.comment();
    assert_eq!(ended.code, 0);
    assert!(ended.notices()[0].contains("is at 5c1e4f4"), "{}", ended.log);
    assert_eq!(companion.github.bodies(7), [""; 0]);
}

#[test]
fn only_a_finished_run_can_be_commented_for() {
    let mut companion = Companion::new();
    companion.runner.push("refs/heads/main");
    let ended = companion.comment();
    assert_eq!(ended.code, 2);
    assert!(ended.log.contains("is for the event workflow_run"), "{}", ended.log);
    companion.runner.workflow_run("eve/boat", HEAD);
    companion.runner.unset("GITHUB_TOKEN");
    companion.runner.unset("INPUT_GITHUB-TOKEN");
    assert!(companion.comment().log.contains("there is no token to comment with"));
}
