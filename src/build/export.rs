//! The finished image of one platform, as an output wants it.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::assemble::image_config;
use super::compress::layer_media_type;
use super::images::Images;
use super::layers::{self, Finished, StageLayer};
use super::push::Pushes;
use super::session::Session;
use super::stage::StageFiles;
use crate::attest::Attestation;
use crate::digest::DiffId;
use crate::error::Error;
use crate::image::{Descriptor, ImageParts, LayerPart, media_type};
use crate::layer::{
    LayerError, LayerWriter, VerifiedLayer, WriteOptions, decompress, flatten, write_layer,
};
use crate::plan::{ImageId, Plan};
use crate::registry::Reference;
use crate::request::{AnnotationLevel, Output};

/// The target, and all that is needed to write it.
pub(super) struct Export<'a, 's> {
    pub(super) session: &'a Session<'s>,
    pub(super) plan: &'a Plan,
    pub(super) images: &'a Images,
    pub(super) target: &'a StageFiles,
    pub(super) pushes: &'a Pushes<'a, 's>,
    pub(super) attestations: &'a [Attestation],
}

/// The image of one platform.
pub(super) struct ExportedImage {
    /// As the first output has it.
    pub(super) image: ImageParts,
    /// Of its layers.
    pub(super) diff_ids: Vec<DiffId>,
    /// The images in registries, by name.
    pub(super) pushed: Vec<(Reference, Descriptor)>,
}

/// The image as one output has it.
pub(super) struct Made {
    pub(super) parts: ImageParts,
    pub(super) diff_ids: Vec<DiffId>,
    /// For each layer the image that it comes from, if it does.
    pub(super) bases: Vec<Option<ImageId>>,
    /// The registries have it from an earlier build, and need no file of it.
    pub(super) is_pushed: bool,
}

/// A layer as one output has it.
struct OutputLayer {
    diff_id: DiffId,
    descriptor: Descriptor,
    /// The blob; `None` where only a registry has it: the base's, or the one that is pushed to.
    file: Option<PathBuf>,
    base: Option<ImageId>,
}

impl Export<'_, '_> {
    /// The image as `output` has it: its layers' compression and media types; and where the layers
    /// are that are no files here.
    pub(super) fn image(&self, output: &Output) -> Result<Made, Error> {
        if let Some(made) = self.unchanged(output)?
            && self.pushes.have(output, &made.parts.descriptor.digest)
        {
            return Ok(Made { is_pushed: true, ..made });
        }
        let layers =
            super::in_parallel(self.session.request.threads, &self.target.layers, |layer| {
                self.output_layer(output, layer)
            })?;
        Ok(self.assemble(output, layers))
    }

    /// The image, if nothing of it is new, so that it may be where it is to be pushed.
    pub(super) fn unchanged(&self, output: &Output) -> Result<Option<Made>, Error> {
        let mut layers = Vec::with_capacity(self.target.layers.len());
        for layer in &self.target.layers {
            let Finished { diff_id, mut descriptor } = layer.finished()?;
            let kind = &descriptor.media_type;
            if layer.made().is_some() || !takes_as_is(self.session, output, layer, kind) {
                return Ok(None);
            }
            descriptor.media_type = media_type_for(kind, output.oci_media_types);
            layers.push(OutputLayer { diff_id, descriptor, file: None, base: layer.base() });
        }
        Ok(Some(self.assemble(output, layers)))
    }

    fn assemble(&self, output: &Output, layers: Vec<OutputLayer>) -> Made {
        let times = self.target.times(self.session);
        let diff_ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
        let now = self.session.time();
        let config = image_config(self.plan, self.plan.target, diff_ids.clone(), &times, now);
        let bases = layers.iter().map(|layer| layer.base).collect();
        let parts = layers
            .into_iter()
            .map(|layer| LayerPart { descriptor: layer.descriptor, file: layer.file })
            .collect();
        let request = self.session.request;
        let annotations = |level| request.annotations(level, Some(self.session.platform));
        let mut parts = ImageParts::assemble(
            &config,
            parts,
            output.oci_media_types,
            &config.platform,
            &annotations(AnnotationLevel::Manifest),
            self.session.names(output).to_vec(),
        );
        parts.descriptor.annotations = annotations(AnnotationLevel::ManifestDescriptor);
        Made { parts, diff_ids, bases, is_pushed: false }
    }

    fn output_layer(&self, output: &Output, layer: &StageLayer) -> Result<OutputLayer, Error> {
        let finished = layer.finished()?;
        let base = layer.base();
        if !takes_as_is(self.session, output, layer, &finished.descriptor.media_type) {
            let epoch = latest_mtime(self.session, output, layer);
            return self.converted(output, layer, &finished, epoch);
        }
        // The blob of a base image is fetched only where a file of it is wanted.
        let file = if base.is_some() && !self.session.keeps_base_blobs() {
            self.session.blob(&finished.descriptor.digest).map(|blob| blob.path)
        } else if self.pushes.has(output, &finished.descriptor) {
            None
        } else {
            Some(layers::blob(self.session, self.images, layer)?.path)
        };
        let mut descriptor = finished.descriptor;
        descriptor.media_type = media_type_for(&descriptor.media_type, output.oci_media_types);
        Ok(OutputLayer { diff_id: finished.diff_id, descriptor, file, base })
    }

