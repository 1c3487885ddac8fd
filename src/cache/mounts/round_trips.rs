//! A folder, saved in a place and brought back from it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::fs::XattrFlags;

use super::super::backend::{CacheBackend, EntryContent, EntryKey};
use super::super::place::Place;
use super::super::place::tests::{Fake, Mood};
use super::super::remote::RemoteCache;
use super::manifest::{Content, Files, InPack, Manifest, MountEntry, MountName, Node, Pack};
use super::scan::Check;
use super::{MountBudget, MountOutcome, MountToSave, RestoredMount, save};
use crate::digest::{ContentSum, Digest};
use crate::image::Descriptor;
use crate::platform::Platform;

/// A cache mount of one machine after the other.
struct Mount {
    fake: Fake,
    directory: tempfile::TempDir,
    now: i64,
}

/// What a machine has.
struct Machine {
    place: Arc<Place>,
    path: PathBuf,
    restored: Option<RestoredMount>,
}

fn name() -> MountName {
    MountName::new("/root/.cache", &Platform::host())
}

impl Mount {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("work")).unwrap();
        Self { fake: Fake::new(Mood::Well), directory, now: 1_700_000_000 }
    }

    /// An empty one, which asks for the mount.
    fn machine(&mut self) -> Machine {
        self.now += 1;
        let path = self.directory.path().join(format!("mount-{}", self.now));
        fs::create_dir(&path).unwrap();
        let place = Place::new(Box::new(self.fake.clone()));
        let cache = RemoteCache::open(vec![Arc::clone(&place)], "i-".to_owned());
        let restored = cache.restore_mount(&name(), &path, &|| Ok(())).unwrap();
        Machine { place, path, restored }
    }

    fn save_while(
        &self,
        machine: &Machine,
        budget: &MountBudget,
        check: Check<'_>,
    ) -> Option<MountOutcome> {
        let mount = MountToSave {
            id: "/root/.cache".to_owned(),
            name: name(),
            path: machine.path.clone(),
            restored: machine.restored.clone(),
            now: self.now,
            threads: 2,
            work: self.directory.path().join("work"),
        };
        let put =
            |place: &Place, key: &EntryKey, content: EntryContent<'_>, blobs: &[Descriptor]| {
                place.save(|backend: &dyn CacheBackend| backend.save(key, content, blobs))
            };
        save::save(&mount, &[&machine.place], budget, &put, check)
    }

    fn save_within(&self, machine: &Machine, budget: &MountBudget) -> Option<MountOutcome> {
        self.save_while(machine, budget, &|| Ok(()))
    }

    fn save(&self, machine: &Machine) -> Option<MountOutcome> {
        self.save_within(machine, &MountBudget::new(1 << 30, 1 << 30))
    }

    /// Keys of all entries that begin so, in their order.
    fn keys(&self, start: &str) -> Vec<String> {
        let entries = self.fake.entries.lock().unwrap();
        entries.keys().filter(|key| key.starts_with(start)).cloned().collect()
    }

    fn newest(&self) -> Manifest {
        let key = self.keys("m-").pop().unwrap();
        Manifest::decode(&self.fake.entries.lock().unwrap()[&key][..], &name()).unwrap()
    }

    fn change(&self, key: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.fake.entries.lock().unwrap().get_mut(key).unwrap());
    }
}

impl Machine {
    fn write(&self, name: &str, content: &[u8]) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.path).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Bytes that no compressor makes smaller.
fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// All that a program can see of a folder but inode numbers and the times that nobody sets.
fn seen(root: &Path) -> BTreeMap<PathBuf, String> {
    fn look(
        path: &Path,
        root: &Path,
        names: &mut BTreeMap<u64, PathBuf>,
        seen: &mut BTreeMap<PathBuf, String>,
    ) {
        let m = fs::symlink_metadata(path).unwrap();
        let short = path.strip_prefix(root).unwrap().to_owned();
        let mut text =
            format!("{:o} {}:{} {}.{:09} ", m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec());
        if m.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                look(&entry.unwrap().path(), root, names, seen);
            }
        } else if m.is_symlink() {
            text.push_str(&format!("{:?}", fs::read_link(path).unwrap()));
        } else {
            let mut value = [0; 64];
            let length = rustix::fs::lgetxattr(path, "user.canary", &mut value[..]).unwrap_or(0);
            text.push_str(&format!(
                "{} {:?} ",
                ContentSum::of(&fs::read(path).unwrap()),
                &value[..length]
            ));
            if m.nlink() > 1 {
                let first = names.entry(m.ino()).or_insert_with(|| short.clone());
                text.push_str(&format!("one of {} {first:?}", m.nlink()));
            }
        }
        seen.insert(short, text);
    }
    let (mut names, mut all) = (BTreeMap::new(), BTreeMap::new());
    // In the order of their names, so that the first of a group is the same.
    fn sorted(root: &Path, names: &mut BTreeMap<u64, PathBuf>) {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            let m = fs::symlink_metadata(&path).unwrap();
            if m.is_dir() {
                sorted(&path, names);
            } else if m.is_file() && m.nlink() > 1 {
                names.entry(m.ino()).or_insert(path);
            }
        }
    }
    sorted(root, &mut names);
    let mut names =
        names.into_iter().map(|(k, v)| (k, v.strip_prefix(root).unwrap().to_owned())).collect();
    look(root, root, &mut names, &mut all);
    all
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
}

