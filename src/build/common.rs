//! What several platforms of a build have in common: the steps in which the target does not show, such
//! as those that fetch what all are compiled from.

use super::demand::{Demand, fresh_steps, needs};
use super::{Demands, Known};
use crate::plan::{DefinitionKey, Op};

/// The demands of the first platform up to the last step of each stage that another one needs, too;
/// `None` where nothing that is left to do is of use to both.
pub(super) fn steps(all: &[Known<'_, '_>], demands: &[Demands]) -> Option<Demands> {
    let (first, others) = all.split_first()?;
    let (of_first, of_others) = demands.split_first()?;
    let others = others.iter().zip(of_others);
    let of_others: Vec<DefinitionKey> =
        others.flat_map(|(known, demands)| left(known, demands)).map(|(_, _, key)| key).collect();
    let plan = &first.planned.plan;
    let fresh = fresh_steps(plan);
    let mut ends: Vec<Option<usize>> = vec![None; plan.stages.len()];
    for (stage, step, key) in left(first, of_first) {
        // What must be done anew, each platform does.
        if step < fresh[stage] && of_others.contains(&key) {
            ends[stage] = Some(step + 1);
        }
    }
    if ends.iter().all(Option::is_none) {
        return None;
    }
    let mut common: Demands = vec![None; plan.stages.len()];
    // A stage stands behind all that it uses, and what a common step uses is common whole.
    for (index, stage) in plan.stages.iter().enumerate().rev() {
        let (Some(end), Some(demand)) = (ends[index], &of_first[index]) else { continue };
        let demand = Demand { end, ..demand.clone() };
        needs(stage, &demand).for_each(|id| ends[id.0] = Some(plan.stages[id.0].steps.len()));
        common[index] = Some(demand);
    }
    Some(common)
}

/// The steps that are left to do: stage, position, and key.
fn left<'a>(
    known: &'a Known<'_, '_>,
    demands: &'a Demands,
) -> impl Iterator<Item = (usize, usize, DefinitionKey)> {
    let stages = known.planned.plan.stages.iter().zip(&known.planned.keys).zip(demands);
    stages.enumerate().flat_map(|(index, ((stage, keys), demand))| {
        let first = demand.as_ref().map_or(stage.steps.len(), |demand| demand.first);
        let left = stage.steps.iter().zip(&keys.steps).enumerate().skip(first);
        let left = left.filter(|(_, (step, _))| step.op != Op::Config);
        left.map(move |(position, (_, key))| (index, position, *key))
    })
}
