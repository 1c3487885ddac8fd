//! How fast a cache mount is saved and restored, against `tar` with `zstd`, which is what workflows
//! put around their caches, in the same run.
//!
//! `cargo bench --bench mounts [-- FOLDER]`. Times of one run each on warm files: a folder of 20,000
//! small files and a few large ones as Go and npm leave them, or FOLDER. The place is a local folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll::cache::{
    LocalFolder, MountBudget, MountName, MountOutcome, MountToSave, Place, RemoteCache,
    RestoredMount, Target, Uploads,
};
use plimsoll::platform::Platform;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let full = std::env::args().any(|argument| argument == "--bench");
    let work = tempfile::tempdir().expect("a folder");
    let work = work.path();
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or_else(|| make(work, if full { 200 } else { 1 }), PathBuf::from);
    let (first, second) = (work.join("first"), work.join("second"));
    for path in [&first, &second] {
        fs::create_dir(path).expect("a folder");
    }

    let all = timed(|| save(work, &folder, None, 1));
    let restored = timed(|| restore(work, &first).expect("what was saved"));
    let unchanged = timed(|| save(work, &first, Some(restored.1.clone()), 2));
    assert_eq!(unchanged.1, MountOutcome::Unchanged);
    fs::write(first.join("changed"), "a little").expect("a file");
    let changed = timed(|| save(work, &first, Some(restored.1.clone()), 3));
    let MountOutcome::Saved(bytes) = all.1 else { panic!("nothing was saved") };
    println!("{} bytes in files, {bytes} compressed", restored.1.unpacked());

    let archive = work.join("tar");
    let packed = tar("zstd -3 -T0", &["-cf"], &archive, &folder);
    let unpacked = tar("zstd", &["-xf"], &archive, &second);
    for (name, ours, theirs) in [
        ("save all", all.0, packed),
        ("restore", restored.0, unpacked),
        ("save, unchanged", unchanged.0, packed),
        ("save, one file more", changed.0, packed),
    ] {
        let ratio = theirs.map_or_else(
            || "tar or zstd is not installed: not compared".to_owned(),
            |tar| {
                format!(
                    "tar {:6.2} s {:5.2} ×",
                    tar.as_secs_f64(),
                    tar.as_secs_f64() / ours.as_secs_f64()
                )
            },
        );
        println!("{name:22}{:6.2} s   {ratio}", ours.as_secs_f64());
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let result = work();
    (begun.elapsed(), result)
}

/// `directories` of 100 small files each, and a large file for every ten of them.
fn make(work: &Path, directories: usize) -> PathBuf {
    let folder = work.join("mount");
    let text = text(16 << 20);
    for directory in 0..directories {
        let path = folder.join(format!("{directory:02x}"));
        fs::create_dir_all(&path).expect("a folder");
        for file in 0..100 {
            let from = (directory * 100 + file) * 7919 % (text.len() - 10_000);
            let content = format!("{directory} {file}").into_bytes();
            let content = [&content[..], &text[from..from + 500 + file * 90]].concat();
            fs::write(path.join(format!("{file:02}")), content).expect("a file");
        }
        if directory % 10 == 0 {
            let content =
                [directory.to_string().as_bytes(), &text[directory * 10_000..][..8 << 20]].concat();
            fs::write(path.join("large"), content).expect("a file");
        }
    }
    folder
}

/// Letters without sense, which compress to half.
fn text(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes().map(|byte| byte % 16 + b'a')
    });
    words.flatten().take(length).collect()
}

fn place(work: &Path) -> Arc<Place> {
    Place::new(Box::new(LocalFolder::new(work.join("cache"))))
}

fn name() -> MountName {
    MountName::new("mount", &Platform::host())
}

fn save(work: &Path, path: &Path, restored: Option<RestoredMount>, now: i64) -> MountOutcome {
    let target = Target { place: place(work), only_image: false };
    let uploads = Uploads::new(vec![target], Arc::new(()));
    let mount = MountToSave {
        id: "mount".to_owned(),
        name: name(),
        path: path.to_owned(),
        restored,
        now,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        work: work.to_owned(),
    };
    uploads.save_mount(mount, &Arc::new(MountBudget::new(u64::MAX, u64::MAX)));
    assert_eq!(uploads.finish(Duration::from_secs(600)), 0);
    uploads.saved_mounts().pop().expect("an outcome").outcome
}

fn restore(work: &Path, directory: &Path) -> Option<RestoredMount> {
    let cache = RemoteCache::open(vec![place(work)], "i-".to_owned());
    cache.restore_mount(&name(), directory, &|| Ok(())).expect("a folder")
}

/// `None` where the programs are missing.
fn tar(program: &str, action: &[&str], archive: &Path, folder: &Path) -> Option<Duration> {
    let begun = Instant::now();
    let mut tar = Command::new("tar");
    tar.args(["-I", program]).args(action).arg(archive).arg("-C").arg(folder);
    if action == ["-cf"] {
        tar.arg(".");
    }
    tar.status().ok()?.success().then(|| begun.elapsed())
}
