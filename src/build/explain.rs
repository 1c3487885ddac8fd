//! Why a step had to run.

use super::demand::{read_stage, sources};
use super::keys::{BELOW, StageKeys};
use super::session::Session;
use crate::plan::{History, NewStep, Plan, Stage, StageFrom, StageId};

/// What this build is made of, for the next.
pub(super) fn history(plan: &Plan, keys: &[StageKeys]) -> History {
    let stages = plan.stages.iter().zip(keys);
    History(stages.map(|(stage, keys)| (stage.name.clone(), keys.ingredients.clone())).collect())
}

/// Why no result of a step would do, in words.
pub(super) fn why(
    session: &Session<'_>,
    plan: &Plan,
    keys: &[StageKeys],
    stage: StageId,
    index: usize,
) -> String {
    if plan.stages[stage.0].no_cache {
        return "built without cache".to_owned();
    }
    let nowhere = || {
        let mut places = vec!["the local store".to_owned()];
        places.extend(session.saver.places());
        places.join(" or ")
    };
    let steps = &keys[stage.0].ingredients[..=index];
    let name = &plan.stages[stage.0].name;
    let Some(history) = session.history() else {
        return format!("no build like this is known in {}", nowhere());
    };
    let change = |index: usize| history.first_change(name, index, &steps[index]);
    match change(index) {
        Ok(Some(below)) if below.starts_with(BELOW) => {
            // A step below need not have run, and have told it itself, to be the cause.
            let mut lower = (0..index).rev().filter(|index| !steps[*index].is_empty()).map(change);
            match lower.find(|change| !is_below(change)) {
                Some(Ok(Some(cause))) => format!("below it, {}", named_argument(session, cause)),
                _ => below,
            }
        }
        Ok(Some(change)) => named_argument(session, change),
        Ok(None) if let Some(name) = below_without_cache(plan, stage, index + 1) => {
            format!("the stage {name} was built without cache")
        }
        Ok(None) => format!("nothing changed, but its result is not in {}", nowhere()),
        Err(NewStep) => "the instruction is new".to_owned(),
    }
}

fn is_below(change: &Result<Option<String>, NewStep>) -> bool {
    matches!(change, Ok(Some(change)) if change.starts_with(BELOW))
}

/// The stage without cache that `stage` stands on, or that one of its first `count` steps reads.
fn below_without_cache(plan: &Plan, StageId(stage): StageId, count: usize) -> Option<&str> {
    let Stage { from, steps, .. } = &plan.stages[stage];
    let base = match from {
        StageFrom::Stage(below) => Some(*below),
        StageFrom::Scratch | StageFrom::Image(_) | StageFrom::Context(_) => None,
    };
    let read = steps[..count].iter().flat_map(|step| sources(step).filter_map(read_stage));
    base.into_iter().chain(read).find_map(|below| {
        let Stage { name, no_cache, steps, .. } = &plan.stages[below.0];
        match no_cache {
            true => Some(name.as_str()),
            false => below_without_cache(plan, below, steps.len()),
        }
    })
}

/// A variable that comes from the command line is told as what it is there.
fn named_argument(session: &Session<'_>, change: String) -> String {
    let name = change.strip_prefix("the variable ").and_then(|rest| rest.split(' ').next());
    match name {
        Some(name) if session.request.build_args.contains_key(name) => {
            change.replacen("the variable", "the build argument", 1)
        }
        _ => change,
    }
}