#[test]
fn all_that_a_tool_can_see_comes_back() {
    let mut mount = Mount::new();
    let first = mount.machine();
    assert!(first.restored.is_none());
    first.write("empty", b"");
    first.write("also-empty", b"");
    first.write("deep/er/file", b"content");
    first.write("deep/copy", b"content");
    first.write("large", &noise("large", 3_000_000));
    first.write("set-user-id", b"x");
    fs::hard_link(first.path.join("large"), first.path.join("deep/linked")).unwrap();
    fs::hard_link(first.path.join("large"), first.path.join("z-linked")).unwrap();
    symlink("../outside", first.path.join("deep/symlink")).unwrap();
    symlink("/dangling", first.path.join("dangling")).unwrap();
    fs::write(first.path.join(OsStr::from_bytes(b"\xff\xfe name\n")), "odd").unwrap();
    let file = first.path.join("deep/er/file");
    let attribute = rustix::fs::setxattr(&file, "user.canary", b"value", XattrFlags::empty());
    if attribute.is_err() {
        eprintln!("SKIPPED in part: the file system of {} has no attributes", file.display());
    }
    if rustix::process::getuid().is_root() {
        std::os::unix::fs::chown(&file, Some(1234), Some(5678)).unwrap();
        std::os::unix::fs::lchown(first.path.join("dangling"), Some(12), Some(34)).unwrap();
    } else {
        eprintln!("SKIPPED in part: owners need root");
    }
    fs::set_permissions(first.path.join("set-user-id"), Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(first.path.join("deep/er"), Permissions::from_mode(0o2555)).unwrap();
    fs::set_permissions(&first.path, Permissions::from_mode(0o1777)).unwrap();
    for (name, seconds, nanoseconds) in [
        ("large", 1_500_000_000, 123_456_789),
        ("dangling", -5, 1),
        ("deep/er", 9, 999_999_999),
        ("", 3, 7),
    ] {
        set_time(&first.path.join(name), seconds, nanoseconds);
    }
    let expected = seen(&first.path);
    assert!(matches!(mount.save(&first), Some(MountOutcome::Saved(_))));

    let second = mount.machine();
    assert_eq!(seen(&second.path), expected);
    let restored = second.restored.as_ref().unwrap();
    assert_eq!(restored.unpacked(), 3_000_000 + 7 + 1 + 3, "each content once");
    assert_eq!(mount.save(&second), Some(MountOutcome::Unchanged));
    assert_eq!((mount.keys("m-").len(), mount.keys("p-").len()), (1, 1));
}

#[test]
fn what_has_not_changed_is_not_saved_and_a_small_change_is_a_small_pack() {
    let mut mount = Mount::new();
    let first = mount.machine();
    assert_eq!(mount.save(&first), Some(MountOutcome::Unchanged), "there is nothing");
    for number in 0..20 {
        first.write(&format!("objects/{number}"), &noise(&format!("{number}"), 50_000));
    }
    let Some(MountOutcome::Saved(all)) = mount.save(&first) else { panic!() };

    let second = mount.machine();
    mount.fake.requests.lock().unwrap().clear();
    second.write("objects/lock", b"");
    fs::remove_file(second.path.join("objects/lock")).unwrap();
    assert_eq!(
        mount.save(&second),
        Some(MountOutcome::Unchanged),
        "a directory's time is no change"
    );
    assert_eq!(mount.fake.requests.lock().unwrap().len(), 0, "nothing is asked");
    second.write("objects/3", &noise("new", 50_000));
    fs::rename(second.path.join("objects/4"), second.path.join("renamed")).unwrap();
    fs::remove_file(second.path.join("objects/5")).unwrap();
    let Some(MountOutcome::Saved(changed)) = mount.save(&second) else { panic!() };
    assert!(all > 1_000_000 && changed < 60_000, "{all} {changed}");
    let expected = seen(&second.path);

    let third = mount.machine();
    assert_eq!(seen(&third.path), expected);
    set_time(&third.path.join("renamed"), 5, 5);
    assert!(matches!(mount.save(&third), Some(MountOutcome::Saved(bytes)) if bytes < 5000));
    assert_eq!((mount.keys("m-").len(), mount.keys("p-").len()), (3, 2), "no pack for a time");
    assert_eq!(seen(&mount.machine().path), seen(&third.path));
}

/// As a tool that writes and then sets the old time, which is what cp -p, tar and git do.
#[test]
fn a_change_that_hides_behind_an_old_time_is_found() {
    let mut mount = Mount::new();
    let first = mount.machine();
    first.write("file", b"one");
    set_time(&first.path.join("file"), 100, 0);
    mount.save(&first);
    let second = mount.machine();
    // A tick of the kernel's clock must pass, else any change would be looked at anyway.
    std::thread::sleep(Duration::from_millis(20));
    second.write("file", b"two");
    set_time(&second.path.join("file"), 100, 0);
    assert!(matches!(mount.save(&second), Some(MountOutcome::Saved(_))));
    assert_eq!(fs::read(mount.machine().path.join("file")).unwrap(), b"two");
}

#[test]
fn many_small_packs_and_packs_full_of_old_files_become_one() {
    let mut mount = Mount::new();
    for number in 0..12 {
        let machine = mount.machine();
        machine.write(&number.to_string(), &noise(&number.to_string(), 10_000));
        assert!(matches!(mount.save(&machine), Some(MountOutcome::Saved(_))));
        let packs = mount.newest().packs.len();
        assert_eq!(packs, number % 8 + 1, "after {number}");
    }
    let machine = mount.machine();
    assert_eq!(machine.names().len(), 12);
    for number in 0..7 {
        fs::remove_file(machine.path.join(number.to_string())).unwrap();
    }
    mount.save(&machine);
    let packs = mount.newest().packs;
    assert_eq!((packs.len(), packs[0].unpacked), (1, 50_000));
    assert_eq!(mount.machine().names().len(), 5);
}

#[test]
fn whatever_is_damaged_or_gone_is_a_miss_and_the_next_save_mends_it() {
    let damage: [(&str, &str, fn(&Mount, &str)); 6] = [
        ("m-", "list of a cache mount's files is damaged", |mount, key| {
            mount.change(key, |bytes| bytes.truncate(bytes.len() / 2));
        }),
        ("m-", "list of a cache mount's files is damaged", |mount, key| {
            mount.change(key, |bytes| *bytes = b"another format".to_vec());
        }),
        ("p-", "can't be restored: p-", |mount, key| {
            mount.change(key, |bytes| bytes.truncate(bytes.len() - 1));
        }),
        ("p-", "can't be restored: p-", |mount, key| {
            mount.change(key, |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            });
        }),
        ("p-", "can't be restored: p-", |mount, key| {
            // Whole, but another.
            mount.change(key, |bytes| {
                *bytes = zstd::encode_all(&noise("x", 200_000)[..], 1).unwrap()
            });
        }),
        ("p-", "is not there any more", |mount, key| {
            mount.fake.entries.lock().unwrap().remove(key);
        }),
    ];
    for (start, notice, damage) in damage {
        let mut mount = Mount::new();
        let first = mount.machine();
        first.write("a", &noise("a", 100_000));
        first.write("b/c", &noise("b", 100_000));
        mount.save(&first);
        let key = mount.keys(start).pop().unwrap();
        damage(&mount, &key);

        let second = mount.machine();
        assert!(second.restored.is_none());
        assert_eq!(second.names(), [""; 0], "no half of it");
        let notices = second.place.notices();
        assert!(notices.len() == 1 && notices[0].contains(notice), "{notices:?}");
        // The RUN makes the same again.
        second.write("a", &noise("a", 100_000));
        second.write("b/c", &noise("b", 100_000));
        assert!(matches!(mount.save(&second), Some(MountOutcome::Saved(_))), "{notice}");
        assert_eq!(mount.machine().names(), ["a", "b"], "{notice}");
    }
}

