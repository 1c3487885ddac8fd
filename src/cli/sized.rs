//! The weight of an image that was just built: against a baseline, and against its limits.

use std::path::{Path, PathBuf};

use super::args::BuildArgs;
use super::limits::{self, Limits};
use super::reading::Reader;
use super::{COMMENT_LIMIT, write_file};
use crate::build::{BaselineOrigin, BuildResult};
use crate::error::Error;
use crate::report::{self, SizeReport};
use crate::request::BuildRequest;
use crate::weight::budget::{Judged, Verdict};
use crate::weight::{Difference, Weight, compare};

/// `--size-baseline`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SizeBaseline {
    /// No flag, or `none`.
    None,
    /// What the build finds.
    Auto,
    /// An image, named as for `weigh`.
    Image(String),
}

impl SizeBaseline {
    pub fn of(args: &BuildArgs) -> Self {
        match args.size_baseline.as_deref() {
            None | Some("" | "none") => Self::None,
            Some("auto") => Self::Auto,
            Some(image) => Self::Image(image.to_owned()),
        }
    }
}

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
    difference: Option<Difference>,
    /// In words.
    baseline: Option<String>,
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
    let (difference, origin) = match SizeBaseline::of(args) {
        SizeBaseline::None => (None, None),
        SizeBaseline::Auto => match &result.baseline {
            Some(found) => {
                let mut difference = compare(&found.weight, weight);
                // Tags of one image say less than its commits.
                difference.old.image.name = found.origin.to_string();
                (Some(difference), Some(found.origin.clone()))
            }
            None => {
                notice("nothing to compare with: no earlier build is known".to_owned());
                (None, None)
            }
        },
        SizeBaseline::Image(name) => match difference(&name, request, weight) {
            Ok(difference) => (Some(difference), Some(BaselineOrigin::Named { name })),
            Err(error) => {
                notice(format!("nothing to compare with: {}", error.message));
                (None, None)
            }
        },
    };
    let stages: Vec<(String, u64)> = result
        .stages
        .iter()
        .filter_map(|stage| Some((stage.name.clone(), stage.unpacked_bytes()?)))
        .collect();
    let judged = Judged { weight, difference: difference.as_ref(), stages: &stages };
    let verdict = limits.map(|limits| limits.judge(&judged));
    let baseline = origin.map(|origin| origin.to_string());
    let mut text = String::new();
    if let Some(difference) = &difference {
        text.push_str(&format!("\n{}", report::difference_text(difference)));
    }
    text.push_str(&limits::paragraph(verdict.as_ref()));
    Sized { text, verdict, difference, baseline }
}

fn difference(image: &str, request: &BuildRequest, new: &Weight) -> Result<Difference, Error> {
    let reader = Reader::of(request.platform.clone(), request.registry.clone(), request.threads)?;
    Ok(compare(&reader.weigh(image, None)?, new))
}

impl Sized {
    /// Writes the files of `--size-report`.
    pub fn write(&self, files: &[ReportFile], result: &BuildResult) -> Result<(), Error> {
        let Some(weight) = &result.weight else { return Ok(()) };
        for ReportFile { path, form } in files {
            let content = match (form, &self.difference) {
                (Form::Markdown, difference) => {
                    let report = SizeReport {
                        weight,
                        difference: difference.as_ref(),
                        baseline: self.baseline.as_deref(),
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
    fn two_words_are_no_image() {
        for (typed, expected) in [
            (None, SizeBaseline::None),
            (Some("none"), SizeBaseline::None),
            (Some(""), SizeBaseline::None),
            (Some("auto"), SizeBaseline::Auto),
            (Some("app:1"), SizeBaseline::Image("app:1".to_owned())),
        ] {
            let size_baseline = typed.map(str::to_owned);
            let args = BuildArgs { size_baseline, ..BuildArgs::default() };
            assert_eq!(SizeBaseline::of(&args), expected);
        }
    }

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
