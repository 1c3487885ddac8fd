//! PAX records: `LENGTH KEY=VALUE\n`, taken apart by their length because a value may hold anything.

use super::TarError;

pub(super) const XATTR: &[u8] = b"SCHILY.xattr.";

/// Key and value.
type Record = (Box<[u8]>, Box<[u8]>);

/// The records of one header, in order.
#[derive(Debug, Default)]
pub(super) struct Records {
    records: Vec<Record>,
}

impl Records {
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, TarError> {
        let bad = |reason| TarError::Pax { reason };
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let space = bytes
                .iter()
                .take(20)
                .position(|byte| *byte == b' ')
                .ok_or(bad("a record without a length"))?;
            let length = decimal(&bytes[..space]).ok_or(bad("a length that is no number"))?;
            let length = usize::try_from(length)
                .ok()
                .filter(|length| (space + 2..=bytes.len()).contains(length))
                .ok_or(bad("a length beyond the records"))?;
            let (record, rest) = bytes.split_at(length);
            let record = record[space + 1..]
                .strip_suffix(b"\n")
                .ok_or(bad("a record without a line feed at its end"))?;
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .filter(|at| *at > 0)
                .ok_or(bad("a record without a key"))?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            if key.contains(&0) {
                return Err(bad("a key with a NUL"));
            }
            records.push((key.into(), value.into()));
            bytes = rest;
        }
        Ok(Self { records })
    }

    /// In order; one key can stand more than once.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.records.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The last value of `key`; an empty value takes the record back (POSIX).
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let found = self.records.iter().rev().find(|(found, _)| &**found == key);
        found.map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }

    pub(super) fn number(&self, key: &'static str) -> Result<Option<u64>, TarError> {
        self.get(key.as_bytes())
            .map(|value| {
                decimal(value).ok_or_else(|| TarError::Field {
                    field: key,
                    value: String::from_utf8_lossy(value).into(),
                })
            })
            .transpose()
    }

    /// Whole seconds: the fraction is dropped towards the past.
    pub(super) fn seconds(&self, key: &'static str) -> Result<Option<i64>, TarError> {
        let Some(value) = self.get(key.as_bytes()) else { return Ok(None) };
        let bad = || TarError::Field { field: key, value: String::from_utf8_lossy(value).into() };
        let (negative, digits) = match value.strip_prefix(b"-") {
            Some(digits) => (true, digits),
            None => (false, value),
        };
        let mut parts = digits.splitn(2, |byte| *byte == b'.');
        let whole = parts.next().and_then(decimal).and_then(|whole| i64::try_from(whole).ok());
        let whole = whole.ok_or_else(bad)?;
        let fraction = parts.next().unwrap_or_default();
        if !fraction.iter().all(u8::is_ascii_digit) {
            return Err(bad());
        }
        let past = negative && fraction.iter().any(|digit| *digit != b'0');
        Ok(Some(if negative { -whole - i64::from(past) } else { whole }))
    }

    /// Adds those of a global header; a later one wins.
    pub(super) fn merge(&mut self, later: Self) {
        for (key, value) in later.records {
            self.records.retain(|(found, _)| *found != key);
            self.records.push((key, value));
        }
    }
}

/// Digits and nothing else.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Appends one record to `out`. The length counts its own digits.
pub(super) fn append(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    let mut length = rest + digits(rest);
    if digits(length) > digits(rest) {
        length = rest + digits(length);
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}
