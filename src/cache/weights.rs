//! What earlier builds weighed: the weight of each commit's image, and a logbook for each branch.
//!
//! Entries never change, so a build that logs adds a whole logbook: the newest one it has found, and
//! itself. Of two builds at once the next finds one, and only a dot of a chart is lost: weights are
//! found by their commits.

use std::io::Read;

use super::backend::{CacheBackend, CacheFault, EntryKey, FoundEntry};
use super::place::Place;
use super::remote::KEYS_AT_ONCE;
use crate::digest::Sha256Sum;
use crate::weight::{self, Logbook, Logged, SavedError, Weight};

/// What is taken for a weight at most; bytes. That of a million files is a fifth of it.
pub const WEIGHT_LIMIT: u64 = 64 << 20;
pub const LOGBOOK_LIMIT: u64 = 64 << 10;

/// The keys of what is kept about the builds of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightKeys {
    image: String,
}

impl WeightKeys {
    /// `image` tells images apart: what is built, for which platform, under which names.
    #[must_use]
    pub fn of(image: &str) -> Self {
        Self { image: short(image) }
    }

    /// The entry of one build.
    #[must_use]
    pub fn weight(&self, build: &Logged) -> String {
        format!("{}{}", self.commit(&build.commit), time(build))
    }

    /// The beginning of the keys of all builds of a commit.
    fn commit(&self, commit: &str) -> String {
        format!("w-{}-{commit}-", self.image)
    }

    /// The entry of a branch's logbook, whose last build this is.
    #[must_use]
    pub fn logbook(&self, branch: &str, build: &Logged) -> String {
        format!("{}{}-{}", self.branch(branch), time(build), build.commit)
    }

    fn branch(&self, branch: &str) -> String {
        format!("l-{}-{}-", self.image, short(branch))
    }
}

fn short(text: &str) -> String {
    Sha256Sum::of(text.as_bytes()).hex()[..16].to_owned()
}

/// Sorts as the times do.
fn time(build: &Logged) -> String {
    format!("{:012}", build.time.max(0))
}

impl Place {
    /// What the image of `commit` weighed when it was built last.
    #[must_use]
    pub fn weight_of_commit(&self, keys: &WeightKeys, commit: &str) -> Option<Weight> {
        let prefix = self.scoped(&keys.commit(commit));
        self.read_weight(|backend| backend.newest(&prefix))
    }

