//! Limits that an image keeps or breaks.

use super::weight_text::plain;
use crate::figures::human;
use crate::weight::budget::{Amount, Breach, Status, Subject, Verdict};

/// The verdict as terminal text: a line, one for each broken limit, and one for those that nothing
/// could be held against. Empty without limits.
#[must_use]
pub fn verdict_text(verdict: &Verdict) -> String {
    let mut text = known(verdict);
    if let Some(unknown) = unknown(verdict, plain) {
        text.push_str(&format!("{unknown}\n"));
    }
    text
}

/// `Not held against a limit, since it is not known: Compressed size`
pub(super) fn unknown(verdict: &Verdict, quoted: impl Fn(&str) -> String) -> Option<String> {
    let subjects: Vec<String> =
        verdict.unknown.iter().map(|subject| named(subject, &quoted)).collect();
    (!subjects.is_empty()).then(|| {
        format!("Not held against a limit, since it is not known: {}", subjects.join("; "))
    })
}

fn known(verdict: &Verdict) -> String {
    let limits = match verdict.limits {
        0 => return String::new(),
        1 => "its limit".to_owned(),
        limits => format!("all {limits} limits"),
    };
    let head = match (verdict.status, &verdict.waived_by) {
        (Status::Pass, _) => return format!("Within {limits}.\n"),
        (Status::Waived, Some(by)) => format!("Above its limits, accepted: {}\n", plain(by)),
        (Status::Warn, _) => "Above its limits, which only warn:\n".to_owned(),
        (Status::Fail | Status::Waived, _) => "Above its limits:\n".to_owned(),
    };
    let line = |breach: &Breach| format!("  {}\n", breach_line(breach, plain));
    head + &verdict.breaches.iter().map(line).collect::<String>()
}

/// `Compressed size: 260.1 MB, the limit is 250.0 MB`; `quoted` is how names from images are shown.
pub(super) fn breach_line(breach: &Breach, quoted: impl Fn(&str) -> String) -> String {
    let what = named(&breach.subject, quoted);
    let amount = |amount| match amount {
        Amount::Bytes(bytes) => human(bytes),
        Amount::Percent(percent) => percent.to_string(),
    };
    match (&breach.subject, breach.limit) {
        (Subject::Package(_), Amount::Bytes(0)) => {
            format!("{what}: {}, and it must not be there", amount(breach.found))
        }
        (Subject::Efficiency, limit) => {
            format!("{what}: {}, and at least {} is asked for", amount(breach.found), amount(limit))
        }
        (_, limit) => format!("{what}: {}, the limit is {}", amount(breach.found), amount(limit)),
    }
}

fn named(subject: &Subject, quoted: impl Fn(&str) -> String) -> String {
    match subject {
        Subject::Compressed => "Compressed size".to_owned(),
        Subject::Unpacked => "Unpacked size".to_owned(),
        Subject::Growth => "Growth of the compressed size".to_owned(),
        Subject::UnpackedGrowth => "Growth of the unpacked size".to_owned(),
        Subject::Waste => "Avoidable bytes".to_owned(),
        Subject::Efficiency => "Efficiency".to_owned(),
        Subject::Layer(instruction) if instruction.is_empty() => {
            "The heaviest layer, unpacked".to_owned()
        }
        Subject::Layer(instruction) => format!("Layer {}, unpacked", quoted(instruction)),
        Subject::Paths(pattern) => format!("Files of {}, unpacked", quoted(pattern)),
        Subject::Package(name) => format!("Package {}, unpacked", quoted(name)),
        Subject::Stage(name) => format!("Stage {}, unpacked", quoted(name)),
    }
}