#[test]
fn one_byte_wrong_anywhere_in_a_pack_brings_nothing_or_what_was_saved() {
    let mut mount = Mount::new();
    let first = mount.machine();
    first.write("text", b"some text, some text, some text");
    mount.save(&first);
    let key = mount.keys("p-").pop().unwrap();
    let whole = mount.fake.entries.lock().unwrap()[&key].clone();
    for position in 0..whole.len() {
        mount.change(&key, |bytes| {
            *bytes = whole.clone();
            bytes[position] ^= 0x10;
        });
        let machine = mount.machine();
        match machine.restored {
            Some(_) => assert_eq!(
                seen(&machine.path)[Path::new("text")],
                seen(&first.path)[Path::new("text")]
            ),
            None => assert_eq!(machine.names(), [""; 0]),
        }
    }
}

#[test]
fn what_holds_too_much_is_dropped_and_begins_anew() {
    let mut mount = Mount::new();
    let first = mount.machine();
    first.write("a", &noise("a", 1000));
    let small = || MountBudget::new(2000, 10_000);
    assert!(matches!(mount.save_within(&first, &small()), Some(MountOutcome::Saved(_))));
    let second = mount.machine();
    second.write("b", &noise("b", 1001));
    let Some(MountOutcome::Dropped(why)) = mount.save_within(&second, &small()) else { panic!() };
    assert_eq!(why, "it holds more than 2.0 kB unpacked, the budget of one cache mount");
    let third = mount.machine();
    assert!(third.restored.is_none() && third.place.notices().is_empty());
    assert_eq!(mount.save_within(&third, &small()), Some(MountOutcome::Unchanged));
    third.write("b", &noise("b", 1001));
    assert!(matches!(mount.save_within(&third, &small()), Some(MountOutcome::Saved(_))));
    assert_eq!(mount.machine().names(), ["b"]);

    let shared = MountBudget::new(2000, 1900);
    let saved = (0..2).map(|_| mount.save_within(&third, &shared));
    let dropped: Vec<bool> = saved.map(|o| matches!(o, Some(MountOutcome::Dropped(_)))).collect();
    assert_eq!(dropped, [false, true], "no room for a second one");
    let full = MountBudget::new(2000, 900);
    let Some(MountOutcome::Dropped(why)) = mount.save_within(&third, &full) else { panic!() };
    assert_eq!(why, "it holds more than 900 B unpacked, what is left of the budget of all");
}

