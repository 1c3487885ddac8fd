//! What a build would do, without doing it: the plan, what is known of it, and why the rest runs.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

use super::check::plan_and_warn;
use super::demand::{Demand, demands};
use super::images::Images;
use super::inputs::{self, Inputs, selections};
use super::keys::definition_keys;
use super::progress::Progress;
use super::session::Session;
use crate::context::Source as _;
use crate::dockerfile::{self, Dockerfile, InstructionKind};
use crate::error::Error;
use crate::plan::{CopyFrom, CopySource, Lines, MountKind, Op, Plan, Stage, StageFrom, Step};
use crate::request::BuildRequest;
use crate::sandbox::Cancel;
use crate::tree::{self, Kind, select};
use crate::ui::Event;

/// A build that has not happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// The name of the Dockerfile, as typed.
    pub dockerfile: String,
    /// Index into `stages`.
    pub target: usize,
    #[serde(serialize_with = "as_text")]
    pub platform: crate::platform::Platform,
    /// All of the file, in its order.
    pub stages: Vec<StageForecast>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageForecast {
    /// `builder`, or `stage-1`.
    pub name: String,
    /// Of its `FROM`.
    #[serde(serialize_with = "first_and_last")]
    pub lines: Lines,
    pub base: Origin,
    pub fate: StageFate,
    /// Its layers will be layers of the image.
    pub in_image: bool,
    pub steps: Vec<StepForecast>,
}

/// What becomes of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StageFate {
    /// The target does not need it.
    LeftOut,
    /// The target needs it, but all that is made with it is known.
    NotLookedAt,
    /// All of its steps are known.
    Cached,
    /// Some of its steps run.
    Runs,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepForecast {
    /// `RUN go build`
    pub title: String,
    #[serde(serialize_with = "first_and_last")]
    pub lines: Lines,
    #[serde(flatten)]
    pub fate: StepFate,
    pub reads: Vec<Read>,
}

/// What becomes of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum StepFate {
    LeftOut,
    NotLookedAt,
    /// Changes the image's configuration only: nothing to run or to cache.
    Config,
    Cached,
    Runs {
        why: String,
    },
}

/// What one step reads from one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Read {
    pub from: Origin,
    /// As written, after expansion.
    pub paths: Vec<String>,
    /// What the paths select; `None` where it is not known before the build.
    pub files: Option<Vec<ReadFile>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadFile {
    pub path: String,
    pub bytes: u64,
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    Scratch,
    /// The main context.
    Context,
    NamedContext {
        name: String,
    },
    /// Index into [`Forecast::stages`].
    Stage {
        index: usize,
        name: String,
    },
    Image {
        name: String,
    },
    Url {
        url: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scratch => f.write_str("scratch"),
            Self::Context => f.write_str("the context"),
            Self::NamedContext { name } => write!(f, "context {name}"),
            Self::Stage { name, .. } | Self::Image { name } => f.write_str(name),
            Self::Url { url } => f.write_str(url),
        }
    }
}

impl Forecast {
    /// How many steps run, and how many there are to run or to know.
    #[must_use]
    pub fn running_steps(&self) -> (usize, usize) {
        let fates = || self.stages.iter().flat_map(|stage| &stage.steps).map(|step| &step.fate);
        let runs = fates().filter(|fate| matches!(fate, StepFate::Runs { .. })).count();
        let known = |fate: &&StepFate| matches!(fate, StepFate::Cached | StepFate::NotLookedAt);
        (runs, runs + fates().filter(known).count())
    }

    /// Stages that the target does not need.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.stages.iter().filter(|stage| stage.fate == StageFate::LeftOut).count()
    }
}

impl Read {
    /// Bytes of the files; `None` where they are not known.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        Some(self.files.as_ref()?.iter().map(|file| file.bytes).sum())
    }
}

/// Plans `request` and asks the store what is known; images are resolved and the context is read,
/// but nothing is run or written.
///
/// # Errors
/// As [`super::build`], up to where it would begin to run.
pub fn forecast(
    request: &BuildRequest,
    cancel: &Cancel,
    events: &(dyn Fn(Event) + Sync),
) -> Result<Forecast, Error> {
    let file = dockerfile::parse(&request.dockerfile.bytes).map_err(super::first)?;
    let session = Session::open(request, cancel, Progress::new(events))?;
    let (plan, images) = plan_and_warn(&session, &file)?;
    let inputs = inputs::gather(&session, &plan)?;
    let keys = definition_keys(&plan, &images, &inputs)?;
    let demands = demands(&session, &plan, &images, &keys);
    let view = View { plan: &plan, images: &images, inputs: &inputs, demands: &demands };
    let stages = (0..file.stages.len())
        .map(|index| match plan.stages.iter().position(|stage| stage.index == index) {
            Some(position) => view.stage(position),
            None => Ok(left_out(&file, index)),
        })
        .collect::<Result<_, Error>>()?;
    Ok(Forecast {
        dockerfile: request.dockerfile.name.clone(),
        target: plan.stages[plan.target.0].index,
        platform: plan.platform.clone(),
        stages,
    })
}

struct View<'a> {
    plan: &'a Plan,
    images: &'a Images,
    inputs: &'a Inputs,
    demands: &'a [Option<Demand>],
}

impl View<'_> {
    /// `position` counts in the plan.
    fn stage(&self, position: usize) -> Result<StageForecast, Error> {
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
        let read = super::demand::sources(&stage.steps[index]).find_map(|from| match from {
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
                        CopySource::Http(url) => urls.push(url.clone()),
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
        for selection in selections(step)?.into_iter().filter(|known| known.from == from) {
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
fn left_out(file: &Dockerfile, index: usize) -> StageForecast {
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

fn first_and_last<S: Serializer>(lines: &Lines, serializer: S) -> Result<S::Ok, S::Error> {
    [lines.first, lines.last].serialize(serializer)
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
