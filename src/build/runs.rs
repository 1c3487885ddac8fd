//! Whether the RUNs of a build are possible on this machine, asked before anything is fetched.

use super::demand::Demand;
use super::{Demands, Known, Planned};
use crate::error::Error;
use crate::plan::{Op, Stage, StageFrom, Step};
use crate::platform::Platform;
use crate::sandbox::{self, Sandbox};

/// What runs the steps; `None` where there is nothing to run.
pub(super) fn sandbox_for(
    all: &[Known<'_, '_>],
    demands: &[Demands],
) -> Result<Option<Sandbox>, Error> {
    let mut sandbox = None;
    let mut asked: Vec<Platform> = Vec::new();
    for (known, demands) in all.iter().zip(demands) {
        let work = known.session.store.work();
        for (platform, step) in runs(known, demands) {
            if asked.contains(&platform) {
                continue;
            }
            let failed = |unavailable| Error::from(unavailable).at(step.lines.into());
            let made = match sandbox.take() {
                Some(made) => made,
                None => sandbox::probe(work).map_err(failed)?,
            };
            sandbox::probe_platform(&made, work, &platform).map_err(failed)?;
            sandbox = Some(made);
            asked.push(platform);
        }
    }
    Ok(sandbox)
}

/// The RUNs that nothing is known of, and what they run on.
fn runs<'a>(
    known: &Known<'a, '_>,
    demands: &'a [Option<Demand>],
) -> impl Iterator<Item = (Platform, &'a Step)> {
    let planned = known.planned;
    let stages = planned.plan.stages.iter().zip(demands);
    stages.flat_map(move |(stage, demand)| {
        let first = demand.as_ref().map_or(stage.steps.len(), |demand| demand.first);
        let steps = stage.steps[first..].iter().filter(|step| matches!(step.op, Op::Run(_)));
        steps.map(move |step| (of_programs(planned, stage), step))
    })
}

/// What the programs of a stage are made for: a base may be for another platform than was asked for.
fn of_programs(planned: &Planned, stage: &Stage) -> Platform {
    match stage.from {
        StageFrom::Image(image) => {
            let platform = &planned.images[image.0].config.platform;
            let known = Some(platform).filter(|platform| !platform.architecture.is_empty());
            known.unwrap_or(&stage.platform).normalized()
        }
        StageFrom::Stage(below) => of_programs(planned, &planned.plan.stages[below.0]),
        StageFrom::Scratch | StageFrom::Context(_) => stage.platform.clone(),
    }
}
