//! What weighing costs beside what is done anyway: an image in a registry against fetching and
//! decompressing its layers, and one that is built against the build.
//!
//! `cargo bench --bench weigh [-- MEGABYTES] [registry|build]…`, of 1,000 unless said. What is compared
//! takes turns, and the median of the ratios of all rounds counts. From a registry it is that of times.
//! Of builds it is that of what processors worked: a weight can only add work, and other programs add
//! none to it, while times here differ by more than what is measured. The files are in memory where
//! there is room: on a disk that others use too, a build takes now this long and now that. Needs
//! Debian's docker-registry; for the build root and a static busybox.

#[path = "../tests/support/docker_registry.rs"]
mod docker_registry;
#[path = "../tests/support/program.rs"]
mod program;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use docker_registry::DockerRegistry;
use plimsoll::http::Clients;
use plimsoll::image::{Descriptor, media_type};
use plimsoll::inspect::{self, ImageReference, Reading};
use plimsoll::layer::tar::{TarEntry, TarKind, TarWriter};
use plimsoll::layer::{LayerWriter, decompress};
use plimsoll::platform::Platform;
use plimsoll::registry::{BlobSource, ImageToPush, Registry, parse_reference};
use plimsoll::request::{Compression, RegistryOptions};
use plimsoll::tree::Xattrs;
use program::Home;
use serde_json::json;

/// What weighing from a registry may take, of fetching and unpacking.
const FROM_REGISTRY: f64 = 1.3;
/// What a build with a weight may take, of one without.
const OF_BUILD: f64 = 1.02;
const LAYERS: usize = 4;
/// Downloads differ little.
const REGISTRY_ROUNDS: usize = 5;
const BUILD_ROUNDS: usize = 21;
/// In bytes.
const LARGE_FILE: usize = 20_000;
const SMALL_FILE: usize = 5_000;

fn main() -> ExitCode {
    // `cargo test --benches` only wants to know that it runs.
    let full = std::env::args().any(|argument| argument == "--bench");
    let memory = Path::new("/dev/shm");
    if std::env::var_os("TMPDIR").is_none() && memory.is_dir() {
        tempfile::env::override_temp_dir(memory).expect("no folder was made before");
    }
    let megabytes = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    let megabytes: usize = megabytes.unwrap_or(if full { 1000 } else { 4 });
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load {}", load.trim());
    let named = |what: &str| std::env::args().any(|argument| argument == what);
    let all = !named("registry") && !named("build");
    let rounds = |rounds| if full { rounds } else { 1 };
    let mut kept = true;
    if all || named("registry") {
        kept &= from_registry(megabytes, rounds(REGISTRY_ROUNDS));
    }
    if all || named("build") {
        kept &= built(megabytes / 10, LARGE_FILE, rounds(BUILD_ROUNDS));
        kept &= built(megabytes / 10, SMALL_FILE, rounds(BUILD_ROUNDS));
    }
    if kept || !full { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Clone, Copy, Debug)]
struct Took {
    time: Duration,
    /// What processors worked for this process and for those it has waited for: other programs that
    /// run at the time make it no longer.
    work: Duration,
}

/// Both, one after the other, again and again; each is first as often as it is second.
fn in_turns(rounds: usize, mut one: impl FnMut(), mut other: impl FnMut()) -> Vec<(Took, Took)> {
    let took = |run: &mut dyn FnMut()| {
        let (start, worked) = (Instant::now(), worked());
        run();
        Took { time: start.elapsed(), work: self::worked() - worked }
    };
    let round = |round| {
        if round % 2 == 0 {
            let first = took(&mut one);
            return (first, took(&mut other));
        }
        let first = took(&mut other);
        (took(&mut one), first)
    };
    (0..rounds).map(round).collect()
}

/// Of the second to the first.
struct Ratios {
    time: f64,
    work: f64,
}

