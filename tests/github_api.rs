//! The comment and the check run, against GitHub's API in this process, with Prism between the two.

#[path = "support/github/mod.rs"]
mod github;
#[path = "support/node.rs"]
mod node;
#[path = "support/github/prism.rs"]
mod prism;

use std::ops::Deref;
use std::path::Path;

use github::{Access, FakeGithub, Fault};
use plimsoll::github::api::{Api, ApiError, Conclusion, Posted};
use prism::Prism;
use serde_json::Value;

const MARKER: &str = "<!-- plimsoll:boat -->";
const BOT: &str = "github-actions[bot]";

/// The fake, and what stands in front of it.
struct Github {
    /// Falls first: it tells what did not fit.
    prism: Option<Prism>,
    fake: FakeGithub,
}

impl Github {
    /// Held against GitHub's description where Prism is installed.
    fn described() -> Self {
        let fake = FakeGithub::start();
        Self { prism: Prism::before(&fake), fake }
    }

    /// For answers that GitHub gives but does not describe.
    fn undescribed() -> Self {
        Self { prism: None, fake: FakeGithub::start() }
    }
}

impl Deref for Github {
    type Target = FakeGithub;

    fn deref(&self) -> &FakeGithub {
        &self.fake
    }
}

/// Runs `work` with a client.
fn with<T>(github: &Github, work: impl AsyncFnOnce(Api) -> T) -> T {
    // The program does the same, once, when it starts.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = github.prism.as_ref().map_or_else(|| github.fake.url(), Prism::url);
        let api = Api::new(&url, "a-token", "acme/boat").unwrap();
        work(api).await
    })
}

fn put(fake: &Github, text: &str) -> Result<Posted, ApiError> {
    let body = format!("{MARKER}\n{text}");
    with(fake, async |api| api.put_comment(7, MARKER, &body).await)
}

#[test]
fn one_comment_is_made_and_then_kept_up_to_date() {
    let fake = Github::described();
    let url = "https://github.com/acme/boat/pull/7#issuecomment-1".to_owned();
    assert_eq!(put(&fake, "12 MB").unwrap(), Posted::Created { url: url.clone() });
    assert_eq!(put(&fake, "12 MB").unwrap(), Posted::Unchanged { url: url.clone() });
    assert_eq!(put(&fake, "13 MB").unwrap(), Posted::Updated { url });
    assert_eq!(fake.bodies(7), [format!("{MARKER}\n13 MB")]);
    assert_eq!(fake.bodies(8), Vec::<String>::new());
}

#[test]
fn it_is_found_on_any_page() {
    let fake = Github::described();
    for number in 0..240 {
        fake.comment(7, "somebody", &format!("comment {number}"));
    }
    fake.comment(7, BOT, &format!("{MARKER}\nold"));
    assert!(matches!(put(&fake, "new").unwrap(), Posted::Updated { .. }));
    assert_eq!(fake.bodies(7).len(), 241);
}

#[test]
fn a_marker_that_somebody_else_wrote_is_not_ours() {
    let fake = Github::described();
    fake.comment(7, "eve", &format!("{MARKER}\nall is well"));
    assert!(matches!(put(&fake, "13 MB").unwrap(), Posted::Created { .. }));
    assert_eq!(fake.bodies(7)[0], format!("{MARKER}\nall is well"));
    // A token of a user has that user's comments.
    let fake = Github::described();
    fake.state().login = Some("deploy".to_owned());
    fake.comment(7, "deploy", &format!("{MARKER}\nold"));
    assert!(matches!(put(&fake, "new").unwrap(), Posted::Updated { .. }));
}

#[test]
fn an_app_finds_its_own_comment_again() {
    // GitHub describes REST alone.
    let fake = Github::undescribed();
    fake.state().app = Some("sails[bot]".to_owned());
    fake.comment(7, "eve", &format!("{MARKER}\nall is well"));
    assert!(matches!(put(&fake, "12 MB").unwrap(), Posted::Created { .. }));
    assert!(matches!(put(&fake, "13 MB").unwrap(), Posted::Updated { .. }));
    assert_eq!(fake.bodies(7).len(), 2);
}

