//! The weight of an image that was just built: against a baseline, and against its limits.

use super::args::BuildArgs;
use super::limits::{self, Limits};
use super::reading::Reader;
use crate::build::BuildResult;
use crate::error::Error;
use crate::report;
use crate::request::BuildRequest;
use crate::weight::budget::{Judged, Verdict};
use crate::weight::{Difference, Weight, compare};

/// What is told of the size of an image.
#[derive(Default)]
pub struct Sized {
    /// Behind the report of the build; empty where nothing was asked for.
    pub text: String,
    pub verdict: Option<Verdict>,
    pub baseline: Option<Baseline>,
}

/// What an image was compared with.
pub struct Baseline {
    /// In words.
    pub name: String,
    pub weight: Weight,
    pub difference: Difference,
}

/// Sizes an image. A baseline that can't be had is told through `notice` and no more: the first build
/// has none.
pub fn size(
    args: &BuildArgs,
    request: &BuildRequest,
    limits: Option<&Limits>,
    result: &BuildResult,
    notice: &dyn Fn(String),
) -> Sized {
    let Some(weight) = &result.weight else { return Sized::default() };
    let baseline = args.size_baseline.as_ref().and_then(|image| {
        baseline(image, request, weight)
            .inspect_err(|error| notice(format!("nothing to compare with: {}", error.message)))
            .ok()
    });
    let stages: Vec<(String, u64)> = result
        .stages
        .iter()
        .filter_map(|stage| Some((stage.name.clone(), stage.unpacked_bytes()?)))
        .collect();
    let difference = baseline.as_ref().map(|baseline| &baseline.difference);
    let judged = Judged { weight, difference, stages: &stages };
    let verdict = limits.map(|limits| limits.judge(&judged));
    let mut text = String::new();
    if let Some(difference) = difference {
        text.push_str(&format!("\n{}", report::difference_text(difference)));
    }
    text.push_str(&limits::paragraph(verdict.as_ref()));
    Sized { text, verdict, baseline }
}

fn baseline(image: &str, request: &BuildRequest, new: &Weight) -> Result<Baseline, Error> {
    let reader = Reader::of(request.platform.clone(), request.registry.clone(), request.threads)?;
    let weight = reader.weigh(image, None)?;
    let difference = compare(&weight, new);
    Ok(Baseline { name: image.to_owned(), weight, difference })
}
