//! A runner that is born empty, beside BuildKit with a registry cache, its daemon's start counted:
//! nothing has changed; one source line has changed; and what saving adds to a first build. Registry
//! and cache service are so many milliseconds away as is said, 50 if nothing is
//! (`tests/support/distance.rs`). The runners are in TMPDIR, and such as GitHub hosts.
//!
//! Needs root, docker-registry, `buildkitd` and `buildctl` in PATH, and the stand-ins of
//! `scripts/demo`. `cargo bench --bench runner [-- [ROUNDS] [MILLISECONDSms] [same|many|line|first]…]`

#[path = "../tests/support/actions_cache/mod.rs"]
mod actions_cache;
#[path = "runner/buildkit.rs"]
mod buildkit;
#[path = "../tests/support/distance.rs"]
mod distance;
#[path = "../tests/support/docker_registry.rs"]
mod docker_registry;
#[path = "../tests/support/loopback.rs"]
mod loopback;

use std::cell::RefCell;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use actions_cache::{FakeActionsCache, token};
use buildkit::BuildKit;
use distance::Distance;
use docker_registry::DockerRegistry;

/// Milliseconds.
const ROUND_TRIP: u64 = 50;
/// To the cache service and the registry together, where nothing has changed.
const REQUESTS: usize = 12;
/// Files of the large context.
const FILES: usize = 20_000;

