//! Contents of files → a pack.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::manifest::{Content, Pack};
use super::scan::{Check, changed};
use crate::digest::ContentSum;
use crate::layer::{FinishedLayer, Inside, LayerWriter};
use crate::request::Compression;

/// As fast as a disk; what is saved once is fetched many times, by networks no faster.
const COMPRESSION: Compression = Compression::Zstd(3);
const BUFFER: usize = 1 << 17;

/// A pack in the making.
pub(super) struct PackWriter {
    writer: LayerWriter<File>,
    written: u64,
}

impl PackWriter {
    /// One that begins with the bytes `head`, which belong to no content.
    pub(super) fn new(head: &[u8], output: File, threads: usize) -> io::Result<Self> {
        let mut writer =
            LayerWriter::new(output, COMPRESSION, threads).map_err(io::Error::other)?;
        writer.write_all(head)?;
        Ok(Self { writer, written: head.len() as u64 })
    }

    /// Adds `contents`, each with a path below `directory` that has it. The second of the result is
    /// where each begins. A file that is not what it was is an error.
    pub(super) fn pack(
        mut self,
        directory: &Path,
        contents: &[(&[u8], Content)],
        check: Check<'_>,
    ) -> io::Result<(Pack, Vec<u64>)> {
        let inside = Inside::new(directory)?;
        let mut buffer = vec![0; BUFFER];
        let mut places = Vec::with_capacity(contents.len());
        for (path, content) in contents {
            places.push(self.written);
            let file = inside.open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
            self.add(File::from(file), *content, &mut buffer, check)?;
        }
        let (finished, _) = self.writer.finish().map_err(io::Error::other)?;
        let FinishedLayer { digest, size, tar_size: unpacked, .. } = finished;
        Ok((Pack { digest, size, unpacked }, places))
    }

    fn add(
        &mut self,
        mut file: File,
        content: Content,
        buffer: &mut [u8],
        check: Check<'_>,
    ) -> io::Result<()> {
        let mut hasher = blake3::Hasher::new();
        let mut size = 0;
        while size <= content.size {
            check()?;
            let read = file.read(buffer)?;
            if read == 0 {
                break;
            }
            size += read as u64;
            hasher.update(&buffer[..read]);
            self.writer.write_all(&buffer[..read])?;
        }
        self.written += size;
        match size == content.size && ContentSum::from(&hasher) == content.sum {
            true => Ok(()),
            false => Err(changed()),
        }
    }
}
