//! Events of GitHub's own making: every example of its webhooks that a workflow can start with is
//! read, and what was read is what the payload says.

use std::fs;
use std::path::Path;

use plimsoll::github::event::{Event, Variables};
use serde_json::Value;

/// The examples of one event; `None`, and the reason on the log, where they are not installed.
fn examples(event: &str) -> Option<Vec<Value>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/github/node");
    let file = "node_modules/@octokit/webhooks-examples/api.github.com/index.json";
    let Ok(text) = fs::read(folder.join(file)) else {
        eprintln!("SKIPPED: run npm ci --ignore-scripts in {}", folder.display());
        return None;
    };
    let all: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let mut of_event = all.into_iter().filter(|of| of["name"] == event);
    let examples = of_event.next().expect("no such event")["examples"].as_array().unwrap().clone();
    assert!(!examples.is_empty());
    Some(examples)
}

/// Reads a payload as a runner hands it over, and holds what all events have against it.
fn read(name: &str, payload: &Value, git_ref: &str, sha: &str) -> Event {
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let repository = text("/repository/full_name");
    let variables = [
        ("GITHUB_EVENT_NAME", name),
        ("GITHUB_REPOSITORY", repository),
        ("GITHUB_REF", git_ref),
        ("GITHUB_SHA", sha),
        ("GITHUB_ACTOR", text("/sender/login")),
    ];
    let variables: Variables =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let event = Event::read(&variables, payload.to_string().as_bytes()).unwrap();
    assert_eq!(event.action, text("/action"));
    assert_eq!(event.default_branch, text("/repository/default_branch"));
    assert_eq!(event.about.name, text("/repository/name"));
    assert_eq!(event.about.url, text("/repository/html_url"));
    assert_eq!(event.about.description, text("/repository/description"));
    assert_eq!(event.about.license, text("/repository/license/spdx_id"));
    event
}

#[test]
fn pushes() {
    let Some(examples) = examples("push") else { return };
    for payload in examples {
        let text = |name: &str| payload[name].as_str().unwrap();
        let event = read("push", &payload, text("ref"), text("after"));
        assert_eq!(event.branch(), text("ref").strip_prefix("refs/heads/"));
        let is_new = text("before").chars().all(|digit| digit == '0');
        assert_eq!(event.before, (!is_new).then(|| text("before").to_owned()));
        let made = payload["head_commit"]["timestamp"].as_str();
        assert_eq!(event.committed, made.map(|time| time.parse().unwrap()));
        assert!(event.pull_request.is_none() && !event.is_from_fork());
    }
}

#[test]
fn pull_requests() {
    for name in ["pull_request", "pull_request_target"] {
        let Some(examples) = examples("pull_request") else { return };
        for payload in examples {
            let number = payload["number"].as_u64().unwrap();
            let git_ref = format!("refs/pull/{number}/merge");
            let told = if name == "pull_request" { &git_ref } else { "refs/heads/master" };
            let event = read(name, &payload, told, "0123456");
            assert_eq!(event.git_ref, git_ref);
            let expected = &payload["pull_request"];
            let base = expected["base"]["ref"].as_str();
            assert_eq!(event.base_ref.as_deref(), base);
            let head = expected["head"]["repo"]["full_name"].as_str();
            assert_eq!(event.is_from_fork(), head != payload["repository"]["full_name"].as_str());
            let pull = event.pull_request.unwrap();
            assert_eq!(pull.number, number);
            assert_eq!(pull.head_sha, expected["head"]["sha"].as_str().unwrap());
            assert_eq!(pull.head_repository.as_deref(), head);
            assert_eq!(pull.base_sha, expected["base"]["sha"].as_str().unwrap());
            let labels: Vec<&str> = expected["labels"]
                .as_array()
                .unwrap()
                .iter()
                .map(|label| label["name"].as_str().unwrap())
                .collect();
            assert_eq!(pull.labels, labels);
        }
    }
}

#[test]
fn events_about_nothing_else_than_the_repository() {
    for name in ["release", "workflow_dispatch", "create", "delete", "merge_group"] {
        let Some(examples) = examples(name) else { return };
        for payload in examples {
            let event = read(name, &payload, "refs/heads/master", "0123456");
            assert!(event.pull_request.is_none() && !event.is_from_fork(), "{name}");
        }
    }
}

#[test]
fn runs_of_other_workflows() {
    let Some(examples) = examples("workflow_run") else { return };
    for payload in examples {
        let event = read("workflow_run", &payload, "refs/heads/master", "0123456");
        let expected = &payload["workflow_run"];
        let head = expected["head_repository"]["full_name"].as_str();
        assert_eq!(event.is_from_fork(), head != payload["repository"]["full_name"].as_str());
        let run = event.workflow_run.unwrap();
        assert_eq!(run.event, expected["event"].as_str().unwrap());
        assert_eq!(run.head_sha, expected["head_sha"].as_str().unwrap());
        assert_eq!(run.head_branch.as_deref(), expected["head_branch"].as_str());
        assert_eq!(run.head_repository.map(|head| head.full_name).as_deref(), head);
    }
}

/// GitHub has no example of this one, which is no webhook.
#[test]
fn schedules() {
    let payload = serde_json::json!({
        "schedule": "0 4 * * 1",
        "repository": { "full_name": "acme/boat", "name": "boat", "default_branch": "main" },
    });
    let variables = [
        ("GITHUB_EVENT_NAME", "schedule"),
        ("GITHUB_REPOSITORY", "acme/boat"),
        ("GITHUB_REF", "refs/heads/main"),
        ("GITHUB_SHA", "0123456"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let event = Event::read(&variables, payload.to_string().as_bytes()).unwrap();
    assert_eq!((event.branch(), event.default_branch.as_str()), (Some("main"), "main"));
    // Where the payload has no address of the repository, the runner's variables have.
    assert_eq!(event.about.url, "https://github.com/acme/boat");
}
