//! Reading a small file, of this machine or of a source: whole, bounded, and never blocked by what
//! is no file.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::Source;
use crate::tree::{Entry, FileInfo, Kind};

/// Of a Dockerfile and of an ignore file; bytes.
pub const LIMIT: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is {found}, not a regular file")]
    NotRegular { found: &'static str },
    #[error("it is larger than {limit} bytes")]
    TooLarge { limit: u64 },
}

impl ReadError {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
    }
}

/// The bytes of a regular file (through symlinks) of at most `limit` bytes. What is no regular file
/// is refused unread: a pipe would block, a device may never end.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    // Without O_NONBLOCK the mere opening of a pipe waits for its writer.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(ReadError::NotRegular { found: describe(metadata.file_type()) });
    }
    bounded(file, limit)
}

/// All bytes of `reader`, which are at most `limit`.
pub fn bounded(reader: impl io::Read, limit: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge { limit });
    }
    Ok(bytes)
}

/// As [`read`] of the file at `path` of a source, through links inside of it; `None` where there is
/// nothing.
///
/// # Errors
/// As there.
pub fn read_in(source: &dyn Source, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let Ok(path) = source.tree().resolve(path, true) else { return Ok(None) };
    let found = match source.tree().get(&path) {
        None => return Ok(None),
        Some(Entry { kind: Kind::File(FileInfo { size, .. }), .. }) if *size <= limit => {
            return bounded(source.open(&path)?, limit).map(Some);
        }
        Some(entry) => &entry.kind,
    };
    Err(match found {
        Kind::File(_) => ReadError::TooLarge { limit },
        Kind::Directory => ReadError::NotRegular { found: "a directory" },
        Kind::Fifo => ReadError::NotRegular { found: "a pipe" },
        Kind::Socket => ReadError::NotRegular { found: "a socket" },
        Kind::Symlink(_) => ReadError::NotRegular { found: "a link" },
        Kind::CharDevice { .. } | Kind::BlockDevice { .. } => {
            ReadError::NotRegular { found: "a device" }
        }
    })
}

fn describe(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(matches!(read(&path, 4), Err(ReadError::TooLarge { limit: 4 })));
        assert!(read(&directory.path().join("none"), 5).unwrap_err().is_not_found());

        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        for (path, found) in [
            (pipe.as_path(), "a pipe"),
            (directory.path(), "a directory"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let error = read(path, 5).unwrap_err();
            assert_eq!(error.to_string(), format!("it is {found}, not a regular file"));
        }
    }
}
