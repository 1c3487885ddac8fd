//! Reading an archive block by block.

use std::io::{self, BufReader, Read};

use tar::Header;

use super::pax::{self, Records};
use super::sparse::{self, Map};
use super::{BLOCK, MAX_EXTENSION, MAX_PATH, MAX_SPARSE, TarEntry, TarError, TarKind, fields};

/// Reads the members of an archive one after another. Errors are [`io::Error`]s that hold a
/// [`TarError`] where the archive, not its source, is at fault.
pub struct TarReader<R: Read> {
    input: BufReader<Counted<R>>,
    /// Records of the global headers so far.
    global: Records,
    body: State,
    /// Bytes that sparse files may still have.
    sparse_left: u64,
    ended: bool,
}

struct Counted<R> {
    reader: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Where the reader is in the current body.
#[derive(Debug, Default)]
struct State {
    /// Stored bytes not yet read, and the padding after them.
    stored: u64,
    padding: u64,
    /// Position in the expanded file; for a sparse file only.
    position: u64,
    map: Option<Map>,
}

/// The bytes of the current file, its holes as zeros. What is not read is skipped.
pub struct Body<'a, R: Read> {
    reader: &'a mut TarReader<R>,
}

/// What the headers before an entry say of it.
#[derive(Default)]
struct Extensions {
    records: Option<Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<R: Read> TarReader<R> {
    pub fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(1 << 16, Counted { reader: input, bytes: 0 }),
            global: Records::default(),
            body: State::default(),
            sparse_left: MAX_SPARSE,
            ended: false,
        }
    }

    /// The next member, or `None` after the last.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend the body")]
    pub fn next(&mut self) -> io::Result<Option<TarEntry>> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_body()?;
            let Some(block) = self.header()? else {
                let Extensions { records: None, name: None, link: None } = extensions else {
                    return Err(TarError::Truncated { inside: "the headers of a member" }.into());
                };
                return Ok(None);
            };
            let header = Header::from_byte_slice(&block);
            let size = fields::unsigned("size", &header.as_old().size)?;
            match header.as_old().linkflag[0] {
                b'x' => {
                    let records = Records::parse(&self.extension("PAX records", size)?)?;
                    once(&mut extensions.records, records, "PAX headers")?;
                }
                b'g' => {
                    let records = Records::parse(&self.extension("PAX records", size)?)?;
                    self.add_global(records)?;
                }
                b'L' => {
                    let name = self.extension("a long name", size)?;
                    once(&mut extensions.name, fields::text(&name).to_vec(), "long names")?;
                }
                b'K' => {
                    let link = self.extension("a long link target", size)?;
                    once(&mut extensions.link, fields::text(&link).to_vec(), "long link targets")?;
                }
                _ => return self.member(header, size, extensions).map(Some),
            }
        }
    }

    /// The body of the member that [`TarReader::next`] gave last.
    pub fn body(&mut self) -> Body<'_, R> {
        Body { reader: self }
    }

    /// Bytes of the archive up to here.
    pub fn position(&self) -> u64 {
        self.input.get_ref().bytes - self.input.buffer().len() as u64
    }

    /// Reads what is left of the input, as a check of the whole stream needs; returns its bytes.
    pub fn drain(&mut self) -> io::Result<u64> {
        self.ended = true;
        io::copy(&mut self.input, &mut io::sink())
    }

    /// One header block, or `None` at the end: two blocks of zeros, or no more input.
    fn header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        if self.ended {
            return Ok(None);
        }
        let Some(block) = self.block()? else {
            self.ended = true;
            return Ok(None);
        };
        if block != [0; BLOCK] {
            fields::verify_checksum(&block)?;
            return Ok(Some(block));
        }
        self.ended = true;
        match self.block()? {
            Some(second) if second != [0; BLOCK] => {
                Err(TarError::Truncated { inside: "its end mark" }.into())
            }
            _ => Ok(None),
        }
    }

    /// The next block; `None` if the input ends before it.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(TarError::Truncated { inside: "a header" }.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(block))
    }

    fn extension(&mut self, what: &'static str, size: u64) -> io::Result<Vec<u8>> {
        if size > MAX_EXTENSION {
            return Err(TarError::TooLong { what, found: size, limit: MAX_EXTENSION }.into());
        }
        self.body = State::stored(size);
        let mut bytes = Vec::new();
        self.body().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// What POSIX lets a global header say of every member; a path or size for all makes no sense
    /// and would only make readers disagree.
    fn add_global(&mut self, records: Records) -> io::Result<()> {
        let single = records.iter().find(|(key, value)| {
            let names = [&b"path"[..], b"linkpath", b"size"];
            let of_one = names.contains(key) || key.starts_with(b"GNU.sparse.");
            (of_one || key.starts_with(pax::XATTR)) && !value.is_empty()
        });
        if single.is_some() {
            let reason = "a global header speaks of a single file";
            return Err(TarError::Pax { reason }.into());
        }
        self.global.merge(records);
        Ok(())
    }

    fn member(
        &mut self,
        header: &Header,
        stored: u64,
        extensions: Extensions,
    ) -> io::Result<TarEntry> {
        let Extensions { records, name, link } = extensions;
        let records = records.unwrap_or_default();
        let old = header.as_old();
        let sparse_name = records.get(b"GNU.sparse.name").map(<[u8]>::to_vec);
        let long = either(records.get(b"path"), name, "names")?;
        let path = sparse_name.or(long).unwrap_or_else(|| ustar_path(header));
        let target = either(records.get(b"linkpath"), link, "link targets")?;
        let target = target.unwrap_or_else(|| fields::text(&old.linkname).to_vec());
        for (what, text) in [("a path", &path), ("a link target", &target)] {
            let (found, limit) = (text.len() as u64, MAX_PATH as u64);
            if found > limit {
                return Err(TarError::TooLong { what, found, limit }.into());
            }
        }
        let missing = |what| TarError::Missing { path: lossy(&path), what };
        if path.is_empty() {
            return Err(missing("path").into());
        }

        let device = || -> Result<(u32, u32), TarError> {
            let Some(fields) = header.as_ustar() else {
                let Some(gnu) = header.as_gnu() else { return Ok((0, 0)) };
                return Ok((
                    fields::id("major", &gnu.dev_major)?,
                    fields::id("minor", &gnu.dev_minor)?,
                ));
            };
            Ok((fields::id("major", &fields.dev_major)?, fields::id("minor", &fields.dev_minor)?))
        };
        // Only files have a body: whatever size the header of another kind states, Go's and
        // Python's readers go on with the next block.
        self.body = State::default();
        let kind = match old.linkflag[0] {
            // Before POSIX a directory was a file whose name ends in a slash.
            0 if path.ends_with(b"/") => TarKind::Directory,
            flag @ (b'0' | 0 | b'7' | b'S') => {
                let stored = records.number("size")?.unwrap_or(stored);
                TarKind::File { size: self.start_file(header, flag, stored, &records, &path)? }
            }
            b'1' if target.is_empty() => return Err(missing("link target").into()),
            b'1' => TarKind::HardLink(target.into()),
            b'2' if target.is_empty() => return Err(missing("link target").into()),
            b'2' => TarKind::Symlink(target.into()),
            b'3' => device().map(|(major, minor)| TarKind::CharDevice { major, minor })?,
            b'4' => device().map(|(major, minor)| TarKind::BlockDevice { major, minor })?,
            b'5' => TarKind::Directory,
            b'6' => TarKind::Fifo,
            flag => {
                return Err(TarError::UnknownType { flag: flag.into(), path: lossy(&path) }.into());
            }
        };

        let owner = |key: &'static str, field: &[u8]| -> Result<u32, TarError> {
            let stated = match records.number(key)? {
                Some(stated) => Some(stated),
                None => self.global.number(key)?,
            };
            let Some(stated) = stated else { return fields::id(key, field) };
            u32::try_from(stated)
                .map_err(|_| TarError::Field { field: key, value: stated.to_string() })
        };
        let mtime = match records.seconds("mtime")? {
            Some(mtime) => Some(mtime),
            None => self.global.seconds("mtime")?,
        };
        let xattrs = records.iter().filter_map(|(key, value)| {
            let name = key.strip_prefix(pax::XATTR).filter(|name| !name.is_empty())?;
            Some((name.into(), value.into()))
        });
        Ok(TarEntry {
            kind,
            // Some writers put the file type in here too.
            mode: (fields::number("mode", &old.mode)? & 0o7777) as u32,
            uid: owner("uid", &old.uid)?,
            gid: owner("gid", &old.gid)?,
            mtime: mtime.map_or_else(|| fields::number("mtime", &old.mtime), Ok)?,
            xattrs: xattrs.collect(),
            path: path.into(),
        })
    }

    /// Sets up the body; returns the size of the file with its holes.
    fn start_file(
        &mut self,
        header: &Header,
        flag: u8,
        mut stored: u64,
        records: &Records,
        path: &[u8],
    ) -> io::Result<u64> {
        let padding = State::stored(stored).padding;
        let map = if flag == b'S' {
            let truncated = || TarError::Truncated { inside: "a sparse map" }.into();
            Some(sparse::old_gnu(header, stored, path, || self.block()?.ok_or_else(truncated))?)
        } else {
            sparse::pax(records, path, &mut stored, &mut self.input)?
        };
        let size = map.as_ref().map_or(stored, |map| map.size);
        if map.is_some() {
            self.sparse_left = self.sparse_left.checked_sub(size).ok_or_else(|| {
                let found = MAX_SPARSE - self.sparse_left + size.min(MAX_SPARSE);
                TarError::TooLong { what: "sparse files", found, limit: MAX_SPARSE }
            })?;
        }
        self.body = State { stored, padding, position: 0, map };
        Ok(size)
    }

    fn skip_body(&mut self) -> io::Result<()> {
        let State { stored, padding, .. } = std::mem::take(&mut self.body);
        let rest = stored.checked_add(padding).ok_or(TarError::Truncated { inside: "a body" })?;
        let skipped = io::copy(&mut (&mut self.input).take(rest), &mut io::sink())?;
        if skipped < stored {
            return Err(TarError::Truncated { inside: "a body" }.into());
        }
        // umoci leaves out what comes after the last byte of the last file, and Go does without.
        self.ended |= skipped < rest;
        Ok(())
    }
}

