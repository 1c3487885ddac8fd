//! `plimsoll check`, and its findings in a build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn plimsoll(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with this Dockerfile.
fn folder(dockerfile: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    folder
}

fn cases() -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-checks");
    let entries = fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

/// The text below the count, exit code 1 where anything was found.
#[test]
fn cases_are_checked_as_buildkit_checks_them() {
    let store = tempfile::tempdir().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let cases = cases();
    assert!(cases.len() > 40, "{cases:?}");
    for case in cases {
        let context = case.join("context");
        let context = if context.is_dir() { &context } else { empty.path() };
        let options = fs::read_to_string(case.join("options")).unwrap_or_default();
        let output = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["check", "-f", "Dockerfile", "--store"])
            .arg(store.path())
            .args(options.lines())
            .arg(context)
            .current_dir(&case)
            .env_clear()
            .output()
            .unwrap();
        let expected = fs::read_to_string(case.join("expected.txt")).unwrap();
        let found = stdout(&output);
        let (count, rest) = found.split_once('\n').unwrap_or_default();
        assert_eq!(rest, expected, "{case:?}\n{}", stderr(&output));
        let (sentence, code) = match expected.matches("WARNING: ").count() {
            0 => ("Check complete, no warnings found.".to_owned(), 0),
            1 => ("Check complete, 1 warning has been found!".to_owned(), 1),
            n => (format!("Check complete, {n} warnings have been found!"), 1),
        };
        assert_eq!((count, output.status.code()), (sentence.as_str(), Some(code)), "{case:?}");
    }
}

/// Every rule but the one that needs a base of another platform.
#[test]
fn each_rule_has_a_case() {
    let names: Vec<String> =
        cases().iter().map(|case| case.file_name().unwrap().to_string_lossy().into()).collect();
    for rule in (1..=22).filter(|rule| *rule != 14) {
        let prefix = format!("C-{rule:02}-");
        assert!(names.iter().any(|name| name.starts_with(&prefix)), "{prefix}");
    }
}

#[test]
fn json_and_annotations() {
    let folder = folder("FROM scratch\nCMD echo\n");
    let output = plimsoll(folder.path(), &["check", "--format=json", "."]);
    assert_eq!(output.status.code(), Some(1));
    let object: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(object["warnings"][0]["ruleName"], "JSONArgsRecommended");
    assert_eq!(object["warnings"][0]["location"]["ranges"][0]["start"]["line"], 2);
    assert_eq!(object["sources"][0]["filename"], "Dockerfile");

    let output = plimsoll(folder.path(), &["check", "--format", "github", "."]);
    assert_eq!(output.status.code(), Some(1));
    let line = stdout(&output);
    assert!(
        line.starts_with("::warning file=Dockerfile,line=2,endLine=2,title=JSONArgsRecommended::"),
        "{line}"
    );
}

