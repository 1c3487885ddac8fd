//! The image on its way to registries while it is built: a layer leaves as soon as it is whole, and
//! a base's layers when the build begins.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::demand::Demand;
use super::export::{Made, takes_as_is};
use super::images::{Images, Origin};
use super::layers::{self, StageLayer};
use super::progress::Running;
use super::session::Session;
use crate::digest::Digest;
use crate::error::Error;
use crate::image::{Descriptor, ImageSet, Manifest};
use crate::plan::{ImageId, Plan, StageFrom, StageId};
use crate::registry::{self, BlobSource, ImageToPush, Push, Reference, parse_reference};
use crate::request::{Output, OutputKind};

/// The image of one platform on its way. What is under way ends when all of a build are dropped.
pub(super) struct Pushes<'a, 's> {
    session: &'a Session<'s>,
    images: &'a Images,
    /// The stages whose layers are the image's.
    lineage: Vec<StageId>,
    pushes: Vec<OutputPush<'a>>,
}

/// The push of one output that is a registry. Platforms have it in common, so that none sends what
/// another does.
#[derive(Clone)]
pub(super) struct OutputPush<'a> {
    output: &'a Output,
    names: Vec<Reference>,
    push: Arc<Push>,
}

impl<'a> OutputPush<'a> {
    /// One for each output that is a registry.
    pub(super) fn all(session: &'a Session<'_>) -> Result<Vec<Self>, Error> {
        let outputs = session.request.outputs.iter();
        let registries = outputs.filter(|o| matches!(o.kind, OutputKind::Registry { .. }));
        let of = |output: &'a Output| {
            let names = session.names(output).iter().map(|name| parse_reference(name));
            let names = names.collect::<Result<Vec<Reference>, registry::Error>>()?;
            let push = session.registry.push(names.clone(), session.runtime.handle());
            let push = push.with_standing(session.standing.clone());
            let push = if output.by_digest { push.by_digest() } else { push };
            Ok(Self { output, names, push: Arc::new(push) })
        };
        registries.map(of).collect()
    }
}

/// Waits until `output` has all of `set`, whose images are `made`, and puts what the names stand for,
/// and the tags; only these where `is_pushed`. For each name how many bytes were sent there.
pub(super) fn finish(
    output: &Output,
    set: &ImageSet,
    is_pushed: bool,
    made: &[(&Pushes<'_, '_>, &Made)],
    running: &Running<'_>,
) -> Result<Vec<(Reference, u64)>, Error> {
    let found = made.first().and_then(|(pushes, _)| Some((pushes.session, pushes.of(output)?)));
    let Some((session, OutputPush { names, push, .. })) = found else { return Ok(Vec::new()) };
    let failed = |error| {
        let shown: Vec<String> = names.iter().map(Reference::whole).collect();
        Error::from(error).about(format!("can't push {}", shown.join(", ")))
    };
    let manifest = Bytes::copy_from_slice(set.document());
    let media_type = set.descriptor.media_type.clone();
    if is_pushed {
        session.wait(push.tag(&manifest, &media_type))?.map_err(failed)?;
        return Ok(names.iter().map(|name| (name.clone(), 0)).collect());
    }
    let mut whole = ImageToPush { manifest, media_type, manifests: Vec::new(), blobs: Vec::new() };
    for (pushes, made) in made.iter().filter(|(_, made)| !made.is_pushed) {
        whole.blobs.extend(pushes.blobs(made, names.first())?);
        if set.index.is_some() {
            let kind = made.parts.descriptor.media_type.clone();
            whole.manifests.push((Bytes::from(made.parts.manifest.clone()), kind));
        }
    }
    for attached in &set.attached {
        let bytes = |bytes: &Vec<u8>| Bytes::from(bytes.clone());
        let blobs = attached.blobs.iter();
        whole
            .blobs
            .extend(blobs.map(|(d, content)| (d.clone(), BlobSource::Bytes(bytes(content)))));
        let kind = attached.descriptor.media_type.clone();
        whole.manifests.push((bytes(&attached.manifest), kind));
    }
    // How much it will be shows only at its end, as the registry may have much of it.
    let progress = |sent| running.progress("layers", sent, None);
    let pushed = session.wait(push.finish(&whole, &progress))?.map_err(failed)?;
    Ok(names.iter().cloned().zip(pushed.iter().map(|pushed| pushed.bytes)).collect())
}

