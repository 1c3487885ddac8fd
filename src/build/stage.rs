//! One stage: what it stands on, then its steps in order. Each stage that has work is a thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::compress::{Compressor, KnownBy};
use super::demand::{Demand, read_stage, sources};
use super::files::Files;
use super::images::Images;
use super::inputs::{Inputs, whole};
use super::keys::StageKeys;
use super::layers::{self, StageLayer};
use super::progress::Running;
use super::session::Session;
use super::slot::Slot;
use super::{content, copy, run};
use crate::digest::{DiffId, Sha256Sum};
use crate::error::{Error, Location};
use crate::plan::{CopyFrom, Op, Plan, StageFrom, StageId, Step, run_key};
use crate::sandbox::Sandbox;
use crate::tree;
use crate::ui::StepOutcome;

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
    /// For each stage what has happened for all platforms already; empty where there is one.
    pub(super) before: &'a [Vec<StepTrace>],
}

/// The files at the end of a stage, and how it got there.
#[derive(Clone, Debug)]
pub(super) struct StageFiles {
    /// Merged only if somebody asks: a stage that was had whole needs no tree to be pushed.
    pub(super) layers: Vec<StageLayer>,
    /// Merged where the stage did something, else for the first who asks.
    files: Arc<Mutex<Option<Arc<Files>>>>,
    /// How long it takes to make all of it from nothing.
    pub(super) made: Duration,
    /// For each step, what happened.
    pub(super) steps: Vec<StepTrace>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepTrace {
    pub(super) cached: bool,
    pub(super) took: Duration,
}

/// Where a stage is.
#[derive(Clone, Copy)]
struct At<'a> {
    stage: StageId,
    index: usize,
    step: &'a Step,
    demand: &'a Demand,
}

/// The layer of a step.
struct Laid {
    layer: StageLayer,
    known_by: Option<KnownBy>,
    /// It was known.
    cached: bool,
}

impl Work<'_, '_> {
    /// Does what `demand` says is left to do of a stage.
    pub(super) fn stage(&self, id: StageId, demand: &Demand) -> Result<StageFiles, Error> {
        let stage = &self.plan.stages[id.0];
        let mut trace = Vec::with_capacity(stage.steps.len());
        let before = self.before.get(id.0).map_or(&[][..], Vec::as_slice);
        let works = demand.first < demand.end;
        if let (Some(title), true) = (&stage.title, works && before.is_empty()) {
            self.session.progress.cached(title.clone());
        }
        for (index, step) in stage.steps[..demand.first].iter().enumerate() {
            if let Some(happened) = before.get(index) {
                trace.push(happened.clone());
                continue;
            }
            if step.op != Op::Config {
                self.session.progress.cached(step.title.clone());
            }
            trace.push(StepTrace { cached: true, took: Duration::ZERO });
        }
        let in_image = self.plan.lineage(self.plan.target).contains(&id);
        let (start, mut made) = match &demand.had {
            Some(had) => {
                self.session.saver.had(self.session, had.key, &had.record, had.place, in_image);
                (had.layers.clone(), Duration::from_millis(had.record.made_millis))
            }
            None => self.standing_on(id, &stage.from)?,
        };
        let left = &stage.steps[demand.first..demand.end];
        if left.iter().all(|step| step.op == Op::Config) {
            trace.resize(demand.end, StepTrace { cached: true, took: Duration::ZERO });
            return Ok(StageFiles { layers: start, files: Arc::default(), made, steps: trace });
        }
        if left.iter().any(|step| matches!(step.op, Op::Run(_))) {
            layers::unpack_unread(self.session, self.images, &start)?;
        }
        let mut files = Files::of(self.session, self.images, start)?;
        for (index, step) in stage.steps.iter().enumerate().take(demand.end).skip(demand.first) {
            self.session.check_canceled()?;
            let since = Instant::now();
            let at = At { stage: id, index, step, demand };
            let cached = self
                .step(at, &mut files, &mut made)
                .map_err(|e| e.at(Location::from(step.lines)))?;
            trace.push(StepTrace { cached, took: since.elapsed() });
        }
        let layers = files.layers.clone();
        let files = Arc::new(Mutex::new(Some(Arc::new(files))));
        Ok(StageFiles { layers, files, made, steps: trace })
    }

    /// The layers that the stage `id` begins with, and how long it takes to make them.
    fn standing_on(
        &self,
        id: StageId,
        from: &StageFrom,
    ) -> Result<(Vec<StageLayer>, Duration), Error> {
        match from {
            StageFrom::Scratch => Ok((Vec::new(), Duration::ZERO)),
            StageFrom::Image(image) => Ok((layers::of_image(self.images, *image), Duration::ZERO)),
            StageFrom::Stage(stage) => {
                let StageFiles { layers, made, .. } = self.results[stage.0].wait()?;
                Ok((layers, made))
            }
            StageFrom::Context(name) => {
                let from = CopyFrom::Named(name.clone());
                let layer = copy::context_layer(self, &whole(&from))?;
                self.compressor.submit(id, layer.clone(), None);
                Ok((vec![layer], Duration::ZERO))
            }
        }
    }

