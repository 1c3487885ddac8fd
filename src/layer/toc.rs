//! A table of contents as a small file: [`Changes`] ↔ bytes.
//!
//! `plimtoc` and a version byte, then one zstd frame with a checksum. In it numbers are LEB128;
//! each path shares a stated number of bytes with the one before it.

use std::io::{BufRead, BufReader, Read, Write};

use super::tar::MAX_PATH;
use super::write::rank;
use crate::digest::ContentSum;
use crate::tree::{Change, Changes, Entry, FileInfo, Kind, TreePath, Xattrs};

const MAGIC: &[u8; 8] = b"plimtoc\x02";
/// Tables are written once and read often.
const LEVEL: i32 = 3;
/// Uncompressed, in bytes; five million files take a third of that.
const MAX_PLAIN: u64 = 1 << 30;
/// Of a name or value of an extended attribute, in bytes; the kernel allows less.
const MAX_XATTR: u64 = 1 << 20;

/// Bytes that are no table of contents, or not a whole one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the table of contents is damaged: {reason}")]
pub struct TocError {
    reason: &'static str,
}

type Result<T> = std::result::Result<T, TocError>;

fn damaged(reason: &'static str) -> TocError {
    TocError { reason }
}

/// Some five bytes for a path and 32 for the sum of a file. [`Entry::layer`] is not kept.
#[must_use]
pub fn encode(changes: &Changes) -> Vec<u8> {
    let mut plain = Vec::new();
    number(&mut plain, changes.changes.len() as u64);
    let mut last: &[u8] = b"";
    for (path, change) in &changes.changes {
        let shared = path.iter().zip(last).take_while(|(a, b)| a == b).count();
        number(&mut plain, shared as u64);
        text(&mut plain, &path[shared..]);
        last = path;
        match change {
            Change::Remove => plain.push(0),
            Change::Opaque => plain.push(1),
            Change::Link(target) => {
                plain.push(9);
                text(&mut plain, target);
            }
            Change::Set(entry) => put_entry(&mut plain, entry),
        }
    }
    let compress = || -> std::io::Result<Vec<u8>> {
        let mut encoder = zstd::Encoder::new(MAGIC.to_vec(), LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.write_all(&plain)?;
        encoder.finish()
    };
    // Memory to memory with a valid level: there is nothing that could fail, and an empty file
    // would be taken for a damaged one, which callers have to expect anyway.
    compress().unwrap_or_default()
}

/// Reads what [`encode`] wrote; anything else is an error, never a panic or a huge allocation.
pub fn decode(bytes: &[u8]) -> Result<Changes> {
    let frame = bytes.strip_prefix(MAGIC).ok_or(damaged("it starts with something else"))?;
    let decoder = zstd::Decoder::with_buffer(frame).map_err(|_| damaged("it is no zstd frame"))?;
    let mut input = Input { reader: BufReader::new(decoder.take(MAX_PLAIN)) };
    let count = input.number()?;
    let mut changes: Vec<(TreePath, Change)> = Vec::new();
    let mut path = Vec::new();
    for _ in 0..count {
        let shared = usize::try_from(input.number()?).unwrap_or(usize::MAX);
        if shared > path.len() {
            return Err(damaged("a path shares more than there is"));
        }
        path.truncate(shared);
        path.extend_from_slice(&input.text(MAX_PATH as u64)?);
        if !is_tree_path(&path) {
            return Err(damaged("a path is none of a tree"));
        }
        let change = match input.byte()? {
            0 => Change::Remove,
            1 => Change::Opaque,
            9 => Change::Link(input.path()?),
            tag => Change::Set(input.entry(tag)?),
        };
        let place = (&*path, rank(&change));
        if changes.last().is_some_and(|(path, last)| (&**path, rank(last)) >= place) {
            return Err(damaged("its paths are not sorted"));
        }
        changes.push((TreePath::from(&*path), change));
    }
    // Reading the end is also what verifies the checksum.
    match input.reader.fill_buf() {
        Ok([]) => Ok(Changes { changes }),
        Ok(_) => Err(damaged("something follows it")),
        Err(_) => Err(damaged("its end is not as it was written")),
    }
}

/// Whether `path` is as a [`TreePath`] has to be.
pub(crate) fn is_tree_path(path: &[u8]) -> bool {
    path.is_empty()
        || path.len() <= MAX_PATH
            && !path.contains(&0)
            && path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.push(match &entry.kind {
        Kind::Directory => 2,
        Kind::File(_) => 3,
        Kind::Symlink(_) => 4,
        Kind::CharDevice { .. } => 5,
        Kind::BlockDevice { .. } => 6,
        Kind::Fifo => 7,
        Kind::Socket => 8,
    });
    for value in [entry.mode, entry.uid, entry.gid] {
        number(out, value.into());
    }
    // Zigzag, so that a time before 1970 is short too.
    number(out, (entry.mtime << 1 ^ entry.mtime >> 63).cast_unsigned());
    number(out, entry.xattrs.len() as u64);
    for (name, value) in &entry.xattrs {
        text(out, name);
        text(out, value);
    }
    match &entry.kind {
        Kind::File(FileInfo { size, digest, link }) => {
            number(out, *size);
            number(out, link.map_or(0, |link| link + 1));
            out.push(digest.is_some().into());
            if let Some(ContentSum(sum)) = digest {
                out.extend_from_slice(sum);
            }
        }
        Kind::Symlink(target) => text(out, target),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            number(out, (*major).into());
            number(out, (*minor).into());
        }
        Kind::Directory | Kind::Fifo | Kind::Socket => {}
    }
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    number(out, text.len() as u64);
    out.extend_from_slice(text);
}

