//! Why a step had to run.

use super::keys::{BELOW, StageKeys};
use super::session::Session;
use crate::plan::{History, NewStep, Plan, StageFrom, StageId};

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
    if stands_on_uncached(plan, stage) {
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
        Ok(None) => format!("nothing changed, but its result is not in {}", nowhere()),
        Err(NewStep) => "the instruction is new".to_owned(),
    }
}

fn is_below(change: &Result<Option<String>, NewStep>) -> bool {
    matches!(change, Ok(Some(change)) if change.starts_with(BELOW))
}

fn stands_on_uncached(plan: &Plan, StageId(stage): StageId) -> bool {
    let stage = &plan.stages[stage];
    stage.no_cache
        || matches!(stage.from, StageFrom::Stage(below) if stands_on_uncached(plan, below))
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
