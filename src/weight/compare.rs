//! From two weights to their difference.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use super::Weight;
use super::difference::{
    ComponentChange, Difference, DirectoryChange, FileChange, FileSide, LayerChange, LayerSide,
    PackageChange, PackageSide, Side,
};
use super::file::{Fate, File};
use super::finding::Finding;
use super::layer::Layer;
use super::package::{Component, Package, PackageKind};
use super::size::Size;
use crate::digest::{DiffId, Digest};
use crate::tree::TreePath;

/// What changed from `old` to `new`.
#[must_use]
pub fn compare(old: &Weight, new: &Weight) -> Difference {
    let files = files(old, new);
    Difference {
        old: side(old, new),
        new: side(new, old),
        layers: layers(old, new),
        directories: directories(old, new, &files),
        packages: packages(old, new),
        new_findings: new_findings(old, new),
        files,
    }
}

fn side(own: &Weight, other: &Weight) -> Side {
    Side {
        image: own.image.clone(),
        size: own.size(),
        buried: own.buried(),
        waste: own.waste(),
        own: only_in(own, other),
        files: own.kept().count() as u64,
    }
}

/// Compressed bytes of the blobs that `other` has not, each once. A layer whose content the other
/// has under another compression has to be pulled all the same, by most.
fn only_in(own: &Weight, other: &Weight) -> Option<u64> {
    let theirs: HashSet<Digest> =
        other.layers.iter().filter_map(|l| l.blob).map(|b| b.digest).collect();
    // Where only plain tars are known, equal ones count as one blob.
    let plain: HashSet<DiffId> =
        other.layers.iter().filter(|l| l.blob.is_none()).map(|l| l.diff_id).collect();
    let mut seen = HashSet::new();
    let mut bytes = 0_u64;
    for layer in &own.layers {
        match layer.blob {
            Some(blob) if theirs.contains(&blob.digest) || plain.contains(&layer.diff_id) => {}
            Some(blob) if seen.insert(blob.digest) => bytes = bytes.saturating_add(blob.bytes),
            Some(_) => {}
            None if other.layers.iter().any(|theirs| theirs.diff_id == layer.diff_id) => {}
            None => return None,
        }
    }
    Some(bytes)
}

/// Pairs layers with the same content, then those of the same instruction, each in order and each
/// once, wherever they stand.
fn layers(old: &Weight, new: &Weight) -> Vec<LayerChange> {
    let mut partner: Vec<Option<usize>> = vec![None; new.layers.len()];
    let mut taken = vec![false; old.layers.len()];
    pair(&old.layers, &new.layers, &mut taken, &mut partner, |layer| Some(layer.diff_id));
    pair(&old.layers, &new.layers, &mut taken, &mut partner, |layer| {
        let instruction = layer.step.instruction.as_str();
        (!instruction.is_empty()).then_some(instruction)
    });
    let mut changes: Vec<LayerChange> = Vec::new();
    // What only the old one has comes where its neighbor below went.
    let mut alone = (0..old.layers.len()).filter(|index| !taken[*index]).peekable();
    for (index, partner) in partner.iter().enumerate() {
        if let Some(partner) = *partner {
            while let Some(gone) = alone.next_if(|gone| *gone < partner) {
                changes.push(LayerChange { old: Some(layer_side(old, gone)), new: None });
            }
        }
        let old = partner.map(|partner| layer_side(old, partner));
        changes.push(LayerChange { old, new: Some(layer_side(new, index)) });
    }
    changes.extend(alone.map(|gone| LayerChange { old: Some(layer_side(old, gone)), new: None }));
    changes
}

fn pair<'a, K: Hash + Eq>(
    old: &'a [Layer],
    new: &'a [Layer],
    taken: &mut [bool],
    partner: &mut [Option<usize>],
    key: impl Fn(&'a Layer) -> Option<K>,
) {
    let mut places: HashMap<K, Vec<usize>> = HashMap::new();
    for (index, layer) in old.iter().enumerate().rev().filter(|(index, _)| !taken[*index]) {
        if let Some(key) = key(layer) {
            places.entry(key).or_default().push(index);
        }
    }
    for (layer, partner) in new.iter().zip(partner).filter(|(_, partner)| partner.is_none()) {
        let found = key(layer).and_then(|key| places.get_mut(&key)?.pop());
        if let Some(index) = found {
            taken[index] = true;
            *partner = Some(index);
        }
    }
}

