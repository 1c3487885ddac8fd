//! The definition key of every step, before anything runs. What a key is made of is in
//! `plan/key.rs`; here is where its ingredients come from.

use super::images::Images;
use super::inputs::{Inputs, Reading, readings, whole};
use crate::error::{Error, Location};
use crate::plan::{
    CopyFrom, DefinitionKey, Input, Plan, StageFrom, StageId, Step, base_key, context_key,
    scratch_key, step_key,
};

/// The keys of one stage.
#[derive(Clone, Debug)]
pub(super) struct StageKeys {
    /// Of what the stage stands on.
    pub(super) base: DefinitionKey,
    /// Of each step, after it. A step that changes the configuration only has its parent's.
    pub(super) steps: Vec<DefinitionKey>,
}

impl StageKeys {
    /// The key of the stage's files at its end.
    pub(super) fn last(&self) -> DefinitionKey {
        *self.steps.last().unwrap_or(&self.base)
    }
}

/// The keys of all stages; the positions are those of [`Plan::stages`].
pub(super) fn definition_keys(
    plan: &Plan,
    images: &Images,
    inputs: &Inputs,
) -> Result<Vec<StageKeys>, Error> {
    let mut all: Vec<StageKeys> = Vec::with_capacity(plan.stages.len());
    for stage in &plan.stages {
        let base = match &stage.from {
            StageFrom::Scratch => scratch_key(&stage.platform),
            StageFrom::Image(id) => images[id.0].key(),
            StageFrom::Stage(id) => all[id.0].last(),
            StageFrom::Context(name) => {
                let from = CopyFrom::Named(name.clone());
                let at = |e: Error| e.at(Location::from(stage.lines));
                match inputs.content(&whole(&from)).map_err(at)? {
                    Input::Content(sum) => context_key(&stage.platform, &sum),
                    Input::Definition(key) => key,
                }
            }
        };
        let mut parent = base;
        let mut steps = Vec::with_capacity(stage.steps.len());
        for step in &stage.steps {
            let read = ingredients(step, images, inputs, &all)
                .map_err(|e| e.at(Location::from(step.lines)))?;
            parent = step_key(&parent, &step.op, &read);
            steps.push(parent);
        }
        all.push(StageKeys { base, steps });
    }
    Ok(all)
}

/// What a step reads from elsewhere: the content of files, or the key of the stage that makes them.
fn ingredients(
    step: &Step,
    images: &Images,
    inputs: &Inputs,
    stages: &[StageKeys],
) -> Result<Vec<Input>, Error> {
    let mut ingredients = Vec::new();
    for reading in readings(step)? {
        let selection = match reading {
            Reading::Files(selection) => selection,
            Reading::Remote(source) => {
                ingredients.push(inputs.remote_content(source)?);
                continue;
            }
        };
        ingredients.push(match selection.from {
            CopyFrom::Context | CopyFrom::Named(_) => inputs.content(&selection)?,
            CopyFrom::Stage(StageId(stage)) => Input::Definition(stages[*stage].last()),
            CopyFrom::Image(image) => Input::Definition(images[image.0].key()),
            CopyFrom::Empty => continue,
        });
    }
    Ok(ingredients)
}

impl super::images::BaseImage {
    /// Its layers and its configuration: the same image under another name is the same base.
    pub(super) fn key(&self) -> DefinitionKey {
        base_key(&self.config.platform, &self.config.rootfs.diff_ids, &self.config.config)
    }
}
