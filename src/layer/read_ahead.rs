//! Reading in another thread: so decompression and unpacking each have a processor.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;

const CHUNK: usize = 1 << 18;
/// Chunks that may wait, which bounds the memory to a megabyte or two.
const AHEAD: usize = 4;

/// Reads `source` in a thread of its own, a little ahead of the caller. The thread ends with its
/// source, with an error, or when the reader is dropped.
pub fn read_ahead(mut source: impl Read + Send + 'static) -> io::Result<impl Read + Send> {
    let (sender, chunks) = sync_channel(AHEAD);
    let (give_back, spent) = channel::<Vec<u8>>();
    thread::Builder::new().name("read ahead".into()).spawn(move || {
        loop {
            let mut chunk = spent.try_recv().unwrap_or_default();
            chunk.resize(CHUNK, 0);
            let result = fill(&mut source, &mut chunk);
            // An empty chunk is the end, so that a thread that died is not taken for one.
            let ended = chunk.is_empty();
            if (result.is_ok() || !ended) && sender.send(Ok(chunk)).is_err() {
                return;
            }
            match result {
                Ok(()) if ended => return,
                Ok(()) => {}
                Err(error) => {
                    // Nobody is left to hear of it if this fails.
                    let _ = sender.send(Err(error));
                    return;
                }
            }
        }
    })?;
    Ok(ReadAhead { chunks, give_back, current: io::Cursor::default(), ended: false })
}

/// Shortens `chunk` to what `source` has left, or had before it failed.
fn fill(source: &mut impl Read, chunk: &mut Vec<u8>) -> io::Result<()> {
    let mut filled = 0;
    let result = loop {
        match source.read(&mut chunk[filled..]) {
            Ok(0) => break Ok(()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    chunk.truncate(filled);
    result
}

struct ReadAhead {
    chunks: Receiver<io::Result<Vec<u8>>>,
    /// For chunks that were read: so few are enough for any stream.
    give_back: Sender<Vec<u8>>,
    current: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.ended {
                return Ok(read);
            }
            match self.chunks.recv() {
                Ok(Ok(chunk)) => {
                    self.ended = chunk.is_empty();
                    let spent = std::mem::replace(&mut self.current, io::Cursor::new(chunk));
                    // Where the thread has ended nobody wants it.
                    let _ = self.give_back.send(spent.into_inner());
                }
                Ok(Err(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                Err(_) => return Err(io::Error::other("the thread that reads ahead is gone")),
            }
        }
    }
}
