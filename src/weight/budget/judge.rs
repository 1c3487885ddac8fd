//! A weight held against its limits.

use serde::Serialize;

use super::amount::{Amount, Percent};
use super::settings::{Action, Budget, Bytes, Limit, Name};
use crate::weight::{Difference, Source, Weight, path};

/// Everything that limits are held against.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    pub weight: &'a Weight,
    /// Against the baseline, where there is one.
    pub difference: Option<&'a Difference>,
    /// Unpacked bytes of the stages of the build, by name; `None` where nobody knows.
    pub stages: &'a [(String, Option<u64>)],
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub status: Status,
    /// Limits that are broken, those that fail first.
    pub breaches: Vec<Breach>,
    /// How many limits there were.
    pub limits: usize,
    /// Those that nothing could be held against, since it is not known. They are not among `limits`.
    pub unknown: Vec<Subject>,
    /// What waived them, in words: `label size-accepted`.
    pub waived_by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Pass,
    Warn,
    Fail,
    /// It would have failed.
    Waived,
}

/// One limit that is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    #[serde(flatten)]
    pub subject: Subject,
    pub limit: Amount,
    pub found: Amount,
    pub action: Action,
}

/// What a limit is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "subject", content = "name", rename_all = "kebab-case")]
pub enum Subject {
    Compressed,
    Unpacked,
    /// Of the compressed size.
    Growth,
    /// Of the unpacked size: the compressed one of the baseline is not known.
    UnpackedGrowth,
    Waste,
    Efficiency,
    /// The heaviest layer above the base, by its instruction.
    Layer(String),
    /// A pattern of paths.
    Paths(String),
    Package(String),
    Stage(String),
}

/// Holds an image against its limits. `stages` are the limits of stages; `gate` is what a broken
/// limit may do at most; `waived_by` says what waives them.
#[must_use]
pub fn judge<'a>(
    judged: &Judged<'_>,
    budget: &Budget,
    stages: impl IntoIterator<Item = (&'a Name, &'a Limit<Bytes>)>,
    gate: Action,
    waived_by: Option<String>,
) -> Verdict {
    let mut court = Court { default: budget.action.unwrap_or_default(), gate, ..Court::default() };
    court.totals(judged, budget);
    court.growth(judged, budget);
    court.parts(judged, budget);
    for (name, limit) in stages {
        for (stage, bytes) in judged.stages {
            if name.matches(stage.as_bytes()) {
                court.known_bytes(Subject::Stage(stage.clone()), *bytes, limit);
            }
        }
    }
    let Court { mut breaches, limits, unknown, .. } = court;
    // A stable sort: what is equal stays in the order of the file.
    breaches.sort_by_key(|breach| std::cmp::Reverse(breach.action));
    let status = match breaches.first().map(|breach| breach.action) {
        None => Status::Pass,
        Some(Action::Warn) => Status::Warn,
        Some(Action::Fail) if waived_by.is_some() => Status::Waived,
        Some(Action::Fail) => Status::Fail,
    };
    let waived_by = waived_by.filter(|_| status == Status::Waived);
    Verdict { status, breaches, limits, unknown, waived_by }
}

#[derive(Default)]
struct Court {
    default: Action,
    gate: Action,
    breaches: Vec<Breach>,
    limits: usize,
    unknown: Vec<Subject>,
}

impl Court {
    fn totals(&mut self, judged: &Judged<'_>, budget: &Budget) {
        let size = judged.weight.size();
        if let Some(limit) = &budget.compressed {
            self.known_bytes(Subject::Compressed, size.compressed, limit);
        }
        if let Some(limit) = &budget.unpacked {
            self.bytes(Subject::Unpacked, size.unpacked, limit);
        }
        if let Some(limit) = &budget.waste {
            self.bytes(Subject::Waste, judged.weight.waste().unpacked, limit);
        }
        if let Some(limit) = &budget.efficiency {
            self.limits += 1;
            let efficiency = judged.weight.efficiency;
            // What is found is rounded down here: it must not be better than it is.
            let lost = efficiency.found.saturating_sub(efficiency.least);
            let found = Percent(10_000_u64.saturating_sub(Percent::of(lost, efficiency.found).0));
            if found < limit.value {
                let limits = (Amount::Percent(limit.value), Amount::Percent(found));
                self.breach(Subject::Efficiency, limits, limit.action);
            }
        }
    }

    fn growth(&mut self, judged: &Judged<'_>, budget: &Budget) {
        let (Some(limit), Some(difference)) = (&budget.growth, judged.difference) else { return };
        let (old, new) = (difference.old.size, difference.new.size);
        let (subject, old, new) = match (old.compressed, new.compressed) {
            (Some(old), Some(new)) => (Subject::Growth, old, new),
            _ => (Subject::UnpackedGrowth, old.unpacked, new.unpacked),
        };
        let grown = new.saturating_sub(old);
        self.limits += 1;
        if let Some(bytes) = limit.value.bytes.filter(|bytes| grown > *bytes) {
            let limits = (Amount::Bytes(bytes), Amount::Bytes(grown));
            self.breach(subject.clone(), limits, limit.action);
        }
        let share = Percent::of(grown, old);
        if let Some(percent) = limit.value.percent.filter(|percent| share > *percent) {
            let limits = (Amount::Percent(percent), Amount::Percent(share));
            self.breach(subject, limits, limit.action);
        }
    }

    fn parts(&mut self, judged: &Judged<'_>, budget: &Budget) {
        let weight = judged.weight;
        if let Some(limit) = &budget.layer {
            let above = weight.layers.iter().filter(|l| !matches!(l.step.source, Source::Base(_)));
            if let Some(layer) = above.max_by_key(|layer| layer.unpacked) {
                let subject = Subject::Layer(layer.step.instruction.clone());
                self.bytes(subject, layer.unpacked, limit);
            }
        }
        for (name, limit) in &budget.paths {
            let matching = weight.kept().filter(|file| name.matches(&file.path));
            let found = matching.map(|file| file.bytes).sum();
            self.bytes(Subject::Paths(name.text().to_owned()), found, limit);
        }
        for (name, limit) in &budget.packages {
            self.limits += 1;
            for package in weight.packages.iter().filter(|p| name.matches(p.name.as_bytes())) {
                // Nothing of it is allowed, however little it weighs.
                let forbidden = limit.value.0 == 0;
                if forbidden || package.size.unpacked > limit.value.0 {
                    let place = path::text(&package.path);
                    let name = match place.is_empty() {
                        true => package.name.clone(),
                        false => format!("{} in /{place}", package.name),
                    };
                    let found = Amount::Bytes(package.size.unpacked);
                    let limits = (Amount::Bytes(limit.value.0), found);
                    self.breach(Subject::Package(name), limits, limit.action);
                }
            }
        }
    }

    fn known_bytes(&mut self, subject: Subject, found: Option<u64>, limit: &Limit<Bytes>) {
        match found {
            Some(found) => self.bytes(subject, found, limit),
            None => self.unknown.push(subject),
        }
    }

    fn bytes(&mut self, subject: Subject, found: u64, limit: &Limit<Bytes>) {
        self.limits += 1;
        if found > limit.value.0 {
            let limits = (Amount::Bytes(limit.value.0), Amount::Bytes(found));
            self.breach(subject, limits, limit.action);
        }
    }

    fn breach(
        &mut self,
        subject: Subject,
        (limit, found): (Amount, Amount),
        action: Option<Action>,
    ) {
        let action = action.unwrap_or(self.default).min(self.gate);
        self.breaches.push(Breach { subject, limit, found, action });
    }
}
