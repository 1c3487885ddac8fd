//! A hash table of Berkeley DB, as far as rpm uses it: every header is larger than a page and stands
//! in a chain of overflow pages (`dbinc/db_page.h`).

use super::{Allowance, little};

const HASH_MAGIC: usize = 0x0006_1561;
/// Of a page, in bytes.
const HEADER: usize = 26;
const HASH_PAGES: [u8; 2] = [2, 13];
const OVERFLOW_PAGE: u8 = 7;
/// An item that says where its bytes are, instead of holding them.
const OFF_PAGE: u8 = 3;
const OFF_PAGE_SIZE: usize = 12;

pub(super) fn blobs(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Some(size) = little(bytes, 20, 4).filter(|size| *size >= 512) else { return Vec::new() };
    if little(bytes, 12, 4) != Some(HASH_MAGIC) {
        return Vec::new();
    }
    let pages = bytes.chunks_exact(size).skip(1).filter(|page| HASH_PAGES.contains(&page[25]));
    let mut allowance = Allowance(bytes.len());
    pages.flat_map(|page| in_page(bytes, size, page, &mut allowance)).collect()
}

fn in_page(bytes: &[u8], size: usize, page: &[u8], allowance: &mut Allowance) -> Vec<Vec<u8>> {
    // Keys and values take turns.
    let items = (1..little(page, 20, 2).unwrap_or(0)).step_by(2);
    let place = |item| little(page, HEADER + 2 * item, 2);
    let item = |at: usize| page.get(at..at.checked_add(OFF_PAGE_SIZE)?);
    items
        .filter_map(|index| item(place(index)?))
        .filter(|item| item[0] == OFF_PAGE)
        .filter_map(|item| {
            let length = little(item, 8, 4)?;
            allowance.take(length)?;
            chain(bytes, size, little(item, 4, 4)?, length)
        })
        .collect()
}

/// The bytes of the overflow pages from `page` on.
fn chain(bytes: &[u8], size: usize, mut page: usize, length: usize) -> Option<Vec<u8>> {
    let mut blob = Vec::new();
    while blob.len() < length {
        let start = page.checked_mul(size)?;
        let this = bytes.get(start..start.checked_add(size)?)?;
        if this[25] != OVERFLOW_PAGE {
            return None;
        }
        let rest = &this[HEADER..];
        blob.extend_from_slice(&rest[..rest.len().min(length - blob.len())]);
        page = little(this, 16, 4)?;
    }
    Some(blob)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_stand_in_chains() {
        const SIZE: usize = 512;
        let blob: Vec<u8> = (0..1000_u32).map(|n| n as u8).collect();
        let mut bytes = vec![0; SIZE];
        bytes[12..16].copy_from_slice(&(HASH_MAGIC as u32).to_le_bytes());
        bytes[20..24].copy_from_slice(&(SIZE as u32).to_le_bytes());
        let mut hash = vec![0; SIZE];
        (hash[20], hash[25]) = (2, HASH_PAGES[1]);
        hash[HEADER..HEADER + 4].copy_from_slice(&[0xf0, 0, 0x80, 0]);
        hash[0x80] = OFF_PAGE;
        hash[0x84] = 2;
        hash[0x88..0x8a].copy_from_slice(&1000_u16.to_le_bytes());
        bytes.extend(hash);
        for (next, piece) in [(3, &blob[..486]), (4, &blob[486..972]), (0, &blob[972..])] {
            let mut page = vec![0; SIZE];
            (page[16], page[25]) = (next, OVERFLOW_PAGE);
            page[HEADER..HEADER + piece.len()].copy_from_slice(piece);
            bytes.extend(page);
        }
        assert_eq!(blobs(&bytes), [blob]);
        assert!(blobs(&bytes[..3 * SIZE]).is_empty());
        assert!(blobs(b"something else").is_empty());
    }
}
