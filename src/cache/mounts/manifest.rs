//! What a cache mount holds, file by file, and which packs have the bytes: entry `m-…` of a place.
//!
//! A pack is the content of some files, one behind the other, in zstd frames. It is named by the
//! digest of its compressed bytes (entry `p-…`), so it never changes; the next manifest refers to
//! it again and adds one pack with what is new.

use std::collections::HashSet;
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::super::backend::EntryKey;
use super::super::sealed::{seal, unseal};
use crate::digest::{ContentSum, Digest, Sha256Sum};
use crate::layer::is_tree_path;
use crate::platform::Platform;

/// Its number changes with the meaning of what is kept.
const FORMAT: &str = "plimsoll-mount-1";
/// What a manifest may unpack to; bytes.
const LIMIT: u64 = 512 << 20;
/// More are packed anew, as one: each costs a request to restore.
pub(super) const MAX_PACKS: usize = 8;

/// What tells a cache mount from others in every place: a digest of its id and platform, so that
/// neither is in a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MountName(String);

impl MountName {
    #[must_use]
    pub fn new(id: &str, platform: &Platform) -> Self {
        let sum = Sha256Sum::of(format!("{id}\0{platform}").as_bytes());
        Self(sum.hex()[..32].to_owned())
    }

    /// How the keys of its manifests begin.
    pub(super) fn prefix(&self) -> String {
        format!("m-{}-", self.0)
    }
}

/// What was in a cache mount, and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Whose it is: an entry under another's key is none.
    pub(super) name: MountName,
    /// Seconds since 1970, later than in the one it follows: the last in the order of keys is the newest.
    pub(super) saved: i64,
    pub(super) files: Files,
    /// At most [`MAX_PACKS`].
    pub(super) packs: Vec<Pack>,
    /// Of each of the files' contents.
    pub(super) places: Vec<InPack>,
}

/// A directory on disk, without the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Files {
    /// Sorted by path, the first is the directory itself.
    pub(super) entries: Vec<MountEntry>,
    /// Each once, in the order of the first file that has it.
    pub(super) contents: Vec<Content>,
}

/// One path; times to the nanosecond, since that is what cargo, make and apt compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MountEntry {
    #[serde(rename = "p", with = "text")]
    pub(super) path: Vec<u8>,
    #[serde(rename = "k")]
    pub(super) node: Node,
    /// Permission bits with setuid, setgid and sticky, at most 0o7777.
    #[serde(rename = "m")]
    pub(super) mode: u32,
    #[serde(rename = "u")]
    pub(super) uid: u32,
    #[serde(rename = "g")]
    pub(super) gid: u32,
    /// Seconds since 1970, and nanoseconds.
    #[serde(rename = "t")]
    pub(super) mtime: (i64, u32),
    #[serde(rename = "x", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) xattrs: Vec<Xattr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Xattr(
    #[serde(with = "text")] pub(super) Vec<u8>,
    #[serde(with = "text")] pub(super) Vec<u8>,
);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Node {
    #[serde(rename = "d")]
    Directory,
    /// Position of its content.
    #[serde(rename = "f")]
    File(usize),
    /// Another name of the file that the entry at this position is.
    #[serde(rename = "h")]
    HardLink(usize),
    #[serde(rename = "l")]
    Symlink(#[serde(with = "text")] Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Content {
    #[serde(rename = "b", with = "sum")]
    pub(super) sum: ContentSum,
    /// Bytes.
    #[serde(rename = "s")]
    pub(super) size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pack {
    /// Of the compressed bytes.
    pub(super) digest: Digest,
    /// Compressed bytes.
    pub(super) size: u64,
    /// Unpacked bytes.
    pub(super) unpacked: u64,
}

impl Pack {
    pub(super) fn key(&self) -> EntryKey {
        EntryKey(format!("p-{}", self.digest.hex()))
    }
}

/// Number of the pack, and bytes of its unpacked form before the content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InPack(pub(super) usize, pub(super) u64);

impl Files {
    /// Bytes of all contents.
    pub(super) fn size(&self) -> u64 {
        self.contents.iter().map(|content| content.size).sum()
    }

    /// Whether there is nothing to bring back.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.len() <= 1
    }

    /// Whether it is worth no new manifest. When something came into a directory and went away again,
    /// only its time is another.
    pub(super) fn is_as_good_as(&self, other: &Self) -> bool {
        let timeless = |entry: &MountEntry| match entry.node {
            Node::Directory => MountEntry { mtime: (0, 0), ..entry.clone() },
            _ => entry.clone(),
        };
        self.entries.len() == other.entries.len()
            && self.contents == other.contents
            && std::iter::zip(&self.entries, &other.entries)
                .all(|(a, b)| a == b || timeless(a) == timeless(b))
    }

    fn is_sound(&self) -> bool {
        let mut directories = HashSet::new();
        let mut last: Option<&[u8]> = None;
        self.entries.iter().enumerate().all(|(position, entry)| {
            let path = &*entry.path;
            let parent =
                path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |at| &path[..at]);
            let placed = match last.replace(path) {
                None => path.is_empty() && entry.node == Node::Directory,
                Some(last) => last < path && directories.contains(parent),
            };
            if entry.node == Node::Directory {
                directories.insert(path);
            }
            let node = match &entry.node {
                Node::Directory => true,
                Node::File(content) => *content < self.contents.len(),
                Node::HardLink(to) => {
                    *to < position && matches!(self.entries[*to].node, Node::File(_))
                }
                Node::Symlink(target) => !target.is_empty() && !target.contains(&0),
            };
            placed
                && node
                && is_tree_path(path)
                && entry.mode <= 0o7777
                && entry.mtime.1 < 1_000_000_000
        })
    }
}

