//! Writes the finished image where the user wants it.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::assemble::image_config;
use super::compress::layer_media_type;
use super::files::Files;
use super::images::{Images, Origin};
use super::layers::{self, Finished, StageLayer};
use super::session::Session;
use crate::digest::DiffId;
use crate::error::Error;
use crate::image::{
    ArchiveKind, Descriptor, ImageParts, LayerPart, media_type, write_archive, write_layout,
};
use crate::layer::{self, LayerWriter};
use crate::plan::Plan;
use crate::registry::{BlobSource, ImagePush, PushBlob};
use crate::request::{Compression, Destination, Output, OutputKind};

/// The layers of the image, and all that is needed to write it.
pub(super) struct Export<'a, 's> {
    pub(super) session: &'a Session<'s>,
    pub(super) plan: &'a Plan,
    pub(super) images: &'a Images,
    pub(super) layers: &'a [StageLayer],
    pub(super) files: Option<Arc<Files>>,
}

/// A layer as one output has it.
#[derive(Clone, Debug)]
struct OutputLayer {
    diff_id: DiffId,
    descriptor: Descriptor,
    /// The blob; `None` where only the registry that the base comes from has it.
    file: Option<PathBuf>,
}

impl Export<'_, '_> {
    /// The image as `output` has it: its layers' compression and media types.
    pub(super) fn image(&self, output: &Output) -> Result<ImageParts, Error> {
        let layers = super::in_parallel(1, self.layers, |layer| self.output_layer(output, layer))?;
        let times: Vec<i64> = self
            .layers
            .iter()
            .filter_map(StageLayer::created)
            .map(|created| self.session.request.source_date_epoch.unwrap_or(created))
            .collect();
        let diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
        let now = self.session.time();
        let config = image_config(self.plan, self.plan.target, diff_ids, &times, now);
        let parts = layers
            .into_iter()
            .map(|layer| LayerPart { descriptor: layer.descriptor, file: layer.file })
            .collect();
        let names = match &output.kind {
            OutputKind::Registry { names }
            | OutputKind::Oci { names, .. }
            | OutputKind::Docker { names, .. }
                if !names.is_empty() =>
            {
                names.clone()
            }
            _ => self.session.request.tags.clone(),
        };
        Ok(ImageParts::assemble(
            &config,
            parts,
            output.oci_media_types,
            &config.platform,
            &self.session.request.annotations,
            names,
        ))
    }
}
