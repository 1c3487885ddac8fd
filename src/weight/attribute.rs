//! Every file of every layer, and what becomes of it above.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::file::{ContentId, Fate, File};
use super::input::{Image, ReadLayer};
use crate::tree::{Change, Entry, FileInfo, Kind, TreePath};

/// Sorted by path, then by layer. The bytes of a layer's files add up to its
/// [`unpacked_size`](crate::tree::Changes::unpacked_size). `lower` has what the hard links of a
/// layer to files of lower ones are: their bytes are those layers'.
pub(super) fn files(image: &Image, lower: &HashMap<(u32, TreePath), Entry>) -> Vec<File> {
    let mut files = Vec::new();
    let mut links = HashMap::new();
    let mut live = Live::default();
    for (index, layer) in (0..).zip(&image.layers) {
        live.remove(layer, index, &mut files);
        let first = files.len();
        let mut own = Vec::new();
        let covers = !live.paths.is_empty();
        // Where the last file is: what stood in place of it or above is covered already.
        let mut directory = None;
        for (path, change) in &layer.changes.changes {
            let (entry, is_own) = match change {
                Change::Set(entry) => (entry, true),
                Change::Link(_) => match lower.get(&(index, path.clone())) {
                    Some(entry) => (entry, false),
                    None => continue,
                },
                Change::Remove | Change::Opaque => continue,
            };
            if covers {
                live.cover(path, entry, index, &mut files);
                if directory != Some(parent(path)) {
                    directory = Some(parent(path));
                    live.cover_above(path, index, &mut files);
                }
            }
            let Kind::File(file) = &entry.kind else { continue };
            if let Some(link) = file.link {
                links.entry((index, link)).or_insert_with(Vec::new).push(files.len());
            }
            own.push((path.clone(), files.len()));
            let bytes = if is_own { file.size } else { 0 };
            files.push(File { bytes, ..new(path, index, file) });
        }
        estimate(layer, &mut files[first..]);
        live.add(own);
    }
    for names in links.values() {
        count_once(names, &mut files);
    }
    files.sort_by(|a, b| (&a.path, a.layer).cmp(&(&b.path, b.layer)));
    files
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&[], |slash| &path[..slash])
}

fn new(path: &TreePath, layer: u32, file: &FileInfo) -> File {
    File {
        path: path.clone(),
        layer,
        bytes: file.size,
        compressed: 0,
        content: file.digest.as_ref().map(ContentId::from),
        fate: Fate::Kept,
        package: None,
    }
}

/// The files that no layer so far has covered, as indices.
#[derive(Default)]
struct Live {
    paths: BTreeMap<TreePath, usize>,
}

impl Live {
    /// The files of the next layer, sorted.
    fn add(&mut self, own: Vec<(TreePath, usize)>) {
        if self.paths.is_empty() {
            // Most of an image in one layer: at once, which needs no search for each.
            self.paths = own.into_iter().collect();
        } else {
            self.paths.extend(own);
        }
    }

    /// Whiteouts act on what was there before the layer, never on what it brings itself.
    fn remove(&mut self, layer: &ReadLayer, index: u32, files: &mut [File]) {
        for (path, change) in &layer.changes.changes {
            match change {
                Change::Remove => {
                    self.bury(path, Fate::Removed(index), files);
                    self.bury_below(path, Fate::Removed(index), files);
                }
                Change::Opaque => self.bury_below(path, Fate::Removed(index), files),
                Change::Set(_) | Change::Link(_) => {}
            }
        }
    }

    /// `entry` takes the place of what was at `path`.
    fn cover(&mut self, path: &TreePath, entry: &Entry, index: u32, files: &mut [File]) {
        // Nearly always nothing: found out by one search.
        let next =
            self.paths.range::<[u8], _>((Bound::Included(&path[..]), Bound::Unbounded)).next();
        if !next.is_some_and(|(next, _)| next.starts_with(path)) {
            return;
        }
        self.bury(path, Fate::Replaced(index), files);
        if entry.kind != Kind::Directory {
            self.bury_below(path, Fate::Replaced(index), files);
        }
    }

    /// What is above `path` becomes directories.
    fn cover_above(&mut self, path: &[u8], index: u32, files: &mut [File]) {
        let mut above = parent(path);
        while !above.is_empty() {
            self.bury(above, Fate::Replaced(index), files);
            above = parent(above);
        }
    }

    fn bury(&mut self, path: &[u8], fate: Fate, files: &mut [File]) {
        if let Some(file) = self.paths.remove(path) {
            files[file].fate = fate;
        }
    }

    fn bury_below(&mut self, path: &[u8], fate: Fate, files: &mut [File]) {
        let below = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        let range = (Bound::Included(&below[..]), Bound::Unbounded);
        let gone: Vec<TreePath> = self
            .paths
            .range::<[u8], _>(range)
            .map(|(path, _)| path.clone())
            .take_while(|path| path.starts_with(&below))
            .collect();
        for path in gone {
            self.bury(&path, fate, files);
        }
    }
}

/// Gives the bytes of a file with several names to one of them.
fn count_once(names: &[usize], files: &mut [File]) {
    let kept = names.iter().find(|name| files[**name].fate == Fate::Kept);
    let Some(counted) = kept.or(names.first()).copied() else { return };
    // Measured at the name that has the content in the tar.
    let compressed = names.iter().map(|name| files[*name].compressed).max().unwrap_or(0);
    for &name in names {
        files[name].bytes = if name == counted { files[name].bytes } else { 0 };
        files[name].compressed = if name == counted { compressed } else { 0 };
    }
}

/// What each file has of the blob, rounded down: as measured, or its share.
fn estimate(layer: &ReadLayer, files: &mut [File]) {
    let Some(blob) = layer.blob else { return };
    if !layer.compressed.is_empty() {
        for file in files {
            file.compressed = layer.compressed.get(&file.path).copied().unwrap_or(0);
        }
        return;
    }
    let all = u128::from(layer.changes.unpacked_size()).max(1);
    for file in files {
        let share = u128::from(file.bytes) * u128::from(blob.bytes) / all;
        file.compressed = u64::try_from(share).unwrap_or(u64::MAX);
    }
}
