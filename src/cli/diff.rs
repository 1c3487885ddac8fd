//! `plimsoll diff`.

use super::COMMENT_LIMIT;
use super::args::{DiffArgs, ReportFormat};
use super::environment::Environment;
use super::limits::{self, Limits};
use super::reading::{Reader, dockerfile};
use crate::error::Error;
use crate::report::{self, SizeReport};
use crate::weight;
use crate::weight::budget::Judged;

/// The report, and whether the new image keeps its limits.
pub fn run(
    args: &DiffArgs,
    environment: &Environment,
) -> Result<(String, Result<(), Error>), Error> {
    let limits = Limits::read(&args.limits)?;
    let dockerfile = dockerfile(args.file.as_deref())?;
    let reader = Reader::new(&args.reading, environment)?;
    let old = reader.weigh(&args.old, None)?;
    let new = reader.weigh(&args.new, dockerfile.as_deref())?;
    let difference = weight::compare(&old, &new);
    let judged = Judged { weight: &new, difference: Some(&difference), stages: &[] };
    let verdict = limits.map(|limits| limits.judge(&judged));
    let text = match args.reading.format {
        ReportFormat::Text => {
            report::difference_text(&difference) + &limits::paragraph(verdict.as_ref())
        }
        ReportFormat::Json => {
            let json = report::difference_json(&difference);
            format!("{:#}\n", limits::with_verdict(json, verdict.as_ref()))
        }
        ReportFormat::Markdown => {
            let report = SizeReport {
                difference: Some(&difference),
                baseline: Some(&old.image.name),
                verdict: verdict.as_ref(),
                ..SizeReport::of(&new)
            };
            report::markdown(&report, COMMENT_LIMIT)
        }
        ReportFormat::Html => report::difference_html(&difference, &new, &[]),
        ReportFormat::Svg => report::difference_svg(&difference, &new),
    };
    Ok((text, verdict.as_ref().map_or(Ok(()), limits::outcome)))
}
