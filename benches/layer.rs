//! How fast a layer is written, against other compressors in the same run, and in how much memory.
//!
//! `cargo bench --bench layer`. All figures are megabytes (10⁶ bytes) of tar per second; the ratio
//! is to the first line. Only the first line takes a whole gibibyte.

use std::fs;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use plimsoll::layer::{LayerWriter, WriteOptions, write_layer};
use plimsoll::request::Compression;
use plimsoll::tree::{Change, Changes, Entry, FileInfo, Kind, TreePath, Xattrs};

const MIB: usize = 1 << 20;
/// Distinct content; far larger than any compressor's window.
const POOL: usize = 16 * MIB;
const FILE: usize = 300_000;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let full = std::env::args().any(|argument| argument == "--bench");
    let (whole, part) = if full { (1024 * MIB, 256 * MIB) } else { (4 * MIB, 4 * MIB) };
    let pool: &'static [u8] = text(POOL).leak();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);

    reset_peak();
    let before = memory("VmRSS:");
    let (ours, ratio) = layer(pool, whole, Compression::Gzip(6), threads);
    let peak = memory("VmHWM:");
    println!(
        "{:32}{ours:9.0} MB/s   1.00 ×   {ratio:.3} of the tar",
        format!("gzip 6, {threads} threads, 1 GiB")
    );
    if let (Some(before), Some(peak)) = (before, peak) {
        println!("{:32}{:9} MiB peak, {} MiB before", "", peak / 1024, before / 1024);
    }
    let report = |name: &str, (speed, ratio): (f64, f64)| {
        println!("{name:32}{speed:9.0} MB/s {:6.2} ×   {ratio:.3} of the tar", speed / ours);
    };
    report("gzip 6, 1 thread", layer(pool, part, Compression::Gzip(6), 1));
    report("gzip 1", layer(pool, part, Compression::Gzip(1), threads));
    report("zstd 3", layer(pool, part, Compression::Zstd(3), threads));
    report("no compression", layer(pool, part, Compression::None, threads));
    report("flate2 6 (one thread, no sums)", flate2(pool, part));
    for program in ["pigz", "gzip"] {
        match other(program, pool, part) {
            Some(measured) => report(&format!("{program} -6 (no sums)"), measured),
            None => println!("{program} is not installed: not measured"),
        }
    }
}

/// Text of words that come again, and noise: compresses to about a third, as packages do.
fn text(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words: Vec<[u8; 8]> =
        (0..4096).map(|_| next().to_le_bytes().map(|b| b % 64 + 32)).collect();
    let mut text = Vec::with_capacity(length + 8);
    while text.len() < length {
        let value = next();
        if value % 11 == 0 {
            text.extend_from_slice(&value.to_le_bytes());
        } else {
            let word = words[((value >> 20) % 4096 * ((value >> 40) % 4096) / 4096) as usize];
            text.extend_from_slice(&word[..(value >> 60) as usize % 7 + 2]);
        }
    }
    text.truncate(length);
    text
}

/// Endlessly the pool, from a place of its own for each file.
struct Cycle {
    pool: &'static [u8],
    at: usize,
}

impl Read for Cycle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.pool[self.at % self.pool.len()..];
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        self.at += read;
        Ok(read)
    }
}

/// Writes a layer of that many bytes into a spool file; MB/s and compressed share.
fn layer(
    pool: &'static [u8],
    bytes: usize,
    compression: Compression,
    threads: usize,
) -> (f64, f64) {
    let file = |index: usize| {
        let kind = Kind::File(FileInfo { size: FILE as u64, digest: None, link: None });
        let xattrs = Xattrs::new();
        let entry = Entry { kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, xattrs, layer: 0 };
        let path = format!("usr/share/file{index:08}").into_bytes();
        (TreePath::from(path), Change::Set(entry))
    };
    let changes = Changes { changes: (0..bytes / FILE).map(file).collect() };
    let mut open = |index: usize| -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cycle { pool, at: index * FILE }.take(FILE as u64)))
    };
    let started = Instant::now();
    let spool = tempfile::tempfile().expect("a spool file");
    let mut writer = LayerWriter::new(spool, compression, threads).expect("threads");
    write_layer(&changes, &mut open, &WriteOptions::default(), &mut writer).expect("a layer");
    let (layer, _) = writer.finish().expect("a layer");
    let seconds = started.elapsed().as_secs_f64();
    (layer.tar_size as f64 / 1e6 / seconds, layer.size as f64 / layer.tar_size as f64)
}

fn flate2(pool: &'static [u8], bytes: usize) -> (f64, f64) {
    let started = Instant::now();
    let level = flate2::Compression::new(6);
    let mut encoder = flate2::write::GzEncoder::new(Count(0), level);
    io::copy(&mut Cycle { pool, at: 0 }.take(bytes as u64), &mut encoder).expect("bytes");
    let Count(compressed) = encoder.finish().expect("bytes");
    (bytes as f64 / 1e6 / started.elapsed().as_secs_f64(), compressed as f64 / bytes as f64)
}

fn other(program: &str, pool: &'static [u8], bytes: usize) -> Option<(f64, f64)> {
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(["-6", "-n", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take()?;
    let feeding = std::thread::spawn(move || {
        io::copy(&mut Cycle { pool, at: 0 }.take(bytes as u64), &mut input)
    });
    let compressed = io::copy(&mut child.stdout.take()?, &mut io::sink()).ok()?;
    feeding.join().ok()?.ok()?;
    child.wait().ok()?.success().then_some(())?;
    Some((bytes as f64 / 1e6 / started.elapsed().as_secs_f64(), compressed as f64 / bytes as f64))
}

struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// KiB, as the kernel has it.
fn memory(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

fn reset_peak() {
    // Not possible everywhere; then the peak includes the making of the pool, which is small.
    let _ = fs::write("/proc/self/clear_refs", "5");
}
