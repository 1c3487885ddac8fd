//! The engine: one build in, one result out.
//!
//! It walks the plan, asks the store what is known, runs what must run, and hands finished layers to
//! compression while the next step runs. The pure folders say what has to happen; here it happens.

mod agents;
mod assemble;
mod attest;
mod baseline;
mod check;
mod common;
mod compress;
mod content;
mod copy;
mod demand;
mod engine;
mod epoch;
mod explain;
mod export;
mod fetch;
mod files;
mod forecast;
mod images;
mod inputs;
mod keys;
mod layers;
mod mounts;
mod outcome;
mod outputs;
mod progress;
mod push;
mod result;
mod run;
mod runs;
mod save;
mod session;
mod slot;
mod stage;
mod turns;
mod weigh;

use std::cell::{Ref, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};

use rustix::io::Errno;

use crate::attest::Attestation;
use crate::cache::StoreError;
use crate::context::DirectoryContext;
use crate::dockerfile::Dockerfile;
use crate::error::Error;
use crate::image::Descriptor;
use crate::plan::{History, Plan};
use crate::request::BuildRequest;
use crate::sandbox::Cancel;
use crate::ui::Event;
use crate::weight::{Logged, Weight};

use baseline::Search;
use check::{plan_and_warn, read_and_warn};
use demand::{Demand, demands};
use engine::{Done, Engine};
use export::{Export, ExportedImage};
use images::Images;
use inputs::Inputs;
use keys::{StageKeys, definition_keys};
use outputs::Exported;
use push::OutputPush;
use session::Session;
use stage::{StageFiles, StepTrace};
use weigh::FinalStage;

pub use baseline::{Baseline, BaselineOrigin};
pub use check::{check, outline, targets};
pub use fetch::{Access, Fetching, REMOTE_FILE, fetch_context, unpack_context};
pub use forecast::*;
pub use result::*;

#[cfg(test)]
pub(crate) use result::tests::go_multistage as result_for_tests;

/// Builds what `request` says: parse → plan → keys → what is known → what must run → images → outputs.
///
/// `events` is called from several threads while the build runs.
///
/// # Errors
/// One error with what the user can do; nothing half-made is left, and a build that is repeated goes
/// on from the steps that were finished.
pub fn build(
    request: &BuildRequest,
    cancel: &Cancel,
    events: &(dyn Fn(Event) + Sync),
) -> Result<Built, Error> {
    solve(request, cancel, events).map_err(|error| {
        let full = error.message.contains(&io::Error::from(Errno::NOSPC).to_string());
        let store = request.store.display();
        if full { error.hinted(format!(
            "Look where there is no room with `df -h`; `plimsoll cache prune` makes some in {store}."
        ))} else { error }
    })
}

