//! A weight as a small file: [`Weight`] ↔ bytes.
//!
//! `plimwgt` and a version byte, then one zstd frame with a checksum: the length of a JSON document
//! with everything but the files, the document, and the files column by column, so that alike values
//! stand together. Numbers are LEB128; each path shares a stated number of bytes with the one before.
//! Some 9,000 files come to about 100 kB.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use super::Weight;
use super::distribution::Distribution;
use super::efficiency::Efficiency;
use super::file::{ContentId, Fate, File};
use super::finding::Finding;
use super::identity::Identity;
use super::layer::Layer;
use super::package::Package;
use crate::tree::TreePath;

const MAGIC: &[u8; 8] = b"plimwgt\x02";
/// Higher ones take several times as long for a few percent: most bytes are sums of contents.
const LEVEL: i32 = 9;
/// Uncompressed, in bytes; a million files take less than half of that.
const MAX_PLAIN: u64 = 1 << 28;
/// Of a path, in bytes, as Linux has it.
const MAX_PATH: u64 = 4096;

/// Bytes that are no weight, not a whole one, or one of another version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the weight file is damaged or of another version: {reason}")]
pub struct SavedError {
    reason: &'static str,
}

impl SavedError {
    pub(super) fn new(reason: &'static str) -> Self {
        Self { reason }
    }
}

type Result<T> = std::result::Result<T, SavedError>;

fn damaged(reason: &'static str) -> SavedError {
    SavedError::new(reason)
}

/// All but the files.
#[derive(Serialize, Deserialize)]
struct Document {
    image: Identity,
    program_version: String,
    distribution: Option<Distribution>,
    layers: Vec<Layer>,
    packages: Vec<Package>,
    findings: Vec<Finding>,
    efficiency: Efficiency,
}

/// The same weight gives the same bytes.
#[must_use]
pub fn encode(weight: &Weight) -> Vec<u8> {
    let document = Document {
        image: weight.image.clone(),
        program_version: weight.program_version.clone(),
        distribution: weight.distribution.clone(),
        layers: weight.layers.clone(),
        packages: weight.packages.clone(),
        findings: weight.findings.clone(),
        efficiency: weight.efficiency,
    };
    let json = serde_json::to_vec(&document).unwrap_or_default();
    let mut plain = Vec::new();
    number(&mut plain, json.len() as u64);
    plain.extend_from_slice(&json);
    put_files(&mut plain, &weight.files);
    let compress = || -> std::io::Result<Vec<u8>> {
        let mut encoder = zstd::Encoder::new(MAGIC.to_vec(), LEVEL)?;
        encoder.include_checksum(true)?;
        // So that a small weight takes a small encoder.
        encoder.set_pledged_src_size(Some(plain.len() as u64))?;
        encoder.write_all(&plain)?;
        encoder.finish()
    };
    // Memory to memory with a valid level: nothing can fail, and an empty file would be refused.
    compress().unwrap_or_default()
}

