//! The cases of `tests/golden`: what BuildKit made of small Dockerfiles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The rows of the language, by what they are about: the file, words, arguments, stages, RUN, COPY
/// and ADD, metadata, the ignore file.
const ROWS: [std::ops::RangeInclusive<u32>; 8] =
    [1..=20, 30..=40, 50..=59, 70..=86, 100..=118, 130..=149, 160..=172, 190..=195];

/// The reader of images is not ours on purpose: what Plimsoll writes wrongly it might read wrongly.
#[test]
fn cases_are_built_as_buildkit_builds_them() {
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|python| python.status.success()) {
        eprintln!("skipped: there is no python3 to run tests/golden/check");
        return;
    }
    let check =
        Command::new(folder().join("check")).arg(env!("CARGO_BIN_EXE_plimsoll")).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    eprintln!("{}", String::from_utf8_lossy(&check.stderr));
    assert!(check.status.success(), "{said}");
}

#[test]
fn every_row_has_a_case_or_a_reason_why_not() {
    let recorded: BTreeSet<String> = cases().iter().map(|case| row_of(case)).collect();
    let reasons = json(&folder().join("unrecorded.json"));
    let unrecorded: BTreeSet<String> = reasons.as_object().unwrap().keys().cloned().collect();
    let both: Vec<_> = recorded.intersection(&unrecorded).collect();
    assert!(both.is_empty(), "{both:?} have cases, and reasons to have none");
    let rows: BTreeSet<String> =
        ROWS.into_iter().flatten().map(|number| format!("L-{number:03}")).collect();
    let covered: BTreeSet<String> = recorded.union(&unrecorded).cloned().collect();
    assert_eq!(rows, covered);
}

/// README.md has each reason for which a case's answer is not BuildKit's, with the rows it concerns.
#[test]
fn the_readme_lists_what_differs() {
    let mut differences: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for case in cases() {
        let ours = folder().join(&case).join("ours.json");
        if ours.exists() {
            let why = json(&ours)["why"].as_str().unwrap().to_owned();
            differences.entry(why).or_default().insert(row_of(&case));
        }
    }
    let expected: BTreeSet<String> = differences
        .into_iter()
        .map(|(why, rows)| {
            let rows: Vec<String> = rows.into_iter().collect();
            format!("| {why} | {} |", rows.join(", "))
        })
        .collect();
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let found: BTreeSet<String> = readme
        .lines()
        .skip_while(|line| *line != "| what differs | rows |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(str::to_owned)
        .collect();
    assert_eq!(found, expected, "README.md against the ours.json of the cases");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn cases() -> Vec<String> {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with("L-")).collect()
}

/// `L-131` of `L-131-directories`.
fn row_of(case: &str) -> String {
    case.splitn(3, '-').take(2).collect::<Vec<_>>().join("-")
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
