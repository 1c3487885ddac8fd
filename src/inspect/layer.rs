//! One pass over each layer.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::sources::{Found, FoundLayer};
use super::{InspectError, Reading, history, lines};
use crate::layer::{LayerError, Piece, Shown, VerifiedLayer, scan_layer_with};
use crate::tree::{Changes, Entry, Kind, Tree, TreePath};
use crate::weight::facts::{self, Facts};
use crate::weight::{Image, ReadLayer, Step};

/// The table of contents of a layer and what its files say, from its tar.
///
/// # Errors
/// When the tar can't be read.
pub fn read_contents(tar: impl Read) -> Result<(Changes, Facts), LayerError> {
    let mut looked = Looked::default();
    let mut look =
        |path: &TreePath, entry: &Entry, shown: Shown| looked.look(path, entry, shown.content);
    let changes = scan_layer_with(tar, &mut look)?;
    Ok((changes, looked.facts))
}

/// Learns what the files of a layer say without its tar: [`read_contents`] would find the same in it.
#[derive(Default)]
pub struct Onlooker {
    looked: Looked,
    /// How many first bytes of the current file are wanted.
    wanted: u64,
}

impl Onlooker {
    /// Sees the pieces of a layer that is written, see [`crate::layer::Look`].
    pub fn pass(&mut self, path: &TreePath, entry: &Entry, piece: Piece) {
        let Looked { facts, bytes } = &mut self.looked;
        if piece.start == 0 {
            let head = &piece.bytes[..piece.bytes.len().min(facts::HEAD)];
            self.wanted = facts::wanted(path, size(entry), entry.mode, head);
            bytes.clear();
        }
        let more = self.wanted.saturating_sub(piece.start);
        if more == 0 {
            return;
        }
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        bytes.extend_from_slice(&piece.bytes[..piece.bytes.len().min(more)]);
        if bytes.len() as u64 == self.wanted
            && let Some(fact) = facts::fact(path, entry.mode, bytes)
        {
            facts.insert(path.clone(), fact);
        }
    }

    /// Looks at the first bytes of `content`, and no more than are wanted.
    ///
    /// # Errors
    /// When these can't be read.
    pub fn look(
        &mut self,
        path: &TreePath,
        entry: &Entry,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        self.looked.look(path, entry, content)
    }

    #[must_use]
    pub fn facts(self) -> Facts {
        self.looked.facts
    }
}