fn solve(
    request: &BuildRequest,
    cancel: &Cancel,
    events: &(dyn Fn(Event) + Sync),
) -> Result<Built, Error> {
    let file = read_and_warn(request, events)?;
    let mut sessions = vec![Session::open(request, cancel, events)?];
    sessions[0].ask_names()?;
    for platform in &request.platforms[1..] {
        sessions.push(sessions[0].beside(platform)?);
    }
    let searches: Vec<RefCell<Search>> =
        sessions.iter().map(|session| RefCell::new(Search::begin(session))).collect();
    let mut planned: Vec<Planned> = Vec::with_capacity(sessions.len());
    for session in &mut sessions {
        session.take_epoch(&file)?;
        let walked = planned.first().and_then(|first| first.inputs.walked());
        planned.push(Planned::of(session, &file, walked)?);
    }
    let known: Vec<Known> = sessions
        .iter()
        .zip(&planned)
        .zip(&searches)
        .map(|((session, planned), search)| Known { session, planned, search })
        .collect();
    let made = make(&known);
    // By platform: what it is compared with.
    let compared = made.as_ref().ok().map(|made| {
        known.iter().zip(&made.platforms).map(|(known, made)| known.compared(made)).collect()
    });
    let compared: Option<Result<Vec<_>, Error>> = compared;
    let compared = compared.transpose();
    // What a build has made that failed is there for the next; who cancels one does not wait.
    let wanted = made.as_ref().err().is_none_or(|error| !error.is_canceled());
    let mut saved = BTreeSet::new();
    for Known { session, planned, .. } in &known {
        if wanted {
            session.mounts.save_rest(session, &mut saved);
        }
        if wanted && made.is_err() {
            session.saver.save_index(session, &planned.history);
        }
        session.saver.finish(session, wanted);
    }
    let Made { platforms, descriptor, tags, written } = made?;
    let compared = compared?.unwrap_or_default();
    let results = known.iter().zip(platforms).zip(compared);
    let platforms = results.map(|((known, made), (baseline, builds))| {
        let Known { session, planned, .. } = known;
        let result = outcome::summarize(session, planned, &made.done, made.exported);
        session.keep_history(&planned.history);
        let provenance = attest::least(known);
        BuildResult { weight: made.weight, provenance, baseline, builds, ..result }
    });
    let platforms = platforms.collect();
    let saved = sessions.iter().filter_map(|session| session.saver.written());
    let written = written.into_iter().chain(saved).collect();
    let first = &sessions[0];
    let warnings = first.progress.all_findings().into_iter().map(CheckWarning::from).collect();
    let (dockerfile, took) = (request.dockerfile.clone(), first.since.elapsed());
    Ok(Built { descriptor, tags, platforms, written, warnings, dockerfile, took })
}

/// All that is known of a build for one platform before anything runs, but for what is kept of
/// earlier ones.
struct Planned {
    plan: Plan,
    images: Images,
    inputs: Inputs,
    keys: Vec<StageKeys>,
    history: History,
}

impl Planned {
    /// `walked` is the main context, if another platform has read it.
    fn of(
        session: &Session<'_>,
        file: &Dockerfile,
        walked: Option<DirectoryContext>,
    ) -> Result<Self, Error> {
        let (plan, images, inputs) = plan_and_gather(session, file, walked)?;
        let keys = definition_keys(session, &plan, &images, &inputs)?;
        mounts::tell_unknown(session, &plan);
        let history = explain::history(&plan, &keys);
        Ok(Self { plan, images, inputs, keys, history })
    }
}

/// Resolves the bases, and reads the main context meanwhile, unless it is there.
fn plan_and_gather(
    session: &Session<'_>,
    file: &Dockerfile,
    walked: Option<DirectoryContext>,
) -> Result<(Plan, Images, Inputs), Error> {
    thread::scope(|scope| {
        let walking = scope.spawn(|| walked.or_else(|| inputs::walk_early(session, file)));
        let (plan, images) = plan_and_warn(session, file)?;
        let inputs = inputs::gather(session, &plan, || join(walking))?;
        Ok((plan, images, inputs))
    })
}

/// One platform of a build, before anything runs.
#[derive(Clone, Copy)]
struct Known<'a, 's> {
    session: &'a Session<'s>,
    planned: &'a Planned,
    search: &'a RefCell<Search>,
}

/// The images, and where they went.
struct Made<'a, 's> {
    platforms: Vec<MadePlatform<'a, 's>>,
    descriptor: Descriptor,
    tags: Vec<String>,
    written: Vec<Written>,
}

/// The image of one platform, and what it took.
struct MadePlatform<'a, 's> {
    done: Done<'a, 's>,
    exported: ExportedImage,
    weight: Option<Weight>,
}

/// Makes the images and writes them. A layer that a record has and nobody can give any more costs
/// another attempt, which does without that record and has what this one has made.
fn make<'a, 's>(all: &[Known<'a, 's>]) -> Result<Made<'a, 's>, Error> {
    let losses = || all.iter().map(|known| known.session.cache.losses()).sum::<usize>();
    loop {
        let before = losses();
        match attempt(all) {
            Err(_) if losses() > before => {
                for Known { session, .. } in all {
                    session.saver.forget(&session.cache.lost());
                }
            }
            result => return result,
        }
    }
}

