//! Layers on their way to being blobs, behind the steps: hashed, compressed and spooled in one pass
//! while the next step runs, and recorded when they are whole.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::layers::{Finished, StageLayer};
use super::push::Pushes;
use super::session::Session;
use crate::cache::{Record, RecordLayer};
use crate::error::Error;
use crate::image::{Descriptor, media_type};
use crate::layer::{LayerWriter, WriteOptions, write_layer};
use crate::plan::{DefinitionKey, StageId};
use crate::request::Compression;

/// Takes layers in the order in which they are made, so that those below one are done before it.
#[derive(Debug)]
pub(super) struct Compressor {
    /// `None` once no more layers come.
    jobs: Mutex<Option<Sender<Job>>>,
}

/// What to record when the layer is whole.
#[derive(Debug)]
pub(super) struct StepResult {
    pub(super) key: DefinitionKey,
    /// All layers up to this one.
    pub(super) layers: Vec<StageLayer>,
    pub(super) ran: Duration,
    /// Bytes, of all layers together.
    pub(super) unpacked_size: u64,
}

#[derive(Debug)]
pub(super) struct Job {
    stage: StageId,
    layer: StageLayer,
    result: Option<StepResult>,
}

impl Compressor {
    pub(super) fn new() -> (Self, Receiver<Job>) {
        let (jobs, receiver) = channel();
        (Self { jobs: Mutex::new(Some(jobs)) }, receiver)
    }

    /// Hands over a layer that `stage` has made; [`StageLayer::finished`] waits for it.
    pub(super) fn submit(&self, stage: StageId, layer: StageLayer, result: Option<StepResult>) {
        let job = Job { stage, layer, result };
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = match &*jobs {
            Some(jobs) => jobs.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        if let Some(job) = refused {
            job.layer.finish(Err(super::canceled()));
        }
    }

    /// No more layers come: [`compress_all`] ends when it has done those that are there.
    pub(super) fn close(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Compresses until no stage can hand over more, and lets `pushes` have what is whole.
pub(super) fn compress_all(session: &Session<'_>, jobs: &Receiver<Job>, pushes: &Pushes<'_, '_>) {
    while let Ok(Job { stage, layer, result }) = jobs.recv() {
        let finished = session.check_canceled().and_then(|()| compress(session, &layer));
        let whole = finished.is_ok();
        layer.finish(finished);
        pushes.layer(stage, &layer);
        if let (true, Some(result)) = (whole, result)
            && let Err(error) = record(session, &result)
        {
            session.progress.notice(format!("a step's result is not kept: {error}"));
        }
    }
}

fn compress(session: &Session<'_>, layer: &StageLayer) -> Result<Finished, Error> {
    let compression = session.compression();
    let (changes, open) =
        layer.made().ok_or_else(|| Error::build("a layer that this build has not made"))?;
    let spool = session.store.spool()?;
    let file = spool.file().try_clone().map_err(Error::build)?;
    let mut writer = LayerWriter::new(file, compression, session.request.threads)?;
    let options = WriteOptions::default();
    let contents = write_layer(&changes, &mut |i| open(i), &options, &mut writer)?;
    let (finished, _) = writer.finish()?;
    session.store.keep_blob(spool, &finished.digest)?;
    session.store.keep_tree(&finished.diff_id, &contents)?;
    let descriptor = Descriptor::new(layer_media_type(compression), finished.digest, finished.size);
    Ok(Finished { diff_id: finished.diff_id, descriptor })
}

/// The OCI media type of a layer.
pub(super) fn layer_media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => media_type::OCI_LAYER,
        Compression::Gzip(_) => media_type::OCI_LAYER_GZIP,
        Compression::Zstd(_) => media_type::OCI_LAYER_ZSTD,
    }
}

fn record(session: &Session<'_>, result: &StepResult) -> Result<(), Error> {
    let layer = |layer: &StageLayer| {
        let Finished { diff_id, descriptor } = layer.finished()?;
        Ok(RecordLayer { diff_id, descriptor, created: layer.created() })
    };
    let record = Record {
        layers: result.layers.iter().map(layer).collect::<Result<_, Error>>()?,
        run_millis: u64::try_from(result.ran.as_millis()).unwrap_or(u64::MAX),
        unpacked_size: result.unpacked_size,
    };
    session.keep_record(&result.key, &record)
}