#[test]
fn two_jobs_at_once_overwrite_nothing_and_agree_in_the_next_run() {
    let mut mount = Mount::new();
    let [one, two] = [mount.machine(), mount.machine()];
    one.write("one", b"1");
    two.write("two", b"2");
    mount.save(&one);
    mount.now += 1;
    mount.save(&two);
    assert_eq!((mount.keys("m-").len(), mount.keys("p-").len()), (2, 2));
    // The later one counts; who lacks something makes it again, on top of that.
    let [one, two] = [mount.machine(), mount.machine()];
    assert_eq!(one.names(), ["two"]);
    one.write("one", b"1");
    mount.save(&one);
    assert_eq!(mount.save(&two), Some(MountOutcome::Unchanged));
    assert_eq!(mount.machine().names(), ["one", "two"]);
}

#[test]
fn a_place_that_may_not_be_written_or_is_gone_tells_so_itself() {
    for mood in [Mood::ReadOnly, Mood::Failing, Mood::Unavailable] {
        let mut mount = Mount { fake: Fake::new(mood), ..Mount::new() };
        let machine = mount.machine();
        assert!(machine.restored.is_none());
        machine.write("a", b"a");
        assert_eq!(mount.save(&machine), None, "{mood:?}");
        assert_eq!(machine.place.notices().len(), 1, "{mood:?}");
    }
}

#[test]
fn a_second_place_gets_all_of_it() {
    let mut mount = Mount::new();
    let first = mount.machine();
    first.write("a", b"a");
    mount.save(&first);
    let mut second = mount.machine();
    second.write("b", b"b");
    // Restored from one place, saved in another, which has nothing of it.
    mount.fake = Fake::new(Mood::Well);
    second.place = Place::new(Box::new(mount.fake.clone()));
    assert!(matches!(mount.save(&second), Some(MountOutcome::Saved(_))));
    assert_eq!(mount.machine().names(), ["a", "b"]);
    // On a machine that keeps its folder, nothing is restored, and no more is saved than is new.
    second.restored = None;
    second.write("c", b"c");
    mount.now += 1;
    mount.save(&second);
    assert_eq!(mount.newest().packs.len(), 2);
    assert_eq!(mount.machine().names(), ["a", "b", "c"]);
}