#[test]
fn a_mistake_is_told_after_what_was_found() {
    let folder = folder("FROM scratch as a\nCOPY --from=4 b /\n");
    let output = plimsoll(folder.path(), &["check", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("WARNING: FromAsCasing"), "{}", stdout(&output));
    let error = stderr(&output);
    assert!(error.contains("   2 | >>> COPY --from=4 b /\n"), "{error}");
    assert!(error.contains("invalid stage index 4\n"), "{error}");
}

/// What is found while reading comes before a mistake of syntax; BuildKit, too, has looked for the
/// rest by then only in a file without one.
#[test]
fn a_mistake_of_syntax_is_told_after_what_was_found() {
    let text = "FROM scratch as A\nMAINTAINER a\nENV A 1\nCPY a /\nMAINTAINER b\nUSER \\\n\n a\n";
    let folder = folder(text);
    let output = plimsoll(folder.path(), &["check", "--format=json", "."]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<_> = found["warnings"].as_array().unwrap().iter().collect();
    let names: Vec<_> = found.iter().map(|f| f["ruleName"].as_str().unwrap()).collect();
    let expected =
        ["StageNameCasing", "FromAsCasing", "MaintainerDeprecated", "NoEmptyContinuation"];
    assert_eq!(names, expected);
    for command in ["check", "build", "plan"] {
        let output = plimsoll(folder.path(), &[command, "--store=store", "."]);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        let warned = said.find("FromAsCasing").expect("the finding is told");
        let failed = said.find("unknown instruction: CPY (did you mean COPY?)").unwrap();
        assert!(warned < failed, "{command}: {said}");
    }
}

#[test]
fn a_command_line_of_build_is_one_of_check() {
    let folder = folder("FROM scratch\n");
    let words =
        ["check", "-t", "a", "--push", "--label=b=c", "--progress=quiet", "--no-cache", "."];
    let output = plimsoll(folder.path(), &words);
    assert_eq!(stderr(&output), "");
    assert_eq!(stdout(&output), "Check complete, no warnings found.\n");
    let help = stdout(&plimsoll(folder.path(), &["check", "--help"]));
    assert!(help.contains("--target") && !help.contains("--push"), "{help}");
    assert_eq!(plimsoll(folder.path(), &["check", "--format=xml", "."]).status.code(), Some(2));
    assert_eq!(plimsoll(folder.path(), &["check", "none"]).status.code(), Some(2));
}

#[test]
fn a_build_warns_and_fails_where_it_is_asked_to() {
    let folder = folder("FROM scratch AS a\nENV A b\n");
    let build = |flags: &[&str]| plimsoll(folder.path(), &[&["build"], flags, &["."]].concat());
    let message = "LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \
                   \"ENV key value\" format (line 2)";

    let output = build(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("warning: {message}\n")), "{}", stderr(&output));

    let output = build(&["--progress=json"]);
    let finding = stderr(&output)
        .lines()
        .find(|line| line.contains("\"finding\""))
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let finding = finding.unwrap();
    assert_eq!(finding["rule"], "LegacyKeyValueFormat");
    assert_eq!(finding["lines"], serde_json::json!([2, 2]));

    let output = build(&["--build-arg=BUILDKIT_DOCKERFILE_CHECK=error=true"]);
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(error.contains(&format!("warning: {message}\n")), "{error}");
    assert!(error.ends_with("lint violation found for rules: LegacyKeyValueFormat\n"), "{error}");

    let output = build(&["--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=all;error=true"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(!stderr(&output).contains("warning"), "{}", stderr(&output));
}

/// As with buildx.
#[test]
fn the_metadata_of_a_build_have_its_warnings_where_a_variable_says_so() {
    let folder = folder("FROM scratch AS a\nENV A b\n");
    let warnings = |variable: Option<&str>| -> serde_json::Value {
        let output = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["build", "--store", "store", "--metadata-file", "meta.json", "."])
            .current_dir(folder.path())
            .env_clear()
            .envs(variable.map(|value| ("BUILDX_METADATA_WARNINGS", value)))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let metadata = fs::read(folder.path().join("meta.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&metadata).unwrap()["buildx.build.warnings"]
            .take()
    };
    for unset in [None, Some(""), Some("false"), Some("perhaps")] {
        assert!(warnings(unset).is_null(), "{unset:?}");
    }
    for set in ["true", "1"] {
        let warnings = warnings(Some(set));
        assert_eq!(warnings[0]["range"][0]["start"]["line"], 2, "{warnings}");
        assert_eq!(warnings[0]["level"], 1);
        assert_eq!(warnings.as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_build_can_be_a_question() {
    let folder = folder(
        "# VERSION is printed\nARG VERSION=1\nFROM scratch AS base\n# all is what is shipped\n\
         FROM base AS all\nARG VERSION\nRUN --mount=type=secret,id=token,required x\n",
    );
    let ask = |words: &[&str]| {
        let output = plimsoll(folder.path(), &[&["build"], words, &["."]].concat());
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", stderr(&output));
        stdout(&output)
    };
    assert_eq!(
        ask(&["--call=outline", "--build-arg", "VERSION=2"]),
        "TARGET:      all\nDESCRIPTION: is what is shipped\n\n\
         BUILD ARG   VALUE   DESCRIPTION\nVERSION     2       \n\n\
         SECRET   REQUIRED\ntoken    true\n\n"
    );
    assert!(ask(&["--call=outline"]).contains("\nVERSION     1       is printed\n"));
    assert_eq!(
        ask(&["--call", "targets"]),
        "TARGET        DESCRIPTION\nbase          \nall (default) is what is shipped\n"
    );
    let object: serde_json::Value =
        serde_json::from_str(&ask(&["--call=targets,format=json"])).unwrap();
    assert_eq!(object["targets"][1]["default"], true);
    assert_eq!(ask(&["--check"]), "Check complete, no warnings found.\n");

    let output = plimsoll(folder.path(), &["build", "--call=outline", "--target=al", "."]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let output = plimsoll(folder.path(), &["build", "--call=inline", "."]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn findings_may_be_no_failure() {
    let folder = folder("FROM scratch\nCMD echo\n");
    for (call, code) in [("check", 1), ("check,ignorestatus=true", 0)] {
        let output = plimsoll(folder.path(), &["build", "--call", call, "."]);
        assert_eq!(output.status.code(), Some(code), "{call}");
        assert!(stdout(&output).starts_with("Check complete, 1 warning"), "{call}");
    }
}
