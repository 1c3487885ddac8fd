//! Numbers and strings of a header block.

use tar::Header;

use super::{BLOCK, TarError};

/// The bytes before the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// An octal number between spaces or NULs, or GNU's base-256 for what does not fit; an empty field
/// is zero.
pub(super) fn number(name: &'static str, field: &[u8]) -> Result<i64, TarError> {
    let bad = || TarError::Field { field: name, value: String::from_utf8_lossy(field).into() };
    if field[0] & 0x80 != 0 {
        return base256(field).ok_or_else(bad);
    }
    let digits = text(field).trim_ascii();
    if digits.is_empty() {
        return Ok(0);
    }
    digits
        .iter()
        .try_fold(0_i64, |sum, digit| match digit {
            b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
            _ => None,
        })
        .ok_or_else(bad)
}

/// Two's complement, big endian; the top bit only marks the encoding.
fn base256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let fill = if negative { 0xff } else { 0 };
    let mut bytes = [fill; 8];
    let mut field = field.to_vec();
    field[0] = first;
    let (high, low) = field.split_at(field.len().saturating_sub(8));
    if high.iter().any(|byte| *byte != fill) {
        return None;
    }
    bytes[8 - low.len()..].copy_from_slice(low);
    let value = i64::from_be_bytes(bytes);
    ((value < 0) == negative).then_some(value)
}

pub(super) fn unsigned(name: &'static str, field: &[u8]) -> Result<u64, TarError> {
    let value = number(name, field)?;
    u64::try_from(value).map_err(|_| TarError::Field { field: name, value: value.to_string() })
}

/// A user, group or device number.
pub(super) fn id(name: &'static str, field: &[u8]) -> Result<u32, TarError> {
    let value = number(name, field)?;
    u32::try_from(value).map_err(|_| TarError::Field { field: name, value: value.to_string() })
}

/// Whether the checksum of the block is right, as sum of unsigned or, from old writers, signed bytes.
pub(super) fn verify_checksum(block: &[u8; BLOCK]) -> Result<(), TarError> {
    let header = Header::from_byte_slice(block);
    let expected = unsigned("checksum", &header.as_old().cksum)?;
    let blanked = block.iter().enumerate().map(|(at, byte)| match at {
        148..156 => b' ',
        _ => *byte,
    });
    let found = blanked.clone().map(u64::from).sum::<u64>();
    let signed = blanked.map(|byte| i64::from(byte.cast_signed())).sum::<i64>();
    if found == expected || u64::try_from(signed) == Ok(expected) {
        return Ok(());
    }
    Err(TarError::Checksum { expected, found })
}
