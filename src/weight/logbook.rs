//! What the last builds of a branch weighed: [`Logbook`] ↔ a few kilobytes.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use super::saved::SavedError;
use super::size::Size;

const MAGIC: &[u8; 8] = b"plimlog\x01";
const LEVEL: i32 = 3;
/// What a whole logbook may unpack to; bytes.
const MAX_PLAIN: u64 = 1 << 20;
/// A commit's name in SHA-256, as git writes it.
const MAX_COMMIT: usize = 64;

/// One build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    /// The commit that was built, in hexadecimal digits.
    pub commit: String,
    /// Seconds since 1970.
    pub time: i64,
    pub size: Size,
}

/// The last builds of a branch, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logbook(Vec<Logged>);

impl Logbook {
    /// How many builds it has at most.
    pub const LIMIT: usize = 50;

    /// The oldest first.
    #[must_use]
    pub fn builds(&self) -> &[Logged] {
        &self.0
    }

    /// The same with one build more; the oldest goes where there are too many. A commit that is built
    /// again, such as every night, stands there once for each time.
    #[must_use]
    pub fn with(&self, build: Logged) -> Self {
        let mut builds = self.0.clone();
        builds.push(build);
        builds.drain(..builds.len().saturating_sub(Self::LIMIT));
        Self(builds)
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(&self.0).unwrap_or_default();
        let compress = || -> std::io::Result<Vec<u8>> {
            let mut encoder = zstd::Encoder::new(MAGIC.to_vec(), LEVEL)?;
            encoder.include_checksum(true)?;
            encoder.write_all(&json)?;
            encoder.finish()
        };
        // Memory to memory with a valid level: nothing can fail, and an empty file would be refused.
        compress().unwrap_or_default()
    }

    /// Reads what [`Logbook::encode`] wrote.
    ///
    /// # Errors
    /// Anything else is one, and so is a commit that git would not name so: it will stand in reports.
    pub fn decode(bytes: &[u8]) -> Result<Self, SavedError> {
        let frame = bytes.strip_prefix(MAGIC).ok_or(SavedError::new("it is no logbook"))?;
        let not_whole = |_| SavedError::new("it is not as it was written");
        let decoder = zstd::Decoder::with_buffer(frame).map_err(not_whole)?;
        let mut json = Vec::new();
        // Where there is more, the document ends early and is none.
        decoder.take(MAX_PLAIN).read_to_end(&mut json).map_err(not_whole)?;
        let builds: Vec<Logged> = serde_json::from_slice(&json)
            .map_err(|_| SavedError::new("its document is not as expected"))?;
        if builds.len() > Self::LIMIT {
            return Err(SavedError::new("it has too many builds"));
        }
        if !builds.iter().all(|build| is_commit(&build.commit)) {
            return Err(SavedError::new("a commit in it is none"));
        }
        Ok(Self(builds))
    }
}

/// Whether git could name a commit so, in full or shortened.
#[must_use]
pub fn is_commit(text: &str) -> bool {
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (7..=MAX_COMMIT).contains(&text.len()) && text.bytes().all(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(number: i64) -> Logged {
        let size = Size { unpacked: number.unsigned_abs() * 1000, compressed: Some(1) };
        Logged { commit: format!("{number:040x}"), time: 1_700_000_000 + number, size }
    }

    #[test]
    fn the_oldest_go() {
        let book = (0..60).fold(Logbook::default(), |book, number| book.with(build(number)));
        assert_eq!(book.builds().len(), Logbook::LIMIT);
        assert_eq!(book.builds().first(), Some(&build(10)));
        assert_eq!(book.builds().last(), Some(&build(59)));
        let bytes = book.encode();
        assert!(bytes.len() < 5_000, "{}", bytes.len());
        assert_eq!(Logbook::decode(&bytes), Ok(book));
    }

    #[test]
    fn what_is_not_whole_is_none() {
        let bytes = Logbook::default().with(build(1)).with(build(2)).encode();
        for position in 0..bytes.len() {
            assert!(Logbook::decode(&bytes[..position]).is_err(), "{position}");
            let mut changed = bytes.clone();
            changed[position] ^= 0x10;
            let decoded = Logbook::decode(&changed);
            assert!(decoded.is_err() || decoded == Logbook::decode(&bytes), "{position}");
        }
    }

    #[test]
    fn what_could_not_stand_in_a_report_is_none() {
        for commit in ["", "abc", "@everyone", "<b>1234567", &"a".repeat(65), "ABCDEF0"] {
            assert!(!is_commit(commit), "{commit}");
            let book = Logbook::default().with(Logged { commit: commit.to_owned(), ..build(1) });
            assert!(Logbook::decode(&book.encode()).is_err(), "{commit}");
        }
        let many = Logbook((0..51).map(build).collect());
        assert!(Logbook::decode(&many.encode()).is_err());
    }

    /// A few hundred bytes that unpack to a gigabyte.
    #[test]
    fn a_bomb_is_none() {
        let mut encoder = zstd::Encoder::new(MAGIC.to_vec(), 1).unwrap();
        std::io::copy(&mut std::io::repeat(b' ').take(1 << 28), &mut encoder).unwrap();
        assert!(Logbook::decode(&encoder.finish().unwrap()).is_err());
    }
}