/// The medians of what the rounds say.
fn told(name: &str, one: &str, other: &str, rounds: &[(Took, Took)]) -> Ratios {
    let seconds = |took: fn(&(Took, Took)) -> Duration| {
        median(rounds.iter().map(|round| took(round).as_secs_f64()))
    };
    let ratio = |of: fn(&Took) -> Duration| {
        median(rounds.iter().map(|(a, b)| of(b).as_secs_f64() / of(a).as_secs_f64()))
    };
    let ratios = Ratios { time: ratio(|took| took.time), work: ratio(|took| took.work) };
    println!(
        "{name:10} {one} {:7.3} s   {other} {:7.3} s   {} rounds: ratio {:6.3}, of work {:6.3}",
        seconds(|round| round.0.time),
        seconds(|round| round.1.time),
        rounds.len(),
        ratios.time,
        ratios.work,
    );
    ratios
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Whether a promise is kept, loudly where it is not.
fn is_kept(ratio: f64, limit: f64) -> bool {
    if ratio > limit {
        println!("{:10} BROKEN: {ratio:.3} is more than {limit}", "");
    }
    ratio <= limit
}

fn worked() -> Duration {
    // The four times in /proc/self/stat behind the name, which may have any character in it.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let ticks: u64 = fields.split_whitespace().skip(11).take(4).flat_map(str::parse::<u64>).sum();
    // Linux shows programs a hundred a second on every machine.
    Duration::from_millis(ticks * 10)
}

/// Words of a small language, which compress as texts and programs do.
fn content(seed: usize, size: usize) -> Vec<u8> {
    let mut state = seed as u64 * 0x9e37_79b9_7f4a_7c15 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut text = Vec::with_capacity(size + 8);
    while text.len() < size {
        let word = next() % 4096;
        text.extend_from_slice(&word.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()[..5]);
        text.push(b' ');
    }
    text
}

fn from_registry(megabytes: usize, rounds: usize) -> bool {
    let Some(server) = DockerRegistry::plain() else { return true };
    let folder = tempfile::tempdir().expect("a temporary directory");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let registry = Registry::new(RegistryOptions::default(), Arc::new(Clients::default()));
    let name = format!("{}/app:1", server.host);
    let reference = parse_reference(&name).expect("a name");
    let files = megabytes * 1_000_000 / LARGE_FILE / LAYERS;
    let mut blobs = Vec::new();
    let mut diff_ids = Vec::new();
    for layer in 0..LAYERS {
        let path = folder.path().join(layer.to_string());
        let (made, blob) = write(&path, layer, files, threads);
        diff_ids.push(made);
        blobs.push((blob, BlobSource::File(path)));
    }
    let config = json!({
        "architecture": Platform::host().architecture, "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": diff_ids }, "history": [],
    });
    let config = config.to_string().into_bytes();
    let layers: Vec<Descriptor> = blobs.iter().map(|(blob, _)| blob.clone()).collect();
    let digest = plimsoll::digest::Digest::of(&config);
    let described = Descriptor::new(media_type::OCI_CONFIG, digest, config.len() as u64);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": described, "layers": layers,
    });
    blobs.push((described, BlobSource::Bytes(config.into())));
    let image = ImageToPush {
        manifest: manifest.to_string().into_bytes().into(),
        media_type: media_type::OCI_MANIFEST.to_owned(),
        manifests: Vec::new(),
        blobs,
    };
    let push = registry.push(vec![reference.clone()], runtime.handle());
    runtime.block_on(push.finish(&image, &|_| {})).expect("the registry takes it");

    let fetch = |blob: &Descriptor| {
        let never = std::future::pending();
        let reader = registry.blob_reader(runtime.handle(), &reference, blob, never);
        let mut tar = decompress(reader).expect("gzip");
        // In pieces that suit the decoder.
        let mut piece = vec![0; 1 << 16];
        while tar.read(&mut piece).expect("all of it") > 0 {}
    };
    let fetch_all = || {
        let next = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads.min(LAYERS) {
                scope.spawn(|| {
                    while let Some(blob) =
                        layers.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                    {
                        fetch(blob);
                    }
                });
            }
        });
    };
    let platform = Platform::host();
    let weigh = || {
        let reading = Reading {
            platform: &platform,
            threads,
            registry: &registry,
            runtime: runtime.handle(),
            dockerfile: None,
        };
        let weight = inspect::weigh(&ImageReference::Registry(name.clone()), &reading);
        assert_eq!(weight.expect("an image").files.len(), files * LAYERS);
    };
    let compressed: u64 = layers.iter().map(|layer| layer.size).sum();
    println!("registry   {megabytes} MB unpacked, {} MB compressed", compressed / 1_000_000);
    let ratios = told("registry", "fetch", "weigh", &in_turns(rounds, fetch_all, weigh));
    is_kept(ratios.time, FROM_REGISTRY)
}

/// A layer of so many files: its diff ID and its blob.
fn write(
    path: &Path,
    layer: usize,
    files: usize,
    threads: usize,
) -> (plimsoll::digest::DiffId, Descriptor) {
    let file = std::fs::File::create(path).expect("a file");
    let writer = LayerWriter::new(file, Compression::default(), threads).expect("a layer");
    let mut tar = TarWriter::new(writer);
    for number in 0..files {
        let bytes = content(layer * files + number, LARGE_FILE);
        let path = format!("srv/layer-{layer}/folder-{:04}/file-{number:06}", number / 50);
        let kind = TarKind::File { size: bytes.len() as u64 };
        let path = path.into_bytes().into();
        let (uid, gid, mtime, xattrs) = (0, 0, 0, Xattrs::new());
        let entry = TarEntry { path, kind, mode: 0o644, uid, gid, mtime, xattrs };
        tar.entry(&entry).expect("a header");
        tar.body().write_all(&bytes).expect("a body");
        tar.end_body().expect("its end");
    }
    let (made, _) = tar.finish().expect("the end").finish().expect("a blob");
    (made.diff_id, Descriptor::new(media_type::OCI_LAYER_GZIP, made.digest, made.size))
}

/// A build from nothing: its base is read, files are copied, and a RUN makes as many.
fn built(megabytes: usize, size: usize, rounds: usize) -> bool {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root");
        return true;
    }
    let home = Home::new("FROM busybox\nCOPY data /data\nRUN cp -r /data /made && rm -r /made/0\n");
    for number in 0..megabytes * 1_000_000 / size {
        home.write(&format!("context/data/{}/{number}", number / 50), content(number, size));
    }
    let busybox = program::with_busybox();
    let build = |flags: &[&str]| {
        let _ = std::fs::remove_dir_all(home.path().join(".cache"));
        let flags = [&[busybox.as_str(), "--output=type=oci,dest=image.tar"], flags].concat();
        home.built(&flags);
    };
    build(&[]);
    let rounds = in_turns(rounds, || build(&[]), || build(&["--output-weight=weight"]));
    println!(
        "build      {megabytes} MB in files of {size} bytes each, copied, and made again by a RUN"
    );
    is_kept(told("build", "alone", "with weight", &rounds).work, OF_BUILD)
}
