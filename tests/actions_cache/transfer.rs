//! The bytes: blocks, ranges, memory, and URLs that expire on the way.

use std::io::{Read, Write as _};
use std::path::Path;
use std::process::Command;

use super::actions_cache::{
    CREATE, FINALIZE, FakeActionsCache, FaultKind, GET_BLOB, LOOKUP, Options, PUT_BLOB, PUT_BLOCK,
    PUT_BLOCK_LIST, token,
};
use super::{Job, MAIN, entry_key, noise};
use plimsoll::cache::{CacheBackend as _, CacheFault, EntryContent, Saved};
use plimsoll::digest::Sha256Sum;

const MIB: usize = 1 << 20;

fn fake() -> FakeActionsCache {
    FakeActionsCache::start(Options::default())
}

fn job(fake: &FakeActionsCache) -> Job {
    Job::new(fake, &[(MAIN, 3)])
}

fn save_file(job: &Job, key: &str, path: &Path) -> Result<Saved, CacheFault> {
    let size = std::fs::metadata(path).unwrap().len();
    job.cache.save(&entry_key(key), EntryContent::File(path, size), &[])
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn a_large_entry_goes_in_blocks_and_comes_in_ranges() {
    let fake = fake();
    let job = job(&fake);
    let bytes = noise(37 * MIB);
    assert_eq!(save_file(&job, "b-1", file(&bytes).path()).unwrap(), Saved::New);
    for (operation, count) in [(CREATE, 1), (PUT_BLOCK, 3), (PUT_BLOCK_LIST, 1), (FINALIZE, 1)] {
        assert_eq!(fake.count(operation), count, "{operation}");
    }
    assert!(fake.content("plimsoll-b-1~").unwrap() == bytes);
    assert!(job.read("b-1").unwrap().unwrap() == bytes);
    let mut ranges: Vec<String> = fake
        .log()
        .into_iter()
        .filter(|logged| logged.operation == GET_BLOB)
        .map(|logged| logged.range)
        .collect();
    assert_eq!(ranges.len(), 10);
    assert_eq!(ranges[0], "bytes=0-4194303");
    ranges.sort();
    ranges.dedup();
    assert_eq!(ranges.len(), 10, "each once");
    // From memory it is the same.
    assert_eq!(job.save("b-2", &bytes).unwrap(), Saved::New);
    assert_eq!(fake.count(PUT_BLOCK), 6);
    assert!(fake.content("plimsoll-b-2~").unwrap() == bytes);
}

#[test]
fn sizes_around_the_limits() {
    let fake = fake();
    let job = job(&fake);
    for (index, (size, blocks, ranges)) in [
        (0, 0, 1),
        (1, 0, 1),
        (4 * MIB, 0, 1),
        (4 * MIB + 1, 0, 2),
        (16 * MIB, 0, 4),
        (16 * MIB + 1, 2, 5),
    ]
    .into_iter()
    .enumerate()
    {
        fake.forget_log();
        let bytes = noise(size);
        let key = format!("b-{index}");
        assert_eq!(job.save(&key, &bytes).unwrap(), Saved::New);
        assert!(job.read(&key).unwrap().unwrap() == bytes, "{size}");
        assert_eq!(fake.count(PUT_BLOCK), blocks, "{size}");
        assert_eq!(fake.count(PUT_BLOB), usize::from(blocks == 0), "{size}");
        assert_eq!(fake.count(GET_BLOB), ranges, "{size}");
    }
}

#[test]
fn blocks_and_ranges_are_tried_again_alone() {
    let fake = fake();
    let job = job(&fake);
    let bytes = noise(33 * MIB);
    fake.fault_later(PUT_BLOCK, 1, 2, FaultKind::Status(503));
    fake.fault(PUT_BLOCK, 1, FaultKind::LoseAnswer);
    fake.fault(PUT_BLOCK_LIST, 1, FaultKind::Status(500));
    job.save("b-1", &bytes).unwrap();
    assert_eq!((fake.count(PUT_BLOCK), fake.count(PUT_BLOCK_LIST)), (6, 2));

    // What came of a range before it broke off is not asked for again.
    fake.forget_log();
    fake.fault(GET_BLOB, 1, FaultKind::BreakAfterSending(MIB));
    fake.fault_later(GET_BLOB, 3, 1, FaultKind::BreakAfterSending(2 * MIB));
    fake.fault_later(GET_BLOB, 5, 1, FaultKind::Status(503));
    assert!(job.read("b-1").unwrap().unwrap() == bytes);
    let log = fake.log();
    let sent: usize = log.iter().filter(|l| l.operation == GET_BLOB).map(|l| l.sent).sum();
    assert_eq!((fake.count(GET_BLOB), sent), (9 + 3, 33 * MIB));
}

#[test]
fn a_store_that_stays_broken_ends_the_reading_with_an_error() {
    let fake = fake();
    let job = job(&fake);
    // More ranges than are asked for ahead of the reader.
    job.save("b-1", &noise(60 * MIB)).unwrap();
    let found = job.cache.find(&[entry_key("b-1")]).unwrap().unwrap();
    let mut reader = job.cache.open(&found).unwrap();
    fake.fault(GET_BLOB, 1000, FaultKind::Status(503));
    let mut bytes = Vec::new();
    let error = reader.read_to_end(&mut bytes).unwrap_err().to_string();
    assert_eq!(error, "Get Blob: status 503");
    assert!(bytes.len() < 60 * MIB && bytes.len() >= 4 * MIB, "{}", bytes.len());
    assert!(matches!(job.cache.open(&found).err(), Some(CacheFault::Failed(_))));
    // One entry's fault says nothing of the service.
    fake.stop_faults();
    assert!(job.find(&["b-1"]).unwrap().is_some());
}

#[test]
fn a_reader_that_is_dropped_ends_its_fetching() {
    let fake = fake();
    let job = job(&fake);
    job.save("b-1", &noise(60 * MIB)).unwrap();
    let found = job.cache.find(&[entry_key("b-1")]).unwrap().unwrap();
    drop(job.cache.open(&found).unwrap());
    // All that could have been asked for ahead has been by the time that this is answered.
    assert!(job.find(&["b-1"]).unwrap().is_some());
    assert!(fake.count(GET_BLOB) < 15, "{}", fake.count(GET_BLOB));
}

#[test]
fn an_entry_that_shrinks_while_it_is_read_is_an_error() {
    let fake = fake();
    let job = job(&fake);
    // More ranges than are asked for ahead of the reader.
    job.save("b-1", &noise(60 * MIB)).unwrap();
    let found = job.cache.find(&[entry_key("b-1")]).unwrap().unwrap();
    let mut reader = job.cache.open(&found).unwrap();
    fake.replace("plimsoll-b-1~", noise(50 * MIB));
    let mut bytes = Vec::new();
    let error = reader.read_to_end(&mut bytes).unwrap_err().to_string();
    assert!(error.contains("had 62914560 bytes and now has 52428800"), "{error}");
}

#[test]
fn an_expired_url_is_asked_for_again_and_the_reading_goes_on() {
    let fake = fake();
    let job = job(&fake);
    let bytes = noise(30 * MIB);
    job.save("b-1", &bytes).unwrap();
    let found = job.cache.find(&[entry_key("b-1")]).unwrap().unwrap();

    // Expired between finding and opening.
    fake.expire_urls();
    fake.forget_log();
    let mut read = Vec::new();
    job.cache.open(&found).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == bytes);
    assert_eq!((fake.count(LOOKUP), fake.count(GET_BLOB)), (1, 9));

    // Expired in the middle: one of the ranges in flight asks, all go on with its answer.
    fake.forget_log();
    fake.fault_later(GET_BLOB, 3, 1, FaultKind::ExpireUrls);
    assert!(job.read("b-1").unwrap().unwrap() == bytes);
    assert_eq!(fake.count(LOOKUP), 2);
    assert!((9..=12).contains(&fake.count(GET_BLOB)), "{}", fake.count(GET_BLOB));
}

