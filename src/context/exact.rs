//! A file that must not change while it is read.

use std::io::{self, Read};

/// Fails unless the stream ends after the number of bytes that was expected.
pub(super) struct Exact<R> {
    inner: R,
    /// Bytes still to come.
    left: u64,
    name: String,
}

impl<R: Read> Exact<R> {
    pub fn new(inner: R, size: u64, name: String) -> Self {
        Self { inner, left: size, name }
    }

    /// All that was expected has been read; there may be more.
    pub fn is_complete(&self) -> bool {
        self.left == 0
    }

    pub fn inner(&self) -> &R {
        &self.inner
    }
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let ended = count == 0 && !buffer.is_empty();
        match self.left.checked_sub(count as u64) {
            Some(left) if left == 0 || !ended => self.left = left,
            _ => return Err(changed(&self.name)),
        }
        Ok(count)
    }
}

pub(super) fn changed(name: &str) -> io::Error {
    io::Error::other(format!("{name} changed while it was read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_another_length_fails() {
        for (size, is_right) in [(2, false), (3, true), (4, false)] {
            let mut content = Vec::new();
            let mut exact = Exact::new(&b"abc"[..], size, "f".to_owned());
            let result = exact.read_to_end(&mut content);
            assert_eq!(result.is_ok(), is_right, "{size}: {result:?}");
        }
    }
}