struct Input<R> {
    reader: R,
}

impl<R: Read> Input<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|_| damaged("it ends early"))?;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.bytes::<1>()?[0])
    }

    fn number(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            value |= bits << shift;
            if bits << shift >> shift != bits {
                break;
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged("a number is too large"))
    }

    fn small(&mut self) -> Result<u32> {
        u32::try_from(self.number()?).map_err(|_| damaged("a number is too large"))
    }

    fn text(&mut self, limit: u64) -> Result<Vec<u8>> {
        let length = self.number()?;
        if length > limit {
            return Err(damaged("a text is too long"));
        }
        let mut text = Vec::new();
        let read = self.reader.by_ref().take(length).read_to_end(&mut text);
        match read {
            Ok(read) if read as u64 == length => Ok(text),
            _ => Err(damaged("it ends early")),
        }
    }

    fn path(&mut self) -> Result<TreePath> {
        let path = self.text(MAX_PATH as u64)?;
        if !is_tree_path(&path) {
            return Err(damaged("a path is none of a tree"));
        }
        Ok(path.into())
    }

    fn entry(&mut self, tag: u8) -> Result<Entry> {
        let mode = self.small()?;
        if mode > 0o7777 {
            return Err(damaged("a mode has more than permissions"));
        }
        let (uid, gid) = (self.small()?, self.small()?);
        let zigzag = self.number()?;
        let mtime = (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed());
        let mut xattrs = Xattrs::new();
        for _ in 0..self.number()? {
            let name = self.text(MAX_XATTR)?;
            xattrs.insert(name.into(), self.text(MAX_XATTR)?.into());
        }
        let kind = match tag {
            2 => Kind::Directory,
            3 => {
                let size = self.number()?;
                let link = self.number()?.checked_sub(1);
                let digest = match self.byte()? {
                    0 => None,
                    1 => Some(ContentSum(self.bytes()?)),
                    _ => return Err(damaged("a mark is neither yes nor no")),
                };
                Kind::File(FileInfo { size, digest, link })
            }
            4 => Kind::Symlink(self.text(MAX_PATH as u64)?.into()),
            5 => Kind::CharDevice { major: self.small()?, minor: self.small()? },
            6 => Kind::BlockDevice { major: self.small()?, minor: self.small()? },
            7 => Kind::Fifo,
            8 => Kind::Socket,
            _ => return Err(damaged("a kind is unknown")),
        };
        Ok(Entry { kind, mode, uid, gid, mtime, xattrs, layer: 0 })
    }
}