fn layer_side(weight: &Weight, index: usize) -> LayerSide {
    let layer = &weight.layers[index];
    LayerSide {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        diff_id: layer.diff_id,
        size: layer.size(),
        step: layer.step.clone(),
    }
}

/// Both lists are sorted: one walk along both.
fn files(old: &Weight, new: &Weight) -> Vec<FileChange> {
    let (mut ours, mut theirs) = (old.kept().peekable(), new.kept().peekable());
    let mut changes = Vec::new();
    loop {
        let order = match (ours.peek(), theirs.peek()) {
            (None, None) => return changes,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.path.cmp(&b.path),
        };
        let (a, b) = match order {
            std::cmp::Ordering::Less => (ours.next(), None),
            std::cmp::Ordering::Greater => (None, theirs.next()),
            std::cmp::Ordering::Equal => (ours.next(), theirs.next()),
        };
        let same = a.zip(b).is_some_and(|(a, b)| a.bytes == b.bytes && a.content == b.content);
        let Some(file) = a.or(b).filter(|_| !same) else { continue };
        changes.push(FileChange {
            path: file.path.clone(),
            old: a.map(|file| file_side(old, file)),
            new: b.map(|file| file_side(new, file)),
        });
    }
}

fn file_side(weight: &Weight, file: &File) -> FileSide {
    FileSide { size: weight.size_of(file), layer: file.layer }
}

/// The directories above changed files, with all that is in them on both sides.
fn directories(old: &Weight, new: &Weight, files: &[FileChange]) -> Vec<DirectoryChange> {
    let mut sizes: BTreeMap<&[u8], (Size, Size)> = BTreeMap::new();
    for change in files {
        // What has a directory has those above it too.
        let mut path = &change.path[..];
        while let Some(directory) = parent(path) {
            if sizes.insert(directory, (Size::ZERO, Size::ZERO)).is_some() {
                break;
            }
            path = directory;
        }
    }
    if sizes.is_empty() {
        return Vec::new();
    }
    add(old, &mut sizes, |sizes, size| sizes.0 += size);
    add(new, &mut sizes, |sizes, size| sizes.1 += size);
    // Compressed sizes of directories are estimates, which differ by how they were made.
    let changed = sizes.into_iter().filter(|(_, (old, new))| old.unpacked != new.unpacked);
    changed.map(|(path, (old, new))| DirectoryChange { path: path.into(), old, new }).collect()
}

/// Adds every kept file to the directories above it that are wanted.
fn add(
    weight: &Weight,
    sizes: &mut BTreeMap<&[u8], (Size, Size)>,
    add: impl Fn(&mut (Size, Size), Size),
) {
    for (directory, size) in by_directory(weight) {
        let mut path = Some(directory);
        while let Some(directory) = path {
            if let Some(sizes) = sizes.get_mut(directory) {
                add(sizes, size);
            }
            path = parent(directory);
        }
    }
}

/// The kept files that are directly in each directory, together. Files of one directory mostly
/// stand side by side, so that they are added up before anything is looked up.
fn by_directory(weight: &Weight) -> Vec<(&[u8], Size)> {
    let mut directories: Vec<(&[u8], Size)> = Vec::new();
    for file in weight.files.iter().filter(|file| file.fate == Fate::Kept) {
        let directory = parent(&file.path).unwrap_or_default();
        match directories.last_mut() {
            Some((last, size)) if *last == directory => *size += weight.size_of(file),
            _ => directories.push((directory, weight.size_of(file))),
        }
    }
    directories
}

/// `None` above the root.
fn parent(path: &[u8]) -> Option<&[u8]> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Some(&path[..slash]),
        None => (!path.is_empty()).then_some(&[]),
    }
}

type PackageKey<'a> = (PackageKind, &'a str, &'a TreePath);