    /// The layer in another compression, or with no time after `epoch` in it.
    fn converted(
        &self,
        output: &Output,
        layer: &StageLayer,
        finished: &Finished,
        epoch: Option<i64>,
    ) -> Result<OutputLayer, Error> {
        let session = self.session;
        let spool = session.store.spool()?;
        let file = spool.file().try_clone().map_err(Error::build)?;
        let mut writer = LayerWriter::new(file, output.compression, session.request.threads)?;
        if epoch.is_some() {
            let contents = layers::contents(session, self.images, layer)?;
            let files = layers::all_files(session, self.images, layer)?;
            let mut open = |i: usize| match contents.changes.get(i) {
                Some((path, _)) => session.stopping(files.open(path)?),
                None => Err(io::ErrorKind::NotFound.into()),
            };
            let options = WriteOptions { latest_mtime: epoch };
            write_layer(&contents, &mut open, &options, &mut writer)?;
        } else {
            let blob = layers::blob(session, self.images, layer)?;
            let source = File::open(&blob.path).map_err(Error::build)?;
            let source = session.cancel.stops(source);
            let mut tar = VerifiedLayer::new(source, layers::expected(finished))?;
            io::copy(&mut tar, &mut writer).map_err(Error::build)?;
        }
        let (made, _) = writer.finish()?;
        let stored = session.store.keep_blob(spool, &made.digest)?;
        let kind = layer_media_type(output.compression);
        let kind = media_type_for(kind, output.oci_media_types);
        Ok(OutputLayer {
            diff_id: made.diff_id,
            descriptor: Descriptor::new(&kind, made.digest, made.size),
            file: Some(stored.path),
            base: None,
        })
    }

    /// Gives the image's files to `output`.
    pub(super) fn flatten(&self, output: &mut dyn crate::layer::Output) -> Result<(), Error> {
        let session = self.session;
        let files = self.target.files(session, self.images)?;
        let contents = files
            .layers
            .iter()
            .map(|layer| layers::contents(session, self.images, layer))
            .collect::<Result<Vec<_>, Error>>()?;
        let contents: Vec<&crate::tree::Changes> = contents.iter().map(AsRef::as_ref).collect();
        let mut open = |index: usize| {
            let blob = layers::blob(session, self.images, &files.layers[index])
                .map_err(|e| LayerError::from(io::Error::other(e.to_string())))?;
            let blob = session.cancel.stops(File::open(&blob.path)?);
            let tar: Box<dyn io::Read> = decompress(blob)?;
            Ok(tar)
        };
        let entries = files.tree.iter().filter(|(path, _)| !path.is_empty());
        let epoch = session.source_date_epoch;
        let origin = |path: &crate::tree::TreePath| files.origin(path).cloned();
        flatten(entries, &contents, &origin, &mut open, epoch, output)?;
        Ok(())
    }
}

/// The layer is, byte for byte, what `output` wants.
pub(super) fn takes_as_is(
    session: &Session<'_>,
    output: &Output,
    layer: &StageLayer,
    media_type: &str,
) -> bool {
    let compressed = oci_type(media_type) == layer_media_type(output.compression)
        || (layer.base().is_some() && !output.force_compression);
    compressed && latest_mtime(session, output, layer).is_none()
}

/// Times in the layer that are after this one are to be this one.
fn latest_mtime(session: &Session<'_>, output: &Output, layer: &StageLayer) -> Option<i64> {
    let epoch = session.source_date_epoch.filter(|_| output.rewrite_timestamp);
    epoch.filter(|_| layer.base().is_none())
}

const DOCKER_TYPES: [(&str, &str); 3] = [
    (media_type::DOCKER_LAYER, media_type::OCI_LAYER),
    (media_type::DOCKER_LAYER_GZIP, media_type::OCI_LAYER_GZIP),
    (media_type::DOCKER_LAYER_ZSTD, media_type::OCI_LAYER_ZSTD),
];

/// Docker's media types of layers and OCI's mean the same bytes.
fn oci_type(kind: &str) -> &str {
    DOCKER_TYPES.iter().find(|(docker, _)| *docker == kind).map_or(kind, |(_, oci)| oci)
}

fn media_type_for(kind: &str, oci: bool) -> String {
    let kind = oci_type(kind);
    if oci {
        return kind.to_owned();
    }
    let docker = DOCKER_TYPES.iter().find(|(_, oci)| *oci == kind);
    docker.map_or(kind, |(docker, _)| docker).to_owned()
}
