//! Writes the images of all platforms where the user wants them: one as itself, several as an index.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use super::attest::Summed;
use super::export::{Export, ExportedImage, Made};
use super::progress::Running;
use super::push::{Pushes, finish};
use super::result::{Written, WrittenKind};
use super::session::Session;
use crate::attest;
use crate::error::Error;
use crate::image::{
    ArchiveKind, AttachedManifest, Descriptor, ImageParts, ImageSet, IndexAnnotations,
    write_archive, write_layout,
};
use crate::layer::{self, Below, DirectoryOutput, TarOutput};
use crate::platform::Platform;
use crate::registry::{Reference, parse_reference};
use crate::request::{AnnotationLevel, Destination, Output, OutputKind};
use crate::tree::Kind;

/// The images, and where they went.
pub(super) struct Exported {
    /// Of what the names stand for, as the first output has it.
    pub(super) descriptor: Descriptor,
    pub(super) tags: Vec<String>,
    pub(super) images: Vec<ExportedImage>,
    pub(super) written: Vec<Written>,
}

/// What one output has.
struct MadeSet {
    set: ImageSet,
    /// Those of the set.
    images: Vec<Made>,
    /// The registries have all of it from an earlier build.
    is_pushed: bool,
}

/// Writes every output, in order. `exports` are the platforms; there is at least one.
pub(super) fn write_all(exports: &[Export<'_, '_>]) -> Result<Exported, Error> {
    let outputs = Outputs { exports, session: exports[0].session };
    let session = outputs.session;
    let mut first = None;
    let mut written = Vec::new();
    let mut pushed: Vec<Vec<(Reference, Descriptor)>> = vec![Vec::new(); exports.len()];
    for output in &session.request.outputs {
        session.check_canceled()?;
        let (made, places) = session.progress.step(title(&output.kind), |running| {
            let made = outputs.made(output)?;
            let places = outputs.write(output, &made, running)?;
            Ok((made, places))
        })?;
        if let OutputKind::Registry { .. } = &output.kind {
            let names = session.names(output).iter();
            let names: Vec<Reference> =
                names.filter_map(|name| parse_reference(name).ok()).collect();
            for (pushed, image) in pushed.iter_mut().zip(&made.images) {
                let of = |name: &Reference| (name.clone(), image.parts.descriptor.clone());
                pushed.extend(names.iter().map(of));
            }
        }
        first.get_or_insert(made);
        written.extend(places);
    }
    let MadeSet { set, images, .. } = match first {
        Some(made) => made,
        // The images are in the local store only, as a registry would have them.
        None => outputs.made(&Output::new(OutputKind::Registry { names: Vec::new() }))?,
    };
    let images = images.into_iter().zip(pushed).map(|(made, pushed)| ExportedImage {
        image: made.parts,
        diff_ids: made.diff_ids,
        pushed,
    });
    Ok(Exported {
        tags: set.names().to_vec(),
        descriptor: set.descriptor,
        images: images.collect(),
        written,
    })
}

struct Outputs<'a, 's> {
    exports: &'a [Export<'a, 's>],
    /// Of the first platform, for what concerns all.
    session: &'a Session<'s>,
}

impl Outputs<'_, '_> {
    fn made(&self, output: &Output) -> Result<MadeSet, Error> {
        if self.session.request.is_indexed(output) {
            let unchanged = self.exports.iter().map(|export| export.unchanged(output));
            if let Some(images) = unchanged.collect::<Result<Option<Vec<Made>>, Error>>()? {
                let set = self.set(output, &images);
                // An index that is there has all that it refers to.
                if self.exports[0].pushes.have(output, &set.descriptor.digest) {
                    return Ok(MadeSet { set, images, is_pushed: true });
                }
            }
        }
        let images = self.exports.iter().map(|export| export.image(output));
        let images = images.collect::<Result<Vec<Made>, Error>>()?;
        let set = self.set(output, &images);
        let is_pushed = set.index.is_none() && images.iter().all(|image| image.is_pushed);
        Ok(MadeSet { set, images, is_pushed })
    }

    fn set(&self, output: &Output, images: &[Made]) -> ImageSet {
        let request = self.session.request;
        let mut parts: Vec<_> = images.iter().map(|made| made.parts.clone()).collect();
        match parts.pop() {
            Some(only) if !request.is_indexed(output) => ImageSet::one(only),
            last => {
                parts.extend(last);
                let attached = match request.is_attested(output) {
                    true => self.attached(output, &parts),
                    false => Vec::new(),
                };
                let annotations = IndexAnnotations {
                    index: request.annotations(AnnotationLevel::Index, None),
                    descriptor: request.annotations(AnnotationLevel::IndexDescriptor, None),
                };
                ImageSet::indexed(parts, attached, output.oci_media_types, annotations)
            }
        }
    }

    /// What is said of each of these images.
    fn attached(&self, output: &Output, images: &[ImageParts]) -> Vec<AttachedManifest> {
        let is_registry = matches!(output.kind, OutputKind::Registry { .. });
        let attached = self.exports.iter().zip(images).map(|(export, image)| {
            let attestations = export.attestations.iter();
            let attestations = attestations.filter(|said| is_registry || !said.inline_only);
            let names = self.session.names(output);
            attest::attached(&image.descriptor, names, &attestations.collect::<Vec<_>>())
        });
        attached.collect()
    }

