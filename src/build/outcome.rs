//! The result as data, out of what the stages and the outputs have come to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::explain;
use super::export::ExportedImage;
use super::images::Images;
use super::keys::StageKeys;
use super::layers::{self, StageLayer};
use super::result::{
    BlobResult, BuildResult, ImageResult, LayerResult, LookedIn, Outcome, StageResult, StepResult,
};
use super::session::Session;
use super::{Done, Planned};
use crate::cache::{RecordLayer, Traffic};
use crate::digest::DiffId;
use crate::image::Descriptor;
use crate::plan::{Op, Plan, Stage, StageFrom, StageId};
use crate::request::AnnotationLevel;

pub(super) fn summarize(
    session: &Session<'_>,
    planned: &Planned,
    done: &Done<'_, '_>,
    exported: ExportedImage,
) -> BuildResult {
    let Planned { plan, images, keys, .. } = planned;
    let lineage = plan.lineage(plan.target);
    let stages = plan.stages.iter().enumerate().map(|(index, stage)| {
        let layers = layers_of(session, plan, images, keys, done, index);
        let trace = done.stages[index].as_ref().map_or(&[][..], |files| files.steps.as_slice());
        let steps: Vec<StepResult> = stage
            .steps
            .iter()
            .enumerate()
            .map(|(position, step)| {
                let trace = trace.get(position);
                let outcome = match (&step.op, trace) {
                    (Op::Config, _) => Outcome::Config,
                    (_, Some(trace)) if !trace.cached => {
                        let why = explain::why(session, plan, keys, StageId(index), position);
                        Outcome::Ran { why }
                    }
                    _ => Outcome::Cached,
                };
                let took = trace.map_or(Duration::ZERO, |trace| trace.took);
                let (title, lines) = (step.title.clone(), step.lines);
                StepResult { title, lines, outcome, took, layer: None }
            })
            .collect();
        StageResult {
            name: stage.name.clone(),
            base: base_name(plan, images, stage),
            in_image: lineage.contains(&StageId(index)),
            took: steps.iter().map(|step| step.took).sum(),
            steps,
            layers,
        }
    });
    let stages: Vec<StageResult> = stages.collect();
    let image = exported.image;
    let unpacked: BTreeMap<DiffId, Option<u64>> = stages
        .iter()
        .flat_map(|stage| stage.layers.iter().flatten())
        .map(|layer| (layer.diff_id, layer.unpacked_bytes))
        .collect();
    let image_layers = image.layers.iter().zip(&exported.diff_ids).map(|(layer, diff_id)| {
        let Descriptor { digest, size, .. } = layer.descriptor;
        LayerResult {
            diff_id: *diff_id,
            unpacked_bytes: unpacked.get(diff_id).copied().flatten(),
            blob: Some(BlobResult { digest, bytes: size }),
        }
    });
    BuildResult {
        image: ImageResult {
            layers: image_layers.collect(),
            config: image.config_digest,
            platform: image.descriptor.platform.clone().unwrap_or_default(),
            descriptor: image.descriptor,
            tags: image.names,
            annotations: session
                .request
                .annotations(AnnotationLevel::Manifest, Some(session.platform)),
        },
        stages,
        weight: None,
        provenance: None,
        baseline: None,
        builds: Vec::new(),
        notices: session.notices(),
        looked_in: session.cache.traffic().into_iter().map(looked_in).collect(),
        cache_mounts: session.mounts.results(session),
        not_saved: session.saver.skipped(),
        took: session.since.elapsed(),
    }
}

/// What a stage stands on, as the Dockerfile names it.
pub(super) fn base_name(plan: &Plan, images: &Images, stage: &Stage) -> String {
    match &stage.from {
        StageFrom::Scratch => "scratch".to_owned(),
        StageFrom::Image(id) => images[id.0].name.clone(),
        StageFrom::Stage(id) => plan.stages[id.0].name.clone(),
        StageFrom::Context(name) => name.clone(),
    }
}

fn looked_in((place, traffic): (String, Traffic)) -> LookedIn {
    let Traffic { questions, entries, bytes, took } = traffic;
    LookedIn { place, questions, entries, bytes, took }
}

fn layers_of(
    session: &Session<'_>,
    plan: &Plan,
    images: &Images,
    keys: &[StageKeys],
    done: &Done<'_, '_>,
    stage: usize,
) -> Option<Vec<LayerResult>> {
    let all = |layers: &[StageLayer]| layers.iter().map(|layer| of_layer(session, layer)).collect();
    if let Some(files) = &done.stages[stage] {
        return Some(all(&files.layers));
    }
    // Nobody needed it; its last record says what it consists of.
    if let Some(record) = session.record(keys[stage].last()) {
        return Some(record.layers.iter().map(|layer| of_record(session, layer)).collect());
    }
    if keys[stage].last() != keys[stage].base {
        return None;
    }
    match plan.stages[stage].from {
        StageFrom::Image(id) => Some(all(&layers::of_image(images, id))),
        StageFrom::Stage(StageId(below)) => layers_of(session, plan, images, keys, done, below),
        StageFrom::Scratch => Some(Vec::new()),
        StageFrom::Context(_) => None,
    }
}

fn of_layer(session: &Session<'_>, layer: &StageLayer) -> LayerResult {
    match layer.finished() {
        Ok(finished) => LayerResult {
            diff_id: finished.diff_id,
            unpacked_bytes: layer
                .recorded()
                .ok()
                .and_then(|recorded| recorded.unpacked_size)
                .or_else(|| session.tree(&finished.diff_id).map(|tree| tree.unpacked_size())),
            blob: Some(BlobResult {
                digest: finished.descriptor.digest,
                bytes: finished.descriptor.size,
            }),
        },
        // A layer of a stage that is only read from, and could not be compressed.
        Err(_) => LayerResult { diff_id: DiffId::of(b""), unpacked_bytes: None, blob: None },
    }
}

fn of_record(session: &Session<'_>, layer: &RecordLayer) -> LayerResult {
    LayerResult {
        diff_id: layer.diff_id,
        unpacked_bytes: layer
            .unpacked_size
            .or_else(|| session.tree(&layer.diff_id).map(|tree| tree.unpacked_size())),
        blob: Some(BlobResult { digest: layer.descriptor.digest, bytes: layer.descriptor.size }),
    }
}
