//! Which packages an image has, and which files are whose.
//!
//! A database or a file makes [`Claim`]s; `assign` settles them on the files that are left when
//! all layers lie on each other. A file has one owner: the system's package manager comes first,
//! then what language package managers say, then programs and archives that are packages themselves.

mod apk;
mod dpkg;
mod npm;
mod python;
mod rpm;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use super::package::PackageKind;

use super::facts::Fact;
use super::file::{Fate, File, kept_at};
use super::input::Image;
use super::package::{Component, Details, Package};
use super::path;
use super::size::Size;
use crate::tree::{Tree, TreePath};

/// "This is installed", as a database or a file says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub kind: PackageKind,
    pub name: String,
    pub version: String,
    /// See [`Package::path`].
    #[serde(with = "path")]
    pub path: TreePath,
    pub owns: Owns,
    pub components: Vec<Component>,
    #[serde(flatten)]
    pub details: Details,
}

/// The files of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Owns {
    Files(#[serde(with = "path::list")] Vec<TreePath>),
    /// Those that the first of these files lists, see [`Fact::Owns`].
    ListedAt(#[serde(with = "path::list")] Vec<TreePath>),
    /// All below the path of the claim that no package further down has.
    Below,
    /// The file at the path of the claim.
    Itself,
}

pub(super) fn wanted(path: &[u8]) -> u64 {
    let databases = [dpkg::wanted, apk::wanted, rpm::wanted, python::wanted, npm::wanted];
    databases.iter().map(|wanted| wanted(path)).max().unwrap_or(0)
}

pub(super) fn fact(path: &TreePath, bytes: &[u8]) -> Option<Fact> {
    let readers = [dpkg::fact, apk::fact, rpm::fact, python::fact, npm::fact];
    readers.iter().find_map(|fact| fact(path, bytes))
}

/// Gives kept files their owners. The packages are sorted as [`super::Weight::packages`] are.
pub(super) fn assign(image: &Image, tree: &Tree, files: &mut [File]) -> Vec<Package> {
    let claims = claims(image, files);
    let mut kept = Kept::new(tree, files);
    let mut owned: Vec<Vec<usize>> = Vec::new();
    for claim in &claims {
        let listed: Vec<usize> = match &claim.owns {
            Owns::Files(paths) => paths.iter().filter_map(|path| kept.take(path)).collect(),
            Owns::ListedAt(lists) => {
                let list = lists.iter().find_map(|list| kept.fact(image, list));
                let Some(Fact::Owns(paths)) = list else {
                    owned.push(Vec::new());
                    continue;
                };
                paths.iter().filter_map(|path| kept.take(path)).collect()
            }
            Owns::Itself => kept.take(&claim.path).into_iter().collect(),
            Owns::Below => Vec::new(),
        };
        owned.push(listed);
    }
    let directories: HashMap<&[u8], usize> = (0..)
        .zip(&claims)
        .filter(|(_, claim)| claim.owns == Owns::Below)
        .map(|(index, claim)| (&claim.path[..], index))
        .collect();
    if !directories.is_empty() {
        for (file, path) in kept.left() {
            if let Some(claim) = nearest(&directories, path) {
                owned[claim].push(file);
            }
        }
    }
    let mut packages: Vec<(Package, Vec<usize>)> = claims
        .into_iter()
        .zip(owned)
        .filter(|(claim, owned)| {
            let is_system = claim.path.is_empty();
            is_system || !owned.is_empty() || !claim.components.is_empty()
        })
        .map(|(claim, owned)| (package(claim, &owned, image, files), owned))
        .collect();
    packages.sort_by(|(a, _), (b, _)| {
        (a.kind, &a.name, &a.path, &a.version).cmp(&(b.kind, &b.name, &b.path, &b.version))
    });
    for (index, (_, owned)) in (0..).zip(&packages) {
        for &file in owned {
            files[file].package = Some(index);
        }
    }
    packages.into_iter().map(|(package, _)| package).collect()
}

/// Everything that is claimed by files that are kept, in the order in which claims count.
fn claims(image: &Image, files: &[File]) -> Vec<Claim> {
    let mut claims = Vec::new();
    for file in files.iter().filter(|file| file.fate == Fate::Kept) {
        match image.layers[file.layer as usize].facts.get(&file.path) {
            Some(Fact::Installed(installed)) => claims.extend(installed.iter().cloned()),
            Some(Fact::Program(program)) => {
                claims.extend(program.build.clone().map(|build| Claim {
                    kind: build.kind,
                    name: build.name,
                    version: build.version,
                    path: file.path.clone(),
                    owns: Owns::Itself,
                    components: build.components,
                    details: Details::default(),
                }))
            }
            _ => {}
        }
    }
    claims.sort_by_key(|claim| claim.kind);
    claims
}

fn package(claim: Claim, owned: &[usize], image: &Image, files: &[File]) -> Package {
    let mut by_layer: HashMap<u32, u64> = HashMap::new();
    let mut size = Size::ZERO;
    for &file in owned {
        let file = &files[file];
        let known = image.layers[file.layer as usize].blob.is_some();
        size += Size { unpacked: file.bytes, compressed: known.then_some(file.compressed) };
        *by_layer.entry(file.layer).or_default() += file.bytes;
    }
    // Of equals the lowest, so that the answer does not depend on chance.
    let layer =
        by_layer.into_iter().max_by_key(|(layer, bytes)| (*bytes, std::cmp::Reverse(*layer)));
    Package {
        kind: claim.kind,
        name: claim.name,
        version: claim.version,
        path: claim.path,
        size,
        files: u32::try_from(owned.len()).unwrap_or(u32::MAX),
        layer: layer.map_or(0, |(layer, _)| layer),
        components: claim.components,
        details: claim.details,
    }
}

/// The claim whose directory is the deepest above `path`.
fn nearest(directories: &HashMap<&[u8], usize>, path: &[u8]) -> Option<usize> {
    let mut above = path;
    loop {
        let slash = above.iter().rposition(|byte| *byte == b'/')?;
        above = &above[..slash];
        if let Some(claim) = directories.get(above) {
            return Some(*claim);
        }
    }
}

/// The kept files that have no owner yet.
struct Kept<'t> {
    tree: &'t Tree,
    /// All of them, sorted by path and then by layer.
    files: &'t [File],
    free: Vec<bool>,
    /// Where directories really are: databases write `/lib`, which may be a link to `usr/lib`.
    directories: HashMap<Box<[u8]>, TreePath>,
}