    /// Lays the layer of a step on top of `files`, and adds to `made` what that costs. Whether the
    /// layer was known.
    fn step(&self, at: At<'_>, files: &mut Files, made: &mut Duration) -> Result<bool, Error> {
        let (session, step) = (self.session, at.step);
        let link = at.demand.links.get(&at.index).cloned();
        let mut cost = self.reads_cost(step, link.is_some())?;
        let since = Instant::now();
        let Laid { layer, known_by, cached } = match (&step.op, link) {
            (Op::Config, _) => return Ok(true),
            (_, Some(layer)) => {
                session.progress.cached(step.title.clone());
                let known_by = self.keys[at.stage.0].links[at.index].map(KnownBy::Key);
                Laid { layer, known_by, cached: true }
            }
            (Op::Copy(op), None) => {
                self.made_or_known(at, |running| copy::copy(self, op, files, running))?
            }
            (Op::Workdir(op), None) => self.made_or_known(at, |_| {
                let owner = copy::workdir_owner(self, files, &op.user)?;
                let changes = tree::workdir(&files.tree, &op.path, owner, session.time())
                    .map_err(Error::build)?;
                let nothing = Arc::new(|_| Ok(Box::new(std::io::empty()) as _));
                Ok(StageLayer::built(Arc::new(changes), nothing, None, session.time()))
            })?,
            (Op::Run(op), None) => {
                let content = content::of_run(self, step, op)?;
                let known_by = Some(KnownBy::Run(content));
                if let Some(layer) = self.known_run(at, files, &content) {
                    session.progress.cached(step.title.clone());
                    Laid { layer, known_by, cached: true }
                } else {
                    let platform = &self.plan.stages[at.stage.0].platform;
                    let run = |running: &Running<'_>| run::run(self, op, platform, files, running);
                    let layer = session.progress.step(step.title.clone(), run)?;
                    Laid { layer, known_by, cached: false }
                }
            }
        };
        if let Op::Run(op) = &step.op {
            session.mounts.ended(session, op);
        }
        let changes = layers::contents(session, self.images, &layer)?;
        files.push(layer.clone(), &changes)?;
        cost += since.elapsed();
        *made += cost;
        let result = super::compress::StepResult {
            key: self.keys[at.stage.0].steps[at.index],
            known_by,
            platform: self.plan.stages[at.stage.0].platform.clone(),
            layers: files.layers.clone(),
            cost,
            made: *made,
            stage: at.stage,
            title: step.title.clone(),
            in_image: self.plan.lineage(self.plan.target).contains(&at.stage),
        };
        self.compressor.submit(at.stage, layer, Some(result));
        Ok(cached)
    }

    /// The layer that `make` says, which reads no file. Where one with the same content is known,
    /// that one: it need not be compressed again, nor its files be fetched.
    fn made_or_known(
        &self,
        at: At<'_>,
        make: impl FnOnce(&Running<'_>) -> Result<StageLayer, Error>,
    ) -> Result<Laid, Error> {
        let running = self.session.progress.start(at.step.title.clone());
        let made = make(&running).and_then(|layer| {
            let key = content::layer_key(self.session, &layer)?;
            let link = self.keys[at.stage.0].links[at.index];
            let known = (!self.plan.stages[at.stage.0].no_cache)
                .then(|| layers::known_layer(self.session, self.images, key))
                .flatten();
            let cached = known.is_some();
            let known_by = Some(KnownBy::Key(link.unwrap_or(key)));
            Ok(Laid { layer: known.unwrap_or(layer), known_by, cached })
        });
        running.end(match &made {
            Ok(Laid { cached: true, .. }) => StepOutcome::Cached,
            Ok(_) => StepOutcome::Done,
            Err(error) => StepOutcome::Failed(error.message.clone()),
        });
        made
    }

    /// The layer that a RUN has made on the same layers before. What is below may be under way still:
    /// it is worth waiting for where an instruction that ran there may have made what it made before.
    fn known_run(&self, at: At<'_>, files: &Files, content: &Sha256Sum) -> Option<StageLayer> {
        let stage = &self.plan.stages[at.stage.0];
        if stage.no_cache {
            return None;
        }
        let below_is_new = |layer: &StageLayer| layer.made().is_some() && !layer.is_from_run();
        if files.layers.iter().any(below_is_new) {
            return None;
        }
        let ingredients = &self.keys[at.stage.0].ingredients[at.index];
        let waits = files.layers.iter().any(StageLayer::is_from_run);
        let ran_before =
            || self.session.history().is_some_and(|h| h.has_instruction(&stage.name, ingredients));
        if waits && !ran_before() {
            return None;
        }
        let below = files.layers.iter().map(|layer| layer.finished().map(|f| f.diff_id));
        let below: Vec<DiffId> = below.collect::<Result<_, Error>>().ok()?;
        let key = run_key(&stage.platform, &below, content);
        layers::known_layer(self.session, self.images, key)
    }

    /// What it costs to make the stages that a step reads, unless its layer is `known` without them.
    fn reads_cost(&self, step: &Step, known: bool) -> Result<Duration, Error> {
        let stages = sources(step).filter(|_| !known).filter_map(read_stage);
        stages.map(|stage| Ok(self.results[stage.0].wait()?.made)).sum()
    }

    /// The files of another stage.
    pub(super) fn files_of(&self, stage: StageId) -> Result<Arc<Files>, Error> {
        self.results[stage.0].wait()?.files(self.session, self.images)
    }
}

impl StageFiles {
    pub(super) fn files(
        &self,
        session: &Session<'_>,
        images: &Images,
    ) -> Result<Arc<Files>, Error> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &*files {
            return Ok(Arc::clone(files));
        }
        let merged = Arc::new(Files::of(session, images, self.layers.clone())?);
        Ok(Arc::clone(files.insert(merged)))
    }

    /// When the layers above the base were made; seconds since 1970.
    pub(super) fn times(&self, session: &Session<'_>) -> Vec<i64> {
        let created = self.layers.iter().filter_map(StageLayer::created);
        created.map(|created| session.source_date_epoch.unwrap_or(created)).collect()
    }

    /// As [`StageFiles::files`], if they are merged already.
    pub(super) fn merged(&self) -> Option<Arc<Files>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
