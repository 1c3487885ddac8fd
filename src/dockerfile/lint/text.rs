//! The checks that need nothing but the text.

use std::collections::BTreeSet;

use super::{Findings, Problem};
use crate::dockerfile::{Dockerfile, From, Instruction, InstructionKind, Place};

/// Names that `FROM` and `COPY --from` have another meaning for.
const RESERVED: [&str; 2] = ["context", "scratch"];

/// Looks for C-01 to C-06, C-08 and C-20.
pub fn check(file: &Dockerfile, findings: &mut Findings) {
    check_as_read(file, findings);
    check_descriptions(file, findings);
    check_stage_names(file, findings);
    check_keyword_casing(file, findings);
}

/// Looks for C-01 to C-03 and C-08, which are found while a file is read: where a mistake follows,
/// they are told all the same.
pub fn check_as_read(file: &Dockerfile, findings: &mut Findings) {
    for line in &file.empty_continuations {
        findings.add(Problem::NoEmptyContinuation, *line..=*line, &[]);
    }
    for stage in &file.stages {
        check_stage_name(&stage.from, findings);
        for Instruction { kind, place } in &stage.instructions {
            if matches!(kind, InstructionKind::Maintainer(_)) {
                findings.add(Problem::MaintainerDeprecated, place.lines.clone(), &place.comments);
            }
        }
    }
}

fn check_stage_name(from: &From, findings: &mut Findings) {
    let place = &from.place;
    let mut report = |problem| findings.add(problem, place.lines.clone(), &place.comments);
    let (Some(name), Some(written), Some(as_keyword)) =
        (&from.name, &from.name_as_written, &from.as_keyword)
    else {
        return;
    };
    if written.text != *name {
        report(Problem::StageNameCasing(written.text.clone()));
    }
    let matches = match Casing::of(&place.keyword) {
        Casing::Lower => Casing::of(&as_keyword.text) == Casing::Lower,
        Casing::Upper => Casing::of(&as_keyword.text) == Casing::Upper,
        // That is a finding of its own.
        Casing::Mixed => true,
    };
    if !matches {
        let (from, as_keyword) = (place.keyword.clone(), as_keyword.text.clone());
        report(Problem::FromAsCasing { from, as_keyword });
    }
}

fn check_descriptions(file: &Dockerfile, findings: &mut Findings) {
    let stages = file.stages.iter();
    for from in stages.clone().map(|stage| &stage.from) {
        if let Some(name) = &from.name {
            check_description("FROM", &[name], &from.place, findings);
        }
    }
    for instruction in file.global_args.iter().chain(stages.flat_map(|stage| &stage.instructions)) {
        if let InstructionKind::Arg(definitions) = &instruction.kind {
            let names: Vec<&str> = definitions.iter().map(|d| d.name.text.as_str()).collect();
            check_description("ARG", &names, &instruction.place, findings);
        }
    }
}

/// The last comment above `ARG` or `FROM` begins with what it describes (C-20).
fn check_description(
    instruction: &'static str,
    names: &[&str],
    place: &Place,
    findings: &mut Findings,
) {
    let Some(comment) = place.comments.last() else { return };
    let described = comment.split(' ').next().unwrap_or_default();
    if names.contains(&described) {
        return;
    }
    let example = match names {
        [name] => (*name).to_owned(),
        _ => "<arg_key>".to_owned(),
    };
    let problem = Problem::InvalidDefinitionDescription { instruction, example };
    findings.add(problem, place.lines.clone(), &place.comments);
}

fn check_stage_names(file: &Dockerfile, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for from in file.stages.iter().map(|stage| &stage.from) {
        let Some(name) = &from.name else { continue };
        if RESERVED.contains(&name.as_str()) {
            findings.add(Problem::ReservedStageName(name.clone()), from.place.lines.clone(), &[]);
        }
        if !seen.insert(name) {
            findings.add(Problem::DuplicateStageName(name.clone()), from.place.lines.clone(), &[]);
        }
    }
}

/// Whether the keywords of all stages are in the case of most of them (C-04).
fn check_keyword_casing(file: &Dockerfile, findings: &mut Findings) {
    let places = || {
        file.stages.iter().flat_map(|stage| {
            let instructions = stage.instructions.iter().map(|instruction| &instruction.place);
            std::iter::once(&stage.from.place).chain(instructions)
        })
    };
    let count = |casing| places().filter(|place| Casing::of(&place.keyword) == casing).count();
    let (majority, word) = match count(Casing::Lower) > count(Casing::Upper) {
        true => (Casing::Lower, "lowercase"),
        false => (Casing::Upper, "uppercase"),
    };
    for place in places().filter(|place| Casing::of(&place.keyword) != majority) {
        let keyword = place.keyword.clone();
        let problem = Problem::ConsistentInstructionCasing { keyword, majority: word };
        findings.add(problem, place.lines.clone(), &[]);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Casing {
    Lower,
    Upper,
    Mixed,
}

impl Casing {
    /// Of a keyword, which has letters only.
    fn of(keyword: &str) -> Self {
        if keyword.bytes().all(|byte| byte.is_ascii_lowercase()) {
            Self::Lower
        } else if keyword.bytes().all(|byte| byte.is_ascii_uppercase()) {
            Self::Upper
        } else {
            Self::Mixed
        }
    }
}