impl State {
    fn stored(size: u64) -> Self {
        let over = size % BLOCK as u64;
        let padding = if over == 0 { 0 } else { BLOCK as u64 - over };
        Self { stored: size, padding, ..Self::default() }
    }
}

impl<R: Read> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let TarReader { input, body, .. } = &mut *self.reader;
        let (data, run) = match &body.map {
            None => (true, body.stored),
            Some(map) => map.run(body.position),
        };
        let want = usize::try_from(run).unwrap_or(usize::MAX).min(buffer.len());
        if want == 0 {
            return Ok(0);
        }
        let read = if data {
            let read = input.read(&mut buffer[..want])?;
            body.stored -= read as u64;
            if read == 0 {
                return Err(TarError::Truncated { inside: "a body" }.into());
            }
            read
        } else {
            buffer[..want].fill(0);
            want
        };
        body.position += read as u64;
        Ok(read)
    }
}

/// Fills `slot`, which must be empty: readers disagree on which of two they believe.
fn once<T>(slot: &mut Option<T>, value: T, what: &'static str) -> Result<(), TarError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(TarError::Ambiguous { what }),
    }
}

/// What a PAX record or a GNU header says; both together must agree.
fn either(
    record: Option<&[u8]>,
    gnu: Option<Vec<u8>>,
    what: &'static str,
) -> Result<Option<Vec<u8>>, TarError> {
    match (record, gnu) {
        (Some(record), Some(gnu)) if record != gnu => Err(TarError::Ambiguous { what }),
        (record, gnu) => Ok(gnu.or_else(|| record.map(<[u8]>::to_vec))),
    }
}

/// The name with its prefix, which GNU's own header format does not have.
fn ustar_path(header: &Header) -> Vec<u8> {
    let old = header.as_old();
    let name = fields::text(&old.name);
    let block = header.as_bytes();
    if &block[257..263] != b"ustar\0" {
        return name.to_vec();
    }
    // star keeps times behind a shorter prefix.
    let length = if &block[508..] == b"tar\0" { 131 } else { 155 };
    match fields::text(&block[345..345 + length]) {
        b"" => name.to_vec(),
        prefix => [prefix, b"/", name].concat(),
    }
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