/// Reads all layers, several at a time.
pub(super) fn read_all(found: Found, reading: &Reading<'_>) -> Result<Image, InspectError> {
    let mut steps = history::steps(&found.config.history, found.layers.len());
    if let Some(dockerfile) = reading.dockerfile {
        lines::find(dockerfile, &mut steps);
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<ReadLayer, InspectError>)>> = Mutex::default();
    let name = &found.identity.name;
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(layer) = found.layers.get(index) else { return };
            let result = read_one(layer, steps[index].clone(), index, name);
            if result.is_err() {
                // What is left would be read for nothing.
                next.store(found.layers.len(), Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..reading.threads.clamp(1, found.layers.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    let layers: Vec<_> = done.into_iter().map(|(_, layer)| layer).collect::<Result<_, _>>()?;
    if let Some((index, source)) = broken_link(&layers) {
        let name = name.clone();
        return Err(InspectError::Layer { name, layer: index + 1, source });
    }
    let dockerfile = reading.dockerfile.map(str::to_owned);
    Ok(Image { identity: found.identity.clone(), layers, dockerfile })
}

/// The first hard link whose file is in no layer, and the layer of the link.
fn broken_link(layers: &[ReadLayer]) -> Option<(usize, LayerError)> {
    let last = layers.iter().rposition(|layer| layer.changes.lower_links().next().is_some())?;
    let mut below = Tree::new();
    (0_u32..).zip(&layers[..=last]).find_map(|(index, layer)| {
        if let Some((path, target)) = below.broken_link(&layer.changes) {
            return Some((index as usize, LayerError::lower_link_target(path, target)));
        }
        below.apply(&layer.changes, index);
        None
    })
}

fn read_one(
    layer: &FoundLayer,
    step: Step,
    index: usize,
    name: &str,
) -> Result<ReadLayer, InspectError> {
    let blob = (layer.open)()?;
    let fail = |source| InspectError::Layer { name: name.to_owned(), layer: index + 1, source };
    read_layer(blob, layer, step).map_err(fail)
}

fn read_layer(
    blob: Box<dyn Read + Send>,
    layer: &FoundLayer,
    step: Step,
) -> Result<ReadLayer, LayerError> {
    let mut tar = VerifiedLayer::new(blob, layer.expected)?;
    let mut looked = Looked::default();
    let mut seen = Vec::new();
    let changes = scan_layer_with(&mut tar, &mut |path, entry, shown| {
        seen.push((path.clone(), shown.start, size(entry)));
        looked.look(path, entry, shown.content)
    })?;
    let curve = tar.curve();
    let compressed = match layer.blob {
        Some(_) => seen
            .into_iter()
            .map(|(path, start, size)| {
                let end = curve.compressed(start.saturating_add(size));
                (path, end.saturating_sub(curve.compressed(start)))
            })
            .collect(),
        None => HashMap::new(),
    };
    Ok(ReadLayer {
        diff_id: layer.diff_id,
        blob: layer.blob,
        step,
        changes,
        facts: looked.facts,
        compressed,
    })
}

fn size(entry: &Entry) -> u64 {
    match &entry.kind {
        Kind::File(file) => file.size,
        _ => 0,
    }
}

/// What was learned so far.
#[derive(Default)]
struct Looked {
    facts: Facts,
    /// Used again for each file.
    bytes: Vec<u8>,
}

impl Looked {
    fn look(&mut self, path: &TreePath, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        self.bytes.clear();
        content.take(facts::HEAD as u64).read_to_end(&mut self.bytes)?;
        let wanted = facts::wanted(path, size(entry), entry.mode, &self.bytes);
        if wanted == 0 {
            // The path may have been another file's, earlier in the archive.
            self.facts.remove(path);
            return Ok(());
        }
        let more = wanted.saturating_sub(self.bytes.len() as u64);
        content.take(more).read_to_end(&mut self.bytes)?;
        match facts::fact(path, entry.mode, &self.bytes) {
            Some(fact) => self.facts.insert(path.clone(), fact),
            None => self.facts.remove(path),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{WriteOptions, write_layer_with};
    use crate::tree::{Change, FileInfo};

    #[test]
    fn a_layer_says_the_same_when_it_is_written_and_when_it_is_read() {
        // The database is of several pieces.
        let status = "Package: a\nStatus: install ok installed\nVersion: 1\n\n".repeat(5000);
        let files: [(&str, u32, &[u8]); 6] = [
            ("bin/empty", 0o755, b""),
            ("bin/plain", 0o644, b"#!/bin/sh\n"),
            ("bin/short", 0o755, b"#!/bin/x"),
            ("bin/start", 0o755, &[&b"#!/bin/sh\n"[..], &[b'x'; 100_000]].concat()),
            ("var/lib/dpkg/info/a.list", 0o644, b"/bin/start\n"),
            ("var/lib/dpkg/status", 0o644, status.as_bytes()),
        ];
        let change = |(path, mode, bytes): &(&str, u32, &[u8])| {
            let info = FileInfo { size: bytes.len() as u64, digest: None, link: None };
            let entry = Entry { kind: Kind::File(info), mode: *mode, ..Entry::directory(0) };
            (path.as_bytes().into(), Change::Set(entry))
        };
        let changes = Changes { changes: files.iter().map(change).collect() };
        let contents: Vec<Vec<u8>> = files.iter().map(|(.., bytes)| bytes.to_vec()).collect();
        let mut open = |index: usize| -> io::Result<Box<dyn Read + Send>> {
            Ok(Box::new(io::Cursor::new(contents[index].clone())))
        };
        let mut onlooker = Onlooker::default();
        let mut look =
            |path: &TreePath, entry: &Entry, piece: Piece| onlooker.pass(path, entry, piece);
        let mut tar = Vec::new();
        let options = WriteOptions::default();
        let written =
            write_layer_with(&changes, &mut open, &options, &mut look, &mut tar).expect("a layer");
        let (read, facts) = read_contents(&tar[..]).expect("the same layer");
        assert_eq!(written, read);
        let seen = onlooker.facts();
        assert_eq!(seen, facts);
        let mut paths: Vec<_> = seen.keys().map(|path| String::from_utf8_lossy(path)).collect();
        paths.sort();
        let expected =
            ["bin/short", "bin/start", "var/lib/dpkg/info/a.list", "var/lib/dpkg/status"];
        assert_eq!(paths, expected);
    }
}
