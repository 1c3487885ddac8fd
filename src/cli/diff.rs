//! `plimsoll diff`.

use super::args::{DiffArgs, ReportFormat};
use super::environment::Environment;
use super::reading::{Reader, dockerfile};
use crate::error::Error;
use crate::report;
use crate::weight;

/// The report.
pub fn run(args: &DiffArgs, environment: &Environment) -> Result<String, Error> {
    let dockerfile = dockerfile(args.file.as_deref())?;
    let reader = Reader::new(&args.reading, environment)?;
    let old = reader.weigh(&args.old, None)?;
    let new = reader.weigh(&args.new, dockerfile.as_deref())?;
    let difference = weight::compare(&old, &new);
    Ok(match args.reading.format {
        ReportFormat::Text => report::difference_text(&difference),
        ReportFormat::Json => format!("{:#}\n", report::difference_json(&difference)),
    })
}
