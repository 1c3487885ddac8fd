//! rpm's own database (`lib/backend/ndb/rpmpkg.c`): slots that say where the blobs are.

use super::{Allowance, little};

const PAGE: usize = 4096;
const SLOT: usize = 16;
/// The header takes the place of the first two slots.
const FIRST_SLOT: usize = 2;
const BLOCK: usize = 16;

pub(super) fn blobs(bytes: &[u8]) -> Vec<Vec<u8>> {
    if !bytes.starts_with(b"RpmP") {
        return Vec::new();
    }
    let pages = little(bytes, 12, 4).unwrap_or(0);
    let slots = pages.saturating_mul(PAGE).min(bytes.len());
    let slots = bytes[..slots].chunks_exact(SLOT).skip(FIRST_SLOT);
    let mut allowance = Allowance(bytes.len());
    slots.filter_map(|slot| blob(bytes, slot, &mut allowance)).collect()
}

fn blob(bytes: &[u8], slot: &[u8], allowance: &mut Allowance) -> Option<Vec<u8>> {
    let (package, block) = (little(slot, 4, 4)?, little(slot, 8, 4)?);
    if !slot.starts_with(b"Slot") || block == 0 {
        return None;
    }
    let start = block.checked_mul(BLOCK)?;
    let head = bytes.get(start..start.checked_add(16)?)?;
    if !head.starts_with(b"BlbS") || little(head, 4, 4)? != package {
        return None;
    }
    let blob = bytes.get(start + 16..)?.get(..little(head, 12, 4)?)?;
    allowance.take(blob.len())?;
    Some(blob.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_lead_to_blobs() {
        let mut bytes = vec![0; PAGE];
        bytes[..4].copy_from_slice(b"RpmP");
        bytes[12] = 1;
        for (index, text) in [(0, &b"one"[..]), (2, b"another")] {
            let block = (bytes.len() / BLOCK) as u32;
            let slot =
                [&b"Slot"[..], &[index as u8 + 1, 0, 0, 0], &block.to_le_bytes(), &[2, 0, 0, 0]];
            let at = SLOT * (FIRST_SLOT + index);
            bytes[at..at + SLOT].copy_from_slice(&slot.concat());
            bytes.extend(
                [&b"BlbS"[..], &[index as u8 + 1, 0, 0, 0, 1, 0, 0, 0, text.len() as u8, 0, 0, 0]]
                    .concat(),
            );
            bytes.extend(text);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        assert_eq!(blobs(&bytes), [b"one".to_vec(), b"another".to_vec()]);
        assert!(blobs(b"something else").is_empty());
    }
}
