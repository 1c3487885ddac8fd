//! Reading in another thread: so decompression and unpacking each have a processor.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

const CHUNK: usize = 1 << 18;
/// Chunks that may wait, which bounds the memory to a megabyte or two.
const AHEAD: usize = 4;

/// Reads `source` in a thread of its own, a little ahead of the caller. The thread ends with its
/// source, with an error, or when the reader is dropped.
pub fn read_ahead(mut source: impl Read + Send + 'static) -> io::Result<impl Read + Send> {
    let (sender, chunks) = sync_channel(AHEAD);
    thread::Builder::new().name("read ahead".into()).spawn(move || {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let result = source.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
            let last = result.is_err() || chunk.is_empty();
            if !chunk.is_empty() && sender.send(Ok(chunk)).is_err() {
                return;
            }
            if let Err(error) = result {
                // Nobody is left to hear of it if this fails.
                let _ = sender.send(Err(error));
            }
            if last {
                return;
            }
        }
    })?;
    Ok(ReadAhead { chunks, current: io::Cursor::default(), failed: false })
}

struct ReadAhead {
    chunks: Receiver<io::Result<Vec<u8>>>,
    current: io::Cursor<Vec<u8>>,
    failed: bool,
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.failed {
                return Ok(read);
            }
            match self.chunks.recv() {
                Ok(Ok(chunk)) => self.current = io::Cursor::new(chunk),
                Ok(Err(error)) => {
                    self.failed = true;
                    return Err(error);
                }
                // The source has ended.
                Err(_) => return Ok(0),
            }
        }
    }
}
