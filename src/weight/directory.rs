//! What directories and sources weigh.

use std::collections::BTreeMap;

use serde::Serialize;

use super::file::Fate;
use super::layer::Source;
use super::size::Size;
use super::{Weight, path};
use crate::tree::TreePath;

/// A directory with all that is below it and kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Directory {
    #[serde(with = "path")]
    pub path: TreePath,
    /// Compressed, an estimate.
    pub size: Size,
    pub files: u64,
}

/// The layers whose files come from one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceWeight {
    pub source: Source,
    /// Exact, both ways.
    pub size: Size,
    /// How many.
    pub layers: u32,
}

impl Weight {
    /// Every directory that has a file somewhere below it, the root (`""`) first, sorted by path.
    #[must_use]
    pub fn directories(&self) -> Vec<Directory> {
        let mut directories: BTreeMap<&[u8], (Size, u64)> = BTreeMap::new();
        for file in self.files.iter().filter(|file| file.fate == Fate::Kept) {
            let mut path = &file.path[..];
            while !path.is_empty() {
                let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                path = &path[..slash];
                let (size, files) = directories.entry(path).or_default();
                *size += self.size_of(file);
                *files += 1;
            }
        }
        let directory =
            |(path, (size, files)): (&[u8], _)| Directory { path: path.into(), size, files };
        directories.into_iter().map(directory).collect()
    }

    /// Where the bytes of the layers come from, the heaviest first.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceWeight> {
        let mut sources: BTreeMap<&Source, (Size, u32)> = BTreeMap::new();
        for layer in &self.layers {
            let (size, layers) = sources.entry(&layer.step.source).or_default();
            *size += layer.size();
            *layers += 1;
        }
        let mut sources: Vec<SourceWeight> = sources
            .into_iter()
            .map(|(source, (size, layers))| SourceWeight { source: source.clone(), size, layers })
            .collect();
        sources.sort_by_key(|source| std::cmp::Reverse(source.size.unpacked));
        sources
    }
}