impl<'a, 's> Pushes<'a, 's> {
    /// Begins with the layers that are known before anything runs.
    pub(super) fn begin(
        session: &'a Session<'s>,
        plan: &Plan,
        images: &'a Images,
        demands: &[Option<Demand>],
        pushes: Vec<OutputPush<'a>>,
    ) -> Self {
        let begun = Self { session, images, lineage: plan.lineage(plan.target), pushes };
        for id in &begun.lineage {
            let known = match (&demands[id.0], &plan.stages[id.0].from) {
                (Some(Demand { had: Some(had), .. }), _) => had.layers.clone(),
                (Some(_), StageFrom::Image(image)) => layers::of_image(images, *image),
                _ => continue,
            };
            known.iter().for_each(|layer| begun.layer(*id, layer));
        }
        begun
    }

    /// Takes a layer of `stage` that is whole. Left to [`finish`] is one that an output wants
    /// in another form, one that can't be read, and a base's that will be a file for another output:
    /// it is sent from there, not read twice.
    pub(super) fn layer(&self, stage: StageId, layer: &StageLayer) {
        if !self.lineage.contains(&stage) {
            return;
        }
        let Ok(finished) = layer.finished() else { return };
        let blob = finished.descriptor;
        let file = self.session.blob(&blob.digest).map(|stored| stored.path);
        if file.is_none() && layer.base().is_some() && self.session.keeps_base_blobs() {
            return;
        }
        for OutputPush { output, push, .. } in &self.pushes {
            if takes_as_is(self.session, output, layer, &blob.media_type)
                && let Some(source) = self.source(&blob, file.clone(), layer.base())
            {
                push.begin(&blob, &source);
            }
        }
    }

    fn of(&self, output: &Output) -> Option<&OutputPush<'a>> {
        self.pushes.iter().find(|push| push.output == output)
    }

    /// All registries that `output` goes to have this image. Where that can't be found out, it is
    /// pushed as any other.
    pub(super) fn have(&self, output: &Output, manifest: &Digest) -> bool {
        self.of(output).is_some_and(|OutputPush { push, .. }| {
            matches!(self.session.wait(push.is_there(manifest)), Ok(Ok(true)))
        })
    }

    /// The registry that `output` goes to has a layer of an earlier build that is not here, so that it
    /// need not come here.
    pub(super) fn has(&self, output: &Output, layer: &Descriptor) -> bool {
        let target = self.of(output).and_then(|push| push.names.first());
        self.session.blob(&layer.digest).is_none()
            && target.is_some_and(|target| {
                let has = self.session.wait(self.session.registry.has_blob(target, layer));
                matches!(has, Ok(Ok(true)))
            })
    }

    /// The configuration and the layers, and where they are.
    fn blobs(
        &self,
        made: &Made,
        target: Option<&Reference>,
    ) -> Result<Vec<(Descriptor, BlobSource)>, Error> {
        let parts = &made.parts;
        let manifest: Manifest = serde_json::from_slice(&parts.manifest).map_err(Error::build)?;
        let mut blobs = Vec::with_capacity(parts.layers.len() + 1);
        for (layer, base) in parts.layers.iter().zip(&made.bases) {
            let blob = &layer.descriptor;
            let source = self
                .source(blob, layer.file.clone(), *base)
                // What is neither a file nor a base's is in the target: see `Pushes::has`.
                .or_else(|| Some(BlobSource::Registry { image: target?.clone(), file: None }))
                .ok_or_else(|| layers::lost(&blob.digest))?;
            blobs.push((blob.clone(), source));
        }
        let config = Bytes::from(parts.config.clone());
        blobs.push((manifest.config, BlobSource::Bytes(config)));
        Ok(blobs)
    }

    /// Where the bytes of a layer are: in `file`, or where its base comes from.
    fn source(
        &self,
        blob: &Descriptor,
        file: Option<PathBuf>,
        base: Option<ImageId>,
    ) -> Option<BlobSource> {
        match (file, base.map(|image| &self.images[image.0].origin)) {
            (file, Some(Origin::Registry(image))) => {
                Some(BlobSource::Registry { image: image.clone(), file })
            }
            (Some(file), _) => Some(BlobSource::File(file)),
            (None, Some(Origin::Layout(layout))) => {
                Some(BlobSource::File(layout.blob_path(&blob.digest)))
            }
            (None, None) => None,
        }
    }
}
