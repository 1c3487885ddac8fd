//! A forecast out of a plan and what is known of it.

use std::collections::BTreeSet;

use super::{Origin, Read, ReadFile, StageFate, StageForecast, StepFate, StepForecast};
use crate::build::demand::{Demand, sources};
use crate::build::images::Images;
use crate::build::inputs::{Inputs, Reading, readings};
use crate::dockerfile::{self, Dockerfile, InstructionKind};
use crate::error::Error;
use crate::plan::{CopyFrom, CopySource, MountKind, Op, Plan, Stage, StageFrom, Step};
use crate::tree::{self, Kind, select};
use crate::url;

/// A plan with what is known of it.
pub(super) struct View<'a> {
    pub(super) plan: &'a Plan,
    pub(super) images: &'a Images,
    pub(super) inputs: &'a Inputs,
    pub(super) demands: &'a [Option<Demand>],
}

impl View<'_> {
    /// `position` counts in the plan.
    pub(super) fn stage(&self, position: usize) -> Result<StageForecast, Error> {
        let stage = &self.plan.stages[position];
        let steps = (0..stage.steps.len())
            .map(|index| self.step(position, index))
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(StageForecast {
            name: stage.name.clone(),
            lines: stage.lines,
            base: match &stage.from {
                StageFrom::Scratch => Origin::Scratch,
                StageFrom::Image(id) => Origin::Image { name: self.images[id.0].name.clone() },
                StageFrom::Stage(id) => self.origin_stage(id.0),
                StageFrom::Context(name) => Origin::NamedContext { name: name.clone() },
            },
            fate: match &self.demands[position] {
                None => StageFate::NotLookedAt,
                Some(_) if self.runs(position) => StageFate::Runs,
                Some(_) => StageFate::Cached,
            },
            in_image: self.plan.lineage(self.plan.target).iter().any(|id| id.0 == position),
            steps,
        })
    }

    fn step(&self, position: usize, index: usize) -> Result<StepForecast, Error> {
        let step = &self.plan.stages[position].steps[index];
        let fate = match &self.demands[position] {
            _ if step.op == Op::Config => StepFate::Config,
            None => StepFate::NotLookedAt,
            Some(demand) if index < demand.first => StepFate::Cached,
            Some(demand) => StepFate::Runs { why: self.why(position, index, demand.first) },
        };
        let (title, lines) = (without_number(&step.title).to_owned(), step.lines);
        Ok(StepForecast { title, lines, fate, reads: self.reads(step)? })
    }

    /// Whether some step of the stage runs.
    fn runs(&self, position: usize) -> bool {
        let steps = &self.plan.stages[position].steps;
        self.demands[position]
            .as_ref()
            .is_some_and(|demand| steps[demand.first..].iter().any(|step| step.op != Op::Config))
    }

    /// Why no known result will do; `first` is the first step of the stage that is not known.
    fn why(&self, position: usize, index: usize, first: usize) -> String {
        let stage: &Stage = &self.plan.stages[position];
        if stage.no_cache {
            return "built without cache".to_owned();
        }
        let before = &stage.steps[first..index];
        if let Some(step) = before.iter().find(|step| step.op != Op::Config) {
            return format!("after line {}", step.lines.first);
        }
        if let StageFrom::Stage(base) = stage.from
            && first == 0
            && self.runs(base.0)
        {
            return format!("on {}, which runs", self.plan.stages[base.0].name);
        }
        let read = sources(&stage.steps[index]).find_map(|from| match from {
            CopyFrom::Stage(id) if self.runs(id.0) => Some(&self.plan.stages[id.0].name),
            _ => None,
        });
        match read {
            Some(name) => format!("reads {name}, which runs"),
            None => "no result is known".to_owned(),
        }
    }

    fn reads(&self, step: &Step) -> Result<Vec<Read>, Error> {
        let mut reads: Vec<Read> = Vec::new();
        match &step.op {
            Op::Copy(copy) => {
                let (mut paths, mut urls) = (Vec::new(), Vec::new());
                for source in &copy.sources {
                    match source {
                        CopySource::Path(path) => paths.push(path.clone()),
                        CopySource::Http { url, .. } => urls.push(url::shown(url)),
                        CopySource::Git { url, .. } => urls.push(url.shown()),
                    }
                }
                if let Some(from) = self.origin(&copy.from) {
                    reads.push(Read { from, paths, files: self.files(step, &copy.from)? });
                }
                reads.extend(urls.into_iter().map(|url| Read {
                    from: Origin::Url { url },
                    paths: Vec::new(),
                    files: None,
                }));
            }
            Op::Run(run) => {
                for mount in &run.mounts {
                    let (MountKind::Bind { from, source, .. }
                    | MountKind::Cache { seed: Some((from, source)), .. }) = &mount.kind
                    else {
                        continue;
                    };
                    let Some(origin) = self.origin(from) else { continue };
                    let paths =
                        vec![if source.is_empty() { "/".to_owned() } else { source.clone() }];
                    reads.push(Read { from: origin, paths, files: self.files(step, from)? });
                }
            }
            Op::Workdir(_) | Op::Config => {}
        }
        Ok(reads)
    }

    fn origin(&self, from: &CopyFrom) -> Option<Origin> {
        Some(match from {
            CopyFrom::Context => Origin::Context,
            CopyFrom::Named(name) => Origin::NamedContext { name: name.clone() },
            CopyFrom::Stage(id) => self.origin_stage(id.0),
            CopyFrom::Image(id) => Origin::Image { name: self.images[id.0].name.clone() },
            CopyFrom::Empty => return None,
        })
    }

    fn origin_stage(&self, position: usize) -> Origin {
        let Stage { index, name, .. } = &self.plan.stages[position];
        Origin::Stage { index: *index, name: name.clone() }
    }

    /// What a step selects of a context.
    fn files(&self, step: &Step, from: &CopyFrom) -> Result<Option<Vec<ReadFile>>, Error> {
        let Some(context) = self.inputs.context(from) else { return Ok(None) };
        let mut selected = BTreeSet::new();
        for reading in readings(step)? {
            let Reading::Files(selection) = reading else { continue };
            if selection.from != from {
                continue;
            }
            let source = tree::CopySource { tree: context.tree(), what: selection.what };
            selected.extend(select(&source, &selection.options).map_err(Error::build)?);
        }
        let files = selected.iter().filter_map(|path| {
            let entry = context.tree().get(path)?;
            let Kind::File(file) = &entry.kind else { return None };
            let path = String::from_utf8_lossy(path).into_owned();
            Some(ReadFile { path, bytes: file.size })
        });
        Ok(Some(files.collect()))
    }
}

