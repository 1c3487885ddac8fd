//! What a RUN costs beside the command itself: `/bin/true` in a step against a bare fork and exec of
//! the same file, one after the other. It runs before everything else on the machine, so that other
//! work doesn't count: three processes take part in a step, and each would wait for its turn.
//!
//! The directories are in TMPDIR; on a disk a step takes about 2 ms more than in memory.
//!
//! Needs root and a static busybox. `cargo bench --bench run [-- ROUNDS]`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use plimsoll::request::{Network, Security};
use plimsoll::sandbox::{Cancel, RunSpec, Sandbox, UserIds, probe_with, run};
use plimsoll::snapshot::WorkDir;

/// What the command of a RUN may cost more in a step, at the median.
const LIMIT: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    go_first();
    let rounds = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    let rounds: usize = rounds.unwrap_or(100);
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    let Some(busybox) = busybox.into_iter().find(|path| path.exists()) else {
        eprintln!("SKIPPED: needs a static busybox (Debian package busybox-static)");
        return ExitCode::SUCCESS;
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let work = WorkDir::create(&directory.path().join("work")).expect("a work directory");
    let sandbox = match probe_with(PathBuf::from(env!("CARGO_BIN_EXE_plimsoll")), &work) {
        Ok(sandbox) => sandbox,
        Err(unavailable) => {
            eprintln!("SKIPPED: {unavailable}");
            return ExitCode::SUCCESS;
        }
    };
    let base = directory.path().join("base");
    for name in ["bin", "dev", "etc", "proc", "sys"] {
        fs::create_dir_all(base.join(name)).expect("a root");
    }
    for name in ["hosts", "resolv.conf"] {
        fs::write(base.join("etc").join(name), "").expect("a root");
    }
    fs::copy(&busybox, base.join("bin/true")).expect("a command");

    let bare = || {
        let status = Command::new(base.join("bin/true")).status();
        assert!(status.expect("the command runs").success());
    };
    let mut within = true;
    // The limit is for the usual RUN. A network namespace waits for the end of the one before it,
    // which the kernel takes apart behind our back.
    for (name, layers, network, limited) in [
        ("1 layer", 1, Network::Default, true),
        ("127 layers", 127, Network::Default, false),
        ("1 layer, no network", 1, Network::None, false),
    ] {
        let lowers = layers_on(&base, directory.path(), layers);
        let step = || run_true(&sandbox, &work, &lowers, network);
        step();
        let (mut bares, mut steps) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            bares.push(time(bare));
            steps.push(time(step));
        }
        let (bare, step) = (median(bares), median(steps));
        let more = step.saturating_sub(bare);
        within &= !limited || more <= LIMIT;
        println!(
            "{name:20} bare {:6.2} ms   step {:6.2} ms   more {:6.2} ms   ratio {:5.1}",
            milliseconds(bare),
            milliseconds(step),
            milliseconds(more),
            step.as_secs_f64() / bare.as_secs_f64(),
        );
    }
    if within {
        return ExitCode::SUCCESS;
    }
    eprintln!("a step costs more than {LIMIT:?}");
    ExitCode::FAILURE
}

/// As well as it is allowed.
fn go_first() {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters outlive the call, which is for this process alone.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const lowest) } != 0 {
        eprintln!("other work on the machine counts: {}", std::io::Error::last_os_error());
    }
}

fn layers_on(base: &Path, directory: &Path, count: usize) -> Vec<PathBuf> {
    let mut lowers = vec![base.to_path_buf()];
    for number in 1..count {
        let layer = directory.join("layers").join(number.to_string());
        fs::create_dir_all(layer.join(number.to_string())).expect("a layer");
        lowers.push(layer);
    }
    lowers
}

fn run_true(sandbox: &Sandbox, work: &WorkDir, lowers: &[PathBuf], network: Network) {
    let dirs = work.step().expect("a step's directories");
    let spec = RunSpec {
        lowers: lowers.to_vec(),
        upper: dirs.upper.clone(),
        work: dirs.work.clone(),
        scratch: dirs.scratch.clone(),
        argv: vec!["/bin/true".into()],
        env: vec![("PATH".into(), "/bin".into())],
        cwd: "/".into(),
        user: UserIds::default(),
        hostname: "bench".into(),
        hosts: Vec::new(),
        dns: Vec::new(),
        network,
        security: Security::Sandbox,
        shm_size: None,
        ulimits: Vec::new(),
        mounts: Vec::new(),
        scripts: Vec::new(),
        cgroup: None,
    };
    let cancel = Cancel::new().expect("a switch");
    let exit = run(sandbox, &spec, &cancel, &mut |_, _| {}).expect("the step runs");
    assert!(exit.success());
}

fn time(what: impl Fn()) -> Duration {
    let begun = Instant::now();
    what();
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
