//! What the content of a file says, as far as a weight needs it: which packages are installed, what
//! a program is linked with, which interpreter a script names.
//!
//! Whoever reads a layer asks [`wanted`] of each file how many of its first bytes to keep, and gives
//! them to [`fact`]. Nothing here is trusted: what can't be read says nothing.

mod build_info;
mod elf;
mod java;
mod saved;
mod script;

pub use elf::Program;
pub use saved::{decode, encode};

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::distribution::{self, Distribution};
use super::package::Component;
use super::packages::{self, Claim};
use super::path;
use crate::tree::TreePath;

/// Of any file; in bytes. Databases and programs beyond it are read as far as this.
pub const MAX_WANTED: u64 = 64 << 20;
/// How many first bytes [`wanted`] looks at; fewer are there only in shorter files.
pub const HEAD: usize = 64;

/// What one file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    Program(Box<Program>),
    /// The interpreter that the first line of a script names, and the program that `env` is to find.
    Script(Script),
    /// What a package database, or the file itself, says is installed.
    Installed(Vec<Claim>),
    /// The files that one package owns, as the database writes them.
    Owns(#[serde(with = "path::list")] Vec<TreePath>),
    /// Which operating system it is.
    Distribution(Distribution),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// An absolute path.
    pub interpreter: String,
    /// `python3` of `#!/usr/bin/env python3`.
    pub program: Option<String>,
}

/// How many first bytes of a file are wanted: 0 for most.
#[must_use]
pub fn wanted(path: &[u8], size: u64, mode: u32, head: &[u8]) -> u64 {
    let limit = packages::wanted(path).max(distribution::wanted(path));
    let limit = if elf::is_elf(head) || java::is_archive(path, head) { MAX_WANTED } else { limit };
    let limit = if script::is_script(mode, head) { limit.max(script::LINE) } else { limit };
    limit.min(size)
}

/// What the files of one layer say, by path.
pub type Facts = HashMap<TreePath, Fact>;

/// What `bytes`, the first that were [`wanted`], say of the file at `path`.
#[must_use]
pub fn fact(path: &TreePath, mode: u32, bytes: &[u8]) -> Option<Fact> {
    let fact = packages::fact(path, bytes).or_else(|| distribution::fact(path, bytes));
    if let Some(fact) = fact {
        return Some(fact);
    }
    if elf::is_elf(bytes) {
        return elf::program(bytes).map(|program| Fact::Program(Box::new(program)));
    }
    if java::is_archive(path, bytes) {
        return java::claim(path, bytes).map(|claim| Fact::Installed(vec![claim]));
    }
    script::is_script(mode, bytes).then(|| script::script(bytes).map(Fact::Script)).flatten()
}

/// What a Go or Rust program says it was built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    pub kind: packages::PackageKind,
    pub name: String,
    pub version: String,
    pub components: Vec<Component>,
}
