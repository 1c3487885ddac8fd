//! The weight of an image that was just built: against a baseline, and against its limits.

use std::path::{Path, PathBuf};

use super::args::BuildArgs;
use super::limits::{self, Limits};
use super::{COMMENT_LIMIT, write_file};
use serde_json::Value;

use crate::build::{BaselineOrigin, BuildResult, Built, StageResult};
use crate::error::Error;
use crate::report::{self, SizeReport};
use crate::request::BuildRequest;
use crate::weight::budget::{Judged, Status, Verdict};
use crate::weight::{self, Difference, Weight, compare};

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

/// What is told of the sizes of a build.
pub struct Sizes<'a> {
    /// By platform; empty where nothing was weighed.
    pub platforms: Vec<Sized<'a>>,
}

/// What is told of the size of one image.
pub struct Sized<'a> {
    pub result: &'a BuildResult,
    pub weight: &'a Weight,
    pub verdict: Option<Verdict>,
    pub baseline: Option<Baseline>,
    /// There are several platforms.
    is_one_of_several: bool,
}

/// What an image was compared with.
pub struct Baseline {
    /// In words.
    pub name: String,
    pub weight: Weight,
    pub difference: Difference,
}

/// Sizes the image of each platform. That there is nothing to compare with is told through `notice`
/// and no more: the first build has none.
pub fn size<'a>(
    request: &BuildRequest,
    limits: Option<&Limits>,
    built: &'a Built,
    notice: &dyn Fn(String),
) -> Sizes<'a> {
    let is_one_of_several = built.platforms.len() > 1;
    let of = |result: &'a BuildResult| {
        let weight = result.weight.as_ref()?;
        let found = result.baseline.as_ref();
        let baseline = found.map(|f| Baseline::new(&f.origin, f.weight.clone(), weight));
        let named = |stage: &StageResult| (stage.name.clone(), stage.unpacked_bytes());
        let stages: Vec<(String, Option<u64>)> = result.stages.iter().map(named).collect();
        let difference = baseline.as_ref().map(|baseline| &baseline.difference);
        let judged = Judged { weight, difference, stages: &stages };
        let verdict = limits.map(|limits| limits.judge(&judged));
        Some(Sized { result, weight, verdict, baseline, is_one_of_several })
    };
    let platforms: Vec<Sized<'a>> = built.platforms.iter().filter_map(of).collect();
    let is_new = |sized: &&Sized<'_>| sized.baseline.is_none();
    if request.size_baseline.lineage().is_some() {
        for new in platforms.iter().filter(is_new) {
            let what = match is_one_of_several {
                true => format!("nothing to compare {} with", new.weight.image.platform),
                false => "nothing to compare with".to_owned(),
            };
            notice(format!("{what}: no earlier build is known"));
        }
    }
    Sizes { platforms }
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

impl Sizes<'_> {
    /// Behind the report of the build; empty where nothing was asked for.
    pub fn text(&self) -> String {
        self.platforms.iter().map(Sized::text).collect()
    }

    /// The report of the build as JSON, with the verdicts where there are some.
    pub fn with_verdicts(&self, mut report: Value) -> Value {
        for (index, Sized { verdict, is_one_of_several, .. }) in self.platforms.iter().enumerate() {
            let place =
                if *is_one_of_several { &mut report["platforms"][index] } else { &mut report };
            *place = limits::with_verdict(place.take(), verdict.as_ref());
        }
        report
    }

    /// The worst of the verdicts.
    pub fn verdict(&self) -> Option<&Verdict> {
        let rank = |verdict: &&Verdict| match verdict.status {
            Status::Pass => 0,
            Status::Waived => 1,
            Status::Warn => 2,
            Status::Fail => 3,
        };
        // Of several that are as bad, the first.
        self.platforms.iter().rev().filter_map(|sized| sized.verdict.as_ref()).max_by_key(rank)
    }

    /// The error of the first image that breaks its limits.
    pub fn outcome(&self) -> Result<(), Error> {
        for sized in &self.platforms {
            let Some(verdict) = &sized.verdict else { continue };
            limits::outcome(verdict).map_err(|error| match sized.is_one_of_several {
                true => error.about(sized.weight.image.platform.clone()),
                false => error,
            })?;
        }
        Ok(())
    }

    /// As the Markdown shows them.
    pub fn reports(&self) -> Vec<SizeReport<'_>> {
        self.platforms.iter().map(Sized::report).collect()
    }

    /// Writes the files of `--size-report`: Markdown has a section for each platform, of the others
    /// there is a file for each.
    pub fn write(&self, files: &[ReportFile]) -> Result<(), Error> {
        for ReportFile { path, form } in files {
            if *form == Form::Markdown {
                let text = report::sections(&self.reports(), COMMENT_LIMIT, report::markdown);
                write_file("--size-report", path, text)?;
                continue;
            }
            for sized in &self.platforms {
                write_file("--size-report", &sized.path(path), sized.picture(*form))?;
            }
        }
        Ok(())
    }

    /// Writes the file of `--output-weight`, or one for each platform.
    pub fn write_weights(&self, path: &Path) -> Result<(), Error> {
        for sized in &self.platforms {
            write_file("--output-weight", &sized.path(path), weight::encode(sized.weight))?;
        }
        Ok(())
    }
}

impl Sized<'_> {
    fn text(&self) -> String {
        let difference = self.baseline.as_ref().map(|baseline| &baseline.difference);
        let mut text = String::new();
        if let Some(difference) = difference {
            text.push_str(&format!("\n{}", report::difference_text(difference)));
        }
        text.push_str(&limits::paragraph(self.verdict.as_ref()));
        if self.is_one_of_several && !text.is_empty() {
            return format!("\n{}\n{text}", self.weight.image.platform);
        }
        text
    }

    pub fn report(&self) -> SizeReport<'_> {
        let baseline = self.baseline.as_ref();
        SizeReport {
            difference: baseline.map(|baseline| &baseline.difference),
            baseline: baseline.map(|baseline| baseline.name.as_str()),
            verdict: self.verdict.as_ref(),
            build: Some(self.result),
            history: &self.result.builds,
            shows_platform: self.is_one_of_several,
            ..SizeReport::of(self.weight)
        }
    }

    fn picture(&self, form: Form) -> String {
        let (weight, builds) = (self.weight, &self.result.builds);
        match (form, self.baseline.as_ref().map(|baseline| &baseline.difference)) {
            (Form::Markdown, _) => report::markdown(&self.report(), COMMENT_LIMIT),
            (Form::Html, Some(difference)) => report::difference_html(difference, weight, builds),
            (Form::Html, None) => report::weight_html(weight, builds),
            (Form::Svg, Some(difference)) => report::difference_svg(difference, weight),
            (Form::Svg, None) => report::weight_svg(weight),
        }
    }

    /// Of several platforms each has a file: `app.linux_arm64.weight` for `app.weight`.
    fn path(&self, path: &Path) -> PathBuf {
        if !self.is_one_of_several {
            return path.to_owned();
        }
        let mut name = path.file_stem().unwrap_or_default().to_owned();
        name.push(".");
        name.push(self.result.image.platform.as_name());
        if let Some(extension) = path.extension() {
            name.push(".");
            name.push(extension);
        }
        path.with_file_name(name)
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