fn manifest(entries: Vec<MountEntry>) -> Manifest {
    let content = Content { sum: ContentSum::of(b"abc"), size: 3 };
    let pack = Pack { digest: Digest::of(b""), size: 9, unpacked: 3 };
    let files = Files { entries, contents: vec![content] };
    Manifest { name: name(), saved: 1, files, packs: vec![pack], places: vec![InPack(0, 0)] }
}

fn entry(path: &[u8], node: Node) -> MountEntry {
    let (path, xattrs) = (path.to_vec(), Vec::new());
    MountEntry { path, node, mode: 0o755, uid: 0, gid: 0, mtime: (1, 2), xattrs }
}

#[test]
fn a_forged_manifest_is_none() {
    use Node::{Directory, File, HardLink, Symlink};
    let link = |target: &[u8]| Symlink(target.to_vec());
    let sound = || vec![entry(b"", Directory), entry(b"a", File(0)), entry(b"b", HardLink(1))];
    let decoded = |manifest: &Manifest| Manifest::decode(&manifest.encode().unwrap()[..], &name());
    assert_eq!(decoded(&manifest(sound())), Some(manifest(sound())));
    for (what, more) in [
        ("out of it", vec![entry(b"../c", File(0))]),
        ("out of it from below", vec![entry(b"c", Directory), entry(b"c/../../d", File(0))]),
        ("absolute", vec![entry(b"/c", File(0))]),
        ("through a link", vec![entry(b"c", link(b"/etc")), entry(b"c/passwd", File(0))]),
        ("below a file", vec![entry(b"c", File(0)), entry(b"c/d", File(0))]),
        ("below nothing", vec![entry(b"c/d", File(0))]),
        ("twice", vec![entry(b"c", File(0)), entry(b"c", File(0))]),
        ("unsorted", vec![entry(b"d", File(0)), entry(b"c", File(0))]),
        ("no content", vec![entry(b"c", File(1))]),
        ("a link to a directory", vec![entry(b"c", HardLink(0))]),
        ("a link to itself", vec![entry(b"c", HardLink(3))]),
        ("a link to nothing", vec![entry(b"c", HardLink(9))]),
        ("a NUL", vec![entry(b"c\0", File(0))]),
        ("a NUL in a target", vec![entry(b"c", link(b"a\0b"))]),
        ("a mode", vec![MountEntry { mode: 0o10_755, ..entry(b"c", File(0)) }]),
        ("a time", vec![MountEntry { mtime: (0, 1_000_000_000), ..entry(b"c", File(0)) }]),
    ] {
        let forged = manifest(sound().into_iter().chain(more).collect());
        assert_eq!(decoded(&forged), None, "{what}");
    }
    for (what, forge) in [
        ("no such pack", (|m| m.places[0].0 = 1) as fn(&mut Manifest)),
        ("behind the pack", |m| m.places[0].1 = 1),
        ("beyond all packs", |m| m.places[0].1 = u64::MAX),
        ("a place too few", |m| m.places.clear()),
        ("a file first", |m| m.files.entries[0].node = File(0)),
        ("another's", |m| m.name = MountName::new("/other", &Platform::host())),
        ("many packs", |m| m.packs = vec![m.packs[0].clone(); 9]),
    ] {
        let mut forged = manifest(sound());
        forge(&mut forged);
        assert_eq!(decoded(&forged), None, "{what}");
    }
    let entry = manifest(sound()).encode().unwrap();
    for position in 0..entry.len() {
        assert_eq!(Manifest::decode(&entry[..position], &name()), None, "{position}");
    }
}

#[test]
fn a_key_says_nothing_of_the_id() {
    let mut mount = Mount::new();
    let machine = mount.machine();
    machine.write("a", b"a");
    mount.save(&machine);
    for key in mount.keys("") {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        assert!(!key.contains("root") && key.bytes().all(plain), "{key}");
    }
    let arm: Platform = "linux/arm64".parse().unwrap();
    let amd: Platform = "linux/amd64".parse().unwrap();
    assert_ne!(MountName::new("a", &arm), MountName::new("a", &amd));
}

#[test]
fn a_file_that_changes_while_it_is_saved_ends_the_saving() {
    let mut mount = Mount::new();
    let machine = mount.machine();
    let calls = AtomicU8::new(b'a');
    let check = || fs::write(machine.path.join("file"), [calls.fetch_add(1, Ordering::Relaxed)]);
    check().unwrap();
    let outcome = mount.save_while(&machine, &MountBudget::new(100, 100), &check);
    assert_eq!(
        outcome,
        Some(MountOutcome::NotSaved("a file changed while it was read".to_owned()))
    );
    assert_eq!(mount.keys("").len(), 0);
}
