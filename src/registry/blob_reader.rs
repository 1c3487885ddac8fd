//! A blob for those who read synchronously.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::{Error, Reference, Registry};
use crate::image::Descriptor;

/// Pieces that wait for the reader; some hundred KiB.
const WAITING: usize = 16;

/// Reads a blob outside the runtime that fetches it. An error of the registry is the source of the
/// [`io::Error`]; the fetching ends when the reader is dropped.
#[derive(Debug)]
pub struct BlobReader {
    pieces: mpsc::Receiver<Result<Bytes, Error>>,
    current: Bytes,
    ended: bool,
}

impl Registry {
    /// The same as [`Registry::blob`] for a synchronous reader, which must not run on `runtime`'s
    /// own threads. It ends with an error when `stop` comes first.
    #[must_use]
    pub fn blob_reader(
        &self,
        runtime: &Handle,
        image: &Reference,
        blob: &Descriptor,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> BlobReader {
        let (sender, pieces) = mpsc::channel(WAITING);
        let blob = self.blob(image, blob);
        let fetch = async move {
            let mut blob = std::pin::pin!(blob);
            while let Some(piece) = blob.next().await {
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
            // An empty piece says that all is well; a runtime that is shut down says nothing.
            let _ = sender.send(Ok(Bytes::new())).await;
        };
        runtime.spawn(async move {
            tokio::select! {
                () = fetch => {}
                () = stop => {}
            }
        });
        BlobReader { pieces, current: Bytes::new(), ended: false }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece.map_err(io::Error::other)?,
                None => return Err(io::Error::other("the transfer was given up")),
            }
            self.ended = self.current.is_empty();
        }
        let length = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
