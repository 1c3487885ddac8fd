//! Layers on their way to being blobs, behind the steps: hashed, compressed and spooled in one pass
//! while the next step runs, and recorded when they are whole.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::layers::{Finished, StageLayer};
use super::push::Pushes;
use super::session::Session;
use crate::cache::{Record, RecordLayer};
use crate::digest::{DiffId, Sha256Sum};
use crate::error::Error;
use crate::image::{Descriptor, media_type};
use crate::inspect::Onlooker;
use crate::layer::{LayerError, LayerWriter, Piece, WriteOptions, write_layer_with};
use crate::plan::{ContentKey, DefinitionKey, StageId, run_key};
use crate::platform::Platform;
use crate::request::Compression;
use crate::tree::{Entry, TreePath};

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
    /// By what the layer alone is known too.
    pub(super) known_by: Option<KnownBy>,
    /// All layers up to this one.
    pub(super) layers: Vec<StageLayer>,
    /// Making it again takes so long, what is below it aside.
    pub(super) cost: Duration,
    /// All of it from nothing.
    pub(super) made: Duration,
    pub(super) stage: StageId,
    pub(super) platform: Platform,
    pub(super) title: String,
    /// Its stage is one that the image consists of.
    pub(super) in_image: bool,
}

/// How a layer is found without the definition of its step.
#[derive(Clone, Copy, Debug)]
pub(super) enum KnownBy {
    Key(ContentKey),
    /// A RUN, together with the layers below it, which may not be finished yet.
    Run(Sha256Sum),
}

impl KnownBy {
    /// The key of the last of `layers`, the lowest first.
    fn key(self, platform: &Platform, layers: &[RecordLayer]) -> ContentKey {
        match self {
            Self::Key(key) => key,
            Self::Run(content) => {
                let below = layers.split_last().map_or(&[][..], |(_, below)| below);
                let below: Vec<DiffId> = below.iter().map(|layer| layer.diff_id).collect();
                run_key(platform, &below, &content)
            }
        }
    }
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

    /// Hands over a layer of `stage`; of one that this build has made, [`StageLayer::finished`] waits
    /// for it.
    pub(super) fn submit(&self, stage: StageId, layer: StageLayer, result: Option<StepResult>) {
        let job = Job { stage, layer, result };
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = match &*jobs {
            Some(jobs) => jobs.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        if let Some(job) = refused {
            job.layer.finish(Err(Error::canceled()));
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
        if layer.made().is_some() {
            let in_image = result.as_ref().is_some_and(|result| result.in_image);
            let compress = |()| compress(session, &layer, in_image);
            layer.finish(session.check_canceled().and_then(compress));
        }
        pushes.layer(stage, &layer);
        if let (Ok(_), Some(result)) = (layer.finished(), result)
            && let Err(error) = record(session, &result)
        {
            session.progress.notice(format!("a step's result is not kept: {error}"));
        }
    }
}

fn compress(session: &Session<'_>, layer: &StageLayer, in_image: bool) -> Result<Finished, Error> {
    let compression = session.compression();
    let (changes, open) =
        layer.made().ok_or_else(|| Error::build("a layer that this build has not made"))?;
    let spool = session.store.spool()?;
    let file = spool.file().try_clone().map_err(Error::build)?;
    let failed = |error| match error {
        LayerError::Io(e) => Error::build(format!("can't write {}: {e}", spool.path().display())),
        error => error.into(),
    };
    let mut writer = LayerWriter::new(file, compression, session.request.threads)?;
    let options = WriteOptions::default();
    let mut onlooker = session.request.reads_contents().then(Onlooker::default);
    let mut look = |path: &TreePath, entry: &Entry, piece: Piece| {
        if let Some(onlooker) = &mut onlooker {
            onlooker.pass(path, entry, piece);
        }
    };
    let mut open = |i: usize| session.stopping(open(i)?);
    let contents = write_layer_with(&changes, &mut open, &options, &mut look, &mut writer);
    let contents = contents.map_err(failed)?;
    let (finished, _) = writer.finish().map_err(failed)?;
    session.store.keep_blob(spool, &finished.digest)?;
    session.store.keep_tree(&finished.diff_id, &contents)?;
    if let Some(onlooker) = onlooker {
        session.store.keep_facts(&finished.diff_id, &onlooker.facts())?;
        if in_image {
            layer.keep_written(contents);
        }
    }
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
    let record = Record {
        layers: result.layers.iter().map(StageLayer::recorded).collect::<Result<_, Error>>()?,
        made_millis: u64::try_from(result.made.as_millis()).unwrap_or(u64::MAX),
    };
    session.keep_record(result.key, &record)?;
    let layer_key = result.known_by.map(|by| by.key(&result.platform, &record.layers));
    if let Some(key) = layer_key {
        session.keep_record(key, &record.last_layer())?;
    }
    session.saver.step(session, result, layer_key, &record);
    Ok(())
}
