//! The engine: one build in, one result out.
//!
//! It walks the plan, asks the store what is known, runs what must run, and hands finished layers to
//! compression while the next step runs. The pure folders say what has to happen; here it happens.

mod assemble;
mod baseline;
mod check;
mod compress;
mod content;
mod copy;
mod demand;
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
mod progress;
mod push;
mod result;
mod run;
mod save;
mod session;
mod slot;
mod stage;
mod weigh;

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};

use rustix::io::Errno;

use crate::cache::StoreError;
use crate::dockerfile::Dockerfile;
use crate::error::Error;
use crate::plan::{History, Op, Plan, StageId};
use crate::request::BuildRequest;
use crate::sandbox::{self, Cancel, Sandbox};
use crate::ui::Event;
use crate::weight::{Logged, Weight};

use baseline::Search;
use check::{plan_and_warn, read_and_warn};
use compress::{Compressor, compress_all};
use demand::{Demand, demands};
use images::Images;
use inputs::Inputs;
use keys::{StageKeys, definition_keys};
use push::Pushes;
use session::Session;
use slot::Slot;
use stage::{StageFiles, Work};

pub use baseline::{Baseline, BaselineOrigin};
pub use check::check;
pub use fetch::{Access, Fetching, REMOTE_FILE, fetch_context, unpack_context};
pub use forecast::*;
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
) -> Result<BuildResult, Error> {
    let file = read_and_warn(request, events)?;
    let mut session = Session::open(request, cancel, events)?;
    let search = RefCell::new(Search::begin(&session));
    session.take_epoch(&file)?;
    let (plan, images, inputs) = plan_and_gather(&session, &file)?;
    let keys = definition_keys(&session, &plan, &images, &inputs)?;
    mounts::tell_unknown(&session, &plan);
    let history = explain::history(&plan, &keys);
    let known = Known {
        session: &session,
        plan: &plan,
        images: &images,
        inputs: &inputs,
        keys: &keys,
        history: &history,
        search: &search,
    };
    let made = known.make();
    let compared = made.as_ref().ok().map(|made| compared(&session, &search, made)).transpose();
    // What a build has made that failed is there for the next; who cancels one does not wait.
    let wanted = made.as_ref().err().is_none_or(|error| !error.is_canceled());
    if wanted {
        session.mounts.save_rest(&session);
    }
    if wanted && made.is_err() {
        session.saver.save_index(&session, &history);
    }
    session.saver.finish(&session, wanted);
    let Made { done, exported, weight } = made?;
    let (baseline, builds) = compared?.unwrap_or_default();
    let result = outcome::summarize(&session, &plan, &images, &keys, &done, exported);
    session.keep_history(&history);
    Ok(BuildResult { weight, baseline, builds, ..result })
}

/// Resolves the bases, and reads the main context meanwhile.
fn plan_and_gather(
    session: &Session<'_>,
    file: &Dockerfile,
) -> Result<(Plan, Images, Inputs), Error> {
    thread::scope(|scope| {
        let walking = scope.spawn(|| inputs::walk_early(session, file));
        let (plan, images) = plan_and_warn(session, file)?;
        let inputs = inputs::gather(session, &plan, || join(walking))?;
        Ok((plan, images, inputs))
    })
}

/// What an image that was weighed is compared with, and the builds of that branch; keeps the weight
/// for those that come.
fn compared(
    session: &Session<'_>,
    search: &RefCell<Search>,
    made: &Made<'_, '_>,
) -> Result<(Option<Baseline>, Vec<Logged>), Error> {
    let Some(weight) = &made.weight else { return Ok(Default::default()) };
    let found = search.borrow_mut().finish(session)?;
    found.keep(session, weight, &made.exported.pushed)?;
    let builds = found.history(session, weight);
    Ok((found.baseline, builds))
}

/// All that is known of a build before anything runs.
struct Known<'a, 's> {
    session: &'a Session<'s>,
    plan: &'a Plan,
    images: &'a Images,
    inputs: &'a Inputs,
    keys: &'a [StageKeys],
    history: &'a History,
    search: &'a RefCell<Search>,
}

/// The image, and what it took.
struct Made<'a, 's> {
    done: Done<'a, 's>,
    exported: export::Done,
    weight: Option<Weight>,
}

impl<'a, 's> Known<'a, 's> {
    /// Makes the image and writes it. A layer that a record has and nobody can give any more costs
    /// another attempt, which does without that record and has what this one has made.
    fn make(&self) -> Result<Made<'a, 's>, Error> {
        loop {
            let losses = self.session.cache.losses();
            match self.attempt() {
                Err(_) if self.session.cache.losses() > losses => {
                    self.session.saver.forget(&self.session.cache.lost());
                }
                result => return result,
            }
        }
    }

    fn attempt(&self) -> Result<Made<'a, 's>, Error> {
        let Self { session, plan, images, inputs, keys, history, .. } = *self;
        let demands = demands(session, plan, images, keys);
        if session.cache.losses() == 0 {
            session.saver.copy(session, plan, keys);
        }
        session.mounts.expect(plan, &demands);
        session.saver.tell(session);
        // Before any layer is fetched: a machine that can't run the steps is told so at once.
        let sandbox = sandbox_for(session, plan, &demands)?;
        let done = run_stages(session, plan, images, inputs, keys, &demands, sandbox.as_ref())?;
        session.check_canceled()?;
        session.saver.save_index(session, history);
        let target = done.stages[plan.target.0].clone().ok_or_else(Error::canceled)?;
        let pushes = &done.pushes;
        self.search.borrow_mut().settle(session)?;
        let export = export::Export { session, plan, images, target: &target, pushes };
        let (exported, read) = thread::scope(|scope| {
            let read = || weigh::read_all(session, images, &target);
            let reading = session.request.weigh.then(|| scope.spawn(read));
            (export.write_all(), reading.map(join).transpose())
        });
        let exported = exported?;
        let weigh = |read| weigh::weigh(session, plan, images, &target, &exported, read);
        let weight = read?.map(weigh);
        Ok(Made { done, exported, weight })
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
    let losses = session.cache.losses();
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
                    if result.is_err() && session.cache.losses() == losses {
                        // The first failure ends the others: nobody wants their results any more.
                        session.cancel.cancel();
                    }
                    // Who waits for this one did not fail.
                    work.results[id.0].set(result.clone().map_err(|_| Error::canceled()));
                    result.map(drop)
                })
            })
            .collect();
        let failures: Vec<Error> =
            stages.into_iter().filter_map(|stage| join(stage).err()).collect();
        compressor.close();
        join(compressing);
        cause(failures).map_or(Ok(()), Err)
    })?;
    let stages = demands
        .iter()
        .zip(&results)
        .map(|(demand, slot)| demand.as_ref().map(|_| slot.wait()).transpose())
        .collect::<Result<_, Error>>()?;
    Ok(Done { stages, pushes })
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
