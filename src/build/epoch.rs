//! The time that SOURCE_DATE_EPOCH names where it is no number: that of a context or of a stage
//! (L-056).

use std::collections::BTreeMap;

use super::session::Session;
use crate::dockerfile::lint::Findings;
use crate::dockerfile::{Dockerfile, InstructionKind, Stage};
use crate::error::{Error, Location};
use crate::plan::{
    CopySource as Named, Op, Plan, PlanError, PlanErrorKind, PlanRequest, Planned, SourceDateEpoch,
    plan, source_date_epoch,
};
use crate::request::{MainContext, NamedContext, RemoteContext};
use crate::url::GitUrl;

const EPOCH: &str = "SOURCE_DATE_EPOCH";

impl Session<'_> {
    /// Takes the SOURCE_DATE_EPOCH that the build arguments give, or else `file`.
    pub(super) fn take_epoch(&mut self, file: &Dockerfile) -> Result<(), Error> {
        if self.source_date_epoch.is_some() {
            return Ok(());
        }
        let typed = self.request.build_args.get(EPOCH).filter(|text| !text.is_empty());
        let (name, lines) = match (typed, source_date_epoch(file, &self.plan_request())?) {
            (Some(name), _) => (name.clone(), None),
            (None, Some(SourceDateEpoch::Of(name, lines))) => (name, Some(lines)),
            (None, Some(SourceDateEpoch::Time(time))) => {
                self.source_date_epoch = Some(time);
                return Ok(());
            }
            (None, None) => return Ok(()),
        };
        let invalid = || {
            let kind = PlanErrorKind::SourceDateEpoch(name.clone());
            Error::from(PlanError { kind, lines: lines.into_iter().collect() })
        };
        self.source_date_epoch = self.named_time(file, &name)?.ok_or_else(invalid)?;
        // Whoever reads the argument gets the number, or nothing where there is none.
        let text = self.source_date_epoch.map_or_else(String::new, |time| time.to_string());
        self.build_args.to_mut().insert(EPOCH.to_owned(), text);
        Ok(())
    }

    /// The time of what `name` means, if it has one; `None` where it means nothing.
    fn named_time(&self, file: &Dockerfile, name: &str) -> Result<Option<Option<i64>>, Error> {
        if name == "context" {
            return Ok(Some(match &self.request.context {
                MainContext::Fetched(fetched) => fetched.time,
                MainContext::Directory(_) | MainContext::Empty => None,
            }));
        }
        let title = || format!("[internal] resolve {EPOCH} of {name}");
        if let Some(context) = self.request.build_contexts.get(name) {
            let NamedContext::Remote(remote) = context else { return Ok(Some(None)) };
            return self.progress.step(title(), |running| match remote {
                RemoteContext::Git(url) => self.time_of_git(url).map(Some),
                RemoteContext::Http(url) => {
                    let download = self.fetcher().download(url, None, running)?;
                    download.time(self.scratch_directory()?).map(Some)
                }
            });
        }
        let named = |stage: &&Stage| {
            stage.from.name.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(name))
        };
        let Some(stage) = file.stages.iter().find(named) else { return Ok(None) };
        let location = Location::lines(stage.from.place.lines.clone());
        let source = self.source_of(file, stage).map_err(|error| error.at(location.clone()))?;
        let time = self.progress.step(title(), |running| match &source {
            Named::Git { url, .. } => self.time_of_git(url),
            Named::Http { url, checksum } => {
                let download = self.fetcher().download(url, *checksum, running)?;
                download.time(self.scratch_directory()?)
            }
            Named::Path(_) => Ok(None),
        });
        time.map(Some).map_err(|error| error.at(location))
    }

    fn time_of_git(&self, url: &GitUrl) -> Result<Option<i64>, Error> {
        let fetcher = self.fetcher();
        let revision = fetcher.revision(url, &self.scratch_directory()?)?;
        fetcher.commit_time(url, &revision, &self.scratch_directory()?)
    }

    /// The one thing that a stage downloads, which must do nothing else.
    fn source_of(&self, file: &Dockerfile, stage: &Stage) -> Result<Named, Error> {
        let is_source = |kind: &InstructionKind| {
            matches!(kind, InstructionKind::Arg(_) | InstructionKind::Add(_))
        };
        if let Some(other) = stage.instructions.iter().find(|of| !is_source(&of.kind)) {
            let line = other.place.lines.start();
            return Err(Error::build(format!(
                "{EPOCH} stage must have nothing but ARG and one ADD, but see line {line}"
            )));
        }
        let mut build_args = self.request.build_args.clone();
        build_args.remove(EPOCH);
        let request = PlanRequest {
            target: stage.from.name.as_deref(),
            build_args: &build_args,
            ..self.plan_request()
        };
        // With images to ask for it would not be `FROM scratch`.
        let planned = plan(file, &request, &BTreeMap::new(), &mut Findings::default())?;
        let Planned::Ready(plan) = planned else {
            return Err(Error::build(format!("{EPOCH} stage must use FROM scratch")));
        };
        only_source(&plan).ok_or_else(|| {
            Error::build(format!("{EPOCH} stage must contain exactly one remote ADD"))
        })
    }
}

fn only_source(plan: &Plan) -> Option<Named> {
    let [stage] = plan.stages.as_slice() else { return None };
    let mut sources = stage.steps.iter().filter_map(|step| match &step.op {
        Op::Copy(copy) => Some(copy.sources.iter()),
        Op::Run(_) | Op::Workdir(_) | Op::Config => None,
    });
    let mut named = sources.next()?;
    let source = named.next().filter(|source| !matches!(source, Named::Path(_)))?.clone();
    (named.next().is_none() && sources.next().is_none()).then_some(source)
}