#[test]
fn copies_are_removed_and_the_oldest_stays() {
    let fake = Github::described();
    for text in ["first", "second", "third"] {
        fake.comment(7, BOT, &format!("{MARKER}\n{text}"));
    }
    assert!(matches!(put(&fake, "now").unwrap(), Posted::Updated { .. }));
    assert_eq!(fake.bodies(7), [format!("{MARKER}\nnow")]);
    let removed = with(&fake, async |api| api.remove_comment(7, MARKER).await);
    assert_eq!(removed.unwrap(), Posted::Removed);
    let removed = with(&fake, async |api| api.remove_comment(7, MARKER).await);
    assert_eq!(removed.unwrap(), Posted::Nothing);
}

#[test]
fn a_comment_that_was_deleted_meanwhile_is_made_again() {
    let fake = Github::undescribed();
    fake.comment(7, BOT, &format!("{MARKER}\nold"));
    fake.state().faults.push(Fault {
        method: "PATCH",
        path: "/comments/1",
        times: 1,
        status: 404,
        retry_after: None,
    });
    assert!(matches!(put(&fake, "new").unwrap(), Posted::Created { .. }));
}

#[test]
fn a_read_only_token_is_told_as_such() {
    let fake = Github::described();
    fake.state().access = Access::Read;
    let error = put(&fake, "13 MB").unwrap_err();
    assert!(matches!(error, ApiError::Denied { status: 403, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "can't comment on the pull request: GitHub says no (403): \
         Resource not accessible by integration"
    );
}

#[test]
fn rate_limits_and_faults_are_waited_out() {
    let fake = Github::undescribed();
    let fault = |status, retry_after| Fault {
        method: "POST",
        path: "/comments",
        times: 1,
        status,
        retry_after,
    };
    fake.state().faults.extend([fault(429, Some(0)), fault(502, None)]);
    assert!(matches!(put(&fake, "13 MB").unwrap(), Posted::Created { .. }));
    let posts = fake.state().log.iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!(posts, 3);
}

#[test]
fn what_is_too_long_is_refused_with_a_reason() {
    let fake = Github::described();
    let error = put(&fake, &"x".repeat(70_000)).unwrap_err();
    assert!(matches!(error, ApiError::Refused { status: 422, .. }), "{error}");
}

#[test]
fn a_check_says_how_it_ended() {
    let fake = Github::described();
    let made = with(&fake, async |api| {
        api.create_check("plimsoll", "860c190", Conclusion::Failure, "Too heavy", "by 3 MB").await
    });
    made.unwrap();
    let state = fake.state();
    assert_eq!(state.checks[0]["conclusion"], "failure");
    assert_eq!(state.checks[0]["output"]["title"], "Too heavy");
}

/// The pull request of GitHub's first example, whose head is `Codertocat:changes`.
fn pull_request() -> Option<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/github/node/node_modules");
    let file = root.join("@octokit/webhooks-examples/api.github.com/index.json");
    let Ok(text) = std::fs::read(&file) else {
        eprintln!("SKIPPED: there is no {}", file.display());
        return None;
    };
    let events: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let event = events.into_iter().find(|event| event["name"] == "pull_request").unwrap();
    let mut pull = event["examples"][0]["pull_request"].clone();
    // The example is older than this.
    pull["auto_merge"] = Value::Null;
    Some(pull)
}

#[test]
fn pull_requests_are_found_by_commit_and_by_branch() {
    let Some(pull) = pull_request() else { return };
    let head = &pull["head"];
    let (sha, label) = (head["sha"].as_str().unwrap(), head["label"].as_str().unwrap());
    let fake = Github::described();
    fake.state().pulls.push((sha.to_owned(), pull.clone()));
    let found = with(&fake, async |api| {
        [api.pulls_of(sha).await.unwrap(), api.pulls_from(label).await.unwrap()]
    });
    for pulls in found {
        assert_eq!((pulls.len(), pulls[0].number, pulls[0].head.sha.as_str()), (1, 2, sha));
    }
    let others = with(&fake, async |api| api.pulls_from("eve:changes").await);
    assert_eq!(others.unwrap(), []);
}

#[test]
fn labels_and_commits_are_read() {
    let fake = Github::described();
    fake.state().labels = vec!["size-accepted".to_owned()];
    fake.state().message = "Add sails".to_owned();
    let (labels, commit) =
        with(&fake, async |api| (api.labels(7).await, api.commit("860c190").await));
    assert_eq!(labels.unwrap(), ["size-accepted"]);
    let commit = commit.unwrap();
    assert_eq!(commit.message, "Add sails");
    assert_eq!(commit.committed.to_string(), "2026-01-02T03:04:05Z");
}
