//! Counts bytes into findings, each byte once.

use std::collections::HashMap;

use crate::tree::TreePath;
use crate::weight::file::File;
use crate::weight::finding::{Finding, FindingKind};
use crate::weight::input::Image;
use crate::weight::size::Size;

/// Files with the same key, in the same layer, are one finding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    kind: FindingKind,
    by: Option<u32>,
    detail: String,
}

impl Key {
    pub(super) fn new(kind: FindingKind) -> Self {
        Self { kind, by: None, detail: String::new() }
    }

    pub(super) fn by(self, layer: u32) -> Self {
        Self { by: Some(layer), ..self }
    }

    pub(super) fn of(self, detail: &str) -> Self {
        Self { detail: detail.to_owned(), ..self }
    }
}

pub(super) struct Ledger<'a> {
    image: &'a Image,
    files: &'a [File],
    /// Bytes of each file that are in no finding yet.
    left: Vec<u64>,
    groups: HashMap<(Key, u32), Group>,
}

struct Group {
    size: Size,
    files: u32,
    /// With what each adds.
    paths: Vec<(u64, TreePath)>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(image: &'a Image, files: &'a [File]) -> Self {
        let left = files.iter().map(|file| file.bytes).collect();
        Self { image, files, left, groups: HashMap::new() }
    }

    /// What of a file is in no finding yet.
    pub(super) fn left(&self, file: usize) -> u64 {
        self.left[file]
    }

    /// Counts up to `bytes` of a file.
    pub(super) fn add(&mut self, key: Key, index: usize, bytes: u64) {
        let bytes = bytes.min(self.left[index]);
        if bytes == 0 {
            return;
        }
        self.left[index] -= bytes;
        let file = &self.files[index];
        let part = u128::from(file.compressed) * u128::from(bytes) / u128::from(file.bytes.max(1));
        let known = self.image.layers[file.layer as usize].blob.is_some();
        let compressed = known.then(|| u64::try_from(part).unwrap_or(u64::MAX));
        let group = self.groups.entry((key, file.layer)).or_insert_with(|| Group {
            size: Size::ZERO,
            files: 0,
            paths: Vec::new(),
        });
        group.size += Size { unpacked: bytes, compressed };
        group.files = group.files.saturating_add(1);
        group.paths.push((bytes, file.path.clone()));
    }

    /// The heaviest first.
    pub(super) fn finish(self) -> Vec<Finding> {
        let finding = |((key, layer), mut group): ((Key, u32), Group)| {
            let order = |(a, x): &(u64, TreePath), (b, y): &(u64, TreePath)| (b, x).cmp(&(a, y));
            // A finding may have all files of an image, and names a few.
            if group.paths.len() > Finding::PATHS {
                group.paths.select_nth_unstable_by(Finding::PATHS, order);
                group.paths.truncate(Finding::PATHS);
            }
            group.paths.sort_by(order);
            Finding {
                kind: key.kind,
                size: group.size,
                layer,
                by: key.by,
                files: group.files,
                paths: group.paths.into_iter().map(|(_, path)| path).collect(),
                detail: key.detail,
                advice: None,
            }
        };
        let mut findings: Vec<Finding> = self.groups.into_iter().map(finding).collect();
        findings.sort_by(|a, b| {
            let order = b.size.unpacked.cmp(&a.size.unpacked);
            order.then_with(|| {
                (a.kind, a.layer, a.by, &a.detail).cmp(&(b.kind, b.layer, b.by, &b.detail))
            })
        });
        findings
    }
}