    /// The weight of the newest of `builds` that is still there, and which it is.
    #[must_use]
    pub fn newest_weight<'b>(
        &self,
        keys: &WeightKeys,
        builds: &'b [Logged],
    ) -> Option<(&'b Logged, Weight)> {
        let newest: Vec<(&Logged, EntryKey)> =
            builds.iter().rev().map(|b| (b, EntryKey(self.scoped(&keys.weight(b))))).collect();
        for some in newest.chunks(KEYS_AT_ONCE) {
            let asked: Vec<EntryKey> = some.iter().map(|(_, key)| key.clone()).collect();
            let mut found = None;
            let weight = self.read_weight(|backend| {
                let entry = backend.find(&asked)?;
                found = entry.as_ref().and_then(|entry| {
                    some.iter().find(|(_, key)| *key == entry.key).map(|(build, _)| *build)
                });
                Ok(entry)
            });
            if let (Some(build), Some(weight)) = (found, weight) {
                return Some((build, weight));
            }
        }
        None
    }

    /// The newest logbook of `branch`.
    #[must_use]
    pub fn logbook(&self, keys: &WeightKeys, branch: &str) -> Option<Logbook> {
        let prefix = self.scoped(&keys.branch(branch));
        self.read_checked(|backend| backend.newest(&prefix), LOGBOOK_LIMIT, Logbook::decode)
    }

    fn read_weight(
        &self,
        find: impl FnOnce(&dyn CacheBackend) -> Result<Option<FoundEntry>, CacheFault>,
    ) -> Option<Weight> {
        self.read_checked(find, WEIGHT_LIMIT, weight::decode)
    }

    /// What is damaged is none.
    fn read_checked<T>(
        &self,
        find: impl FnOnce(&dyn CacheBackend) -> Result<Option<FoundEntry>, CacheFault>,
        limit: u64,
        decode: impl FnOnce(&[u8]) -> Result<T, SavedError>,
    ) -> Option<T> {
        let read = |key: &EntryKey, content: &mut dyn Read| {
            let mut bytes = Vec::new();
            // One that is cut off at the limit is no whole one.
            let read = content.take(limit).read_to_end(&mut bytes).map_err(|e| e.to_string());
            let decoded = read.and_then(|_| decode(&bytes).map_err(|e| e.to_string()));
            (key.clone(), decoded)
        };
        match self.read(find, read)? {
            (_, Ok(decoded)) => Some(decoded),
            (key, Err(why)) => {
                self.fault(&format!("{}: {why}", key.0));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::backend::EntryContent;
    use super::super::place::tests::{Fake, Mood};
    use super::*;
    use crate::digest::Digest;
    use crate::weight::{Efficiency, Identity, Size, encode};

    fn weight(name: &str) -> Weight {
        let image = Identity {
            name: name.to_owned(),
            platform: "linux/amd64".to_owned(),
            manifest: None,
            config: Digest::of(name.as_bytes()),
        };
        Weight {
            image,
            program_version: String::new(),
            distribution: None,
            layers: Vec::new(),
            files: Vec::new(),
            packages: Vec::new(),
            findings: Vec::new(),
            efficiency: Efficiency::default(),
        }
    }

    fn build(commit: &str, time: i64) -> Logged {
        Logged { commit: commit.to_owned(), time, size: Size::ZERO }
    }

    fn save(place: &Place, key: &str, bytes: &[u8]) {
        let key = EntryKey(place.scoped(key));
        assert!(place.save(|backend| backend.save(&key, EntryContent::Bytes(bytes), &[])));
    }

    #[test]
    fn a_commit_has_the_weight_of_its_last_build() {
        let keys = WeightKeys::of("app");
        for scope in [None, Some("one")] {
            let place = Place::with_scope(Box::new(Fake::new(Mood::Well)), scope);
            for (commit, time) in [("aaaaaaa", 999), ("aaaaaaa", 1000), ("bbbbbbb", 2000)] {
                let text = format!("{commit} {time}");
                save(&place, &keys.weight(&build(commit, time)), &encode(&weight(&text)));
            }
            let found = |commit| Some(place.weight_of_commit(&keys, commit)?.image.name);
            assert_eq!(found("aaaaaaa").as_deref(), Some("aaaaaaa 1000"));
            assert_eq!(found("bbbbbbb").as_deref(), Some("bbbbbbb 2000"));
            assert_eq!(found("ccccccc"), None);
            assert!(place.weight_of_commit(&WeightKeys::of("other"), "aaaaaaa").is_none());
        }
    }

    #[test]
    fn the_newest_that_is_left_is_found_among_many() {
        let fake = Fake::new(Mood::Well);
        let place = Place::new(Box::new(fake.clone()));
        let keys = WeightKeys::of("app");
        let builds: Vec<Logged> = (0..30).map(|n| build(&format!("{n:07}"), n)).collect();
        for kept in [3, 7] {
            save(&place, &keys.weight(&builds[kept]), &encode(&weight("kept")));
        }
        let (found, _) = place.newest_weight(&keys, &builds).unwrap();
        assert_eq!(found, &builds[7]);
        assert_eq!(fake.count("find"), 3, "30 keys, 10 at once");
    }

    #[test]
    fn the_newest_logbook_is_its_branch_s() {
        let place = Place::new(Box::new(Fake::new(Mood::Well)));
        let keys = WeightKeys::of("app");
        let mut book = Logbook::default();
        for time in [999, 1000, 1001] {
            let build = build("aaaaaaa", time);
            book = book.with(build.clone());
            save(&place, &keys.logbook("main", &build), &book.encode());
        }
        assert_eq!(place.logbook(&keys, "main"), Some(book));
        assert_eq!(place.logbook(&keys, "next"), None);
    }

    #[test]
    fn what_is_damaged_is_a_miss_that_is_told() {
        let place = Place::new(Box::new(Fake::new(Mood::Well)));
        let keys = WeightKeys::of("app");
        let whole = encode(&weight("app"));
        let build = build("aaaaaaa", 1);
        save(&place, &keys.weight(&build), &whole[..whole.len() - 1]);
        save(&place, &keys.logbook("main", &build), b"plimlog\x01and no more");
        assert!(place.weight_of_commit(&keys, "aaaaaaa").is_none());
        assert!(place.newest_weight(&keys, &[build]).is_none());
        assert!(place.logbook(&keys, "main").is_none());
        let notices = place.notices();
        assert!(matches!(&notices[..], [one] if one.contains("damaged")), "{notices:?}");
    }

    #[test]
    fn a_place_that_is_gone_has_nothing() {
        for mood in [Mood::Failing, Mood::Unavailable] {
            let place = Place::new(Box::new(Fake::new(mood)));
            let keys = WeightKeys::of("app");
            assert!(place.weight_of_commit(&keys, "aaaaaaa").is_none());
            assert!(place.logbook(&keys, "main").is_none());
            assert_eq!(place.notices().len(), 1);
        }
    }
}