/// Packages of the same name, kind and place; the system's may be installed in several versions.
fn packages(old: &Weight, new: &Weight) -> Vec<PackageChange> {
    type Both<'a> = (Vec<&'a Package>, Vec<&'a Package>);
    let mut pairs: BTreeMap<PackageKey<'_>, Both<'_>> = BTreeMap::new();
    for package in &old.packages {
        pairs.entry(key(package)).or_default().0.push(package);
    }
    for package in &new.packages {
        pairs.entry(key(package)).or_default().1.push(package);
    }
    let pairs = moved(pairs);
    let change = |((kind, name, path), (old, new)): (PackageKey<'_>, Both<'_>)| {
        let (components, old, new) =
            (components(&old, &new), package_side(&old), package_side(&new));
        let known = |side: &Option<PackageSide>| {
            side.as_ref().map(|side| (side.version.clone(), side.size.unpacked))
        };
        if known(&old) == known(&new) && components.is_empty() {
            return None;
        }
        Some(PackageChange {
            kind,
            name: name.to_owned(),
            path: path.clone(),
            old,
            new,
            components,
        })
    };
    pairs.into_iter().filter_map(change).collect()
}

fn key(package: &Package) -> PackageKey<'_> {
    (package.kind, &package.name, &package.path)
}

/// A Python package or a Java archive has its version in its path: what is at one place on one side
/// only, and at another on the other side only, has moved.
fn moved<'a, P>(
    pairs: BTreeMap<PackageKey<'a>, (Vec<P>, Vec<P>)>,
) -> BTreeMap<PackageKey<'a>, (Vec<P>, Vec<P>)> {
    let mut alone: HashMap<(PackageKind, &str), (Vec<PackageKey<'a>>, Vec<PackageKey<'a>>)> =
        HashMap::new();
    for (key, (old, new)) in &pairs {
        let places = alone.entry((key.0, key.1)).or_default();
        if new.is_empty() {
            places.0.push(*key);
        } else if old.is_empty() {
            places.1.push(*key);
        }
    }
    let mut pairs = pairs;
    for (gone, come) in alone.into_values() {
        if let ([gone], [come]) = (&gone[..], &come[..])
            && let Some((old, _)) = pairs.remove(gone)
            && let Some(both) = pairs.get_mut(come)
        {
            both.0 = old;
        }
    }
    pairs
}

fn package_side(packages: &[&Package]) -> Option<PackageSide> {
    let size = packages.iter().map(|package| package.size).sum();
    let versions: Vec<&str> = packages.iter().map(|package| package.version.as_str()).collect();
    (!packages.is_empty()).then(|| PackageSide { version: versions.join(", "), size })
}

/// Of what is on both sides: the components of a package that came or went are not told one by one.
fn components(old: &[&Package], new: &[&Package]) -> Vec<ComponentChange> {
    if old.is_empty() || new.is_empty() {
        return Vec::new();
    }
    let (old, new) = (versions(old), versions(new));
    let names: std::collections::BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let version =
        |of: &BTreeMap<&str, Vec<&str>>, name| of.get(name).map(|v: &Vec<&str>| v.join(", "));
    names
        .into_iter()
        .map(|name| (name, version(&old, name), version(&new, name)))
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| ComponentChange { name: name.to_owned(), old, new })
        .collect()
}

fn versions<'a>(packages: &[&'a Package]) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Component { name, version } in packages.iter().flat_map(|package| &package.components) {
        versions.entry(name).or_default().push(version);
    }
    versions
}

/// Findings of the same kind that share one of their heaviest files are the same finding, in
/// whatever layer it is now.
fn new_findings(old: &Weight, new: &Weight) -> Vec<Finding> {
    let places = |finding: &Finding, path: &TreePath| (finding.kind, path.clone());
    let known: HashSet<_> = old
        .findings
        .iter()
        .flat_map(|finding| finding.paths.iter().map(move |path| places(finding, path)))
        .collect();
    let is_new = |finding: &&Finding| {
        !finding.paths.iter().any(|path| known.contains(&places(finding, path)))
    };
    new.findings.iter().filter(is_new).cloned().collect()
}