impl<'t> Kept<'t> {
    fn new(tree: &'t Tree, files: &'t [File]) -> Self {
        Self {
            tree,
            files,
            free: files.iter().map(|file| file.fate == Fate::Kept).collect(),
            directories: HashMap::new(),
        }
    }

    /// The file at `path`, if nobody has it.
    fn take(&mut self, path: &[u8]) -> Option<usize> {
        let index = self.find(path)?;
        std::mem::take(&mut self.free[index]).then_some(index)
    }

    fn find(&mut self, path: &[u8]) -> Option<usize> {
        if let Some(index) = kept_at(self.files, path) {
            return Some(index);
        }
        let slash = path.iter().rposition(|byte| *byte == b'/')?;
        let (directory, name) = (&path[..slash], &path[slash + 1..]);
        if !self.directories.contains_key(directory) {
            let real = self.tree.resolve(directory, true).unwrap_or_else(|_| directory.into());
            self.directories.insert(directory.into(), real);
        }
        let real = &self.directories[directory];
        let real = if real.is_empty() { name.to_vec() } else { [real, &b"/"[..], name].concat() };
        kept_at(self.files, &real)
    }

    fn fact<'i>(&mut self, image: &'i Image, path: &[u8]) -> Option<&'i Fact> {
        let file = &self.files[self.find(path)?];
        image.layers[file.layer as usize].facts.get(&file.path)
    }

    fn left(self) -> impl Iterator<Item = (usize, &'t TreePath)> {
        let paths = self.files.iter().map(|file| &file.path);
        paths.enumerate().zip(self.free).filter(|(_, free)| *free).map(|(file, _)| file)
    }
}

/// `NAME: value` lines of a paragraph, as dpkg and Python write them; a line that starts with a blank
/// goes on with the one before and is left out.
fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = paragraph.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
