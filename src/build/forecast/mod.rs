//! What a build would do, without doing it: the plan, what is known of it, and why the rest runs.

mod view;

use std::fmt;

use serde::{Serialize, Serializer};

use super::check::read_and_warn;
use super::demand::demands;
use super::keys::definition_keys;
use super::plan_and_gather;
use super::session::Session;
use crate::error::Error;
use crate::plan::Lines;
use crate::platform::Platform;
use crate::request::BuildRequest;
use crate::sandbox::Cancel;
use crate::ui::Event;
use view::{View, left_out};

/// A build that has not happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// The name of the Dockerfile, as typed.
    pub dockerfile: String,
    /// Index into `stages`.
    pub target: usize,
    #[serde(serialize_with = "as_text")]
    pub platform: Platform,
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

/// Plans `request`, of several platforms for the first, and asks the store what is known; images are resolved and the context is read,
/// but nothing is run or written.
///
/// # Errors
/// As [`super::build`], up to where it would begin to run.
pub fn forecast(
    request: &BuildRequest,
    cancel: &Cancel,
    events: &(dyn Fn(Event) + Sync),
) -> Result<Forecast, Error> {
    let file = read_and_warn(request, events)?;
    let mut session = Session::open(request, cancel, events)?;
    session.take_epoch(&file)?;
    let (plan, images, inputs) = plan_and_gather(&session, &file, None)?;
    let keys = definition_keys(&session, &plan, &images, &inputs)?;
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

fn first_and_last<S: Serializer>(lines: &Lines, serializer: S) -> Result<S::Ok, S::Error> {
    [lines.first, lines.last].serialize(serializer)
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
