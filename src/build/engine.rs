//! Runs the steps of one platform: each stage that has work in a thread of its own, and one that
//! compresses what they make.

use std::thread;

use super::compress::{Compressor, compress_all};
use super::demand::Demand;
use super::push::{OutputPush, Pushes};
use super::session::Session;
use super::slot::Slot;
use super::stage::{StageFiles, StepTrace, Work};
use super::{Demands, Planned, cause, join};
use crate::error::Error;
use crate::plan::StageId;
use crate::sandbox::Sandbox;

/// What runs the steps of one platform. Unlike what is [`Known`], other threads may have it.
#[derive(Clone, Copy)]
pub(super) struct Engine<'a, 's> {
    pub(super) session: &'a Session<'s>,
    pub(super) planned: &'a Planned,
}

impl<'a, 's> Engine<'a, 's> {
    /// Before the first step of an attempt.
    pub(super) fn prepare(&self) {
        let Self { session, planned: Planned { plan, keys, .. } } = *self;
        if session.cache.losses() == 0 {
            session.saver.copy(session, plan, keys);
        }
    }

    /// Runs what must run. `before` is what has happened of each stage already; it may be empty. An
    /// error names the platform, if there are several.
    pub(super) fn run(
        &self,
        demands: &Demands,
        before: &[Vec<StepTrace>],
        sandbox: Option<&Sandbox>,
        pushes: Vec<OutputPush<'a>>,
    ) -> Result<Done<'a, 's>, Error> {
        let Self { session, planned } = *self;
        let Planned { plan, images, .. } = planned;
        session.mounts.expect(plan, demands);
        session.saver.tell(session);
        let pushes = Pushes::begin(session, plan, images, demands, pushes);
        let done = run_stages(session, planned, demands, before, sandbox, pushes)
            .and_then(|done| session.check_canceled().map(|()| done));
        done.map_err(|error| match session.request.has_several_platforms() {
            true => error.about(session.platform),
            false => error,
        })
    }
}

/// What the stages' threads have made.
pub(super) struct Done<'a, 's> {
    /// By stage; `None` where nobody needed its result.
    pub(super) stages: Vec<Option<StageFiles>>,
    /// Maybe still under way.
    pub(super) pushes: Pushes<'a, 's>,
}

/// Runs every demanded stage in a thread of its own; each waits for those it reads from.
fn run_stages<'a, 's>(
    session: &'a Session<'s>,
    planned: &'a Planned,
    demands: &[Option<Demand>],
    before: &[Vec<StepTrace>],
    sandbox: Option<&Sandbox>,
    pushes: Pushes<'a, 's>,
) -> Result<Done<'a, 's>, Error> {
    let Planned { plan, images, inputs, keys, .. } = planned;
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
        before,
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
