//! Holds the sources to ARCHITECTURE.md: its table says which folder may use which, and its
//! invariants what only some folders may do.

#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/table.rs"]
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rules::Rules;
use source::Source;
use table::Table;

/// Every source file of the program, as its path below `src/` and its text.
fn sources() -> Vec<(String, String)> {
    fn walk(directory: &Path, below: &Path, files: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, below, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(below).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &root, &mut files);
    files.sort();
    files
}

fn crates() -> BTreeSet<String> {
    let manifest = include_str!("../Cargo.toml");
    let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap();
    let lines = dependencies.lines().take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.replace('-', "_"))
        .collect()
}

#[test]
fn the_sources_keep_the_rules() {
    let table = Table::parse(include_str!("../ARCHITECTURE.md")).unwrap();
    let sources: Vec<Source> =
        sources().iter().map(|(name, text)| Source::parse(name, text)).collect();
    let rules = Rules { table: &table, crates: crates() };
    let complaints = rules.check(&sources);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn the_table_has_a_row_for_every_folder_and_no_other() {
    let table = Table::parse(include_str!("../ARCHITECTURE.md")).unwrap();
    let there: BTreeSet<String> = sources()
        .iter()
        .map(|(name, _)| name.split(['/', '.']).next().unwrap().to_owned())
        .filter(|name| name != "lib")
        .collect();
    assert_eq!(table.names(), there);
}

const TABLE: &str = "
| folder | what it knows | may use |
|---|---|---|
| `main.rs` | the start | `cli`, `sandbox` |
| `cli/` | what was typed | everything |
| `error.rs` | an error. **For all** | – |
| `plan/` | a graph. **Pure** | – |
| `tree/` | files. **Pure** | `plan` (its `--exclude`, too) |
| `http.rs` | one client | – |
| `sandbox/` | one command | – |
| `build/` | the engine | all of the above, `ui` |
| `ui/` | what a person sees | – |
";

#[test]
fn what_the_rules_forbid_is_found() {
    let table = Table::parse(TABLE).unwrap();
    for (file, text, expected) in [
        ("plan/mod.rs", "use crate::tree::Tree;", "plan/mod.rs:1: plan may not use tree"),
        ("plan/a/b.rs", "\nuse super::super::super::tree;", "plan/a/b.rs:2: plan may not use tree"),
        ("plan/a.rs", "use crate::{error, tree::{A, B}};", "plan/a.rs:1: plan may not use tree"),
        ("plan/a.rs", "fn f() { crate::ui::say() }", "plan/a.rs:1: plan may not use ui"),
        ("error.rs", "use crate::plan;", "error.rs:1: error may not use plan"),
        ("main.rs", "fn main() { plimsoll::build::x(); }", "main.rs:1: main may not use build"),
        ("build/a.rs", "use crate::cli;", "build/a.rs:1: build may not use cli"),
        ("plan/a.rs", "use crate::*;", "plan/a.rs:1: everything of the crate at once"),
        ("tree/a.rs", "use std::{fs, io};", "tree/a.rs:1: a pure folder may not use std::fs"),
        (
            "tree/a.rs",
            "fn f() -> std::net::IpAddr",
            "tree/a.rs:1: a pure folder may not use std::net",
        ),
        ("tree/a.rs", "use std::path::Path;", "tree/a.rs:1: a pure folder may not use std::path"),
        (
            "tree/a.rs",
            "use std::time::Instant;",
            "tree/a.rs:1: a pure folder may not use std::time::Instant",
        ),
        ("tree/a.rs", "use std::*;", "tree/a.rs:1: a pure folder may not use std::*"),
        ("tree/a.rs", "use rustix::fs::open;", "tree/a.rs:1: a pure folder may not use rustix"),
        ("tree/a.rs", "async fn f() {}", "tree/a.rs:1: async outside of the folders with sockets"),
        (
            "sandbox/a.rs",
            "tokio::spawn(f)",
            "sandbox/a.rs:1: tokio outside of the folders with sockets",
        ),
        ("build/a.rs", "let x = std::env::var(\"X\");", "build/a.rs:1: reads the environment"),
        ("build/a.rs", "use std::env;", "build/a.rs:1: reads the environment"),
        ("build/a.rs", "let now = SystemTime::now();", "build/a.rs:1: reads the clock"),
        ("build/a.rs", "println!(\"x\")", "build/a.rs:1: prints"),
        ("build/a.rs", "use std::io;\nio::stderr();", "build/a.rs:2: prints"),
        ("build/a.rs", "use std::io::stdout;", "build/a.rs:1: prints"),
        ("build/a.rs", "unsafe { f() }", "build/a.rs:1: unsafe"),
        ("new/mod.rs", "", "new/mod.rs: no row of the table"),
    ] {
        let rules = Rules { table: &table, crates: crates() };
        let complaints = rules.check(&[Source::parse(file, text)]);
        assert_eq!(complaints, [expected], "{file}: {text}");
    }
}

#[test]
fn what_the_rules_allow_is_not_found() {
    let table = Table::parse(TABLE).unwrap();
    for (file, text) in [
        ("cli/a.rs", "use crate::{build, ui}; fn f() { std::env::var(\"X\"); println!(); }"),
        ("build/a.rs", "use crate::{plan, tree, sandbox, ui, error::Error};"),
        ("tree/a.rs", "use crate::plan::Plan; use super::b; use std::{io, fmt, str::FromStr};"),
        ("plan/mod.rs", "use super::error::Error; use std::time::Duration; use crate::plan::a;"),
        ("plan/a.rs", "// crate::tree\n/* std::fs /* */ tokio */ const A: &str = \"crate::tree\";"),
        ("plan/a.rs", "const A: &str = r#\"\" std::fs \"#; const B: char = '\"'; fn f<'a>() {}"),
        ("plan/a.rs", "#[cfg(test)]\nmod tests { use std::fs; fn f() { crate::tree::x() } }"),
        ("plan/a.rs", "#[cfg(test)] use std::fs;\n#[cfg(test)] pub(crate) fn f() { eprintln!() }"),
        ("http.rs", "fn f() -> impl Future<Output = ()> + use<> { a(b, c); d() }"),
        ("http.rs", "use tokio::net; async fn f() { g().await }"),
        ("sandbox/a.rs", "unsafe { f() }"),
        ("ui/a.rs", "std::io::stderr()"),
        ("lib.rs", "pub mod ui;"),
    ] {
        let rules = Rules { table: &table, crates: crates() };
        assert_eq!(rules.check(&[Source::parse(file, text)]), [""; 0], "{file}: {text}");
    }
}

#[test]
fn files_of_tests_are_no_part_of_the_program() {
    let table = Table::parse(TABLE).unwrap();
    let rules = Rules { table: &table, crates: crates() };
    let parse = |(file, text): (&str, &str)| Source::parse(file, text);
    let own = [
        ("plan/mod.rs", "mod a; #[cfg(test)] mod tests;"),
        ("plan/tests.rs", "mod more; use std::fs;"),
        ("plan/tests/more.rs", "use std::fs;"),
        ("plan/a.rs", "#[cfg(test)]\nmod tests;"),
        ("plan/a/tests.rs", "use std::fs;"),
    ];
    assert_eq!(rules.check(&own.map(parse)), [""; 0]);
    let shipped = own.map(|(file, text)| (file, text.strip_prefix("#[cfg(test)]").unwrap_or(text)));
    assert_eq!(rules.check(&shipped.map(parse)).len(), 1);
}

#[test]
fn a_table_that_cannot_be_read_is_an_error() {
    for (row, expected) in [
        ("| `a/` | x | `b` |", "`a`: there is no row `b` to use"),
        ("| `a/` | x | something |", "`a`: \"something\" says nothing about use"),
        ("| `a/` | x |", "a row without three cells: | `a/` | x |"),
    ] {
        let text = format!("| folder | what it knows | may use |\n|---|---|---|\n{row}\n");
        assert_eq!(Table::parse(&text).unwrap_err(), expected);
    }
    assert_eq!(Table::parse("no table").unwrap_err(), "there is no table of folders");
}