/// Builds all platforms at once; then what they have made goes where it is wanted, all of it or
/// nothing.
fn attempt<'a, 's>(all: &[Known<'a, 's>]) -> Result<Made<'a, 's>, Error> {
    let demands: Vec<Demands> = all.iter().map(Known::demands).collect();
    // Before any layer is fetched: a machine that can't run the steps is told so at once.
    let sandbox = runs::sandbox_for(all, &demands)?;
    let pushes = OutputPush::all(all[0].session)?;
    let engines: Vec<Engine> = all.iter().map(Known::engine).collect();
    engines.iter().for_each(Engine::prepare);
    let mut common = Vec::new();
    let demands = match common::steps(all, &demands) {
        Some(demands) => {
            // The store has them then.
            common = engines[0].run(&demands, &[], sandbox.as_ref(), pushes.clone())?.stages;
            all.iter().map(Known::demands).collect()
        }
        None => demands,
    };
    let before: Vec<Vec<StepTrace>> = common
        .iter()
        .map(|stage| stage.as_ref().map_or_else(Vec::new, |stage| stage.steps.clone()))
        .collect();
    let run = |index: usize| {
        let engine: &Engine<'a, 's> = &engines[index];
        let before = if index == 0 { &before[..] } else { &[] };
        let done = engine.run(&demands[index], before, sandbox.as_ref(), pushes.clone())?;
        engine.session.saver.save_index(engine.session, &engine.planned.history);
        Ok(done)
    };
    let done: Vec<Result<Done, Error>> = match all {
        [_] => vec![run(0)],
        _ => thread::scope(|scope| {
            let started: Vec<_> =
                (0..all.len()).map(|index| scope.spawn(move || run(index))).collect();
            started.into_iter().map(join).collect()
        }),
    };
    let (done, failed): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
    if let Some(cause) = cause(failed.into_iter().filter_map(Result::err).collect()) {
        return Err(cause);
    }
    let mut done: Vec<Done> = done.into_iter().flatten().collect();
    for (stage, made) in done[0].stages.iter_mut().zip(common) {
        // Nobody has asked for it again.
        *stage = stage.take().or(made);
    }
    let targets = all.iter().zip(&done).map(|(known, done)| known.target(done));
    let targets: Vec<StageFiles> = targets.collect::<Result<_, Error>>()?;
    for Known { session, search, .. } in all {
        search.borrow_mut().settle(session)?;
    }
    write(all, &targets, done)
}