    fn write(
        &self,
        output: &Output,
        made: &MadeSet,
        running: &Running<'_>,
    ) -> Result<Vec<Written>, Error> {
        match &output.kind {
            OutputKind::Registry { .. } => self.push(output, made, running),
            OutputKind::Oci { destination, .. } => {
                self.write_images(&made.set, ArchiveKind::Oci, destination)?;
                Ok(vec![wrote(WrittenKind::Oci, destination, made)])
            }
            OutputKind::Docker { destination, .. } => {
                self.write_images(&made.set, ArchiveKind::Docker, destination)?;
                Ok(vec![wrote(WrittenKind::Docker, destination, made)])
            }
            OutputKind::Local { directory } => {
                self.write_folder(output, directory)?;
                let place = Destination::Directory(directory.clone());
                Ok(vec![written(WrittenKind::Local, shown(&place), 0, 0)])
            }
            OutputKind::Tar { destination } => {
                self.check_files(output)?;
                self.write_to(destination, |out| {
                    let mut tar = TarOutput::new(out);
                    for export in self.exports {
                        match self.folder(output, export.session.platform) {
                            Some(folder) => {
                                let time = self.session.time();
                                let mut below = Below::new(&mut tar, &folder, time)?;
                                self.flatten(output, export, &mut below)?;
                            }
                            None => self.flatten(output, export, &mut tar)?,
                        }
                    }
                    tar.finish()?;
                    Ok(())
                })?;
                Ok(vec![written(WrittenKind::Tar, shown(destination), 0, 0)])
            }
        }
    }

    fn write_folder(&self, output: &Output, root: &Path) -> Result<(), Error> {
        self.check_files(output)?;
        for export in self.exports {
            let folder = match self.folder(output, export.session.platform) {
                Some(folder) => root.join(folder),
                None => root.to_owned(),
            };
            std::fs::create_dir_all(&folder)
                .map_err(|e| Error::build(format!("{}: {e}", folder.display())))?;
            let mut files = DirectoryOutput::new(&folder)?;
            self.flatten(output, export, &mut files)?;
            files.finish()?;
        }
        Ok(())
    }

    /// The files of a platform, and what is said of them.
    fn flatten(
        &self,
        output: &Output,
        export: &Export<'_, '_>,
        files: &mut dyn layer::Output,
    ) -> Result<(), Error> {
        if !self.session.request.attest.has_files() {
            return export.flatten(files);
        }
        let platform = export.session.platform;
        let shares = self.exports.len() > 1 && self.folder(output, platform).is_none();
        let name = shares.then(|| platform.as_name());
        let mut summed = Summed::new(files);
        export.flatten(&mut summed)?;
        summed.attest(export.attestations, name.as_deref(), self.session.time())
    }

    /// The folder for the files of a platform, where each has one.
    fn folder(&self, output: &Output, platform: &Platform) -> Option<String> {
        let split = output.platform_split.unwrap_or(self.exports.len() > 1);
        split.then(|| platform.as_name())
    }

    /// Platforms that share a folder must not have files of the same name.
    fn check_files(&self, output: &Output) -> Result<(), Error> {
        let shares = self.folder(output, self.session.platform).is_none();
        if !shares || self.exports.len() == 1 {
            return Ok(());
        }
        let mut seen = BTreeMap::new();
        for export in self.exports {
            let platform = export.session.platform;
            let files = export.target.files(export.session, export.images)?;
            let named = files.tree.iter().filter(|(_, entry)| entry.kind != Kind::Directory);
            for (path, _) in named {
                if let Some(first) = seen.insert(path.clone(), platform) {
                    let path = String::from_utf8_lossy(path).into_owned();
                    let text = format!("/{path} is a file of {first} and of {platform}");
                    return Err(Error::build(text).hinted(
                        "Leave platform-split=false out: then each platform has a folder.",
                    ));
                }
            }
        }
        Ok(())
    }

    /// The images by their digests, then the index that names them, then the tags.
    fn push(
        &self,
        output: &Output,
        made: &MadeSet,
        running: &Running<'_>,
    ) -> Result<Vec<Written>, Error> {
        let total = total_bytes(made, true);
        let pushes = self.exports.iter().map(|export| export.pushes);
        let images: Vec<(&Pushes, &Made)> = pushes.zip(&made.images).collect();
        let sent = finish(output, &made.set, made.is_pushed, &images, running)?;
        let digest = &made.set.descriptor.digest;
        let to_written = |(name, sent): (Reference, u64)| {
            let place = match output.by_digest {
                true => format!("{}/{}@{digest}", name.registry(), name.repository()),
                false => name.whole(),
            };
            written(WrittenKind::Registry, place, sent, total.saturating_sub(sent))
        };
        Ok(sent.into_iter().map(to_written).collect())
    }

    fn write_images(
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
            .tempfile_in(parent.unwrap_or(Path::new(".")))
            .map_err(failed)?;
        let mut out = io::BufWriter::with_capacity(1 << 16, cancel.stops(file.as_file_mut()));
        write(&mut out)?;
        out.flush().map_err(failed)?;
        drop(out);
        file.persist(path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}

/// Of the blobs of all images, each once; of the layers alone unless `configs`.
fn total_bytes(made: &MadeSet, configs: bool) -> u64 {
    let mut seen = BTreeSet::new();
    let images = || made.images.iter().map(|made| &made.parts);
    let layers = images().flat_map(|image| &image.layers);
    let layers = layers.map(|layer| (layer.descriptor.digest, layer.descriptor.size));
    let configs = images().filter(|_| configs);
    let configs = configs.map(|image| (image.config_digest, image.config.len() as u64));
    layers.chain(configs).filter(|(digest, _)| seen.insert(*digest)).map(|(_, size)| size).sum()
}

fn wrote(kind: WrittenKind, destination: &Destination, made: &MadeSet) -> Written {
    written(kind, shown(destination), total_bytes(made, false), 0)
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
