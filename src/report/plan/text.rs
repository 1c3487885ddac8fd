//! The forecast as lines: a paragraph for every stage, in the order of the Dockerfile.

use std::fmt::Write as _;

use super::{contents, fate, headline, shortened};
use crate::build::{Forecast, StageFate, StageForecast, StepFate, StepForecast};

/// Of an instruction.
const WIDTH: usize = 58;

#[must_use]
pub fn text(forecast: &Forecast) -> String {
    let mut text = headline(forecast) + "\n";
    let needed = |stage: &&StageForecast| stage.fate != StageFate::LeftOut;
    for stage in forecast.stages.iter().filter(needed) {
        let mut marks = vec![fate(stage)];
        marks.extend(stage.in_image.then(|| "in the image".to_owned()));
        let (line, base) = (stage.lines.first, &stage.base);
        let _ = writeln!(text, "\n{} (line {line}) on {base}: {}", stage.name, marks.join(", "));
        let width = stage.steps.iter().map(|step| title(step).chars().count()).max().unwrap_or(0);
        for step in &stage.steps {
            write_step(&mut text, step, width);
        }
    }
    let left_out: Vec<String> = forecast
        .stages
        .iter()
        .filter(|stage| !needed(stage))
        .map(|stage| format!("{} (line {})", stage.name, stage.lines.first))
        .collect();
    if !left_out.is_empty() {
        let _ = writeln!(text, "\nleft out: {}", left_out.join(", "));
    }
    text
}

fn title(step: &StepForecast) -> String {
    shortened(&step.title, WIDTH)
}

fn write_step(text: &mut String, step: &StepForecast, width: usize) {
    let word = match &step.fate {
        StepFate::Runs { why } => format!("runs: {why}"),
        StepFate::Cached => "cached".to_owned(),
        StepFate::Config | StepFate::NotLookedAt | StepFate::LeftOut => String::new(),
    };
    let line = format!("{:4}  {:width$}  {word}", step.lines.first, title(step));
    let _ = writeln!(text, "{}", line.trim_end());
    for contents in step.reads.iter().filter_map(contents) {
        let _ = writeln!(text, "        ← {contents}");
    }
}