/// Writes the images and what is said of them, and weighs them meanwhile, where that is wanted.
fn write<'a, 's>(
    all: &[Known<'a, 's>],
    targets: &[StageFiles],
    done: Vec<Done<'a, 's>>,
) -> Result<Made<'a, 's>, Error> {
    let request = all[0].session.request;
    let stages: Vec<FinalStage> =
        all.iter().zip(targets).map(|(known, target)| known.final_stage(target)).collect();
    let earlier: Vec<Ref<Search>> = all.iter().map(|known| known.search.borrow()).collect();
    let earlier: Vec<Option<&Weight>> = earlier.iter().map(|search| search.weight()).collect();
    let weigh = || -> Result<Vec<Option<Weight>>, Error> {
        stages
            .iter()
            .zip(&earlier)
            .map(|(stage, earlier)| stage.weigh(*earlier).map(Some))
            .collect()
    };
    // A list of packages is in the index, which is written behind the images.
    let has_list = request.attest.sbom.is_some();
    let mut weights = if has_list { weigh()? } else { vec![None; all.len()] };
    let attestations = all.iter().zip(&stages).zip(&weights);
    let attestations: Vec<Vec<Attestation>> = attestations
        .map(|((known, stage), weight)| attest::attestations(known, stage, weight.as_ref()))
        .collect();
    let exports = stages.iter().zip(&done).zip(&attestations);
    let exports = exports.map(|((stage, done), attestations)| {
        let FinalStage { session, plan, images, target } = *stage;
        Export { session, plan, images, target, pushes: &done.pushes, attestations }
    });
    let exports: Vec<Export> = exports.collect();
    let (exported, weighed) = thread::scope(|scope| {
        let weighing = (request.weigh && !has_list).then(|| scope.spawn(weigh));
        (outputs::write_all(&exports), weighing.map(join).transpose())
    });
    let Exported { images, descriptor, tags, written } = exported?;
    weights = weighed?.unwrap_or(weights);
    let mut platforms = Vec::with_capacity(all.len());
    for (((stage, done), exported), weight) in stages.iter().zip(done).zip(images).zip(weights) {
        let weight = weight.filter(|_| request.weigh);
        let weight = weight.map(|weight| stage.named(weight, &exported)).transpose()?;
        platforms.push(MadePlatform { done, exported, weight });
    }
    Ok(Made { platforms, descriptor, tags, written })
}

type Demands = Vec<Option<Demand>>;

impl<'a, 's> Known<'a, 's> {
    fn demands(&self) -> Demands {
        let Planned { plan, images, keys, .. } = self.planned;
        demands(self.session, plan, images, keys)
    }

    fn engine(&self) -> Engine<'a, 's> {
        Engine { session: self.session, planned: self.planned }
    }

    fn final_stage<'t>(&self, target: &'t StageFiles) -> FinalStage<'t, 's>
    where
        'a: 't,
    {
        let Self { session, planned: Planned { plan, images, .. }, .. } = *self;
        FinalStage { session, plan, images, target }
    }

    fn target(&self, done: &Done<'_, '_>) -> Result<StageFiles, Error> {
        done.stages[self.planned.plan.target.0].clone().ok_or_else(Error::canceled)
    }

    /// What an image that was weighed is compared with, and the builds of that branch; keeps the
    /// weight for those that come.
    fn compared(
        &self,
        made: &MadePlatform<'_, '_>,
    ) -> Result<(Option<Baseline>, Vec<Logged>), Error> {
        let Some(weight) = &made.weight else { return Ok(Default::default()) };
        let found = self.search.borrow_mut().finish(self.session)?;
        found.keep(self.session, weight, &made.exported.pushed)?;
        let builds = found.history(self.session, weight);
        Ok((found.baseline, builds))
    }
}

/// The failure that caused the others.
fn cause(failures: Vec<Error>) -> Option<Error> {
    let (canceled, causes): (Vec<Error>, _) = failures.into_iter().partition(Error::is_canceled);
    causes.into_iter().chain(canceled).next()
}

/// Calls `work` for each item with up to `threads` threads; results are in the order of the items.
fn in_parallel<I: Sync, T: Send>(
    threads: usize,
    items: &[I],
    work: impl Fn(&I) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    if threads <= 1 || items.len() <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let mut mine = Vec::new();
        while let Some(index) =
            Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < items.len())
        {
            mine.push((index, work(&items[index])));
        }
        mine
    };
    let mut results = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.min(items.len())).map(|_| scope.spawn(take)).collect();
        threads.into_iter().flat_map(join).collect::<Vec<_>>()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The result of a thread; its panic goes on here.
fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::build(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_canceled_is_not_the_cause() {
        let (canceled, failed) = (Error::canceled(), Error::build("exit code: 1"));
        for (failures, expected) in [
            (vec![canceled.clone(), failed.clone(), canceled.clone()], Some(failed)),
            (vec![canceled.clone(), canceled.clone()], Some(canceled)),
            (vec![], None),
        ] {
            assert_eq!(cause(failures), expected);
        }
    }
}
