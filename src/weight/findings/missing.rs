//! Programs that will not start: the loader, a library or an interpreter is not in the image.
//!
//! A library counts as there if any file or link of its name is, wherever it is: `ld.so.conf`,
//! `LD_LIBRARY_PATH` and `dlopen` are not followed, so a doubt is no finding.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::tree::{Kind, Tree, TreePath};
use crate::weight::facts::{Fact, Program, Script};
use crate::weight::file::{Fate, File};
use crate::weight::finding::{Finding, FindingKind};
use crate::weight::input::Image;
use crate::weight::size::Size;

/// Where scripts lie that nobody starts by name: examples, hooks, parts of packages.
const PARTS: [&[u8]; 4] = [b"usr/share/", b"usr/lib/", b"usr/src/", b"var/"];
const PACKAGE_FOLDERS: [&[u8]; 3] = [b"/node_modules/", b"/site-packages/", b"/dist-packages/"];

/// Files that miss the same things, in the same layer, are one finding.
pub(super) fn find(image: &Image, tree: &Tree, files: &[File]) -> Vec<Finding> {
    let search = Search::new(image, tree, files);
    let mut groups: BTreeMap<(FindingKind, u32, String), Vec<TreePath>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.fate == Fate::Kept) {
        let (kind, missing) = match search.facts.get(&file.path[..]) {
            Some(Fact::Program(program)) => (FindingKind::MissingLibrary, search.missing(program)),
            Some(Fact::Script(script)) if is_started(&file.path) => {
                (FindingKind::MissingInterpreter, search.interpreter(script))
            }
            _ => continue,
        };
        if !missing.is_empty() {
            let missing = missing.into_iter().collect::<Vec<_>>().join(", ");
            groups.entry((kind, file.layer, missing)).or_default().push(file.path.clone());
        }
    }
    let finding = |((kind, layer, detail), mut paths): (_, Vec<TreePath>)| {
        let files = u32::try_from(paths.len()).unwrap_or(u32::MAX);
        paths.truncate(Finding::PATHS);
        Finding { kind, size: Size::ZERO, layer, by: None, files, paths, detail, advice: None }
    };
    groups.into_iter().map(finding).collect()
}

fn is_started(path: &[u8]) -> bool {
    let rooted = [b"/", path].concat();
    let is_in = |folder: &&[u8]| rooted.windows(folder.len()).any(|window| window == *folder);
    !PARTS.iter().any(|part| path.starts_with(part)) && !PACKAGE_FOLDERS.iter().any(is_in)
}

struct Search<'a> {
    tree: &'a Tree,
    facts: HashMap<&'a [u8], &'a Fact>,
    /// Files and links of the image by their names.
    names: HashMap<&'a [u8], Vec<&'a TreePath>>,
}

impl<'a> Search<'a> {
    fn new(image: &'a Image, tree: &'a Tree, files: &'a [File]) -> Self {
        let kept = files.iter().filter(|file| file.fate == Fate::Kept);
        let fact = |file: &'a File| {
            let fact = image.layers[file.layer as usize].facts.get(&file.path)?;
            Some((&file.path[..], fact))
        };
        let facts: HashMap<&[u8], &Fact> = kept.filter_map(fact).collect();
        // Only what some program may ask for: names of all files of a large image are many.
        let mut names: HashMap<&[u8], Vec<&TreePath>> = HashMap::new();
        for program in facts.values().filter_map(|fact| program(fact)) {
            names.extend(program.needed.iter().map(|name| (base(name.as_bytes()), Vec::new())));
        }
        for (path, entry) in tree {
            if matches!(entry.kind, Kind::File(_) | Kind::Symlink(_))
                && let Some(paths) = names.get_mut(base(path))
            {
                paths.push(path);
            }
        }
        Self { tree, facts, names }
    }

    /// What a program can't start without, and has not. A library alone is not looked at: whether
    /// anything loads it is not known.
    fn missing(&self, program: &'a Program) -> BTreeSet<String> {
        let mut missing = BTreeSet::new();
        let Some(loader) = &program.loader else { return missing };
        if !self.exists(loader) {
            missing.insert(loader.clone());
        }
        // musl's loader is its C library too.
        let is_musl = loader.contains("/ld-musl-");
        let mut seen = HashSet::new();
        let mut needed: Vec<&str> = program.needed.iter().map(String::as_str).collect();
        while let Some(name) = needed.pop() {
            if !seen.insert(name) || is_musl && is_musl_libc(name) {
                continue;
            }
            match self.library(name) {
                None => {
                    missing.insert(name.to_owned());
                }
                Some(library) => {
                    needed.extend(library.into_iter().flat_map(|l| &l.needed).map(String::as_str))
                }
            }
        }
        missing
    }

    /// Whether there is a library of this name; and what is known of it.
    fn library(&self, name: &str) -> Option<Option<&'a Program>> {
        let mut found = None;
        for path in self.names.get(base(name.as_bytes())).into_iter().flatten() {
            let Ok(real) = self.tree.resolve(path, true) else { continue };
            if self.is_file(&real) {
                let known = self.facts.get(&real[..]).and_then(|fact| program(fact));
                found = Some(known.or(found.flatten()));
            }
        }
        found
    }

    fn interpreter(&self, script: &Script) -> BTreeSet<String> {
        let mut missing = BTreeSet::new();
        if !self.exists(&script.interpreter) {
            missing.insert(script.interpreter.clone());
        } else if let Some(program) = &script.program {
            // `env` looks along PATH; whatever PATH is, its folders are called so.
            let folders = ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"];
            let in_folder = |folder: &&str| self.exists(&format!("{folder}/{program}"));
            if !program.contains('/') && !folders.iter().any(in_folder) && !self.has(program) {
                missing.insert(program.clone());
            }
        }
        missing
    }

    /// Somewhere in a folder called `bin`.
    fn has(&self, program: &str) -> bool {
        let end = format!("bin/{program}");
        self.tree.iter().any(|(path, _)| path.ends_with(end.as_bytes()))
    }

    fn exists(&self, path: &str) -> bool {
        self.tree.resolve(path.as_bytes(), true).is_ok_and(|real| self.is_file(&real))
    }

    fn is_file(&self, path: &[u8]) -> bool {
        self.tree.get(path).is_some_and(|entry| matches!(entry.kind, Kind::File(_)))
    }
}

fn program(fact: &Fact) -> Option<&Program> {
    match fact {
        Fact::Program(program) => Some(program),
        _ => None,
    }
}

fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Names that musl's loader takes for itself (`ldso/dynlink.c`).
fn is_musl_libc(name: &str) -> bool {
    let reserved = ["c", "pthread", "rt", "m", "dl", "util", "xnet"];
    let stem = name.strip_prefix("lib").and_then(|rest| rest.split_once('.')).map(|(stem, _)| stem);
    stem.is_some_and(|stem| reserved.contains(&stem))
}
