//! The weight of an image that was just built: against a baseline, and against its limits.

use std::path::{Path, PathBuf};

use super::args::BuildArgs;
use super::limits::{self, Limits};
use super::{COMMENT_LIMIT, write_file};
use crate::build::{BaselineOrigin, BuildResult};
use crate::error::Error;
use crate::report::{self, SizeReport};
use crate::request::BuildRequest;
use crate::weight::budget::{Judged, Verdict};
use crate::weight::{Difference, Weight, compare};

/// A file of `--size-report`, whose name says what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFile {
    path: PathBuf,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Markdown,
    Html,
    Svg,
}

impl ReportFile {
    /// All of them. A name that says nothing is a mistake, told before anything is built.
    pub fn all(args: &BuildArgs) -> Result<Vec<Self>, Error> {
        args.size_reports.iter().map(|path| Self::of(path)).collect()
    }

    fn of(path: &Path) -> Result<Self, Error> {
        let form = match path.extension().and_then(|extension| extension.to_str()) {
            Some("md") => Form::Markdown,
            Some("html") => Form::Html,
            Some("svg") => Form::Svg,
            _ => {
                let text = format!("--size-report: {} has no form", path.display());
                return Err(Error::usage(text).hinted("End the name in .md, .html or .svg."));
            }
        };
        Ok(Self { path: path.to_owned(), form })
    }
}

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

/// Sizes an image. That there is nothing to compare with is told through `notice` and no more: the
/// first build has none.
pub fn size(
    request: &BuildRequest,
    limits: Option<&Limits>,
    result: &BuildResult,
    notice: &dyn Fn(String),
) -> Sized {
    let Some(weight) = &result.weight else { return Sized::default() };
    let found = result.baseline.as_ref();
    let baseline = found.map(|found| Baseline::new(&found.origin, found.weight.clone(), weight));
    if baseline.is_none() && request.size_baseline.lineage().is_some() {
        notice("nothing to compare with: no earlier build is known".to_owned());
    }
    let stages: Vec<(String, Option<u64>)> =
        result.stages.iter().map(|stage| (stage.name.clone(), stage.unpacked_bytes())).collect();
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

impl Baseline {
    fn new(origin: &BaselineOrigin, weight: Weight, new: &Weight) -> Self {
        let name = origin.to_string();
        let mut difference = compare(&weight, new);
        // Tags of one image say less than its commits.
        difference.old.image.name.clone_from(&name);
        Self { name, weight, difference }
    }
}

impl Sized {
    /// Writes the files of `--size-report`.
    pub fn write(&self, files: &[ReportFile], result: &BuildResult) -> Result<(), Error> {
        let Some(weight) = &result.weight else { return Ok(()) };
        for ReportFile { path, form } in files {
            let baseline = self.baseline.as_ref();
            let difference = baseline.map(|baseline| &baseline.difference);
            let content = match (form, difference) {
                (Form::Markdown, difference) => {
                    let report = SizeReport {
                        weight,
                        difference,
                        baseline: baseline.map(|baseline| baseline.name.as_str()),
                        verdict: self.verdict.as_ref(),
                        build: Some(result),
                        history: &result.builds,
                        more: None,
                    };
                    report::markdown(&report, COMMENT_LIMIT)
                }
                (Form::Html, Some(difference)) => {
                    report::difference_html(difference, weight, &result.builds)
                }
                (Form::Html, None) => report::weight_html(weight, &result.builds),
                (Form::Svg, Some(difference)) => report::difference_svg(difference, weight),
                (Form::Svg, None) => report::weight_svg(weight),
            };
            write_file("--size-report", path, content)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_report_is_what_its_name_says() {
        let form = |name: &str| ReportFile::of(Path::new(name)).map(|file| file.form);
        assert_eq!(form("a/size.md").unwrap(), Form::Markdown);
        assert_eq!(form("size.html").unwrap(), Form::Html);
        assert_eq!(form("size.svg").unwrap(), Form::Svg);
        for name in ["size", "size.pdf", ".md"] {
            assert_eq!(form(name).unwrap_err().kind, ErrorKind::Usage, "{name}");
        }
    }
}
