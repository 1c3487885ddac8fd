//! Uncompressed tar in; diff ID, compressed bytes and digest out, in one pass.
//!
//! The tar is cut into blocks of 1 MiB, each compressed by itself: a gzip member (RFC 1952) or a
//! zstd frame (RFC 8878). So the bytes are the same for any number of threads, and no more than a
//! few blocks are in memory.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use libdeflater::{CompressionLvl, Compressor};
use sha2::{Digest as _, Sha256};

use super::error::Result;
use crate::digest::{DiffId, Digest};
use crate::request::Compression;

/// Bytes of tar in one member or frame.
const BLOCK: usize = 1 << 20;

/// What is known of a layer once its bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishedLayer {
    pub diff_id: DiffId,
    pub digest: Digest,
    /// Compressed bytes.
    pub size: u64,
    /// Uncompressed bytes.
    pub tar_size: u64,
}

/// Takes the tar of a layer and writes it, compressed, to `W`: a spool file, or a [`Tee`].
pub struct LayerWriter<W> {
    block: Vec<u8>,
    diff_id: Sha256,
    tar_size: u64,
    jobs: Option<Jobs>,
    workers: Vec<JoinHandle<()>>,
    collector: Option<JoinHandle<io::Result<Collected<W>>>>,
    spare: Receiver<Vec<u8>>,
}

type Output = io::Result<Vec<u8>>;

/// A block, and where its compressed form goes.
type Job = (Vec<u8>, SyncSender<Output>);

/// Blocks go to whichever worker is free; the collector awaits them in the order of the tar.
struct Jobs {
    blocks: SyncSender<Job>,
    order: SyncSender<Receiver<Output>>,
}

struct Collected<W> {
    output: W,
    digest: Sha256,
    size: u64,
}

impl<W: Write + Send + 'static> LayerWriter<W> {
    /// Starts `threads` compressors, at least one, and a thread that writes to `output`.
    pub fn new(output: W, compression: Compression, threads: usize) -> Result<Self> {
        let threads = threads.max(1);
        let (blocks, receiver) = sync_channel::<Job>(threads);
        let (order, ordered) = sync_channel(threads + 2);
        let (spares, spare) = sync_channel(2 * threads + 4);
        let receiver = Arc::new(Mutex::new(receiver));
        let workers = (0..threads)
            .map(|_| {
                let receiver = Arc::clone(&receiver);
                let spares = spares.clone();
                let mut encoder = Encoder::new(compression)?;
                thread::Builder::new().name("compress".into()).spawn(move || {
                    while let Some((block, reply)) = next(&receiver) {
                        // A collector that has gone has failed, and says so itself.
                        let _ = reply.send(encoder.encode(&block));
                        let _ = spares.try_send(block);
                    }
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        let collector =
            thread::Builder::new().name("layer".into()).spawn(move || collect(ordered, output))?;
        Ok(Self {
            block: Vec::with_capacity(BLOCK),
            diff_id: Sha256::new(),
            tar_size: 0,
            jobs: Some(Jobs { blocks, order }),
            workers,
            collector: Some(collector),
            spare,
        })
    }

    /// Writes what is left, and gives the output back.
    pub fn finish(mut self) -> Result<(FinishedLayer, W)> {
        // An empty tar is one empty member: no bytes at all would be no gzip file.
        if !self.block.is_empty() || self.tar_size == 0 {
            self.send()?;
        }
        let Collected { output, digest, size } = self.join()?;
        let diff_id = std::mem::take(&mut self.diff_id).into();
        let layer = FinishedLayer { diff_id, digest: digest.into(), size, tar_size: self.tar_size };
        Ok((layer, output))
    }

    /// Hands the current block on; waits while too many are under way.
    fn send(&mut self) -> io::Result<()> {
        let fresh = self.spare.try_recv().unwrap_or_default();
        let block = std::mem::replace(&mut self.block, fresh);
        self.block.clear();
        self.block.reserve_exact(BLOCK);
        let (reply, result) = sync_channel(1);
        let sent = self.jobs.as_ref().is_some_and(|jobs| {
            jobs.order.send(result).is_ok() && jobs.blocks.send((block, reply)).is_ok()
        });
        if sent {
            return Ok(());
        }
        // The other end is gone only if it failed.
        self.join().map(|_| ())?;
        Err(io::Error::other("the layer was already closed"))
    }

    fn join(&mut self) -> io::Result<Collected<W>> {
        self.jobs = None;
        let collector = self
            .collector
            .take()
            .ok_or_else(|| io::Error::other("the layer was already closed"))?;
        let collected = joined(collector)?;
        self.workers.drain(..).try_for_each(joined)?;
        collected
    }
}

impl<W: Write + Send + 'static> Write for LayerWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.block.len() == BLOCK {
            self.send()?;
        }
        let room = BLOCK - self.block.len();
        let taken = &bytes[..room.min(bytes.len())];
        self.block.extend_from_slice(taken);
        self.diff_id.update(taken);
        self.tar_size += taken.len() as u64;
        Ok(taken.len())
    }

    /// Does nothing: where a block ends must not depend on the caller.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn joined<T>(thread: JoinHandle<T>) -> io::Result<T> {
    thread.join().map_err(|_| io::Error::other("a thread of the layer panicked"))
}

fn next(receiver: &Mutex<Receiver<Job>>) -> Option<Job> {
    receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn collect<W: Write>(
    ordered: Receiver<Receiver<Output>>,
    mut output: W,
) -> io::Result<Collected<W>> {
    let mut digest = Sha256::new();
    let mut size = 0;
    for result in ordered {
        let bytes =
            result.recv().map_err(|_| io::Error::other("a compressor of the layer is gone"))??;
        digest.update(&bytes);
        size += bytes.len() as u64;
        output.write_all(&bytes)?;
    }
    output.flush()?;
    Ok(Collected { output, digest, size })
}

enum Encoder {
    Plain,
    Gzip(Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Encoder {
    fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain,
            Compression::Gzip(level) => {
                let level = CompressionLvl::new(level.into())
                    .map_err(|_| io::Error::other(format!("gzip has no level {level}")))?;
                Self::Gzip(Compressor::new(level))
            }
            Compression::Zstd(level) => Self::Zstd(zstd::bulk::Compressor::new(level.into())?),
        })
    }

    fn encode(&mut self, block: &[u8]) -> Output {
        match self {
            Self::Plain => Ok(block.to_vec()),
            Self::Gzip(compressor) => {
                // libdeflate's header says neither time nor system: mtime 0, OS 255.
                let mut bytes = vec![0; compressor.gzip_compress_bound(block.len())];
                let length = compressor
                    .gzip_compress(block, &mut bytes)
                    .map_err(|error| io::Error::other(error.to_string()))?;
                bytes.truncate(length);
                Ok(bytes)
            }
            Self::Zstd(compressor) => compressor.compress(block),
        }
    }
}

/// Writes the same bytes to several places at once; the first that fails fails all.
#[derive(Default)]
pub struct Tee {
    outputs: Vec<Box<dyn Write + Send>>,
}

impl Tee {
    #[must_use]
    pub fn new(outputs: impl IntoIterator<Item = Box<dyn Write + Send>>) -> Self {
        Self { outputs: outputs.into_iter().collect() }
    }
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outputs.iter_mut().try_for_each(|output| output.write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.outputs.iter_mut().try_for_each(Write::flush)
    }
}
