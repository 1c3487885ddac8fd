//! Writing an archive: ustar, and PAX records for what does not fit, as Go's archive/tar does it, so
//! that layers look like those of other builders.

use std::collections::BTreeMap;
use std::io::{self, Write};

use tar::{EntryType, Header, UstarHeader};

use super::{BLOCK, TarEntry, TarError, TarKind, pax};

/// Writes the members of an archive in the order given. User and group names stay empty, and
/// nothing of the machine goes in.
pub struct TarWriter<W: Write> {
    output: W,
    /// Of the current body.
    padding: usize,
}

impl<W: Write> TarWriter<W> {
    pub fn new(output: W) -> Self {
        Self { output, padding: 0 }
    }

    /// Writes the headers of `entry`. For a file its body has to follow through
    /// [`TarWriter::body`], and then [`TarWriter::end_body`].
    pub fn entry(&mut self, entry: &TarEntry) -> io::Result<()> {
        let mut block = Header::new_ustar();
        let mut records = BTreeMap::new();
        for (name, value) in &entry.xattrs {
            records.insert([pax::XATTR, name].concat(), value.to_vec());
        }
        fill(&mut block, &mut records, entry)?;
        if !records.is_empty() {
            let mut body = Vec::new();
            for (key, value) in &records {
                pax::append(&mut body, key, value);
            }
            self.records(&entry.path, &body)?;
        }
        block.set_cksum();
        self.output.write_all(block.as_bytes())?;
        if let TarKind::File { size } = entry.kind {
            self.padding = padding(size);
        }
        Ok(())
    }

    /// Where the bytes of the current file go.
    pub fn body(&mut self) -> &mut W {
        &mut self.output
    }

    /// Fills the last block of the current file.
    pub fn end_body(&mut self) -> io::Result<()> {
        let padding = std::mem::take(&mut self.padding);
        self.output.write_all(&[0; BLOCK][..padding])
    }

    /// Writes the end mark and gives the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        Ok(self.output)
    }

    fn records(&mut self, path: &[u8], body: &[u8]) -> io::Result<()> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let (directory, base) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..=slash], &path[slash + 1..]),
            None => (&b""[..], path),
        };
        let name = ascii(&[directory, b"PaxHeaders.0/", base].concat());
        let mut block = Header::new_ustar();
        put(&mut block.as_old_mut().name, name.strip_suffix(b"/").unwrap_or(&name));
        block.set_entry_type(EntryType::XHeader);
        block.set_mode(0);
        block.set_uid(0);
        block.set_gid(0);
        block.set_size(body.len() as u64);
        block.set_cksum();
        self.output.write_all(block.as_bytes())?;
        self.output.write_all(body)?;
        self.output.write_all(&[0; BLOCK][..padding(body.len() as u64)])
    }
}

/// Bytes from the end of a body to the end of its last block.
fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// Puts `entry` in `block`, and in `records` what `block` has no room for.
fn fill(
    block: &mut Header,
    records: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    entry: &TarEntry,
) -> Result<(), TarError> {
    let mut fit = |key: &str, value: i64, digits: u32| match u64::try_from(value) {
        Ok(small) if small < 1 << (3 * digits) => small,
        _ => {
            records.insert(key.into(), value.to_string().into_bytes());
            0
        }
    };
    let size = match entry.kind {
        TarKind::File { size } => size.cast_signed(),
        _ => 0,
    };
    block.set_mode(entry.mode);
    block.set_uid(fit("uid", entry.uid.into(), 7));
    block.set_gid(fit("gid", entry.gid.into(), 7));
    block.set_size(fit("size", size, 11));
    block.set_mtime(fit("mtime", entry.mtime, 11));
    let (flag, link, device) = match &entry.kind {
        TarKind::File { .. } => (EntryType::Regular, None, (0, 0)),
        TarKind::HardLink(target) => (EntryType::Link, Some(target), (0, 0)),
        TarKind::Symlink(target) => (EntryType::Symlink, Some(target), (0, 0)),
        TarKind::Directory => (EntryType::Directory, None, (0, 0)),
        TarKind::CharDevice { major, minor } => (EntryType::Char, None, (*major, *minor)),
        TarKind::BlockDevice { major, minor } => (EntryType::Block, None, (*major, *minor)),
        TarKind::Fifo => (EntryType::Fifo, None, (0, 0)),
    };
    block.set_entry_type(flag);
    let (major, minor) = device;
    if major.max(minor) >= 1 << 21 {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        return Err(TarError::Device { path, major, minor });
    }
    let Some(ustar) = block.as_ustar_mut() else {
        unreachable!("the block was made as a ustar header");
    };
    ustar.set_device_major(major);
    ustar.set_device_minor(minor);
    if let Some(target) = link {
        if target.len() > ustar.linkname.len() || !target.is_ascii() {
            records.insert(b"linkpath".to_vec(), target.to_vec());
        }
        put(&mut ustar.linkname, &ascii(target));
    }
    if !put_path(ustar, &entry.path) {
        records.insert(b"path".to_vec(), entry.path.to_vec());
        let mut name = ascii(&entry.path);
        name.truncate(ustar.name.len());
        put(&mut ustar.name, &name);
    }
    Ok(())
}

/// Puts an ASCII path in the name field, or, cut at a slash, in prefix and name; false if it does
/// not fit.
fn put_path(ustar: &mut UstarHeader, path: &[u8]) -> bool {
    let (name, prefix) = (ustar.name.len(), ustar.prefix.len());
    if !path.is_ascii() {
        return false;
    }
    if path.len() <= name {
        put(&mut ustar.name, path);
        return true;
    }
    // The slash in the middle is in neither field; one at the end has to stay in the name.
    let end = (prefix + 1).min(path.len() - usize::from(path.ends_with(b"/")));
    let Some(slash) = path[..end].iter().rposition(|byte| *byte == b'/').filter(|at| *at > 0)
    else {
        return false;
    };
    let (head, tail) = (&path[..slash], &path[slash + 1..]);
    if tail.is_empty() || tail.len() > name || head.len() > prefix {
        return false;
    }
    put(&mut ustar.prefix, head);
    put(&mut ustar.name, tail);
    true
}

/// Copies as much of `text` as `field` takes.
fn put(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

fn ascii(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(u8::is_ascii).collect()
}