#[test]
fn a_url_that_is_refused_twice_is_not_asked_for_a_third_time() {
    let fake = fake();
    let job = job(&fake);
    job.save("b-1", b"x").unwrap();
    let found = job.cache.find(&[entry_key("b-1")]).unwrap().unwrap();
    fake.forget_log();
    fake.fault(GET_BLOB, 100, FaultKind::ExpireUrls);
    let error = job.cache.open(&found).err().unwrap().to_string();
    assert_eq!(error, "Get Blob: status 403, AuthenticationFailed");
    assert_eq!((fake.count(LOOKUP), fake.count(GET_BLOB)), (1, 2));
}

#[test]
fn an_upload_whose_url_expires_gets_another_name_once() {
    let fake = fake();
    let job = job(&fake);
    let bytes = noise(33 * MIB);
    fake.fault_later(PUT_BLOCK, 2, 1, FaultKind::ExpireUrls);
    assert_eq!(job.save("b-1", &bytes).unwrap(), Saved::New);
    let names: Vec<String> = fake.entries().into_iter().map(|(_, key)| key).collect();
    assert_eq!(names, ["plimsoll-b-1~1"]);
    assert!(job.read("b-1").unwrap().unwrap() == bytes);

    fake.fault(PUT_BLOB, 100, FaultKind::ExpireUrls);
    fake.forget_log();
    let error = job.save("b-2", b"x").unwrap_err().to_string();
    assert_eq!(error, "Put Blob: status 403, AuthenticationFailed");
    assert_eq!((fake.count(CREATE), fake.count(PUT_BLOB)), (2, 2));
}

