//! A stream of bytes for those who read synchronously.

use std::error::Error;
use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use futures_util::{Stream, StreamExt as _};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Pieces that wait for the reader; some hundred KiB.
const WAITING: usize = 16;

/// Reads a stream outside the runtime that drives it. An error of the stream is the source of the
/// [`io::Error`]; the stream is dropped with the reader.
#[derive(Debug)]
pub struct StreamReader<E> {
    pieces: mpsc::Receiver<Result<Bytes, E>>,
    current: Bytes,
    ended: bool,
}

impl<E: Error + Send + Sync + 'static> StreamReader<E> {
    /// The reader must not run on `runtime`'s own threads. It ends with an error when `stop` comes
    /// first.
    #[must_use]
    pub fn new(
        runtime: &Handle,
        stream: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let (sender, pieces) = mpsc::channel(WAITING);
        let drive = async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(piece) = stream.next().await {
                // An empty one would say that all is over.
                let empty = piece.as_ref().is_ok_and(Bytes::is_empty);
                if !empty && sender.send(piece).await.is_err() {
                    return;
                }
            }
            // An empty piece says that all is well; a runtime that is shut down says nothing.
            let _ = sender.send(Ok(Bytes::new())).await;
        };
        runtime.spawn(async move {
            tokio::select! {
                () = drive => {}
                () = stop => {}
            }
        });
        Self { pieces, current: Bytes::new(), ended: false }
    }
}

impl<E: Error + Send + Sync + 'static> Read for StreamReader<E> {
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
