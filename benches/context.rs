//! How long it takes to walk and hash a context, against reading its files twice over.
//!
//! `cargo bench --bench context`. Both are done with two threads, in turn, and the best of several
//! rounds counts. It fails where a context of 20,000 files takes longer than is promised; files so
//! large that nothing but the memory's speed counts are measured beside them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plimsoll::context::{DirectoryContext, Ownership};
use plimsoll::ignore::Patterns;

const THREADS: usize = 2;
/// Walking and hashing 20,000 files takes at most so many times as long as reading them twice.
const PROMISED: f64 = 1.5;
const MANY: usize = 20_000;

fn main() -> ExitCode {
    // `cargo test --benches` only wants to know that it runs.
    let full = std::env::args().any(|argument| argument == "--bench");
    let (scale, rounds) = if full { (1, 7) } else { (1000, 1) };
    let mut kept = true;
    for (name, files, size) in [
        ("20,000 files of 4 kB", MANY, 4_000),
        ("20,000 files of 40 kB", MANY, 40_000),
        ("20 files of 40 MB", 20, 40_000_000),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let paths = fill(folder.path(), (files / scale).max(2), size / scale.min(100)).unwrap();
        let (mut reading, mut hashing) = (Duration::MAX, Duration::MAX);
        for _ in 0..rounds {
            reading = reading.min(took(|| read_twice(&paths)));
            hashing = hashing.min(took(|| walk_and_hash(folder.path())));
        }
        let ratio = hashing.as_secs_f64() / reading.as_secs_f64();
        println!("{name:24}{reading:9.1?} read twice {hashing:9.1?} walked, hashed {ratio:5.2} ×");
        kept &= !full || files < MANY || ratio <= PROMISED;
    }
    if kept {
        return ExitCode::SUCCESS;
    }
    eprintln!("20,000 files take more than {PROMISED} × as long");
    ExitCode::FAILURE
}

fn took(work: impl FnOnce() -> io::Result<()>) -> Duration {
    let since = Instant::now();
    work().unwrap();
    since.elapsed()
}

/// A hundred files to a folder, as projects have them.
fn fill(folder: &Path, files: usize, size: usize) -> io::Result<Vec<PathBuf>> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut content = vec![0; size];
    let mut paths = Vec::with_capacity(files);
    for number in 0..files {
        for bytes in content.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.copy_from_slice(&state.to_le_bytes()[..bytes.len()]);
        }
        let parent = folder.join(format!("folder{}", number / 100));
        fs::create_dir_all(&parent)?;
        paths.push(parent.join(format!("file{number}")));
        fs::write(&paths[number], &content)?;
    }
    Ok(paths)
}

/// Just what any reader of the context must do.
fn read_twice(paths: &[PathBuf]) -> io::Result<()> {
    for _ in 0..2 {
        let next = AtomicUsize::new(0);
        let read = || -> io::Result<()> {
            let mut buffer = vec![0; 256 << 10];
            while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut file = File::open(path)?;
                while file.read(&mut buffer)? > 0 {}
            }
            Ok(())
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..THREADS).map(|_| scope.spawn(read)).collect();
            read()?;
            others.into_iter().try_for_each(|other| other.join().unwrap())
        })?;
    }
    Ok(())
}

fn walk_and_hash(folder: &Path) -> io::Result<()> {
    let mut context = DirectoryContext::open(folder, &Patterns::default(), Ownership::Root)
        .map_err(io::Error::other)?;
    context.hash_all(THREADS).map_err(io::Error::other)
}
