//! Writes the finished image where the user wants it.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::assemble::image_config;
use super::compress::layer_media_type;
use super::images::Images;
use super::layers::{self, Finished, StageLayer};
use super::progress::Running;
use super::push::Pushes;
use super::result::{Written, WrittenKind};
use super::session::Session;
use super::stage::StageFiles;
use crate::digest::DiffId;
use crate::error::Error;
use crate::image::{
    ArchiveKind, Descriptor, ImageParts, ImageSet, LayerPart, media_type, write_archive,
    write_layout,
};
use crate::layer::{
    DirectoryOutput, LayerError, LayerWriter, TarOutput, VerifiedLayer, WriteOptions, decompress,
    flatten, write_layer,
};
use crate::plan::{ImageId, Plan};
use crate::registry::{Reference, parse_reference};
use crate::request::{Destination, Output, OutputKind};

/// The target, and all that is needed to write it.
pub(super) struct Export<'a, 's> {
    pub(super) session: &'a Session<'s>,
    pub(super) plan: &'a Plan,
    pub(super) images: &'a Images,
    pub(super) target: &'a StageFiles,
    pub(super) pushes: &'a Pushes<'a, 's>,
}

/// The image, and where it went.
pub(super) struct Done {
    /// As the first output has it.
    pub(super) image: ImageParts,
    /// Of its layers.
    pub(super) diff_ids: Vec<DiffId>,
    pub(super) written: Vec<Written>,
    /// The images in registries, by name.
    pub(super) pushed: Vec<(Reference, Descriptor)>,
}

/// The image as one output has it.
pub(super) struct Made {
    pub(super) parts: ImageParts,
    diff_ids: Vec<DiffId>,
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
    /// Writes every output, in order.
    pub(super) fn write_all(&self) -> Result<Done, Error> {
        let mut first = None;
        let mut written = Vec::new();
        let mut pushed = Vec::new();
        for output in &self.session.request.outputs {
            self.session.check_canceled()?;
            let title = title(&output.kind);
            let (made, places) = self.session.progress.step(title, |running| {
                let made = self.image(output)?;
                let places = self.write(output, &made, running)?;
                Ok((made, places))
            })?;
            if let OutputKind::Registry { .. } = &output.kind {
                let names = self.session.names(output).iter();
                let names = names.filter_map(|name| parse_reference(name).ok());
                pushed.extend(names.map(|name| (name, made.parts.descriptor.clone())));
            }
            first.get_or_insert(made);
            written.extend(places);
        }
        let made = match first {
            Some(made) => made,
            // The image is in the local store only, as a registry would have it.
            None => self.image(&Output::new(OutputKind::Registry { names: Vec::new() }))?,
        };
        Ok(Done { image: made.parts, diff_ids: made.diff_ids, written, pushed })
    }

    fn write(
        &self,
        output: &Output,
        made: &Made,
        running: &Running<'_>,
    ) -> Result<Vec<Written>, Error> {
        let image = &made.parts;
        match &output.kind {
            OutputKind::Registry { .. } => self.push(output, made, running),
            OutputKind::Oci { destination, .. } => {
                self.write_image(&ImageSet::one(image.clone()), ArchiveKind::Oci, destination)?;
                Ok(vec![wrote(WrittenKind::Oci, destination, image)])
            }
            OutputKind::Docker { destination, .. } => {
                self.write_image(&ImageSet::one(image.clone()), ArchiveKind::Docker, destination)?;
                Ok(vec![wrote(WrittenKind::Docker, destination, image)])
            }
            OutputKind::Local { directory } => {
                std::fs::create_dir_all(directory)
                    .map_err(|e| Error::build(format!("{}: {e}", directory.display())))?;
                let mut files = DirectoryOutput::new(directory)?;
                self.flatten(&mut files)?;
                files.finish()?;
                let place = Destination::Directory(directory.clone());
                Ok(vec![written(WrittenKind::Local, shown(&place), 0, 0)])
            }
            OutputKind::Tar { destination } => {
                self.write_to(destination, |out| {
                    let mut tar = TarOutput::new(out);
                    self.flatten(&mut tar)?;
                    tar.finish()?;
                    Ok(())
                })?;
                Ok(vec![written(WrittenKind::Tar, shown(destination), 0, 0)])
            }
        }
    }

    /// The image as `output` has it: its layers' compression and media types; and where the layers
    /// are that are no files here.
    fn image(&self, output: &Output) -> Result<Made, Error> {
        if let Some(made) = self.pushed_before(output)? {
            return Ok(made);
        }
        let layers =
            super::in_parallel(self.session.request.threads, &self.target.layers, |layer| {
                self.output_layer(output, layer)
            })?;
        Ok(self.assemble(output, layers))
    }

