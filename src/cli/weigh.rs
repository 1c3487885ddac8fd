//! `plimsoll weigh`.

use super::args::{ReportFormat, WeighArgs};
use super::environment::Environment;
use super::limits::{self, Limits};
use super::reading::{Reader, dockerfile};
use super::{COMMENT_LIMIT, dive_ci};
use crate::error::{Error, ErrorKind};
use crate::report::{self, SizeReport};
use crate::weight;
use crate::weight::budget::Judged;

/// The report, and whether the image keeps its limits and the rules of `--ci-config`.
pub fn run(
    args: &WeighArgs,
    environment: &Environment,
) -> Result<(String, Result<(), Error>), Error> {
    let rules = args.ci_config.as_deref().map(dive_ci::read).transpose()?;
    let limits = Limits::read(&args.limits)?;
    let dockerfile = dockerfile(args.file.as_deref())?;
    let reader = Reader::new(&args.reading, environment)?;
    let weight = reader.weigh(&args.image, dockerfile.as_deref())?;
    if let Some(path) = &args.output_weight {
        std::fs::write(path, weight::encode(&weight)).map_err(|error| {
            Error::build(format!("--output-weight: can't write {}: {error}", path.display()))
        })?;
    }
    let judged = Judged { weight: &weight, difference: None, stages: &[] };
    let verdict = limits.map(|limits| limits.judge(&judged));
    let text = match args.reading.format {
        ReportFormat::Text => report::weight_text(&weight) + &limits::paragraph(verdict.as_ref()),
        ReportFormat::Json => {
            let json = report::weight_json(&weight);
            format!("{:#}\n", limits::with_verdict(json, verdict.as_ref()))
        }
        ReportFormat::Markdown => {
            let report = SizeReport { verdict: verdict.as_ref(), ..SizeReport::of(&weight) };
            report::markdown(&report, COMMENT_LIMIT)
        }
        ReportFormat::Html => report::weight_html(&weight, &[]),
        ReportFormat::Svg => report::weight_svg(&weight),
    };
    let broken = rules.map(|rules| rules.broken(&weight.efficiency)).unwrap_or_default();
    let kept = match broken.as_slice() {
        [] => verdict.as_ref().map_or(Ok(()), limits::outcome),
        broken => {
            let text = format!("{} breaks {}", args.image, broken.join("; "));
            Err(Error::new(ErrorKind::Size, text))
        }
    };
    Ok((text, kept))
}