fn put_files(plain: &mut Vec<u8>, files: &[File]) {
    number(plain, files.len() as u64);
    let mut last: &[u8] = b"";
    for file in files {
        let shared = file.path.iter().zip(last).take_while(|(a, b)| a == b).count();
        number(plain, shared as u64);
        number(plain, (file.path.len() - shared) as u64);
        last = &file.path;
    }
    let mut last: &[u8] = b"";
    for file in files {
        let shared = file.path.iter().zip(last).take_while(|(a, b)| a == b).count();
        plain.extend_from_slice(&file.path[shared..]);
        last = &file.path;
    }
    let column = |plain: &mut Vec<u8>, value: &dyn Fn(&File) -> u64| {
        files.iter().for_each(|file| number(plain, value(file)));
    };
    column(plain, &|file| file.layer.into());
    column(plain, &|file| file.bytes);
    column(plain, &|file| file.compressed);
    column(plain, &|file| file.package.map_or(0, |package| u64::from(package) + 1));
    column(plain, &|file| match file.fate {
        Fate::Kept => 0,
        Fate::Replaced(by) => u64::from(by) * 2 + 1,
        Fate::Removed(by) => u64::from(by) * 2 + 2,
    });
    column(plain, &|file| file.content.is_some().into());
    for content in files.iter().filter_map(|file| file.content) {
        plain.extend_from_slice(&content.0.to_be_bytes());
    }
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// Anything else is one, never a panic or a huge allocation.
pub fn decode(bytes: &[u8]) -> Result<Weight> {
    let frame = bytes.strip_prefix(MAGIC).ok_or(damaged("it starts with something else"))?;
    let decoder = zstd::Decoder::with_buffer(frame).map_err(|_| damaged("it is no zstd frame"))?;
    let mut plain = Vec::new();
    // Reading to the end is also what verifies the checksum.
    let read = decoder.take(MAX_PLAIN + 1).read_to_end(&mut plain);
    if read.map_err(|_| damaged("it is not as it was written"))? as u64 > MAX_PLAIN {
        return Err(damaged("it is too large"));
    }
    let mut input = Input { rest: &plain };
    let length = input.number()?;
    let document = input.bytes(length)?;
    let document: Document =
        serde_json::from_slice(document).map_err(|_| damaged("its document is not as expected"))?;
    let files = read_files(&mut input)?;
    if !input.rest.is_empty() {
        return Err(damaged("something follows it"));
    }
    let Document { image, program_version, distribution, layers, packages, findings, efficiency } =
        document;
    let weight = Weight {
        image,
        program_version,
        distribution,
        layers,
        files,
        packages,
        findings,
        efficiency,
    };
    if is_consistent(&weight) { Ok(weight) } else { Err(damaged("it refers to what is not there")) }
}

/// Every index leads somewhere, and the files are in order: whoever has a weight may rely on that.
fn is_consistent(weight: &Weight) -> bool {
    let layer = |index: u32| (index as usize) < weight.layers.len();
    let files = weight.files.iter().all(|file| {
        let by = match file.fate {
            Fate::Kept => file.layer,
            Fate::Replaced(by) | Fate::Removed(by) => by,
        };
        let package = file.package.is_none_or(|index| (index as usize) < weight.packages.len());
        layer(file.layer) && layer(by) && package
    });
    let sorted = weight
        .files
        .windows(2)
        .all(|pair| (&pair[0].path, pair[0].layer) < (&pair[1].path, pair[1].layer));
    let findings = weight.findings.iter().all(|f| layer(f.layer) && f.by.is_none_or(layer));
    let packages = weight.packages.iter().all(|package| package.files == 0 || layer(package.layer));
    files && sorted && findings && packages
}

fn read_files(input: &mut Input<'_>) -> Result<Vec<File>> {
    let count = input.number()?;
    // Each file takes at least one byte in each column.
    if count > input.rest.len() as u64 {
        return Err(damaged("it ends early"));
    }
    let mut lengths = Vec::new();
    for _ in 0..count {
        lengths.push((input.number()?, input.number()?));
    }
    let mut files: Vec<File> = Vec::new();
    let mut path: Vec<u8> = Vec::new();
    for (shared, own) in lengths {
        if shared > path.len() as u64 || shared.saturating_add(own) > MAX_PATH {
            return Err(damaged("a path is too long"));
        }
        path.truncate(usize::try_from(shared).unwrap_or(0));
        path.extend_from_slice(input.bytes(own)?);
        files.push(File {
            path: TreePath::from(&path[..]),
            layer: 0,
            bytes: 0,
            compressed: 0,
            content: None,
            fate: Fate::Kept,
            package: None,
        });
    }
    input.column(&mut files, |file, value| {
        file.layer = small(value)?;
        Ok(())
    })?;
    input.column(&mut files, |file, value| {
        file.bytes = value;
        Ok(())
    })?;
    input.column(&mut files, |file, value| {
        file.compressed = value;
        Ok(())
    })?;
    input.column(&mut files, |file, value| {
        file.package = value.checked_sub(1).map(small).transpose()?;
        Ok(())
    })?;
    input.column(&mut files, |file, value| {
        file.fate = match value {
            0 => Fate::Kept,
            odd if odd % 2 == 1 => Fate::Replaced(small(odd / 2)?),
            even => Fate::Removed(small(even / 2 - 1)?),
        };
        Ok(())
    })?;
    input.column(&mut files, |file, value| {
        file.content = (value == 1).then_some(ContentId(0));
        Ok(())
    })?;
    for content in files.iter_mut().filter_map(|file| file.content.as_mut()) {
        let bytes = input.bytes(8)?;
        content.0 = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    Ok(files)
}

fn small(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| damaged("a number is too large"))
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn bytes(&mut self, length: u64) -> Result<&'a [u8]> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(damaged("it ends early"))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes(1)?[0];
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

    fn column(
        &mut self,
        files: &mut [File],
        set: impl Fn(&mut File, u64) -> Result<()>,
    ) -> Result<()> {
        files.iter_mut().try_for_each(|file| set(file, self.number()?))
    }
}
