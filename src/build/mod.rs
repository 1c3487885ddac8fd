//! The engine: one build in, one result out.
//!
//! It walks the plan, asks the store what is known, runs what must run, and hands finished layers to
//! compression while the next step runs. The pure folders say what has to happen; here it happens.

mod assemble;
mod compress;
mod copy;
mod demand;
mod export;
mod files;
mod images;
mod inputs;
mod keys;
mod layers;
mod outcome;
mod progress;
mod push;
mod result;
mod run;
mod session;
mod slot;
mod stage;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};

use crate::cache::StoreError;
use crate::dockerfile;
use crate::error::Error;
use crate::plan::{Op, Plan, StageId};
use crate::request::BuildRequest;
use crate::sandbox::{self, Cancel, Sandbox};
use crate::ui::Event;

use compress::{Compressor, compress_all};
use demand::{Demand, demands};
use images::{Images, plan_with_images};
use inputs::Inputs;
use keys::{StageKeys, definition_keys};
use progress::Progress;
use push::Pushes;
use session::Session;
use slot::Slot;
use stage::{StageFiles, Work};

pub use result::*;

#[cfg(test)]
pub(crate) use result::tests::go_multistage as result_for_tests;

/// Builds what `request` says: parse → plan → keys → what is known → what must run → image → outputs.
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
) -> Result<BuildResult, Error> {
    let session = Session::open(request, cancel, Progress::new(events))?;
    let file = dockerfile::parse(&request.dockerfile.bytes).map_err(first)?;
    let (plan, images) = plan_with_images(&session, &file)?;
    warn_unused(&session, &plan);
    let inputs = inputs::gather(&session, &plan)?;
    let keys = definition_keys(&plan, &images, &inputs)?;
    let demands = demands(&session, &plan, &images, &keys);
    // Before any layer is fetched: a machine that can't run the steps is told so at once.
    let sandbox = sandbox_for(&session, &plan, &demands)?;
    let done = run_stages(&session, &plan, &images, &inputs, &keys, &demands, sandbox.as_ref())?;
    session.check_canceled()?;
    let target = done.stages[plan.target.0].clone().ok_or_else(canceled)?;
    let export = export::Export {
        session: &session,
        plan: &plan,
        images: &images,
        target: &target,
        pushes: &done.pushes,
    };
    let written = export.write_all()?;
    Ok(outcome::summarize(&session, &plan, &images, &keys, &done, written))
}

/// All mistakes of a Dockerfile are known at once; the first is told.
fn first(errors: Vec<dockerfile::SyntaxError>) -> Error {
    errors
        .into_iter()
        .next()
        .map_or_else(|| Error::build("the Dockerfile can't be read"), Error::from)
}

fn warn_unused(session: &Session<'_>, plan: &Plan) {
    for name in &plan.unused_args {
        session.progress.warning(format!("the build argument {name} is not used by any ARG"));
    }
}

fn sandbox_for(
    session: &Session<'_>,
    plan: &Plan,
    demands: &[Option<Demand>],
) -> Result<Option<Sandbox>, Error> {
    let first_run = plan.stages.iter().zip(demands).find_map(|(stage, demand)| {
        let steps = &stage.steps[demand.as_ref()?.first..];
        steps.iter().find(|step| matches!(step.op, Op::Run(_)))
    });
    let Some(step) = first_run else { return Ok(None) };
    match sandbox::probe(session.store.work()) {
        Ok(sandbox) => Ok(Some(sandbox)),
        Err(unavailable) => Err(Error::from(unavailable).at(step.lines.into())),
    }
}

/// What the stages' threads have made.
struct Done<'a, 's> {
    /// By stage; `None` where nobody needed its result.
    stages: Vec<Option<StageFiles>>,
    /// Maybe still under way.
    pushes: Pushes<'a, 's>,
}

/// Runs every demanded stage in a thread of its own; each waits for those it reads from.
fn run_stages<'a, 's>(
    session: &'a Session<'s>,
    plan: &Plan,
    images: &'a Images,
    inputs: &Inputs,
    keys: &[StageKeys],
    demands: &[Option<Demand>],
    sandbox: Option<&Sandbox>,
) -> Result<Done<'a, 's>, Error> {
    let pushes = Pushes::begin(session, plan, images, demands)?;
    let results: Vec<Slot<StageFiles>> = plan.stages.iter().map(|_| Slot::empty()).collect();
    let (compressor, jobs) = Compressor::new();
    let work = Work {
        session,
        plan,
        images,
        inputs,
        keys,
        results: &results,
        sandbox,
        compressor: &compressor,
    };
    thread::scope(|scope| {
        let pushes = &pushes;
        let compressing = scope.spawn(move || compress_all(session, &jobs, pushes));
        let stages: Vec<_> = demands
            .iter()
            .enumerate()
            .filter_map(|(index, demand)| Some((StageId(index), demand.as_ref()?)))
            .map(|(id, demand)| {
                let work = &work;
                scope.spawn(move || {
                    let result = work.stage(id, demand);
                    if result.is_err() {
                        // The first failure ends the others: nobody wants their results any more.
                        session.cancel.cancel();
                    }
                    work.results[id.0].set(result.clone());
                    result
                })
            })
            .collect();
        let mut failures = Vec::new();
        for stage in stages {
            failures.extend(join(stage).err());
        }
        compressor.close();
        join(compressing);
        if let Some(error) = worst(failures) { Err(error) } else { Ok(()) }
    })?;
    let stages = demands
        .iter()
        .zip(&results)
        .map(|(demand, slot)| demand.as_ref().map(|_| slot.wait()).transpose())
        .collect::<Result<_, Error>>()?;
    Ok(Done { stages, pushes })
}

/// The failure that caused the others.
fn worst(failures: Vec<Error>) -> Option<Error> {
    let cause = failures.iter().position(|error| *error != canceled());
    let mut failures = failures;
    match cause {
        Some(cause) => Some(failures.swap_remove(cause)),
        None => failures.pop(),
    }
}

/// The user asked to stop.
fn canceled() -> Error {
    Error::build("canceled")
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
