//! Which commit is built, and which it is compared with: from the event of GitHub Actions, or else
//! from the git work tree that the context is in.

use std::os::fd::AsFd as _;

use serde_json::Value;

use super::environment::Environment;
use crate::attest::Vcs;
use crate::context::small;
use crate::context::work_tree::{Position, WorkTree};
use crate::request::{Lineage, MainContext};
use crate::sandbox::Cancel;
use crate::url;
use crate::weight::is_commit;

/// A webhook's payload is at most this large; bytes.
const EVENT_LIMIT: u64 = 25 << 20;

/// All of it that is known.
pub fn of(environment: &Environment, context: &MainContext, cancel: &Cancel) -> Lineage {
    if environment.is_true("GITHUB_ACTIONS") {
        let payload = environment.path("GITHUB_EVENT_PATH");
        let payload = payload.and_then(|path| small::read(&path, EVENT_LIMIT).ok());
        let event = payload.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        return of_event(environment, &event.unwrap_or(Value::Null));
    }
    let MainContext::Directory(folder) = context else { return Lineage::default() };
    let (environment, cancel) = (environment.for_git(), cancel.as_fd());
    let work_tree = WorkTree { folder, environment: &environment, cancel };
    work_tree.position().map(of_position).unwrap_or_default()
}

/// Which commit a local context has the files of, and where it comes from: what git says of the
/// folder, or else the event of GitHub Actions.
pub fn vcs(environment: &Environment, context: &MainContext, cancel: &Cancel) -> Vcs {
    let MainContext::Directory(folder) = context else { return Vcs::default() };
    let (for_git, cancel) = (environment.for_git(), cancel.as_fd());
    let work_tree = WorkTree { folder, environment: &for_git, cancel };
    if let Some(position) = work_tree.position() {
        let source = work_tree.remote().map(|remote| url::shown(&remote));
        // What is built of a changed tree is no commit.
        return Vcs { source, revision: (!position.is_changed).then_some(position.commit) };
    }
    if !environment.is_true("GITHUB_ACTIONS") {
        return Vcs::default();
    }
    let variable = |name| environment.get(name)?.to_str().map(str::to_owned);
    let server = variable("GITHUB_SERVER_URL");
    let repository = server.zip(variable("GITHUB_REPOSITORY"));
    Vcs {
        source: repository.map(|(server, name)| format!("{server}/{name}")),
        revision: variable("GITHUB_SHA").filter(|sha| is_commit(sha)),
    }
}

fn of_position(position: Position) -> Lineage {
    let Position { branch, commit, is_changed, base_branch, base_commit } = position;
    // What is built of a changed tree is nothing that the commit could be known by.
    let (branch, commit) = if is_changed { (None, None) } else { (branch, Some(commit)) };
    Lineage { branch, commit, base_branch, base_commit }
}

/// By the runner's variables and the webhook's payload, which is null where there is none.
fn of_event(environment: &Environment, event: &Value) -> Lineage {
    let variable =
        |name| Some(environment.get(name)?.to_str()?.to_owned()).filter(|v| !v.is_empty());
    let text = |pointer| Some(event.pointer(pointer)?.as_str()?.to_owned());
    // A push that makes a branch comes after no commit: all zeros.
    let commit =
        |pointer| text(pointer).filter(|c| is_commit(c) && c.bytes().any(|digit| digit != b'0'));
    let sha = variable("GITHUB_SHA").filter(|sha| is_commit(sha));
    let whole_ref = variable("GITHUB_REF").unwrap_or_default();
    if let Some(pull) = whole_ref.strip_prefix("refs/pull/") {
        let number = pull.split('/').next().unwrap_or_default();
        return Lineage {
            branch: Some(format!("pull/{number}")),
            // The variable has the merge of both, a commit that nobody sees.
            commit: commit("/pull_request/head/sha").or(sha),
            base_branch: text("/pull_request/base/ref").or_else(|| variable("GITHUB_BASE_REF")),
            base_commit: commit("/pull_request/base/sha"),
        };
    }
    if let Some(base) = text("/merge_group/base_ref") {
        return Lineage {
            branch: None,
            commit: sha,
            base_branch: Some(base.strip_prefix("refs/heads/").map_or(base.clone(), str::to_owned)),
            base_commit: commit("/merge_group/base_sha"),
        };
    }
    let branch = whole_ref.strip_prefix("refs/heads/").map(str::to_owned);
    let is_new = event.pointer("/created").and_then(Value::as_bool) == Some(true);
    let default_branch = || text("/repository/default_branch");
    Lineage {
        base_branch: branch.clone().filter(|_| !is_new).or_else(default_branch),
        base_commit: commit("/before").filter(|_| branch.is_some()),
        branch,
        commit: sha,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";
    const ZEROS: &str = "0000000000000000000000000000000000000000";

    fn lineage(words: [Option<&str>; 4]) -> Lineage {
        let [branch, commit, base_branch, base_commit] = words.map(|word| word.map(str::to_owned));
        Lineage { branch, commit, base_branch, base_commit }
    }

    #[test]
    fn events_say_what_a_build_is_compared_with() {
        let pull = json!({ "pull_request": {
            "head": { "sha": ONE, "ref": "main" },
            "base": { "sha": TWO, "ref": "main" },
        }});
        let push = |before, created| {
            json!({
                "before": before, "created": created,
                "repository": { "default_branch": "main" },
            })
        };
        let group = json!({ "merge_group": { "base_ref": "refs/heads/main", "base_sha": TWO } });
        let nightly =
            json!({ "repository": { "default_branch": "main" }, "schedule": "0 0 * * *" });
        for (whole_ref, event, expected) in [
            // A fork's branch of any name is no branch of ours.
            ("refs/pull/7/merge", pull, [Some("pull/7"), Some(ONE), Some("main"), Some(TWO)]),
            ("refs/pull/7/merge", Value::Null, [Some("pull/7"), Some(ONE), Some("next"), None]),
            ("refs/heads/a/b", push(TWO, false), [Some("a/b"), Some(ONE), Some("a/b"), Some(TWO)]),
            ("refs/heads/new", push(ZEROS, true), [Some("new"), Some(ONE), Some("main"), None]),
            ("refs/tags/v1", push(ZEROS, true), [None, Some(ONE), Some("main"), None]),
            ("refs/heads/gh-readonly-queue/x", group, [None, Some(ONE), Some("main"), Some(TWO)]),
            ("refs/heads/main", nightly, [Some("main"), Some(ONE), Some("main"), None]),
            (
                "refs/heads/x",
                json!({ "before": "../../x" }),
                [Some("x"), Some(ONE), Some("x"), None],
            ),
        ] {
            let environment = Environment::of(&[
                ("GITHUB_REF", whole_ref),
                ("GITHUB_SHA", ONE),
                ("GITHUB_BASE_REF", "next"),
            ]);
            assert_eq!(of_event(&environment, &event), lineage(expected), "{whole_ref} {event}");
        }
    }

    #[test]
    fn an_event_that_can_t_be_read_leaves_the_variables() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event.json");
        std::fs::write(&path, "{").unwrap();
        let cancel = Cancel::new().unwrap();
        for path in [path.to_str().unwrap(), "/nowhere"] {
            let environment = Environment::of(&[
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_EVENT_PATH", path),
                ("GITHUB_REF", "refs/heads/main"),
                ("GITHUB_SHA", ONE),
            ]);
            let found = of(&environment, &MainContext::Empty, &cancel);
            assert_eq!(found, lineage([Some("main"), Some(ONE), Some("main"), None]));
        }
    }
}
