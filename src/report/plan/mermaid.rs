//! The forecast as a Mermaid flowchart, which GitHub draws in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{fate, shortened, stage_of};
use crate::build::{Forecast, Origin, StageFate, StepFate};

/// Of a label's line, and of what stands at an arrow.
const WIDTH: usize = 40;

#[must_use]
pub fn mermaid(forecast: &Forecast) -> String {
    let mut text = "flowchart LR\n".to_owned();
    let mut contexts: BTreeMap<String, usize> = BTreeMap::new();
    let mut arrows = String::new();
    for (index, stage) in forecast.stages.iter().enumerate() {
        let lines = [stage.name.clone(), format!("on {}", stage.base), fate(stage)]
            .map(|line| label(&line));
        let (open, close) = if index == forecast.target { ("[[", "]]") } else { ("[", "]") };
        let _ = writeln!(
            text,
            "  s{index}{open}\"{}\"{close}:::{}",
            lines.join("<br>"),
            class(stage.fate)
        );
        if let Some(base) = stage_of(&stage.base) {
            let arrow = if stage.fate == StageFate::LeftOut { "-.->" } else { "==>" };
            let _ = writeln!(arrows, "  s{base} {arrow} s{index}");
        }
        // Several steps that read the same place are one arrow.
        let mut from: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for step in stage.steps.iter().filter(|step| step.fate != StepFate::LeftOut) {
            for read in &step.reads {
                let source = match &read.from {
                    Origin::Stage { index, .. } => format!("s{index}"),
                    origin => {
                        let next = contexts.len();
                        let id = *contexts.entry(origin.to_string()).or_insert(next);
                        format!("c{id}")
                    }
                };
                from.entry(source).or_default().extend(read.paths.iter().cloned());
            }
        }
        for (source, mut paths) in from {
            paths.dedup();
            let arrow = match paths.is_empty() {
                true => "-->".to_owned(),
                false => format!("-->|\"{}\"|", label(&paths.join(" "))),
            };
            let _ = writeln!(arrows, "  {source} {arrow} s{index}");
        }
        if stage.fate == StageFate::LeftOut {
            let reads = stage.steps.iter().flat_map(|step| &step.reads);
            for source in reads.filter_map(|read| stage_of(&read.from)) {
                let _ = writeln!(arrows, "  s{source} -.-> s{index}");
            }
        }
    }
    for (name, id) in contexts {
        let _ = writeln!(text, "  c{id}([\"{}\"])", label(&name));
    }
    text + &arrows
        + "  classDef runs stroke:#d97706,stroke-width:3px\n  \
           classDef cached stroke:#16a34a\n  \
           classDef unseen stroke:#16a34a,stroke-dasharray:2 2\n  \
           classDef leftout stroke:#9ca3af,stroke-dasharray:6 4,color:#9ca3af\n"
}

fn class(fate: StageFate) -> &'static str {
    match fate {
        StageFate::Runs => "runs",
        StageFate::Cached => "cached",
        StageFate::NotLookedAt => "unseen",
        StageFate::LeftOut => "leftout",
    }
}

/// Text between quotes: whatever could mean something to Mermaid or HTML is an entity of Mermaid's.
fn label(text: &str) -> String {
    let mut label = String::new();
    for c in shortened(text, WIDTH).chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '_' | '.' | ',' | '/' | ':' | '=' => {
                label.push(c);
            }
            c if c.is_control() => label.push(' '),
            c if c.is_ascii() => {
                let _ = write!(label, "#{};", u32::from(c));
            }
            c => label.push(c),
        }
    }
    label
}
