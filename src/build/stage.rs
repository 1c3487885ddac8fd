//! One stage: what it stands on, then its steps in order. Each stage that has work is a thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::compress::Compressor;
use super::demand::Demand;
use super::files::Files;
use super::images::Images;
use super::inputs::{Inputs, whole};
use super::keys::StageKeys;
use super::layers::{self, StageLayer};
use super::session::Session;
use super::slot::Slot;
use super::{copy, run};
use crate::error::{Error, Location};
use crate::plan::{CopyFrom, Op, Plan, StageFrom, StageId, Step};
use crate::sandbox::Sandbox;
use crate::tree;

/// What all stages of a build share.
pub(super) struct Work<'a, 's> {
    pub(super) session: &'a Session<'s>,
    pub(super) plan: &'a Plan,
    pub(super) images: &'a Images,
    pub(super) inputs: &'a Inputs,
    pub(super) keys: &'a [StageKeys],
    /// Where each stage's result appears.
    pub(super) results: &'a [Slot<StageFiles>],
    /// `None` where no RUN has to run.
    pub(super) sandbox: Option<&'a Sandbox>,
    pub(super) compressor: &'a Compressor,
}

/// The files at the end of a stage, and how it got there.
#[derive(Clone, Debug)]
pub(super) struct StageFiles {
    /// Merged only if somebody asks: a stage that was had whole needs no tree to be pushed.
    pub(super) layers: Vec<StageLayer>,
    /// Set where the stage did something.
    pub(super) files: Option<Arc<Files>>,
    /// For each step, what happened.
    pub(super) steps: Vec<StepTrace>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepTrace {
    pub(super) cached: bool,
    pub(super) took: Duration,
}

impl Work<'_, '_> {
    /// Does what `demand` says is left to do of a stage.
    pub(super) fn stage(&self, id: StageId, demand: &Demand) -> Result<StageFiles, Error> {
        let stage = &self.plan.stages[id.0];
        let mut trace = Vec::with_capacity(stage.steps.len());
        if let (Some(title), true) = (&stage.title, demand.first < stage.steps.len()) {
            self.session.progress.cached(title.clone());
        }
        for step in &stage.steps[..demand.first] {
            if step.op != Op::Config {
                self.session.progress.cached(step.title.clone());
            }
            trace.push(StepTrace { cached: true, took: Duration::ZERO });
        }
        let start = match &demand.had {
            Some(layers) => layers.clone(),
            None => self.standing_on(id, &stage.from)?,
        };
        let works = stage.steps[demand.first..].iter().any(|step| step.op != Op::Config);
        if !works {
            trace.resize(stage.steps.len(), StepTrace { cached: true, took: Duration::ZERO });
            return Ok(StageFiles { layers: start, files: None, steps: trace });
        }
        let mut files = Files::of(self.session, self.images, start)?;
        for (index, step) in stage.steps.iter().enumerate().skip(demand.first) {
            self.session.check_canceled()?;
            let since = Instant::now();
            self.step(id, index, step, &mut files).map_err(|e| e.at(Location::from(step.lines)))?;
            trace.push(StepTrace { cached: false, took: since.elapsed() });
        }
        let layers = files.layers.clone();
        Ok(StageFiles { layers, files: Some(Arc::new(files)), steps: trace })
    }

    /// The layers that the stage `id` begins with.
    fn standing_on(&self, id: StageId, from: &StageFrom) -> Result<Vec<StageLayer>, Error> {
        match from {
            StageFrom::Scratch => Ok(Vec::new()),
            StageFrom::Image(image) => Ok(layers::of_image(self.images, *image)),
            StageFrom::Stage(stage) => Ok(self.results[stage.0].wait()?.layers),
            StageFrom::Context(name) => {
                let from = CopyFrom::Named(name.clone());
                let layer = copy::context_layer(self, &whole(&from))?;
                self.compressor.submit(id, layer.clone(), None);
                Ok(vec![layer])
            }
        }
    }

    fn step(&self, id: StageId, index: usize, step: &Step, files: &mut Files) -> Result<(), Error> {
        let session = self.session;
        let since = Instant::now();
        let layer = match &step.op {
            Op::Config => return Ok(()),
            Op::Copy(op) => {
                session.progress.step(step.title.clone(), |_| copy::copy(self, op, files))?
            }
            Op::Run(op) => session
                .progress
                .step(step.title.clone(), |running| run::run(self, op, files, running))?,
            Op::Workdir(op) => session.progress.step(step.title.clone(), |_| {
                let user = copy::user(self, files, &op.user)?;
                let owner = (user.uid, user.gid);
                let changes = tree::workdir(&files.tree, &op.path, owner, session.time())
                    .map_err(Error::build)?;
                let nothing = Arc::new(|_| Ok(Box::new(std::io::empty()) as _));
                Ok(StageLayer::built(Arc::new(changes), nothing, None, session.time()))
            })?,
        };
        let changes = layers::contents(session, self.images, &layer)?;
        files.push(layer.clone(), &changes);
        let result = super::compress::StepResult {
            key: self.keys[id.0].steps[index],
            layers: files.layers.clone(),
            ran: since.elapsed(),
            unpacked_size: files.tree.unpacked_size(),
        };
        self.compressor.submit(id, layer, Some(result));
        Ok(())
    }

    /// The files of another stage.
    pub(super) fn files_of(&self, stage: StageId) -> Result<Arc<Files>, Error> {
        let result = self.results[stage.0].wait()?;
        match result.files {
            Some(files) => Ok(files),
            None => Ok(Arc::new(Files::of(self.session, self.images, result.layers)?)),
        }
    }
}
