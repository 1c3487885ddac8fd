//! What the sources are held to.

use std::collections::BTreeSet;

use super::source::Source;
use super::table::{Row, Table};

pub struct Rules<'t> {
    pub table: &'t Table,
    /// What the program depends on, as its sources name it.
    pub crates: BTreeSet<String>,
}

/// Crates that only make values of values.
const PURE_CRATES: [&str; 10] = [
    "base64",
    "flate2",
    "oci_spec",
    "serde",
    "serde_json",
    "serde_yaml",
    "sha2",
    "spdx",
    "thiserror",
    "zstd",
];

/// Parts of the standard library that reach out of a program, or start something in it.
const IMPURE: [&[&str]; 13] = [
    &["env"],
    &["fs"],
    &["io", "stderr"],
    &["io", "stdin"],
    &["io", "stdout"],
    &["net"],
    &["os"],
    // A path can be asked whether it exists.
    &["path"],
    &["process"],
    &["thread"],
    &["time", "Instant"],
    &["time", "SystemTime"],
    &["*"],
];

const ASYNC_FOLDERS: [&str; 8] =
    ["build", "cache", "cli", "context", "github", "http", "inspect", "registry"];
const ASYNC: [&str; 7] =
    ["async", "await", "futures_util", "hyper", "reqwest", "tokio", "tokio_util"];

const ENVIRONMENT_FOLDERS: [&str; 3] = ["cli", "github", "main"];

const PRINTING_FOLDERS: [&str; 2] = ["cli", "ui"];
/// Writes the image to the standard output, if that was asked for.
const PRINTING_FILES: [&str; 1] = ["build/outputs.rs"];
const PRINTING_MACROS: [&str; 5] = ["dbg", "eprint", "eprintln", "print", "println"];

const UNSAFE_FOLDERS: [&str; 1] = ["sandbox"];
/// Files with a single system call that has no safe wrapper.
const UNSAFE_FILES: [&str; 0] = [];

impl Rules<'_> {
    /// One line for each breach: file, line, and which rule.
    pub fn check(&self, sources: &[Source]) -> Vec<String> {
        let tests: Vec<&Vec<String>> =
            sources.iter().flat_map(|source| &source.test_modules).collect();
        let shipped = |source: &&Source| !tests.iter().any(|test| source.module.starts_with(test));
        sources.iter().filter(shipped).flat_map(|source| self.check_file(source)).collect()
    }

    fn check_file(&self, source: &Source) -> Vec<String> {
        // Names the folders, and is in none.
        if source.file == "lib.rs" {
            return Vec::new();
        }
        let folder = source.module.first().map_or("main", String::as_str);
        let Some(row) = self.table.row(folder) else {
            return vec![format!("{}: no row of the table", source.file)];
        };
        let place = Place { file: &source.file, folder, row };
        let paths = source.paths.iter().filter_map(|(line, path)| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            Some((line, self.complaint(place, &path)?))
        });
        let macros = source.macros.iter().filter_map(|(line, name)| {
            let prints = PRINTING_MACROS.contains(&name.as_str()) && !place.may_print();
            prints.then(|| (line, "prints".to_owned()))
        });
        let complaints = paths.chain(macros);
        let mut complaints: Vec<String> =
            complaints.map(|(line, text)| format!("{}:{line}: {text}", source.file)).collect();
        complaints.dedup();
        complaints
    }

    /// The first rule that a path breaks.
    fn complaint(&self, place: Place<'_>, path: &[&str]) -> Option<String> {
        let Place { folder, row, .. } = place;
        match path {
            ["crate", "*", ..] => return Some("everything of the crate at once".to_owned()),
            ["crate", used, ..] => {
                let for_all = self.table.row(used).is_none_or(|used| used.for_all);
                let allowed = for_all || *used == folder || row.may_use.contains(*used);
                return (!allowed).then(|| format!("{folder} may not use {used}"));
            }
            _ => {}
        }
        if row.pure
            && let Some(impure) = self.impure(path)
        {
            return Some(format!("a pure folder may not use {impure}"));
        }
        if ASYNC.contains(&path[0]) && !ASYNC_FOLDERS.contains(&folder) {
            return Some(format!("{} outside of the folders with sockets", path[0]));
        }
        let from_outside = ENVIRONMENT_FOLDERS.contains(&folder);
        match path {
            // What the program was built for.
            ["std", "env", "consts", ..] => None,
            ["std", "env", ..] if !from_outside => Some("reads the environment".to_owned()),
            [.., "SystemTime" | "Timestamp" | "Zoned", "now"] if !from_outside => {
                Some("reads the clock".to_owned())
            }
            [.., "io", "stdout" | "stderr"] if !place.may_print() => Some("prints".to_owned()),
            ["unsafe"] if !place.may_be_unsafe() => Some("unsafe".to_owned()),
            _ => None,
        }
    }

    /// The part of `path` that a pure folder keeps away from.
    fn impure(&self, path: &[&str]) -> Option<String> {
        let (first, rest) = path.split_first()?;
        // A word alone is a variable.
        if !rest.is_empty() && self.crates.contains(*first) {
            return (!PURE_CRATES.contains(first)).then(|| (*first).to_owned());
        }
        let found = IMPURE.iter().find(|impure| *first == "std" && rest.starts_with(impure))?;
        Some(format!("std::{}", found.join("::")))
    }
}

/// Where something is used.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a str,
    folder: &'a str,
    row: &'a Row,
}

impl Place<'_> {
    fn may_print(self) -> bool {
        PRINTING_FOLDERS.contains(&self.folder) || PRINTING_FILES.contains(&self.file)
    }

    fn may_be_unsafe(self) -> bool {
        UNSAFE_FOLDERS.contains(&self.folder) || UNSAFE_FILES.contains(&self.file)
    }
}