#[test]
fn a_store_without_ranges_is_read_in_one_go() {
    let options = Options { ignore_ranges: true, ..Options::default() };
    let fake = FakeActionsCache::start(options);
    let job = job(&fake);
    let bytes = noise(9 * MIB);
    job.save("b-1", &bytes).unwrap();
    assert!(job.read("b-1").unwrap().unwrap() == bytes);
    assert_eq!(fake.count(GET_BLOB), 1);
    fake.fault(GET_BLOB, 1, FaultKind::BreakAfterSending(5 * MIB));
    assert!(matches!(job.read("b-1"), Err(CacheFault::Io(_))));
}

#[test]
fn a_file_that_is_not_as_long_as_said_is_not_sent() {
    let fake = fake();
    let job = job(&fake);
    let file = file(b"12345");
    let save = |path: &Path| job.cache.save(&entry_key("b-1"), EntryContent::File(path, 4), &[]);
    let error = save(file.path()).unwrap_err().to_string();
    assert!(error.ends_with("expected 4 bytes but found 5"), "{error}");
    assert!(matches!(save(Path::new("/nonexistent")), Err(CacheFault::Io(_))));
    assert_eq!(fake.log().len(), 0);
}

/// Runs itself as a process with nothing else in it, once for a byte and once for 300 MB.
#[test]
fn memory_does_not_grow_with_the_size_of_an_entry() {
    const SIZE: u64 = 300_000_000;
    if let (Ok(url), Ok(size)) = (std::env::var(CHILD_URL), std::env::var(CHILD_SIZE)) {
        return save_and_read(&url, size.parse().unwrap());
    }
    let fake = fake();
    let peak = |size: u64| -> u64 {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "transfer::memory_does_not_grow_with_the_size_of_an_entry"])
            .arg("--nocapture")
            .env(CHILD_URL, fake.url())
            .env(CHILD_SIZE, size.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let peak = text.split("peak ").nth(1).and_then(|rest| rest.split(' ').next());
        peak.unwrap().parse().unwrap()
    };
    let (small, large) = (peak(1), peak(SIZE));
    eprintln!("peak: {small} kB for a byte, {large} kB for {SIZE} bytes");
    assert!(large < small + 64_000, "{small} kB, {large} kB");
    assert_eq!(fake.content("plimsoll-b-300000000~").unwrap().len() as u64, SIZE);
}

const CHILD_URL: &str = "PLIMSOLL_TEST_CACHE_URL";
const CHILD_SIZE: &str = "PLIMSOLL_TEST_CACHE_SIZE";

fn save_and_read(url: &str, size: u64) {
    let job = Job::at(url, &token(&[(MAIN, 3)]), "");
    // Sparse: it takes no room.
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(size).unwrap();
    let key = format!("b-{size}");
    assert_eq!(save_file(&job, &key, file.path()).unwrap(), Saved::New);
    let found = job.cache.find(&[entry_key(&key)]).unwrap().unwrap();
    let read = std::io::copy(&mut job.cache.open(&found).unwrap(), &mut std::io::sink()).unwrap();
    assert_eq!(read, size);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("peak {}", peak.trim());
}

#[test]
fn bytes_are_handed_on_as_they_are() {
    let fake = fake();
    let job = job(&fake);
    let bytes = noise(5 * MIB);
    job.save("b-1", &bytes).unwrap();
    // Another's bytes come through too: it is for the reader to check them.
    let mut other = bytes.clone();
    other[4 * MIB + 1] ^= 1;
    fake.replace("plimsoll-b-1~", other.clone());
    let read = job.read("b-1").unwrap().unwrap();
    assert_eq!(Sha256Sum::of(&read).hex(), Sha256Sum::of(&other).hex());
}
