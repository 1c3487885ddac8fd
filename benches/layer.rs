//! How fast a layer is written, against other compressors in the same run, and in how much memory.
//!
//! `cargo bench --bench layer`. Figures are megabytes (10⁶ bytes) of tar per second, with the ratio
//! to the first line, and per second of one processor, which holds on a busy machine too. Only the
//! first line takes a whole gibibyte.

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
    let ours = layer(pool, whole, Compression::Gzip(6), threads);
    let peak = memory("VmHWM:");
    let report = |name: &str, measured: Measured| {
        let Measured { speed, per_processor, share } = measured;
        let times = speed / ours.speed;
        println!(
            "{name:32}{speed:6.0} MB/s {times:5.2} × {per_processor:6.0} MB/cpu s {share:6.3}"
        );
    };
    report(&format!("gzip 6, {threads} threads, 1 GiB"), ours);
    if let (Some(before), Some(peak)) = (before, peak) {
        println!("{:32}{:6} MiB peak, {} MiB before", "", peak / 1024, before / 1024);
    }
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

/// Words, phrases that come again, and noise: compresses to about a third, as packages do.
fn text(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words: Vec<[u8; 8]> =
        (0..2048).map(|_| next().to_le_bytes().map(|byte| byte % 64 + 32)).collect();
    let mut text = Vec::with_capacity(length + 64);
    while text.len() < length {
        let value = next();
        let (kind, number, size) = (value % 20, (value >> 20) as usize, (value >> 50) as usize);
        if kind == 0 {
            text.extend_from_slice(&value.to_le_bytes());
        } else if kind <= 3 && text.len() > 20_000 {
            let from = text.len() - 64 - number % 16_000;
            text.extend_from_within(from..from + 8 + size % 32);
        } else {
            text.extend_from_slice(&words[number % words.len()][..size % 7 + 2]);
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

#[derive(Clone, Copy)]
struct Measured {
    speed: f64,
    per_processor: f64,
    /// Compressed bytes of uncompressed ones.
    share: f64,
}

/// `work` gives compressed and uncompressed bytes.
fn measure(work: impl FnOnce() -> Option<(u64, u64)>) -> Option<Measured> {
    let (started, processor) = (Instant::now(), processor_seconds()?);
    let (compressed, plain) = work()?;
    let megabytes = plain as f64 / 1e6;
    Some(Measured {
        speed: megabytes / started.elapsed().as_secs_f64(),
        per_processor: megabytes / (processor_seconds()? - processor).max(0.01),
        share: compressed as f64 / plain as f64,
    })
}

/// Of this process and the children it has waited for.
fn processor_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    // The 14th to 17th field of the line, in hundredths of a second (proc(5), USER_HZ).
    let ticks = fields.skip(11).take(4).filter_map(|ticks| ticks.parse::<f64>().ok());
    Some(ticks.sum::<f64>() / 100.0)
}

/// Writes a layer of that many bytes into a spool file.
fn layer(pool: &'static [u8], bytes: usize, compression: Compression, threads: usize) -> Measured {
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
    let measured = measure(|| {
        let spool = tempfile::tempfile().expect("a spool file");
        let mut writer = LayerWriter::new(spool, compression, threads).expect("threads");
        write_layer(&changes, &mut open, &WriteOptions::default(), &mut writer).expect("a layer");
        let (layer, _) = writer.finish().expect("a layer");
        Some((layer.size, layer.tar_size))
    });
    measured.expect("/proc is mounted")
}

fn flate2(pool: &'static [u8], bytes: usize) -> Measured {
    let measured = measure(|| {
        let mut encoder = flate2::write::GzEncoder::new(Count(0), flate2::Compression::new(6));
        io::copy(&mut Cycle { pool, at: 0 }.take(bytes as u64), &mut encoder).expect("bytes");
        let Count(compressed) = encoder.finish().expect("bytes");
        Some((compressed, bytes as u64))
    });
    measured.expect("/proc is mounted")
}

fn other(program: &str, pool: &'static [u8], bytes: usize) -> Option<Measured> {
    measure(|| {
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
        child.wait().ok()?.success().then_some((compressed, bytes as u64))
    })
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