impl Manifest {
    /// As an entry has it.
    pub(super) fn encode(&self) -> std::io::Result<Vec<u8>> {
        zstd::bulk::compress(&seal(FORMAT, self)?, 3)
    }

    /// `None` for what is no whole manifest of `name` that can be restored.
    pub(super) fn decode(entry: impl Read, name: &MountName) -> Option<Self> {
        let mut sealed = Vec::new();
        let decoder = zstd::Decoder::new(entry).ok()?;
        decoder.take(LIMIT).read_to_end(&mut sealed).ok()?;
        let manifest: Self = unseal(FORMAT, &sealed)?;
        (manifest.name == *name && manifest.is_sound()).then_some(manifest)
    }

    fn is_sound(&self) -> bool {
        let in_pack = |(content, InPack(pack, offset)): (&Content, &InPack)| {
            let end = offset.checked_add(content.size);
            content.size == 0
                || self
                    .packs
                    .get(*pack)
                    .is_some_and(|pack| end.is_some_and(|end| end <= pack.unpacked))
        };
        self.packs.len() <= MAX_PACKS
            && self.places.len() == self.files.contents.len()
            && std::iter::zip(&self.files.contents, &self.places).all(in_pack)
            && self.files.is_sound()
    }

    /// The contents of a pack, in its order.
    pub(super) fn contents_of(&self, pack: usize) -> Vec<usize> {
        let mut contents: Vec<usize> = (0..self.places.len())
            .filter(|content| {
                self.files.contents[*content].size > 0 && self.places[*content].0 == pack
            })
            .collect();
        contents.sort_by_key(|content| self.places[*content].1);
        contents
    }
}

/// Names are bytes: a character for each, which UTF-8 would not do for all.
mod text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&bytes.iter().map(|byte| char::from(*byte)).collect::<String>())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.chars().map(|c| u8::try_from(c).map_err(Error::custom)).collect()
    }
}

mod sum {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error};

    use crate::digest::{ContentSum, Sha256Sum};

    pub fn serialize<S: Serializer>(sum: &ContentSum, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Sha256Sum(sum.0).hex())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ContentSum, D::Error> {
        let text = String::deserialize(deserializer)?;
        let sum = Sha256Sum::from_hex(&text).ok_or_else(|| D::Error::custom("not 64 digits"))?;
        Ok(ContentSum(sum.0))
    }
}
