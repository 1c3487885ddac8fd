//! What grew, in the few lines that everybody reads.

use super::escape::code;
use super::parts::Part;
use super::{SizeReport, signed};
use crate::report::difference_text::delta;
use crate::weight::{ChangeKind, Difference, LayerChange, PackageChange, path};

const LINES: usize = 3;

/// Less is noise: a time stamp in a file, a package list that was sorted anew.
const SMALL: u64 = 10_000;

/// The instructions, packages and directories that changed most.
pub(super) fn part(report: &SizeReport<'_>) -> Option<Part> {
    let difference = report.difference.filter(|difference| !difference.is_empty())?;
    let mut lines = Vec::new();
    lines.extend(layers(difference));
    lines.extend(packages(difference));
    if difference.packages.is_empty() {
        lines.extend(directories(difference));
    }
    if lines.is_empty() {
        return None;
    }
    Some(Part::list("**What changed most** (unpacked)", lines))
}

/// The largest changes with what they are of, as list items.
fn largest(mut changes: Vec<(i64, String)>) -> Vec<String> {
    changes.retain(|(bytes, _)| bytes.unsigned_abs() >= SMALL);
    changes.sort_by_key(|(bytes, _)| std::cmp::Reverse(bytes.unsigned_abs()));
    changes.truncate(LINES);
    changes.into_iter().map(|(bytes, what)| format!("- {} {what}", signed(bytes))).collect()
}

fn layers(difference: &Difference) -> Vec<String> {
    let changed = difference.layers.iter().filter(|layer| layer.kind() != ChangeKind::Same);
    let line = |change: &LayerChange| {
        let bytes = |side: &Option<crate::weight::LayerSide>| {
            side.as_ref().map_or(0, |side| side.size.unpacked)
        };
        let side = change.new.as_ref().or(change.old.as_ref())?;
        let instruction = match side.step.instruction.as_str() {
            "" => format!("layer {}", side.index + 1),
            text => code(text),
        };
        let place = match (&change.new, side.step.lines) {
            (Some(_), Some((first, _))) => format!("line {first}: {instruction}"),
            (Some(_), None) => instruction,
            (None, _) => format!("{instruction}, which is gone"),
        };
        Some((delta(bytes(&change.old), bytes(&change.new)), place))
    };
    largest(changed.filter_map(line).collect())
}

fn packages(difference: &Difference) -> Vec<String> {
    let line = |change: &PackageChange| {
        let bytes = |side: &Option<crate::weight::PackageSide>| {
            side.as_ref().map_or(0, |side| side.size.unpacked)
        };
        let name = code(&change.name);
        let kind = change.kind.name();
        let version = |side: &crate::weight::PackageSide| code(&side.version);
        let what = match (&change.old, &change.new) {
            (None, Some(new)) => format!("new {kind} package {name} {}", version(new)),
            (Some(old), None) => format!("{kind} package {name} {} is gone", version(old)),
            (Some(old), Some(new)) if old.version != new.version => {
                format!("{kind} package {name} {} → {}", version(old), version(new))
            }
            _ => format!("{kind} package {name}"),
        };
        (delta(bytes(&change.old), bytes(&change.new)), what)
    };
    largest(difference.packages.iter().map(line).collect())
}

/// The deepest directories that hold most of a change: `usr` alone says nothing.
fn directories(difference: &Difference) -> Vec<String> {
    let grown = |index: usize| {
        let change = &difference.directories[index];
        delta(change.old.unpacked, change.new.unpacked)
    };
    let holds = |parent: &[u8], child: &[u8]| {
        child.len() > parent.len()
            && child.starts_with(parent)
            && (parent.is_empty() || child[parent.len()] == b'/')
    };
    let mut lines = Vec::new();
    for index in 0..difference.directories.len() {
        let path = &difference.directories[index].path;
        let bytes = grown(index);
        // Sorted by path: what is below follows at once.
        let below = difference.directories[index + 1..].iter().take_while(|c| holds(path, &c.path));
        let passed_on = (index + 1..).zip(below).any(|(child, _)| {
            let child = grown(child);
            child.signum() == bytes.signum()
                && child.unsigned_abs() * 10 >= bytes.unsigned_abs() * 8
        });
        if !passed_on {
            lines.push((bytes, format!("in {}", code(&format!("/{}", path::text(path))))));
        }
    }
    largest(lines)
}