/// Nothing changed, the same with many files, one line changed, and a first build.
const ALL: [&str; 4] = ["same", "many", "line", "first"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` only wants to know that it starts.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let said = arguments.iter().find_map(|argument| argument.strip_suffix("ms")?.parse().ok());
    let round_trip = Duration::from_millis(said.unwrap_or(ROUND_TRIP));
    let Some(away) = Away::start(round_trip) else { return ExitCode::SUCCESS };
    println!("registry and cache service are {round_trip:?} away");
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(3);
    let named: Vec<&str> =
        ALL.into_iter().filter(|what| arguments.iter().any(|a| a == what)).collect();
    let mut kept = true;
    for what in if named.is_empty() { &ALL[..] } else { &named } {
        println!("load {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim_end());
        kept &= away.measure(what, rounds);
        away.dead.borrow_mut().clear();
    }
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All that is not on the runner.
struct Away {
    registry: DockerRegistry,
    service: FakeActionsCache,
    far_registry: Distance,
    far_service: Distance,
    folder: tempfile::TempDir,
    /// Runners that are dead. Deleting many files slows down whoever makes new ones on the same disk,
    /// so they are buried when a measurement is over.
    dead: RefCell<Vec<tempfile::TempDir>>,
}

/// One thing to build.
struct Project {
    name: &'static str,
    context: PathBuf,
}

impl Away {
    /// `None`, loudly, where something is missing.
    fn start(round_trip: Duration) -> Option<Self> {
        let missing = |what: &str| eprintln!("SKIPPED: {what}");
        if !rustix::process::getuid().is_root() {
            missing("needs root");
            return None;
        }
        for program in ["buildkitd", "buildctl", "runc"] {
            if Command::new(program).arg("--version").stdout(Stdio::null()).status().is_err() {
                missing(&format!("{program} is not in PATH"));
                return None;
            }
        }
        let registry = DockerRegistry::with_tls()?;
        let service = FakeActionsCache::start(actions_cache::Options::default());
        let far = |port: u16| Distance::to((Ipv4Addr::LOCALHOST, port).into(), round_trip);
        let port = registry.host.rsplit(':').next()?.parse().ok()?;
        let (far_registry, far_service) = (far(port), far(service.port()));
        service.behind(far_service.address);
        let folder = tempfile::tempdir().expect("a temporary directory");
        let dead = RefCell::default();
        let away = Self { registry, service, far_registry, far_service, folder, dead };
        for base in ["golang", "alpine"] {
            let layout = Path::new("target/stand-ins").join(base);
            if !layout.exists() {
                missing("run scripts/demo first: it makes stand-ins for golang and alpine");
                return None;
            }
            away.push_base(base, &layout);
        }
        Some(away)
    }

    /// `HOST:PORT` of the registry from the runner.
    fn host(&self) -> String {
        format!("localhost:{}", self.far_registry.address.port())
    }

    fn push_base(&self, name: &str, layout: &Path) {
        let context = self.folder.path().join("base");
        fs::create_dir_all(&context).unwrap();
        fs::write(context.join("Dockerfile"), "FROM base\n").unwrap();
        let near = format!("{}/{name}:1", self.registry.host);
        let base = format!("base=oci-layout://{}", layout.display());
        let store = self.folder.path().join("base.store");
        let status = self
            .plimsoll(&store)
            .args(["--build-context", &base, "--push", "-t", &near])
            .arg(&context)
            .status();
        assert!(status.unwrap().success());
    }

    fn example(&self) -> Project {
        let context = self.folder.path().join("example");
        fs::create_dir_all(&context).unwrap();
        for file in ["go.mod", "main.go", ".dockerignore"] {
            fs::copy(Path::new("examples/go-multistage").join(file), context.join(file)).unwrap();
        }
        let dockerfile = fs::read_to_string("examples/go-multistage/Dockerfile").unwrap();
        let dockerfile = dockerfile
            .replace("golang:1.12", &format!("{}/golang:1", self.host()))
            .replace("alpine:latest", &format!("{}/alpine:1", self.host()));
        fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        Project { name: "example", context }
    }

    /// A context of many files, a hundred to a folder, of which one program is made.
    fn many_files(&self) -> Project {
        let context = self.folder.path().join("many");
        for number in 0..FILES {
            let folder = context.join(format!("src/{:03}", number / 100));
            fs::create_dir_all(&folder).unwrap();
            let line = format!("file {number} of a context with many files\n");
            fs::write(folder.join(format!("{number}.txt")), line.repeat(100)).unwrap();
        }
        let dockerfile = format!(
            "FROM {host}/alpine:1 AS builder\nCOPY src /src\nRUN ls -lR /src > /list\n\n\
             FROM {host}/alpine:1\nCOPY --from=builder /list /\n",
            host = self.host()
        );
        fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        Project { name: "many", context }
    }

    /// A build of ours on a new runner.
    fn ours(&self, project: &Project, saves: bool) -> Duration {
        let store = tempfile::tempdir().unwrap();
        let mut command = self.plimsoll(store.path());
        command
            .env("GITHUB_ACTIONS", "true")
            .env("RUNNER_ENVIRONMENT", "github-hosted")
            .env("ACTIONS_RESULTS_URL", format!("http://{}/", self.far_service.address))
            .env("ACTIONS_RUNTIME_TOKEN", token(&[("refs/heads/main", 3)]))
            .env("ACTIONS_CACHE_MODE", if saves { "write" } else { "read" });
        let name = format!("{}/ours/{}:1", self.host(), project.name);
        command.args(["--push", "-t", &name]).arg(&project.context);
        let took = took(command);
        self.dead.borrow_mut().push(store);
        took
    }

    /// A command whose result is printed only where it fails.
    fn plimsoll(&self, store: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["build", "-q", "--ca-cert"])
            .arg(self.registry.certificate())
            .arg("--store")
            .arg(store)
            .stdout(Stdio::null());
        command
    }

    /// BuildKit's on a new runner.
    fn theirs(&self, project: &Project) -> Duration {
        let since = Instant::now();
        let daemon = BuildKit::start(&self.host(), &self.registry.certificate());
        let repository = format!("{}/theirs/{}", self.host(), project.name);
        let mut command = daemon.build(&project.context, &repository);
        assert!(command.status().unwrap().success(), "{}", daemon.log());
        let took = since.elapsed();
        self.dead.borrow_mut().push(daemon.end());
        took
    }

    /// A thing to measure; whether what was promised is kept.
    fn measure(&self, what: &str, rounds: usize) -> bool {
        match what {
            "same" => self.nothing_changed(&self.example(), 1.0 / 3.0, rounds),
            "many" => self.nothing_changed(&self.many_files(), 0.1, rounds),
            "line" => self.one_line_changed(rounds),
            _ => self.saved_for_the_first_time(rounds),
        }
    }

    fn nothing_changed(&self, project: &Project, promised: f64, rounds: usize) -> bool {
        self.ours(project, true);
        self.theirs(project);
        let mut few = true;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            self.service.forget_log();
            self.registry.forget_requests();
            ours.push(self.ours(project, true));
            let (service, registry) = (self.service.log(), self.registry.requests());
            println!(
                "{} requests to the service, {} to the registry",
                service.len(),
                registry.len()
            );
            if service.len() + registry.len() > REQUESTS {
                few = false;
                println!("more than {REQUESTS}: {service:#?} {registry:#?}");
            }
            theirs.push(self.theirs(project));
        }
        report(&format!("{}, nothing changed", project.name), ours, theirs, promised) && few
    }

    fn one_line_changed(&self, rounds: usize) -> bool {
        let example = self.example();
        self.ours(&example, true);
        self.theirs(&example);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            example.change(&format!("ours {round}"));
            ours.push(self.ours(&example, true));
            example.change(&format!("theirs {round}"));
            theirs.push(self.theirs(&example));
        }
        report("example, one line changed", ours, theirs, 0.5)
    }

    fn saved_for_the_first_time(&self, rounds: usize) -> bool {
        let example = self.example();
        let (mut saving, mut not_saving) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            for (saves, times) in [(false, &mut not_saving), (true, &mut saving)] {
                self.service.evict_all();
                example.change(&format!("{saves} {round}"));
                times.push(self.ours(&example, saves));
            }
        }
        report("example, saved for the first time", saving, not_saving, 1.05)
    }
}

impl Project {
    /// Changes one line of the source.
    fn change(&self, what: &str) {
        let path = self.context.join("main.go");
        let source = fs::read_to_string(&path).unwrap();
        let kept: Vec<&str> = source.lines().filter(|line| !line.starts_with("var _")).collect();
        fs::write(path, format!("{}\nvar _ = \"{what}\"\n", kept.join("\n"))).unwrap();
    }
}

fn took(mut command: Command) -> Duration {
    let since = Instant::now();
    assert!(command.status().unwrap().success());
    since.elapsed()
}

/// Tells the medians and their ratio, and whether that is as promised.
fn report(what: &str, mine: Vec<Duration>, other: Vec<Duration>, promised: f64) -> bool {
    let (mine, other) = (median(mine), median(other));
    let ratio = mine.as_secs_f64() / other.as_secs_f64();
    let verdict = if ratio <= promised { "as promised" } else { "NOT as promised" };
    println!("{what}: {mine:.2?} against {other:.2?}, ratio {ratio:.3}, {verdict} ({promised:.3})");
    ratio <= promised
}

fn median(mut times: Vec<Duration>) -> Duration {
    print!("  ");
    times.iter().for_each(|time| print!("{time:.2?} "));
    println!();
    times.sort_unstable();
    times[times.len() / 2]
}
