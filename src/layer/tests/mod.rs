//! Tests of the folder as a whole: what one part writes, another reads.

mod archives;
mod compression;
mod flat;
mod round_trips;
mod unpacking;
mod uppers;

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write as _};

use super::tar::{TarEntry, TarKind, TarWriter};
use super::{WriteOptions, write_layer};
use crate::digest::ContentSum;
use crate::tree::{Change, Changes, Entry, FileInfo, Kind, TreePath, Xattrs};

/// A file of the content given for it, by path.
type Contents = BTreeMap<TreePath, Vec<u8>>;

fn path(path: impl AsRef<[u8]>) -> TreePath {
    path.as_ref().into()
}

fn entry(kind: Kind) -> Entry {
    let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
    Entry { kind, mode, uid: 0, gid: 0, mtime: 1_000_000, xattrs: Xattrs::new(), layer: 0 }
}

fn directory() -> Change {
    Change::Set(entry(Kind::Directory))
}

fn symlink(target: &str) -> Change {
    Change::Set(entry(Kind::Symlink(target.as_bytes().into())))
}

fn file(content: &[u8], link: Option<u64>) -> Change {
    let digest = Some(ContentSum::of(content));
    Change::Set(entry(Kind::File(FileInfo { size: content.len() as u64, digest, link })))
}

fn changes(list: impl IntoIterator<Item = (&'static str, Change)>) -> Changes {
    Changes { changes: list.into_iter().map(|(p, change)| (path(p), change)).collect() }
}

/// The tar of a layer whose files hold what `contents` says.
fn layer_tar(changes: &Changes, contents: &Contents) -> (Vec<u8>, Changes) {
    let mut tar = Vec::new();
    let mut open = |index: usize| -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(contents[&changes.changes[index].0].clone())))
    };
    let written =
        write_layer(changes, &mut open, &WriteOptions::default(), &mut tar).expect("a layer");
    (tar, written)
}

/// A member of a tar as anybody might write it: path, kind and content.
type Member<'a> = (&'a str, TarKind, &'a [u8]);

fn raw_tar(members: &[Member]) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new());
    for (path, kind, content) in members {
        let kind = match kind {
            TarKind::File { .. } => TarKind::File { size: content.len() as u64 },
            kind => kind.clone(),
        };
        let mode = if kind == TarKind::Directory { 0o755 } else { 0o644 };
        let (path, xattrs) = (path.as_bytes().into(), Xattrs::new());
        let entry = TarEntry { path, kind, mode, uid: 0, gid: 0, mtime: 1_000_000, xattrs };
        tar.entry(&entry).unwrap();
        tar.body().write_all(content).unwrap();
        tar.end_body().unwrap();
    }
    tar.finish().unwrap()
}

const FILE: TarKind = TarKind::File { size: 0 };

fn to(target: &str) -> TarKind {
    TarKind::Symlink(target.as_bytes().into())
}

fn hard(target: &str) -> TarKind {
    TarKind::HardLink(target.as_bytes().into())
}

/// Whether the test can go on; says so where it can't.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: owners, devices and trusted attributes need root");
    }
    root
}
