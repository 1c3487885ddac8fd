//! Pull requests: the comment, the limits, the check, and what waives a broken limit.

use serde_json::json;

use super::fake_registry::{FakeRegistry, Options};
use super::github::{Access, FakeGithub, Fault};
use super::runner::{HEAD, Runner, SHA};

/// On pull request 7 of this repository, with the API within reach.
fn pull_request(github: &FakeGithub) -> Runner {
    let mut runner = Runner::new();
    runner.pull_request("acme/boat", &[]);
    runner.set("GITHUB_API_URL", &github.url());
    runner
}

/// Builds the image as it is now into a weight file that it can be compared with.
fn baseline(runner: &mut Runner) {
    let ended = runner.built();
    let weight = runner.report(&ended).join("image.weight");
    runner.input("size-baseline", &format!("weight:{}", weight.display()));
}

#[test]
fn one_comment_is_kept_up_to_date() {
    let github = FakeGithub::start();
    let mut runner = pull_request(&github);
    let first = runner.built();
    assert_eq!(first.output("comment-url"), "https://github.com/acme/boat/pull/7#issuecomment-1");
    let [body] = &github.bodies(7)[..] else { panic!("{:?}", github.bodies(7)) };
    assert!(body.starts_with("<!-- plimsoll:ghcr.io/acme/boat -->\n### Image size: "), "{body}");
    assert!(body.contains("ghcr.io/acme/boat:pr-7"), "{body}");

    baseline(&mut runner);
    runner.data(90_000);
    let second = runner.built();
    assert_eq!(second.output("comment-url"), first.output("comment-url"));
    assert!(second.output("size-delta").parse::<i64>().unwrap() > 79_000);
    let [body] = &github.bodies(7)[..] else { panic!("{:?}", github.bodies(7)) };
    assert!(body.contains("+80.0 kB"), "{body}");

    runner.input("comment-key", "another");
    runner.built();
    assert_eq!(github.bodies(7).len(), 2, "each image has a comment of its own");
}

/// Nothing says what to compare with, and there is no cache: the image of the base branch says it.
#[test]
fn sizes_are_compared_with_the_base_branch() {
    let (github, registry) = (FakeGithub::start(), FakeRegistry::start(Options::default()));
    let mut runner = Runner::new();
    runner.unset("INPUT_SIZE-BASELINE");
    runner.input("images", &format!("{}/acme/boat", registry.host()));
    runner.input("push", "true");
    let first = runner.built();
    let nothing = "::notice::nothing to compare with: no earlier build is known";
    assert!(first.notices().contains(&nothing), "{:?}", first.notices());

    runner.pull_request("acme/boat", &[]);
    runner.set("GITHUB_API_URL", &github.url());
    runner.input("push", "false");
    runner.data(90_000);
    let second = runner.built();
    assert!(second.output("size-delta").parse::<i64>().unwrap() > 79_000);
    let body = github.bodies(7).remove(0);
    assert!(body.contains("+80.0 kB") && body.contains(&SHA[..7]), "{body}");
}

#[test]
fn what_did_not_change_is_folded_or_left_out() {
    let github = FakeGithub::start();
    let mut runner = pull_request(&github);
    baseline(&mut runner);
    runner.built();
    let body = github.bodies(7).remove(0);
    assert!(body.contains("-->\n<details><summary>Image size: <code>"), "{body}");
    assert!(body.trim_end().ends_with("</details>"), "{body}");

    runner.input("comment", "always");
    runner.built();
    assert!(github.bodies(7)[0].contains("-->\n### Image size"), "{:?}", github.bodies(7));

    runner.input("comment", "changed");
    assert_eq!(runner.built().output("comment-url"), "");
    assert_eq!(github.bodies(7), [""; 0], "it is taken away");
    runner.data(20_000);
    assert_ne!(runner.built().output("comment-url"), "");

    runner.input("comment", "never");
    github.state().log.clear();
    assert_eq!(runner.built().output("comment-url"), "");
    let asked = github.state().log.join(" ");
    assert!(!asked.contains("/comments"), "nobody looks for one: {asked}");
}

#[test]
fn a_push_to_the_branch_of_a_pull_request_comments_if_asked() {
    let github = FakeGithub::start();
    let pull = json!({"number": 7, "state": "open", "head": {"sha": SHA}});
    github.state().pulls.push((SHA.to_owned(), pull));
    let mut runner = Runner::new();
    runner.set("GITHUB_API_URL", &github.url());
    runner.built();
    assert_eq!(github.bodies(7), [""; 0]);
    runner.input("comment", "always");
    runner.built();
    assert_eq!(github.bodies(7).len(), 1);
}

#[test]
fn a_broken_limit_is_code_3_an_annotation_a_check_and_a_comment() {
    let github = FakeGithub::start();
    let mut runner = pull_request(&github);
    runner.input("size-budget", "5kB");
    let ended = runner.run();
    assert_eq!(ended.code, 3, "{}", ended.log);
    assert_eq!(
        ended.commands("::error"),
        ["::error::the image is above 1 of its limits (1 in all)"]
    );
    assert_eq!(ended.output("size-verdict"), "fail");
    assert!(ended.summary.contains("Above its limits"), "{}", ended.summary);
    assert!(github.bodies(7)[0].contains("❌ **Above its limits**"), "{:?}", github.bodies(7));
    let check = github.state().checks[0].clone();
    assert_eq!((&check["conclusion"], &check["head_sha"]), (&json!("failure"), &json!(HEAD)));
    assert_eq!(check["name"], "image size: ghcr.io/acme/boat");

    runner.input("size-gate", "warn");
    let ended = runner.built();
    assert_eq!(ended.output("size-verdict"), "warn");
    assert_eq!(github.state().checks[1]["conclusion"], "neutral");
    runner.input("size-gate", "off");
    assert_eq!(runner.built().output("size-verdict"), "");
    runner.input("size-gate", "fail");
    runner.input("size-budget", "1MB");
    assert_eq!(runner.built().output("size-verdict"), "pass");
    assert_eq!(github.state().checks[2]["conclusion"], "success");
}

