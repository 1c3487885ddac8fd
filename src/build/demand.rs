//! Which steps must run: from the target backwards, a stage is looked at only if somebody needs its
//! result and no record has it.

use std::collections::BTreeMap;

use super::images::Images;
use super::keys::StageKeys;
use super::layers::{self, StageLayer};
use super::session::{Had, RecordPlace, Session};
use crate::cache::{Record, RecordKey};
use crate::plan::{CopyFrom, MountKind, Op, Plan, Stage, StageFrom, StageId, Step};

/// What is known of a stage that somebody needs.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    /// Steps before this one are had from a record, the rest must run.
    pub(super) first: usize,
    /// Steps from this one on are left for later.
    pub(super) end: usize,
    /// The record; `None`: start at what the stage stands on.
    pub(super) had: Option<HadStage>,
    /// Of the steps from `first` on, the layers that are known though what they stand on is not, by
    /// the step's position.
    pub(super) links: BTreeMap<usize, StageLayer>,
}

/// A stage up to some step, as a record has it.
#[derive(Clone, Debug)]
pub(super) struct HadStage {
    pub(super) key: RecordKey,
    pub(super) record: Record,
    pub(super) place: RecordPlace,
    pub(super) layers: Vec<StageLayer>,
}

/// For each stage, what must be done, or `None` where nobody needs its result.
pub(super) fn demands(
    session: &Session<'_>,
    plan: &Plan,
    images: &Images,
    keys: &[StageKeys],
) -> Vec<Option<Demand>> {
    let fresh = fresh_steps(plan);
    let mut demands: Vec<Option<Demand>> = plan.stages.iter().map(|_| None).collect();
    let mut wanted = vec![false; plan.stages.len()];
    wanted[plan.target.0] = true;
    // A stage stands behind all that it uses, so one pass backwards meets every user first.
    for index in (0..plan.stages.len()).rev() {
        if !wanted[index] {
            continue;
        }
        let stage = &plan.stages[index];
        let demand = deepest(session, images, &stage.steps, &keys[index], fresh[index]);
        needs(stage, &demand).for_each(|id| wanted[id.0] = true);
        demands[index] = Some(demand);
    }
    demands
}

/// The stages that have to be made to do what is left of this one.
pub(super) fn needs(stage: &Stage, demand: &Demand) -> impl Iterator<Item = StageId> {
    let below = match stage.from {
        StageFrom::Stage(id) if demand.had.is_none() => Some(id),
        _ => None,
    };
    let left = stage.steps.iter().enumerate().take(demand.end).skip(demand.first);
    let left = left.filter(|(index, _)| !demand.links.contains_key(index));
    below.into_iter().chain(left.flat_map(|(_, step)| sources(step).filter_map(read_stage)))
}

/// The last step before `fresh` that a record is known of.
fn deepest(
    session: &Session<'_>,
    images: &Images,
    steps: &[Step],
    keys: &StageKeys,
    fresh: usize,
) -> Demand {
    let eligible = steps.iter().enumerate().take(fresh).rev();
    let eligible: Vec<usize> =
        eligible.filter(|(_, step)| step.op != Op::Config).map(|(index, _)| index).collect();
    let wanted: Vec<RecordKey> = eligible.iter().map(|index| keys.steps[*index].into()).collect();
    let had = session
        .first_record(&wanted, |record, place| layers::of_record(session, images, record, place));
    let above = had.as_ref().map_or(eligible.len(), |had| had.position);
    let link = |index: &usize| {
        let layer = layers::known_layer(session, images, keys.links[*index]?)?;
        Some((*index, layer))
    };
    Demand {
        first: had.as_ref().map_or(0, |had| eligible[had.position] + 1),
        end: steps.len(),
        links: eligible[..above].iter().filter_map(link).collect(),
        had: had.map(|Had { position, record, place, value: layers }| HadStage {
            key: wanted[position],
            record,
            place,
            layers,
        }),
    }
}

/// For each stage, the first step that must not be had from a record by its definition: a step of a
/// stage without cache (K-09), and whatever stands on one or reads of it. By its content it may be.
pub(super) fn fresh_steps(plan: &Plan) -> Vec<usize> {
    let mut fresh: Vec<usize> = Vec::with_capacity(plan.stages.len());
    let mut anew: Vec<bool> = Vec::with_capacity(plan.stages.len());
    for stage in &plan.stages {
        let on_fresh = matches!(stage.from, StageFrom::Stage(id) if anew[id.0]);
        let first = if stage.no_cache || on_fresh {
            0
        } else {
            let reads_fresh =
                |step: &Step| sources(step).filter_map(read_stage).any(|id| anew[id.0]);
            stage.steps.iter().position(reads_fresh).unwrap_or(stage.steps.len())
        };
        anew.push(stage.no_cache || on_fresh || first < stage.steps.len());
        fresh.push(first);
    }
    fresh
}

/// Where a step reads from, its own stage aside.
pub(super) fn sources(step: &Step) -> impl Iterator<Item = &CopyFrom> {
    let (copy, mounts) = match &step.op {
        Op::Copy(copy) => (Some(&copy.from), [].as_slice()),
        Op::Run(run) => (None, run.mounts.as_slice()),
        Op::Workdir(_) | Op::Config => (None, [].as_slice()),
    };
    copy.into_iter().chain(mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Bind { from, .. } | MountKind::Cache { seed: Some((from, _)), .. } => Some(from),
        MountKind::Cache { seed: None, .. }
        | MountKind::Tmpfs { .. }
        | MountKind::Secret { .. }
        | MountKind::Ssh { .. } => None,
    }))
}

pub(super) fn read_stage(from: &CopyFrom) -> Option<StageId> {
    match from {
        CopyFrom::Stage(id) => Some(*id),
        CopyFrom::Context | CopyFrom::Named(_) | CopyFrom::Image(_) | CopyFrom::Empty => None,
    }
}
