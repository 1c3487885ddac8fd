//! Is a file an archive that `ADD` unpacks? By content, never by name (L-144).

use std::io::Read;

use super::decompress::{Encoding, decompress};
use super::tar::is_header;

/// How many first bytes of a file [`detect`] wants: the first block of a bzip2 stream, which has
/// to be whole to be read at all, fits in.
pub const ARCHIVE_HEAD: u64 = 1 << 20;

/// The encoding of the archive that starts with `head`; `None` for a file that is no archive, or
/// one without members.
#[must_use]
pub fn detect(head: &[u8]) -> Option<Encoding> {
    let mut block = [0; 512];
    decompress(head).and_then(|mut tar| tar.read_exact(&mut block)).ok()?;
    is_header(&block).then(|| Encoding::detect(head))
}

/// Whether `ADD` unpacks the file that starts with `head`.
#[must_use]
pub fn is_archive(head: &[u8]) -> bool {
    detect(head).is_some()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::layer::tar::{TarEntry, TarKind, TarWriter};
    use crate::tree::Xattrs;

    fn tar(members: usize) -> Vec<u8> {
        let mut tar = TarWriter::new(Vec::new());
        for member in 0..members {
            let path = format!("member{member}").into_bytes().into();
            let kind = TarKind::File { size: 0 };
            let xattrs = Xattrs::new();
            tar.entry(&TarEntry { path, kind, mode: 0, uid: 0, gid: 0, mtime: 0, xattrs }).unwrap();
        }
        tar.finish().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn an_archive_is_known_by_its_content() {
        let one = tar(1);
        let cases: [(&str, Vec<u8>, Option<Encoding>); 9] = [
            ("tar", one.clone(), Some(Encoding::Plain)),
            ("gzip", gzip(&one), Some(Encoding::Gzip)),
            ("bzip2", bzip2(&one), Some(Encoding::Bzip2)),
            ("zstd", zstd::encode_all(&*one, 3).unwrap(), Some(Encoding::Zstd)),
            ("empty file", Vec::new(), None),
            ("empty gzip", gzip(b""), None),
            ("tar without members", tar(0), None),
            ("gzip of something else", gzip(&[b'a'; 4096]), None),
            ("text", vec![b'a'; 4096], None),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(detect(&bytes), expected, "{name}");
        }
    }
}
