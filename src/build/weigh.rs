//! What the image weighs that was just built: everything is known but what its files say, which is
//! read once from each layer and kept.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::Arc;

use super::export::ExportedImage;
use super::images::Images;
use super::layers::{self, AtHand, Extent, StageLayer};
use super::session::Session;
use super::stage::StageFiles;
use crate::digest::DiffId;
use crate::error::Error;
use crate::image::Descriptor;
use crate::inspect::{self, Onlooker};
use crate::layer;
use crate::plan::{CopyFrom, Lines, Op, Plan, StageFrom};
use crate::tree::{Change, Changes, Entry, Kind};
use crate::weight::facts::Facts;
use crate::weight::{self, Blob, Identity, Image, ReadLayer, Source, Step, Weight};

/// The image of one platform when its last layer is made, before it is written.
#[derive(Clone, Copy)]
pub(super) struct FinalStage<'a, 's> {
    pub(super) session: &'a Session<'s>,
    pub(super) plan: &'a Plan,
    pub(super) images: &'a Images,
    pub(super) target: &'a StageFiles,
}

impl FinalStage<'_, '_> {
    /// What it weighs, as an image that has no name yet. `earlier` is what some other image weighed: no
    /// layer is read where that had the same ones from the same lines.
    pub(super) fn weigh(&self, earlier: Option<&Weight>) -> Result<Weight, Error> {
        let layers = self.target.layers.iter().map(|layer| {
            let finished = layer.finished()?;
            let Descriptor { digest, size, .. } = finished.descriptor;
            Ok((finished.diff_id, Blob { digest, bytes: size }))
        });
        let layers = layers.collect::<Result<Vec<_>, Error>>()?;
        let steps = steps(self.plan, self.images, layers.len());
        let lines = self.dockerfile();
        match earlier.filter(|weight| is_of(weight, &layers, &steps, &lines)) {
            Some(weight) => Ok(weight.clone()),
            None => self.read(&layers, steps, Identity::unnamed(self.session.platform)),
        }
    }

    /// `weight` is what [`FinalStage::weigh`] gave.
    pub(super) fn named(&self, weight: Weight, exported: &ExportedImage) -> Result<Weight, Error> {
        let image = &exported.image;
        let platform = image.descriptor.platform.as_ref();
        let identity = Identity {
            name: image.names.first().cloned().unwrap_or_else(|| image.config_digest.to_string()),
            platform: platform.unwrap_or(&self.plan.platform).to_string(),
            manifest: Some(image.descriptor.digest),
            config: image.config_digest,
        };
        let parts = image.layers.iter().zip(&exported.diff_ids);
        let layers: Vec<(DiffId, Blob)> = parts
            .map(|(part, diff_id)| {
                let Descriptor { digest, size, .. } = part.descriptor;
                (*diff_id, Blob { digest, bytes: size })
            })
            .collect();
        if has_layers(&weight, &layers) {
            return Ok(Weight { image: identity, ..weight });
        }
        // The output wanted another compression or other times.
        self.read(&layers, steps(self.plan, self.images, layers.len()), identity)
    }

    fn read(
        &self,
        layers: &[(DiffId, Blob)],
        steps: Vec<Step>,
        identity: Identity,
    ) -> Result<Weight, Error> {
        let Self { session, images, target, .. } = *self;
        let read = super::in_parallel(session.request.threads, &target.layers, |layer| {
            read(session, images, layer)
        })?;
        let layers = layers.iter().zip(steps).zip(read);
        let layers = layers.map(|(((diff_id, blob), step), (changes, facts))| ReadLayer {
            diff_id: *diff_id,
            blob: Some(*blob),
            step,
            changes,
            facts,
            // Nobody looks at the stream; a file has its share of the blob.
            compressed: HashMap::new(),
        });
        let image = Image {
            identity,
            layers: layers.collect(),
            dockerfile: Some(self.dockerfile().into_owned()),
        };
        Ok(match target.merged() {
            Some(files) => weight::weigh_merged(&image, &files.tree),
            None => weight::weigh(&image),
        })
    }

    fn dockerfile(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.session.request.dockerfile.bytes)
    }
}

/// The weight is what an image of these layers weighs, whatever it is called.
fn is_of(weight: &Weight, layers: &[(DiffId, Blob)], steps: &[Step], dockerfile: &str) -> bool {
    let lines: Vec<&str> = dockerfile.lines().collect();
    // What it advises must be about these lines.
    let patches =
        weight.findings.iter().filter_map(|finding| finding.advice.as_ref()?.patch.as_ref());
    let mut patches = patches.map(|patch| {
        let first = (patch.line as usize).checked_sub(1)?;
        lines.get(first..first + patch.old.len()).map(|lines| lines == &patch.old[..])
    });
    weight.program_version == weight::PROGRAM_VERSION
        && has_layers(weight, layers)
        && weight.layers.iter().map(|layer| &layer.step).eq(steps)
        && patches.all(|is_as_it_was| is_as_it_was == Some(true))
}

fn has_layers(weight: &Weight, layers: &[(DiffId, Blob)]) -> bool {
    let own = weight.layers.iter().map(|layer| (layer.diff_id, layer.blob));
    own.eq(layers.iter().map(|(diff_id, blob)| (*diff_id, Some(*blob))))
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
    if !session.request.reads_contents() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::weight::{Advice, Efficiency, Finding, FindingKind, Layer, Patch, Size};

    #[test]
    fn a_weight_is_of_the_same_layers_from_the_same_lines() {
        let layer = |name: &[u8]| {
            let blob = Blob { digest: Digest::of(name), bytes: 3 };
            (DiffId::of(name), blob)
        };
        let step = |lines| Step { instruction: "RUN x".to_owned(), lines, source: Source::Context };
        let steps = [step(Some((2, 2)))];
        let (diff_id, blob) = layer(b"a");
        let patch =
            Patch { line: 2, old: vec!["RUN x".to_owned()], new: vec!["RUN x && y".to_owned()] };
        let advice = Advice { text: String::new(), patch: Some(patch), saves: Size::ZERO };
        let weight = Weight {
            image: Identity::unnamed(&crate::platform::Platform::host()),
            program_version: weight::PROGRAM_VERSION.to_owned(),
            distribution: None,
            layers: vec![Layer { diff_id, blob: Some(blob), unpacked: 1, step: steps[0].clone() }],
            files: Vec::new(),
            packages: Vec::new(),
            findings: vec![Finding {
                kind: FindingKind::Git,
                size: Size::ZERO,
                layer: 0,
                by: None,
                files: 0,
                paths: Vec::new(),
                detail: String::new(),
                advice: Some(advice),
            }],
            efficiency: Efficiency::default(),
        };
        let layers = [layer(b"a")];
        assert!(is_of(&weight, &layers, &steps, "FROM a\nRUN x\n"));
        assert!(!is_of(&weight, &[layer(b"b")], &steps, "FROM a\nRUN x\n"));
        assert!(!is_of(&weight, &layers, &[step(Some((3, 3)))], "FROM a\nRUN x\n"));
        assert!(!is_of(&weight, &layers, &steps, "FROM a\nRUN  x\n"));
        assert!(!is_of(&weight, &layers, &steps, "FROM a"));
        let older = Weight { program_version: "0.0.1".to_owned(), ..weight };
        assert!(!is_of(&older, &layers, &steps, "FROM a\nRUN x\n"));
    }
}
