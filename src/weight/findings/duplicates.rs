//! The same content at several paths.

use std::collections::HashMap;

use super::ledger::{Key, Ledger};
use crate::weight::file::{Fate, File};
use crate::weight::finding::FindingKind;

/// Of equal files the one in the lowest layer is the original, there the first by path.
pub(super) fn find(files: &[File], ledger: &mut Ledger) {
    let mut kept: Vec<usize> =
        (0..files.len()).filter(|index| files[*index].fate == Fate::Kept).collect();
    kept.sort_by_key(|index| files[*index].layer);
    let mut originals = HashMap::new();
    for index in kept {
        let file = &files[index];
        let Some(content) = file.content.filter(|_| file.bytes > 0) else { continue };
        if originals.insert((content, file.bytes), index).is_some() {
            ledger.add(Key::new(FindingKind::Duplicate), index, file.bytes);
        }
    }
}