/// A stage that is not planned: what the file says of it, nothing expanded.
pub(super) fn left_out(file: &Dockerfile, index: usize) -> StageForecast {
    let stage = &file.stages[index];
    let steps = stage.instructions.iter().map(|instruction| {
        let from = match &instruction.kind {
            InstructionKind::Copy(copy) => copy.from.as_ref(),
            _ => None,
        };
        let read = |name: &str| Read {
            from: written_origin(file, index, name),
            paths: Vec::new(),
            files: None,
        };
        StepForecast {
            title: instruction.place.text.trim().to_owned(),
            lines: instruction.place.lines.clone().into(),
            fate: StepFate::LeftOut,
            reads: from.map(|word| read(&word.text)).into_iter().collect(),
        }
    });
    StageForecast {
        name: stage.from.name.clone().unwrap_or_else(|| format!("stage-{index}")),
        lines: stage.from.place.lines.clone().into(),
        base: written_origin(file, index, &stage.from.base.text),
        fate: StageFate::LeftOut,
        in_image: false,
        steps: steps.collect(),
    }
}

/// What `name` means before the stage `index`, as far as it can be seen.
fn written_origin(file: &Dockerfile, index: usize, name: &str) -> Origin {
    let lower = name.to_lowercase();
    let named = |stage: &dockerfile::Stage| stage.from.name.as_deref() == Some(lower.as_str());
    let by_name = file.stages[..index].iter().rposition(named);
    match by_name.or_else(|| name.parse().ok().filter(|number| *number < index)) {
        Some(index) => Origin::Stage { index, name: name.to_owned() },
        None if name == "scratch" => Origin::Scratch,
        None => Origin::Image { name: name.to_owned() },
    }
}

/// `[builder 2/4] RUN go build` → `RUN go build`
fn without_number(title: &str) -> &str {
    match title.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((_, text)) => text,
        None => title,
    }
}