#[test]
fn the_settings_of_the_workspace_are_limits_too() {
    let runner = Runner::new();
    runner.write(".plimsoll.yml", "budget:\n  unpacked: 1kB\n");
    assert_eq!(runner.run().code, 3);
}

#[test]
fn a_label_waives_the_limits_even_one_that_came_later() {
    let github = FakeGithub::start();
    let mut runner = pull_request(&github);
    runner.input("size-budget", "5kB");
    github.state().labels.push("size-accepted".to_owned());
    let ended = runner.built();
    assert_eq!(ended.output("size-verdict"), "waived");
    let body = github.bodies(7).remove(0);
    assert!(body.contains("accepted by `the label size-accepted`"), "{body}");
    assert_eq!(github.state().checks[0]["conclusion"], "neutral");

    // One that is gone waives nothing, though the event still has it.
    github.state().labels.clear();
    runner.pull_request("acme/boat", &["size-accepted"]);
    assert_eq!(runner.run().code, 3);
    // Where the API does not answer, the event counts.
    runner.set("GITHUB_API_URL", "http://127.0.0.1:9");
    assert_eq!(runner.run().code, 0);
    for other in ["heavy", ""] {
        runner.input("size-override-label", other);
        assert_eq!(runner.run().code, 3, "{other:?}");
    }
}

#[test]
fn a_line_of_the_commit_waives_the_limits_but_not_from_a_fork() {
    let github = FakeGithub::start();
    github.state().message = "Add sails\n\nPlimsoll-Waiver: worth it".to_owned();
    let mut runner = pull_request(&github);
    runner.input("size-budget", "5kB");
    let ended = runner.built();
    assert_eq!(ended.output("size-verdict"), "waived");
    assert!(ended.log.contains("accepted: commit 5c1e4f4: worth it"), "{}", ended.log);
    runner.pull_request("eve/boat", &[]);
    assert_eq!(runner.run().code, 3);
    runner.push_saying("refs/heads/main", "Add\n\nPlimsoll-Waiver: on main");
    assert_eq!(runner.built().output("size-verdict"), "waived");
}

#[test]
fn what_the_token_may_not_do_is_a_notice() {
    let github = FakeGithub::start();
    github.state().access = Access::Read;
    let mut runner = pull_request(&github);
    runner.input("size-budget", "1MB");
    let ended = runner.built();
    let notice = ended.notices().join("\n");
    assert!(notice.contains("permissions: pull-requests: write"), "{notice}");
    assert_eq!(ended.output("comment-url"), "");
    assert!(ended.summary.contains("### Image size"), "{}", ended.summary);

    github.state().access = Access::Write;
    let fault =
        Fault { method: "GET", path: "/comments", times: 9, status: 401, retry_after: None };
    github.state().faults.push(fault);
    let notice = runner.built().notices().join("\n");
    assert!(notice.contains("The token is wrong or has expired."), "{notice}");
}

#[test]
fn no_api_and_no_token_cost_the_comment_and_no_more() {
    let mut runner = Runner::new();
    runner.pull_request("acme/boat", &[]);
    let ended = runner.built();
    assert!(ended.notices().iter().any(|n| n.contains("no comment")), "{:?}", ended.notices());
    runner.unset("INPUT_GITHUB-TOKEN");
    let ended = runner.built();
    assert_eq!(ended.notices(), ["::notice::the context is the workspace"]);
}

/// A Dockerfile with so many stages, whose names have so many characters.
fn of_long_stages(count: usize, length: usize) -> String {
    let long = "x".repeat(length);
    let stage = |number: usize| format!("FROM scratch AS {long}{number}\nCOPY data /\n");
    let copy = |number: usize| format!("COPY --from={long}{number} data /{number}/\n");
    let stages: String = (0..count).map(stage).collect();
    let copies: String = (0..count).map(copy).collect();
    format!("{stages}FROM scratch\n{copies}")
}

#[test]
fn a_summary_that_is_too_long_is_cut() {
    let github = FakeGithub::start();
    let runner = pull_request(&github);
    // As much as a Dockerfile may have; what stands around it is too much.
    let line = "y".repeat((1 << 20) - 30);
    runner.write("Dockerfile", format!("FROM scratch\nUNKNOWN {line}\n"));
    let ended = runner.run();
    assert_eq!(ended.code, 1);
    assert!(ended.log.len() > 1 << 20);
    assert!(ended.summary.starts_with("### The build failed\n"));
    assert!(ended.summary.len() < 1 << 20, "{} bytes", ended.summary.len());
    assert!(ended.summary.contains("The rest did not fit; all of it is in the log."));
}

#[test]
fn a_report_that_is_too_long_is_cut() {
    let github = FakeGithub::start();
    let mut runner = pull_request(&github);
    baseline(&mut runner);
    runner.write("Dockerfile", of_long_stages(110, 120));
    let ended = runner.built();
    let body = github.bodies(7).remove(0);
    assert!(body.len() <= 65_536, "{} bytes", body.len());
    assert!(body.contains("Some detail did not fit."), "{} bytes", body.len());
    assert!(ended.summary.len() > body.len(), "the summary has more room");
}
