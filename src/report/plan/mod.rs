//! A forecast as text, JSON, Mermaid and SVG.

mod layout;
mod mermaid;
mod svg;
#[cfg(test)]
mod tests;
mod text;

use serde_json::{Value, json};

use crate::build::{Forecast, Origin, Read, StageFate, StageForecast, StepFate};
use crate::figures::human;

pub use mermaid::mermaid;
pub use svg::svg;
pub use text::text;

/// The forecast as it is, and the counts that a reader would have to make.
#[must_use]
pub fn json(forecast: &Forecast) -> Value {
    let (runs, steps) = forecast.running_steps();
    let mut value = json!(forecast);
    value["steps_to_run"] = json!(runs);
    value["steps"] = json!(steps);
    value["stages_left_out"] = json!(forecast.left_out());
    value
}

/// `Dockerfile → app, linux/amd64: 2 of 5 steps run, 1 stage is left out`
fn headline(forecast: &Forecast) -> String {
    let target = &forecast.stages[forecast.target].name;
    let (runs, steps) = forecast.running_steps();
    let steps = match (runs, steps) {
        (_, 0) => "no steps".to_owned(),
        (0, 1) => "its step is cached".to_owned(),
        (0, all) => format!("all {all} steps are cached"),
        (runs, all) => format!("{runs} of {all} steps {}", if runs == 1 { "runs" } else { "run" }),
    };
    let left_out = match forecast.left_out() {
        0 => String::new(),
        1 => ", 1 stage is left out".to_owned(),
        count => format!(", {count} stages are left out"),
    };
    format!("{} → {target}, {}: {steps}{left_out}", forecast.dockerfile, forecast.platform)
}

/// What becomes of a stage, in few words.
fn fate(stage: &StageForecast) -> String {
    let runs = stage.steps.iter().filter(|step| matches!(step.fate, StepFate::Runs { .. })).count();
    let cached = stage.steps.iter().filter(|step| step.fate == StepFate::Cached).count();
    match (stage.fate, runs, cached) {
        (StageFate::LeftOut, ..) => "left out".to_owned(),
        (StageFate::NotLookedAt, ..) => "not needed now".to_owned(),
        (StageFate::Cached, _, 0) => "nothing to run".to_owned(),
        (StageFate::Cached, ..) => "cached".to_owned(),
        (StageFate::Runs, runs, 0) => format!("{runs} to run"),
        (StageFate::Runs, runs, cached) => format!("{runs} to run, {cached} cached"),
    }
}

/// `2 files, 1.2 kB of the context`; `None` for what a step says itself.
fn contents(read: &Read) -> Option<String> {
    let files = read.files.as_ref()?;
    let count = match files.as_slice() {
        [] => return Some(format!("no file of {}", read.from)),
        [file] => file.path.clone(),
        files => format!("{} files", files.len()),
    };
    Some(format!("{count}, {} of {}", human(read.bytes().unwrap_or_default()), read.from))
}

/// The stage that something comes from.
fn stage_of(origin: &Origin) -> Option<usize> {
    match origin {
        Origin::Stage { index, .. } => Some(*index),
        _ => None,
    }
}

/// At most `limit` characters, the end cut off.
fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let start: String = text.chars().take(limit.saturating_sub(1)).collect();
    format!("{}…", start.trim_end())
}
