//! What could be lighter, and what will not run.

mod advice;
mod classify;
mod duplicates;
mod ledger;
mod missing;
mod patch;
mod tools;

use super::facts::Fact;
use super::file::{Fate, File};
use super::finding::{Finding, FindingKind};
use super::input::Image;
use super::package::Package;
use crate::tree::Tree;

use ledger::{Key, Ledger};

/// The heaviest first, then what is broken. What a byte is counted for first, it is not counted for
/// again: covered by a higher layer, then by what its path says, then debug sections, build tools
/// and duplicates.
pub(super) fn findings(
    image: &Image,
    tree: &Tree,
    files: &[File],
    packages: &[Package],
) -> Vec<Finding> {
    let mut ledger = Ledger::new(image, files);
    buried(files, &mut ledger);
    by_path(files, &mut ledger);
    debug_symbols(image, files, &mut ledger);
    tools::find(files, packages, &mut ledger);
    duplicates::find(files, &mut ledger);
    let mut findings = ledger.finish();
    findings.extend(missing::find(image, tree, files));
    for finding in &mut findings {
        finding.advice = advice::advice(image, finding);
    }
    findings
}

/// What a higher layer covers. The files of one path stand side by side.
fn buried(files: &[File], ledger: &mut Ledger) {
    for (index, file) in files.iter().enumerate() {
        let (kind, by) = match file.fate {
            Fate::Kept => continue,
            Fate::Removed(by) => (FindingKind::Removed, by),
            Fate::Replaced(by) => {
                let above = files[index + 1..].iter().take_while(|next| next.path == file.path);
                let mut above = above.filter(|next| next.layer == by);
                let same = above.any(|next| file.content.is_some() && next.content == file.content);
                (if same { FindingKind::Recopied } else { FindingKind::Overwritten }, by)
            }
        };
        ledger.add(Key::new(kind).by(by), index, file.bytes);
    }
}

fn by_path(files: &[File], ledger: &mut Ledger) {
    for (index, file) in files.iter().enumerate().filter(|(_, file)| file.fate == Fate::Kept) {
        if let Some((kind, detail)) = classify::classify(&file.path) {
            ledger.add(Key::new(kind).of(detail), index, file.bytes);
        }
    }
}

fn debug_symbols(image: &Image, files: &[File], ledger: &mut Ledger) {
    for (index, file) in files.iter().enumerate().filter(|(_, file)| file.fate == Fate::Kept) {
        let facts = &image.layers[file.layer as usize].facts;
        let Some(Fact::Program(program)) = facts.get(&file.path) else { continue };
        let bytes = if program.only_debug { file.bytes } else { program.debug };
        if bytes > 0 {
            ledger.add(Key::new(FindingKind::DebugSymbols), index, bytes);
        }
    }
}
