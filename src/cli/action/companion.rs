//! `plimsoll comment`, and the `comment-from` input: comments with the report of another run, whose
//! token could not. That run was of a pull request from a fork, so its files may say anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::args::CommentArgs;
use crate::cli::environment::Environment;
use crate::cli::fail;
use crate::cli::limits::Limits;
use crate::context::small;
use crate::error::Error;
use crate::github::artifact::{ABOUT, ABOUT_LIMIT, About, BASELINE, WEIGHT, WEIGHT_LIMIT};
use crate::report::SizeReport;
use crate::weight::budget::{Judged, Verdict};
use crate::weight::{self, Difference, Weight, compare};

use super::client::Client;
use super::comment::{Mode, body, marker, post};
use super::job::Job;

/// At the end of every such comment.
const NOTE: &str = "\n<sub>Weighed by the pull request's own workflow run.</sub>\n";

/// More images in one run are no honest report.
const REPORTS: usize = 64;

pub fn run(args: &CommentArgs, environment: &Environment) -> ExitCode {
    let job = match Job::of(environment) {
        Ok(job) => job,
        Err((ui, error)) => return fail(&ui, &error, None),
    };
    let mode = if args.changed { Mode::Changed } else { Mode::Auto };
    let commented =
        Limits::read(&args.limits).and_then(|limits| comment(&job, &args.folder, mode, limits));
    match commented {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&job.ui, &error, None),
    }
}

/// The same as a step with inputs.
pub fn comment_from(job: &Job<'_>, folder: &Path) -> Result<ExitCode, Error> {
    let mode = Mode::of(&job.inputs)?;
    let limits = Limits::read(&super::door::limits(&job.inputs)?)?;
    comment(job, folder, mode, limits)?;
    Ok(ExitCode::SUCCESS)
}

fn comment(job: &Job<'_>, folder: &Path, mode: Mode, limits: Option<Limits>) -> Result<(), Error> {
    let Some(run) = &job.event.workflow_run else {
        return Err(Error::usage("a report of another run is for the event workflow_run")
            .hinted("Write `on: workflow_run:` in the workflow."));
    };
    let client = job.client().ok_or_else(|| {
        Error::usage("there is no token to comment with")
            .hinted("Set GITHUB_TOKEN, or the input github-token.")
    })?;
    let Some(pull) = pull(job, &client)? else { return Ok(()) };
    let mut images: BTreeMap<String, Vec<Report>> = BTreeMap::new();
    for folder in reports(folder)? {
        let report = Report::read(&folder)?;
        if report.about.head_sha != run.head_sha {
            return Err(Error::usage(format!(
                "{}: the report is of commit {:?}, but the run was of {}",
                folder.display(),
                report.about.head_sha,
                run.head_sha
            )));
        }
        images.entry(report.about.key.clone()).or_default().push(report);
    }
    for (key, platforms) in &images {
        post_image(job, &client, pull, mode, limits.as_ref(), (key, platforms));
    }
    Ok(())
}

/// The open pull request whose head the run has built, by what GitHub says of it.
fn pull(job: &Job<'_>, client: &Client) -> Result<Option<u64>, Error> {
    let Some(run) = &job.event.workflow_run else { return Ok(None) };
    let (Some(head), Some(branch)) = (&run.head_repository, &run.head_branch) else {
        job.notice("no comment: the fork is gone");
        return Ok(None);
    };
    let owner = head.full_name.split('/').next().unwrap_or_default();
    let from = format!("{owner}:{branch}");
    let pulls = client.ask(async |api| api.pulls_from(&from).await);
    let pulls = pulls.map_err(Error::build)?;
    let found = pulls.iter().find(|pull| pull.state == "open" && pull.head.sha == run.head_sha);
    if found.is_none() {
        let sha = &run.head_sha;
        job.notice(format!("no comment: no open pull request from {from} is at {sha} any more"));
    }
    Ok(found.map(|pull| pull.number))
}

/// The folder itself, or those in it; of an image of several platforms there is one for each, in one
/// of its own or not.
fn reports(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let fault = |what: &dyn std::fmt::Display| {
        Error::usage(format!("{}: {what}", folder.display()))
            .hinted("Name the folder that the artifact was downloaded to.")
    };
    if folder.join(ABOUT).is_file() {
        return Ok(vec![folder.to_path_buf()]);
    }
    let children = |folder: &Path| -> std::io::Result<Vec<PathBuf>> {
        Ok(folder.read_dir()?.filter_map(|entry| Some(entry.ok()?.path())).collect())
    };
    let mut found = children(folder).map_err(|error| fault(&error))?;
    // Of what is no folder, nothing is found.
    let below: Vec<PathBuf> =
        found.iter().flat_map(|path| children(path).unwrap_or_default()).collect();
    found.extend(below);
    found.retain(|path| path.join(ABOUT).is_file());
    found.sort();
    match found.len() {
        0 => Err(fault(&"there is no report in it")),
        1..=REPORTS => Ok(found),
        count => Err(fault(&format_args!("there are {count} reports in it"))),
    }
}

/// What the files of one report say, decoded.
struct Report {
    about: About,
    weight: Weight,
    baseline: Option<Weight>,
}

impl Report {
    fn read(folder: &Path) -> Result<Self, Error> {
        let fault = |name: &str, what: &dyn std::fmt::Display| {
            Error::usage(format!("{}: {what}", folder.join(name).display()))
        };
        let about = small::read(&folder.join(ABOUT), ABOUT_LIMIT).map_err(|e| fault(ABOUT, &e))?;
        let about = serde_json::from_slice(&about).map_err(|e| fault(ABOUT, &e))?;
        let weight = |name: &str| -> Result<Option<Weight>, Error> {
            match small::read(&folder.join(name), WEIGHT_LIMIT) {
                Ok(bytes) => weight::decode(&bytes).map(Some).map_err(|e| fault(name, &e)),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(fault(name, &error)),
            }
        };
        let baseline = weight(BASELINE)?;
        let weight = weight(WEIGHT)?.ok_or_else(|| fault(WEIGHT, &"it is missing"))?;
        Ok(Self { about, weight, baseline })
    }
}

/// Comments with the platforms of one image.
fn post_image(
    job: &Job<'_>,
    client: &Client,
    pull: u64,
    mode: Mode,
    limits: Option<&Limits>,
    (key, platforms): (&str, &[Report]),
) {
    let difference = |report: &Report| Some(compare(report.baseline.as_ref()?, &report.weight));
    let differences: Vec<Option<Difference>> = platforms.iter().map(difference).collect();
    let both = || platforms.iter().zip(&differences);
    let judge = |(report, difference): (&Report, &Option<Difference>)| {
        let difference = difference.as_ref();
        let judged = Judged { weight: &report.weight, difference, stages: &[] };
        limits.map(|limits| limits.judge(&judged))
    };
    let verdicts: Vec<Option<Verdict>> = both().map(judge).collect();
    let reports = both().zip(&verdicts).map(|((report, difference), verdict)| SizeReport {
        difference: difference.as_ref(),
        baseline: report.about.baseline.as_deref().filter(|_| difference.is_some()),
        verdict: verdict.as_ref(),
        shows_platform: platforms.len() > 1,
        ..SizeReport::of(&report.weight)
    });
    let reports: Vec<SizeReport> = reports.collect();
    let marker = marker(key);
    let body = body(&reports, &marker, mode, NOTE);
    if let Some(url) = post(job, client, pull, &marker, body.as_deref()) {
        job.notice(format!("commented: {url}"));
        job.outputs(&[("comment-url", url)]);
    }
}
