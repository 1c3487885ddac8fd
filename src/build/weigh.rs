//! What the image weighs that was just built: everything is known but what its files say, which is
//! read once from each layer and kept.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::Arc;

use super::export::ExportedImage;
use super::images::Images;
use super::layers::{self, AtHand, Extent, StageLayer};
use super::session::Session;
use super::stage::StageFiles;
use crate::error::Error;
use crate::inspect::{self, Onlooker};
use crate::layer;
use crate::plan::{CopyFrom, Lines, Op, Plan, StageFrom};
use crate::tree::{Change, Changes, Entry, Kind};
use crate::weight::facts::Facts;
use crate::weight::{self, Blob, Identity, Image, ReadLayer, Source, Step, Weight};

/// All layers of the target, from the lowest, while the image is written.
pub(super) fn read_all(
    session: &Session<'_>,
    images: &Images,
    target: &StageFiles,
) -> Result<Vec<(Changes, Facts)>, Error> {
    super::in_parallel(session.request.threads, &target.layers, |layer| {
        read(session, images, layer)
    })
}

pub(super) fn weigh(
    session: &Session<'_>,
    plan: &Plan,
    images: &Images,
    target: &StageFiles,
    exported: &ExportedImage,
    read: Vec<(Changes, Facts)>,
) -> Weight {
    let steps = steps(plan, images, read.len());
    let parts = exported.image.layers.iter().zip(&exported.diff_ids);
    let layers = parts.zip(steps).zip(read);
    let layers = layers.map(|(((part, diff_id), step), (changes, facts))| ReadLayer {
        diff_id: *diff_id,
        blob: Some(Blob { digest: part.descriptor.digest, bytes: part.descriptor.size }),
        step,
        changes,
        facts,
        // Nobody looks at the stream; a file has its share of the blob.
        compressed: HashMap::new(),
    });
    let image = &exported.image;
    let platform = image.descriptor.platform.as_ref();
    let image = Image {
        identity: Identity {
            name: image.names.first().cloned().unwrap_or_else(|| image.config_digest.to_string()),
            platform: platform.unwrap_or(&plan.platform).to_string(),
            manifest: Some(image.descriptor.digest),
            config: image.config_digest,
        },
        layers: layers.collect(),
        dockerfile: Some(String::from_utf8_lossy(&session.request.dockerfile.bytes).into_owned()),
    };
    match target.merged() {
        Some(files) => weight::weigh_merged(&image, &files.tree),
        None => weight::weigh(&image),
    }
}

/// A layer with the sums of its files and what they say: both are kept from when this build made it.
/// One of another build, or of a base, is read once; what was unpacked for a RUN is not read again.
fn read(
    session: &Session<'_>,
    images: &Images,
    layer: &StageLayer,
) -> Result<(Changes, Facts), Error> {
    let diff_id = layer.finished()?.diff_id;
    let contents = layers::contents(session, images, layer)?;
    // Of what a RUN wrote the sums are known since it was compressed.
    let kept = || session.tree(&diff_id).filter(has_sums).map(Arc::new);
    let sums = || layer.written().or_else(kept);
    if let Some(contents) = has_sums(&contents).then_some(contents).or_else(sums) {
        if let Some(facts) = session.store.facts(&diff_id) {
            return Ok((Arc::unwrap_or_clone(contents), facts));
        }
        let unpacked = layers::at_hand(session, layer);
        if let Some(facts) = unpacked.and_then(|files| look(&contents, &files).ok()) {
            session.store.keep_facts(&diff_id, &facts)?;
            return Ok((Arc::unwrap_or_clone(contents), facts));
        }
    }
    let read = layers::read_tar(session, images, layer, Extent::Whole, |tar| {
        Ok(inspect::read_contents(tar)?)
    })?;
    session.store.keep_tree(&diff_id, &read.0)?;
    session.store.keep_facts(&diff_id, &read.1)?;
    Ok(read)
}

/// What the files say of a layer that a RUN stands on: they were unpacked for it.
fn look(contents: &Changes, files: &AtHand) -> io::Result<Facts> {
    let mut onlooker = Onlooker::default();
    let mut links = HashSet::new();
    for (path, change) in &contents.changes {
        let Change::Set(entry) = change else { continue };
        let Kind::File(file) = &entry.kind else { continue };
        // A tar has the content of a file under its first name only.
        if file.size > 0 && file.link.is_none_or(|link| links.insert(link)) {
            onlooker.look(path, entry, &mut files.open(path)?)?;
        }
    }
    Ok(onlooker.facts())
}

fn has_sums(contents: &Changes) -> bool {
    contents.changes.iter().all(|(_, change)| match change {
        Change::Set(Entry { kind: Kind::File(file), .. }) => file.digest.is_some(),
        Change::Set(_) | Change::Link(_) | Change::Remove | Change::Opaque => true,
    })
}

/// The table of contents of a layer that is read for the first time; where a weight is wanted, what
/// its files say too, so that no base is read twice.
pub(super) fn scan(
    session: &Session<'_>,
    tar: &mut dyn Read,
) -> Result<(Changes, Option<Facts>), Error> {
    if !session.request.weigh {
        return Ok((layer::scan_layer(tar)?, None));
    }
    let (changes, facts) = inspect::read_contents(tar)?;
    Ok((changes, Some(facts)))
}

/// One for each layer of the target: those of its base, then those of the stages that it stands on.
fn steps(plan: &Plan, images: &Images, layers: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for id in plan.lineage(plan.target) {
        let stage = &plan.stages[id.0];
        match &stage.from {
            StageFrom::Image(id) => {
                let image = &images[id.0];
                let count = image.manifest.layers.len();
                let source = Source::Base(image.name.clone());
                let base = inspect::steps(&image.config.history, count).into_iter();
                steps.extend(base.map(|step| Step { source: source.clone(), ..step }));
            }
            StageFrom::Context(name) => steps.push(Step {
                instruction: format!("FROM {name}"),
                lines: numbers(stage.lines),
                source: Source::CopiedFrom(name.clone()),
            }),
            StageFrom::Scratch | StageFrom::Stage(_) => {}
        }
        for step in stage.steps.iter().filter(|step| step.op != Op::Config) {
            let source = match &step.op {
                Op::Copy(copy) => match &copy.from {
                    // A file written in place is the Dockerfile's, which counts as the user's context.
                    CopyFrom::Context | CopyFrom::Empty => Source::Context,
                    CopyFrom::Named(name) => Source::CopiedFrom(name.clone()),
                    CopyFrom::Stage(id) => Source::CopiedFrom(plan.stages[id.0].name.clone()),
                    CopyFrom::Image(id) => Source::CopiedFrom(images[id.0].name.clone()),
                },
                _ => Source::Stage(stage.name.clone()),
            };
            // Without `[builder 2/4] `.
            let instruction = step.title.split_once("] ").map_or(&*step.title, |(_, rest)| rest);
            steps.push(Step {
                instruction: instruction.split_whitespace().collect::<Vec<_>>().join(" "),
                lines: numbers(step.lines),
                source,
            });
        }
    }
    if steps.len() == layers {
        return steps;
    }
    inspect::steps(&[], layers)
}

fn numbers(lines: Lines) -> Option<(u32, u32)> {
    Some((u32::try_from(lines.first).ok()?, u32::try_from(lines.last).ok()?))
}
