//! `plimsoll plan`: what is told before a build is what happens in it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const DOCKERFILE: &str = "\
FROM scratch AS deps
COPY lock /lock
FROM deps AS builder
COPY src /src
WORKDIR /out
FROM deps AS test
COPY src tests /
FROM scratch
COPY --from=builder /src /app
ENV A=1
";

/// A context with files for it, and a store beside it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let context = folder.path().join("context");
    fs::create_dir_all(context.join("src/below")).unwrap();
    fs::write(context.join("lock"), "12345").unwrap();
    fs::write(context.join("src/a"), "1").unwrap();
    fs::write(context.join("src/below/b"), "23").unwrap();
    fs::write(context.join("Dockerfile"), DOCKERFILE).unwrap();
    folder
}

fn plimsoll(folder: &Path, words: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(words)
        .args(["--store", "store", "context"])
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn plan(folder: &Path, flags: &[&str]) -> Value {
    let output = plimsoll(folder, &[&["plan", "--format=json"], flags].concat());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `FATE` of each stage, and `LINE FATE WHY` of each step that is not the configuration's.
fn fates(plan: &Value) -> (Vec<&str>, Vec<String>) {
    let stages = plan["stages"].as_array().unwrap();
    let steps = stages.iter().flat_map(|stage| stage["steps"].as_array().unwrap());
    let shown = steps.filter(|step| step["fate"] != "config").map(|step| {
        let words = [step["fate"].as_str(), step["why"].as_str()];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        format!("{} {}", step["lines"][0], words.join(" "))
    });
    (stages.iter().map(|stage| stage["fate"].as_str().unwrap()).collect(), shown.collect())
}

#[test]
fn before_and_after_a_build_and_a_change() {
    let folder = folder();
    let new = plan(folder.path(), &[]);
    assert_eq!(
        fates(&new),
        (
            vec!["runs", "runs", "left_out", "runs"],
            vec![
                "2 runs no result is known".to_owned(),
                "4 runs on deps, which runs".to_owned(),
                "5 runs after line 4".to_owned(),
                "7 left_out".to_owned(),
                "9 runs reads builder, which runs".to_owned(),
            ]
        )
    );
    let copy = &new["stages"][1]["steps"][0]["reads"][0];
    assert_eq!(copy["from"], json!({ "kind": "context" }));
    assert_eq!(
        copy["files"],
        json!([{ "path": "src/a", "bytes": 1 }, { "path": "src/below/b", "bytes": 2 }])
    );
    assert_eq!(new["target"], 3);
    assert_eq!(new["steps_to_run"], 4);
    // Nothing of it has happened.
    assert_eq!(plan(folder.path(), &[]), new);

    plimsoll(folder.path(), &["build"]);
    let cached = plan(folder.path(), &[]);
    assert_eq!(fates(&cached).0, ["not_looked_at", "not_looked_at", "left_out", "cached"]);
    assert_eq!(cached["steps_to_run"], 0);

    fs::write(folder.path().join("context/src/a"), "other").unwrap();
    let changed = plan(folder.path(), &[]);
    assert_eq!(fates(&changed).0, ["cached", "runs", "left_out", "runs"]);
    assert_eq!(fates(&changed).1[0], "2 cached");
    assert_eq!(fates(&changed).1[1], "4 runs no result is known");

    let anew = plan(folder.path(), &["--no-cache", "--target=deps"]);
    assert_eq!(fates(&anew).0, ["runs", "left_out", "left_out", "left_out"]);
    assert_eq!(fates(&anew).1[0], "2 runs built without cache");
}

#[test]
fn every_format_names_every_stage() {
    let folder = folder();
    for (format, begins) in
        [("text", "context/Dockerfile → "), ("mermaid", "flowchart LR\n"), ("svg", "<svg ")]
    {
        let output = plimsoll(folder.path(), &["plan", "--format", format]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(begins), "{text}");
        for name in ["deps", "builder", "test", "stage-3"] {
            assert!(text.contains(name), "{format} {name}\n{text}");
        }
    }
}
