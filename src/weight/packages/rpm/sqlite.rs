//! Reads the blobs of the table `Packages` of an SQLite file (<https://sqlite.org/fileformat2.html>).

use super::{Allowance, big};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// The file's header, before the first page's own.
const FILE_HEADER: usize = 100;
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;
/// A table of a million pages is four levels deep.
const MAX_DEPTH: usize = 20;

pub(super) fn blobs(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Some(file) = File::new(bytes) else { return Vec::new() };
    let schema = file.rows(1);
    // Columns: type, name, tbl_name, rootpage, sql.
    let table = schema
        .iter()
        .filter_map(|row| columns(row))
        .find(|columns| columns.starts_with(&[b"table", b"Packages"]));
    let root = table.and_then(|columns| {
        let root = columns.get(3)?;
        big(root, 0, root.len())
    });
    // Columns: hnum, which is the row's number and not stored, and blob.
    let rows = root.map(|root| file.rows(root)).unwrap_or_default();
    rows.iter().filter_map(|row| Some(columns(row)?.get(1)?.to_vec())).collect()
}

struct File<'a> {
    bytes: &'a [u8],
    page: usize,
    /// Of a page, without what extensions keep at its end.
    usable: usize,
}

impl<'a> File<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let page = match big(bytes, 16, 2)? {
            1 => 1 << 16,
            size if size >= 512 => size,
            _ => return None,
        };
        let usable = page.checked_sub(big(bytes, 20, 1)?)?;
        (bytes.starts_with(MAGIC) && usable >= 480).then_some(Self { bytes, page, usable })
    }

    /// Pages count from one.
    fn page(&self, number: usize) -> Option<&'a [u8]> {
        let start = number.checked_sub(1)?.checked_mul(self.page)?;
        self.bytes.get(start..start.checked_add(self.usable)?)
    }

    /// The records of the table whose root is this page.
    fn rows(&self, root: usize) -> Vec<Vec<u8>> {
        let mut rows = Vec::new();
        // No page is read more often than there are pages, whatever the pages say.
        let mut left = self.bytes.len() / self.page;
        let mut allowance = Allowance(self.bytes.len());
        let mut pages = vec![(root, 0)];
        while let Some((number, depth)) = pages.pop() {
            if left == 0 || depth > MAX_DEPTH {
                break;
            }
            left -= 1;
            let Some(page) = self.page(number) else { continue };
            let start = if number == 1 { FILE_HEADER } else { 0 };
            let head = &page[start..];
            let cells = |header: usize| {
                let count = big(head, 3, 2).unwrap_or(0);
                (0..count).filter_map(move |index| big(head, header + 2 * index, 2))
            };
            match head[0] {
                INTERIOR => {
                    let children = cells(12).filter_map(|cell| big(page, cell, 4));
                    let mut children: Vec<usize> = children.chain(big(head, 8, 4)).collect();
                    children.reverse();
                    pages.extend(children.into_iter().map(|child| (child, depth + 1)));
                }
                LEAF => {
                    let record = |cell| self.record(page, cell, &mut allowance);
                    rows.extend(cells(8).filter_map(record));
                }
                _ => {}
            }
        }
        rows
    }

    /// The payload of a cell, put together from its overflow pages.
    fn record(&self, page: &[u8], cell: usize, allowance: &mut Allowance) -> Option<Vec<u8>> {
        let (length, rest) = varint(page.get(cell..)?)?;
        let (_row, rest) = varint(rest)?;
        let length = usize::try_from(length).ok()?;
        allowance.take(length)?;
        // Section 1.6 of the format: how much stays in the cell.
        let most = self.usable - 35;
        let least = (self.usable - 12) * 32 / 255 - 23;
        let local = least + length.saturating_sub(least) % (self.usable - 4);
        let local = match () {
            () if length <= most => length,
            () if local <= most => local,
            () => least,
        };
        let mut record = rest.get(..local)?.to_vec();
        let mut next = if local < length { big(rest, local, 4)? } else { 0 };
        while record.len() < length {
            let page = self.page(next)?;
            next = big(page, 0, 4)?;
            let left = length - record.len();
            record.extend_from_slice(&page[4..][..left.min(self.usable - 4)]);
        }
        Some(record)
    }
}

/// The values of a record, without their types.
fn columns(record: &[u8]) -> Option<Vec<&[u8]>> {
    let (header, rest) = varint(record)?;
    let header = usize::try_from(header).ok()?;
    let mut types = record.get(record.len() - rest.len()..header)?;
    let mut body = record.get(header..)?;
    let mut columns = Vec::new();
    while !types.is_empty() {
        let kind;
        (kind, types) = varint(types)?;
        let width = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => (kind - 12) / 2,
        };
        let column;
        (column, body) = body.split_at_checked(usize::try_from(width).ok()?)?;
        columns.push(column);
    }
    Some(columns)
}

/// Seven bits a byte, the highest first; the ninth byte has eight.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        if index == 8 {
            return Some((value << 8 | u64::from(*byte), &bytes[9..]));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}
