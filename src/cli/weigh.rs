//! `plimsoll weigh`.

use super::args::{ReportFormat, WeighArgs};
use super::dive_ci;
use super::environment::Environment;
use super::reading::{Reader, dockerfile};
use crate::error::{Error, ErrorKind};
use crate::report;
use crate::weight;

/// The report, and whether the image keeps the rules of `--ci-config`.
pub fn run(
    args: &WeighArgs,
    environment: &Environment,
) -> Result<(String, Result<(), Error>), Error> {
    let rules = args.ci_config.as_deref().map(dive_ci::read).transpose()?;
    let dockerfile = dockerfile(args.file.as_deref())?;
    let reader = Reader::new(&args.reading, environment)?;
    let weight = reader.weigh(&args.image, dockerfile.as_deref())?;
    if let Some(path) = &args.output_weight {
        std::fs::write(path, weight::encode(&weight)).map_err(|error| {
            Error::build(format!("--output-weight: can't write {}: {error}", path.display()))
        })?;
    }
    let text = match args.reading.format {
        ReportFormat::Text => report::weight_text(&weight),
        ReportFormat::Json => format!("{:#}\n", report::weight_json(&weight)),
    };
    let broken = rules.map(|rules| rules.broken(&weight.efficiency)).unwrap_or_default();
    let verdict = match broken.as_slice() {
        [] => Ok(()),
        broken => {
            let text = format!("{} breaks {}", args.image, broken.join("; "));
            Err(Error::new(ErrorKind::Size, text))
        }
    };
    Ok((text, verdict))
}