    /// The image, if nothing of it is new and its manifest is where it is to be pushed.
    fn pushed_before(&self, output: &Output) -> Result<Option<Made>, Error> {
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
        let made = Made { is_pushed: true, ..self.assemble(output, layers) };
        let digest = &made.parts.descriptor.digest;
        let is_there = self.pushes.have(output, digest);
        Ok(is_there.then_some(made))
    }

    fn assemble(&self, output: &Output, layers: Vec<OutputLayer>) -> Made {
        let times: Vec<i64> = self
            .target
            .layers
            .iter()
            .filter_map(StageLayer::created)
            .map(|created| self.session.source_date_epoch.unwrap_or(created))
            .collect();
        let diff_ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
        let now = self.session.time();
        let config = image_config(self.plan, self.plan.target, diff_ids.clone(), &times, now);
        let bases = layers.iter().map(|layer| layer.base).collect();
        let parts = layers
            .into_iter()
            .map(|layer| LayerPart { descriptor: layer.descriptor, file: layer.file })
            .collect();
        let parts = ImageParts::assemble(
            &config,
            parts,
            output.oci_media_types,
            &config.platform,
            &self.session.request.annotations,
            self.session.names(output).to_vec(),
        );
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

    fn push(
        &self,
        output: &Output,
        made: &Made,
        running: &Running<'_>,
    ) -> Result<Vec<Written>, Error> {
        let blobs = made.parts.layers.iter().map(|layer| layer.descriptor.size);
        let total = blobs.sum::<u64>() + made.parts.config.len() as u64;
        let pushed = self.pushes.finish(output, made, running)?;
        Ok(pushed
            .into_iter()
            .map(|(name, sent)| {
                let digest = &made.parts.descriptor.digest;
                let place = match output.by_digest {
                    true => format!("{}/{}@{digest}", name.registry(), name.repository()),
                    false => name.whole(),
                };
                written(WrittenKind::Registry, place, sent, total.saturating_sub(sent))
            })
            .collect())
    }

    fn write_image(
        &self,
        set: &ImageSet,
        kind: ArchiveKind,
        destination: &Destination,
    ) -> Result<(), Error> {
        match destination {
            Destination::Directory(root) => {
                let go_on = || self.session.cancel.check();
                write_layout(set, root, &go_on).map_err(Error::build)
            }
            Destination::File(_) | Destination::Stdout => self
                .write_to(destination, |out| write_archive(set, kind, out).map_err(Error::build)),
        }
    }

    /// Gives `write` the file, which appears whole or not at all, or the standard output.
    fn write_to(
        &self,
        destination: &Destination,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let place = shown(destination);
        let failed = |e: io::Error| Error::build(format!("{place}: {e}"));
        let write = |out: &mut dyn Write| {
            write(out).map_err(|e| Error { message: format!("{place}: {}", e.message), ..e })
        };
        let cancel = self.session.cancel;
        let (Destination::File(path) | Destination::Directory(path)) = destination else {
            let mut out = io::BufWriter::with_capacity(1 << 16, cancel.writer(io::stdout()));
            write(&mut out)?;
            return out.flush().map_err(failed);
        };
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        let mut file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(parent.unwrap_or(std::path::Path::new(".")))
            .map_err(failed)?;
        let mut out = io::BufWriter::with_capacity(1 << 16, cancel.stops(file.as_file_mut()));
        write(&mut out)?;
        out.flush().map_err(failed)?;
        drop(out);
        file.persist(path).map_err(|e| failed(e.error))?;
        Ok(())
    }

    fn flatten(&self, output: &mut dyn crate::layer::Output) -> Result<(), Error> {
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

fn wrote(kind: WrittenKind, destination: &Destination, image: &ImageParts) -> Written {
    let bytes = image.layers.iter().map(|layer| layer.descriptor.size).sum();
    written(kind, shown(destination), bytes, 0)
}

fn written(kind: WrittenKind, place: String, transferred: u64, skipped: u64) -> Written {
    Written { kind, place, transferred_bytes: transferred, skipped_bytes: skipped }
}

fn title(kind: &OutputKind) -> String {
    match kind {
        OutputKind::Registry { .. } => "pushing the image".to_owned(),
        OutputKind::Oci { destination, .. }
        | OutputKind::Docker { destination, .. }
        | OutputKind::Tar { destination } => format!("writing {}", shown(destination)),
        OutputKind::Local { directory } => format!("writing {}", directory.display()),
    }
}

fn shown(destination: &Destination) -> String {
    match destination {
        Destination::Directory(path) | Destination::File(path) => path.display().to_string(),
        Destination::Stdout => "-".to_owned(),
    }
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
