//! Places that work, deny and hang.

use std::io;
use std::path::Path;

use super::super::place::tests::{Fake, Mood};
use super::super::record::tests::record;
use super::*;
use crate::cache::backend::{EntryContent, EntryKey};
use crate::cache::bundle::{blob_entry, record_entry};
use crate::digest::Sha256Sum;

const LONG: Duration = Duration::from_secs(20);

fn uploads(fake: &Fake) -> Uploads {
    Uploads::new(vec![target(Place::new(Box::new(fake.clone())))], Arc::new(()))
}

fn nothing_older() -> Arc<RemoteCache> {
    Arc::new(RemoteCache::open(Vec::new(), String::new()))
}

fn target(place: Arc<Place>) -> Target {
    Target { place, only_image: false }
}

/// A result with one blob of its own, of `size` bytes.
fn result(folder: &Path, name: &str, size: usize) -> StepToSave {
    let bytes = name.as_bytes().repeat(size / name.len());
    let mut record = record(name);
    record.layers[0].descriptor = Descriptor::new("", Digest::of(&bytes), bytes.len() as u64);
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    StepToSave {
        key: RecordKey(Sha256Sum::of(name.as_bytes())),
        blobs: vec![(record.layers[0].descriptor.clone(), path)],
        record,
        only_in_index: false,
        in_image: false,
    }
}

#[test]
fn blobs_come_before_their_record_and_small_ones_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(Mood::Well);
    let uploads = uploads(&fake);
    let large = result(dir.path(), "large", 1_000_000);
    for _ in 0..3 {
        uploads.save(large.clone());
    }
    uploads.save(result(dir.path(), "small", 1000));
    uploads.save_index("i-1-".to_owned(), &nothing_older(), History::default());
    assert_eq!(uploads.finish(LONG), 0);
    let requests = fake.requests.lock().unwrap().clone();
    assert_eq!(fake.count("save b-"), 1, "{requests:?}");
    assert_eq!(fake.count("save r-"), 4, "{requests:?}");
    assert_eq!(fake.count("save i-1-"), 1, "{requests:?}");
    let position = |what: &str| {
        requests.iter().position(|request| request.starts_with(&format!("save {what}")))
    };
    let blob = position(&blob_entry(&large.record.layers[0].descriptor.digest).0);
    assert!(blob < position(&record_entry(&large.key).0) && blob < position("i-1-"));
}

#[test]
fn after_a_denial_nothing_more_is_tried() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(Mood::ReadOnly);
    let uploads = uploads(&fake);
    uploads.save(result(dir.path(), "first", 1_000_000));
    while uploads.is_possible() {
        std::thread::yield_now();
    }
    uploads.save(result(dir.path(), "second", 1_000_000));
    uploads.save_index("i-1-".to_owned(), &nothing_older(), History::default());
    assert_eq!(uploads.finish(LONG), 0);
    assert_eq!(fake.count("save"), 1);
}

#[test]
fn an_index_takes_over_what_the_last_one_had_and_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::new(Mood::Well);
    let place = Place::new(Box::new(fake.clone()));
    let build = |number: u32, names: &[&str], document: &[u8]| {
        let from = RemoteCache::open(vec![Arc::clone(&place)], "i-".to_owned());
        let from = Arc::new(from);
        let uploads = Uploads::new(vec![target(Arc::clone(&place))], Arc::new(()));
        for name in names {
            let only_in_index = true;
            uploads.save(StepToSave { only_in_index, ..result(dir.path(), name, 10) });
        }
        uploads.add_document(document);
        uploads.save_index(format!("i-{number}-"), &from, History::default());
        uploads.finish(LONG);
        from
    };
    build(1, &["aa"], b"{}");
    build(2, &["bb"], b"{}");
    let read = build(3, &["aa"], b"{}");
    let keys = ["aa", "bb"].map(|name| RecordKey(Sha256Sum::of(name.as_bytes())));
    for key in keys {
        assert!(read.first(&[key]).is_some());
    }
    assert_eq!(fake.entries.lock().unwrap().len(), 2, "nothing new the third time");
    let (before, after) = (Digest::of(b"{}"), Digest::of(b"[]"));
    assert_eq!(read.document(&before).as_deref(), Some(&b"{}"[..]));
    assert_eq!(build(4, &["aa"], b"[]").document(&after), None);
    let read = build(5, &["aa"], b"[]");
    assert_eq!(fake.entries.lock().unwrap().len(), 3, "the base had another document");
    assert_eq!(read.document(&after).as_deref(), Some(&b"[]"[..]));
}

#[test]
fn a_request_that_hangs_is_left_behind() {
    #[derive(Debug)]
    struct Hanging;
    impl crate::cache::CacheBackend for Hanging {
        fn name(&self) -> String {
            "hanging".to_owned()
        }
        fn find(
            &self,
            _: &[EntryKey],
        ) -> Result<Option<crate::cache::FoundEntry>, crate::cache::CacheFault> {
            Ok(None)
        }
        fn newest(
            &self,
            _: &str,
        ) -> Result<Option<crate::cache::FoundEntry>, crate::cache::CacheFault> {
            Ok(None)
        }
        fn open(
            &self,
            _: &crate::cache::FoundEntry,
        ) -> Result<Box<dyn io::Read + Send>, crate::cache::CacheFault> {
            Ok(Box::new(io::empty()))
        }
        fn save(
            &self,
            _: &EntryKey,
            _: EntryContent<'_>,
            _: &[Descriptor],
        ) -> Result<crate::cache::Saved, crate::cache::CacheFault> {
            loop {
                std::thread::park();
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let uploads = Uploads::new(vec![target(Place::new(Box::new(Hanging)))], Arc::new(()));
    uploads.save(result(dir.path(), "a", 10));
    assert_eq!(uploads.finish(Duration::from_millis(50)), 1);
}
