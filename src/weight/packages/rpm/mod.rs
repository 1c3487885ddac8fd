//! RPM: headers in a database, of which there are three kinds: SQLite (since Fedora 33 and RHEL 9),
//! ndb (SUSE), and the hash tables of Berkeley DB (before; little-endian). Only what is in the main
//! file is read: not the write-ahead log of an SQLite database that was not closed.

mod berkeley;
mod header;
mod ndb;
mod sqlite;

use super::{Claim, Owns, PackageKind};
use crate::tree::TreePath;
use crate::weight::facts::{Fact, MAX_WANTED};

const DIRECTORIES: [&[u8]; 2] = [b"var/lib/rpm/", b"usr/lib/sysimage/rpm/"];

pub(super) fn wanted(path: &[u8]) -> u64 {
    if reader(path).is_some() { MAX_WANTED } else { 0 }
}

/// Gives the headers that a database holds.
type Reader = fn(&[u8]) -> Vec<Vec<u8>>;

fn reader(path: &[u8]) -> Option<Reader> {
    let name = DIRECTORIES.iter().find_map(|directory| path.strip_prefix(*directory))?;
    match name {
        b"rpmdb.sqlite" => Some(sqlite::blobs),
        b"Packages.db" => Some(ndb::blobs),
        b"Packages" => Some(berkeley::blobs),
        _ => None,
    }
}

pub(super) fn fact(path: &TreePath, bytes: &[u8]) -> Option<Fact> {
    let blobs = reader(path)?(bytes);
    Some(Fact::Installed(blobs.iter().filter_map(|blob| claim(blob)).collect()))
}

fn claim(blob: &[u8]) -> Option<Claim> {
    let header = header::parse(blob)?;
    // A key that packages are verified with is kept as a package.
    if header.name == "gpg-pubkey" {
        return None;
    }
    Some(Claim {
        kind: PackageKind::Rpm,
        name: header.name,
        version: header.version,
        path: TreePath::from(&b""[..]),
        owns: Owns::Files(header.files),
        components: Vec::new(),
        details: header.details,
    })
}

/// The bytes of blobs that may still be handed out: together no more than the database has, so that
/// a small file can't be made to look like a huge one by naming the same pages again and again.
struct Allowance(usize);

impl Allowance {
    fn take(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }
}

/// An unsigned little-endian number.
fn little(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    let value = bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    usize::try_from(value).ok()
}

/// An unsigned big-endian number.
fn big(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    let value = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    usize::try_from(value).ok()
}
