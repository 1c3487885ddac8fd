//! The definition key of every step, before anything runs. What a key is made of is in
//! `plan/key.rs`; here is where its ingredients come from.

use std::collections::BTreeMap;

use super::images::Images;
use super::inputs::{Inputs, Reading, copy_options, readings, whole};
use super::session::Session;
use crate::digest::Sha256Sum;
use crate::error::{Error, Location};
use crate::plan::{
    self, ContentKey, CopyFrom, DefinitionKey, Ingredient, Input, Op, Plan, StageFrom, StageId,
    Step, base_key, context_key, link_key, scratch_key, step_key,
};
use crate::tree::{
    CopyError, CopyOptions, CopySource, Kind, Owner, TreePath, entry_key, named_paths, select,
};

/// All that a step stands on, but for the first of a stage, of which it is known by name.
pub(super) const BELOW: &str = "what is below it";

/// The keys of one stage.
#[derive(Clone, Debug)]
pub(super) struct StageKeys {
    /// Of what the stage stands on.
    pub(super) base: DefinitionKey,
    /// Of each step, after it. A step that changes the configuration only has its parent's.
    pub(super) steps: Vec<DefinitionKey>,
    /// Of the layer of each step that is the same on whatever it stands: `COPY --link`.
    pub(super) links: Vec<Option<ContentKey>>,
    /// What each step depends on, in words.
    pub(super) ingredients: Vec<Vec<Ingredient>>,
}

impl StageKeys {
    /// The key of the stage's files at its end.
    pub(super) fn last(&self) -> DefinitionKey {
        *self.steps.last().unwrap_or(&self.base)
    }
}

/// The keys of all stages; the positions are those of [`Plan::stages`].
pub(super) fn definition_keys(
    session: &Session<'_>,
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
        let mut links = Vec::with_capacity(stage.steps.len());
        let mut ingredients = Vec::with_capacity(stage.steps.len());
        let mut below = match &stage.from {
            StageFrom::Image(id) => format!("the base {}", images[id.0].name),
            StageFrom::Stage(id) => format!("the stage {}", plan.stages[id.0].name),
            StageFrom::Context(name) => format!("the context {name}"),
            StageFrom::Scratch => "the platform".to_owned(),
        };
        for step in &stage.steps {
            let at = |e: Error| e.at(Location::from(step.lines));
            let read = inputs_of(step, images, inputs, &all).map_err(at)?;
            let mut parts = plan::ingredients(&step.op, session.source_date_epoch);
            if step.op != Op::Config {
                parts.extend(read_parts(step, plan, images, inputs, &all).map_err(at)?);
                parts.push(Ingredient::new(below, &[&parent.0.0]));
                below = BELOW.to_owned();
            }
            ingredients.push(parts);
            parent = step_key(&parent, &step.op, &read, session.source_date_epoch);
            steps.push(parent);
            links.push(link(session, step, &read).map_err(at)?);
        }
        all.push(StageKeys { base, steps, links, ingredients });
    }
    Ok(all)
}

/// The key of a layer in which nothing of the parent shows, not even the names of its users.
fn link(session: &Session<'_>, step: &Step, read: &[Input]) -> Result<Option<ContentKey>, Error> {
    let Op::Copy(copy) = &step.op else { return Ok(None) };
    let named = copy.chown.as_ref().is_some_and(|chown| Owner::parse(chown).needs_files());
    let detached = copy_options(copy)?.is_detached() && !named;
    Ok(detached.then(|| link_key(copy, read, session.source_date_epoch)))
}

/// What a step reads from elsewhere: the content of files, or the key of the stage that makes them.
fn inputs_of(
    step: &Step,
    images: &Images,
    inputs: &Inputs,
    stages: &[StageKeys],
) -> Result<Vec<Input>, Error> {
    let mut read = Vec::new();
    for reading in readings(step)? {
        let selection = match reading {
            Reading::Files(selection) => selection,
            Reading::Remote(source) => {
                read.push(inputs.remote_content(source)?);
                continue;
            }
        };
        read.push(match selection.from {
            CopyFrom::Context | CopyFrom::Named(_) => inputs.content(&selection)?,
            CopyFrom::Stage(StageId(stage)) => Input::Definition(stages[*stage].last()),
            CopyFrom::Image(image) => Input::Definition(images[image.0].key()),
            CopyFrom::Empty => continue,
        });
    }
    Ok(read)
}

/// What a step reads from elsewhere, in words: the files one by one, or the stage.
fn read_parts(
    step: &Step,
    plan: &Plan,
    images: &Images,
    inputs: &Inputs,
    stages: &[StageKeys],
) -> Result<Vec<Ingredient>, Error> {
    let mut parts = Vec::new();
    for reading in readings(step)? {
        let selection = match reading {
            Reading::Files(selection) => selection,
            Reading::Remote(source) => {
                if let Input::Content(sum) = inputs.remote_content(source)? {
                    parts.push(Ingredient::new(source.text(), &[&sum.0]));
                }
                continue;
            }
        };
        match selection.from {
            CopyFrom::Stage(StageId(stage)) => parts.push(Ingredient::new(
                format!("the stage {}", plan.stages[*stage].name),
                &[&stages[*stage].last().0.0],
            )),
            CopyFrom::Image(image) => parts.push(Ingredient::new(
                format!("the image {}", images[image.0].name),
                &[&images[image.0].key().0.0],
            )),
            CopyFrom::Context | CopyFrom::Named(_) => {
                let Some(context) = inputs.context(selection.from) else { continue };
                let source = CopySource { tree: context.tree(), what: selection.what };
                parts.extend(file_parts(&source, &selection.options).map_err(Error::build)?);
            }
            CopyFrom::Empty => {}
        }
    }
    Ok(parts)
}

/// More files than this are told by their directories; bytes of an index are dear.
const FILES_TOLD: usize = 5000;

fn file_parts(
    source: &CopySource<'_>,
    options: &CopyOptions,
) -> Result<Vec<Ingredient>, CopyError> {
    let tree = source.tree;
    // Of a directory that is named itself only what is in it is taken.
    let named = named_paths(source, options)?;
    let file = |path: &TreePath| -> Option<(&str, String, Sha256Sum)> {
        let entry = tree.get(path)?;
        let is_directory = entry.kind == Kind::Directory;
        let sum = entry_key(path, entry, options).ok()?;
        (!is_directory || !named.contains(path)).then(|| {
            let kind = if is_directory { "folder" } else { "file" };
            (kind, String::from_utf8_lossy(path).into_owned(), sum)
        })
    };
    let files: Vec<_> = select(source, options)?.iter().filter_map(file).collect();
    if files.len() <= FILES_TOLD {
        let parts = files
            .iter()
            .map(|(kind, path, sum)| Ingredient::new(format!("the {kind} {path}"), &[&sum.0]));
        return Ok(parts.collect());
    }
    let mut directories: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for (_, path, sum) in &files {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let all = directories.entry(directory).or_default();
        all.extend(name.as_bytes());
        all.extend(sum.0);
    }
    let part =
        |(path, all): (&str, Vec<u8>)| Ingredient::new(format!("the folder /{path}"), &[&all]);
    Ok(directories.into_iter().map(part).collect())
}

impl super::images::BaseImage {
    /// Its layers and its configuration: the same image under another name is the same base.
    pub(super) fn key(&self) -> DefinitionKey {
        base_key(&self.config.platform, &self.config.rootfs.diff_ids, &self.config.config)
    }
}
