//! Parsing, checking and planning a Dockerfile of 1,000 instructions, against splitting its text into
//! lines 100 times. Both are measured by the time of a processor, which holds on a busy machine too.
//!
//! `cargo bench --bench plan [-- ROUNDS]`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use plimsoll::dockerfile;
use plimsoll::dockerfile::lint::Findings;
use plimsoll::ignore::Patterns;
use plimsoll::plan::{Entitlements, Network, Plan, PlanRequest, Planned, plan};
use plimsoll::platform::Platform;
use plimsoll::request::NoCache;

/// What the whole may take, on average.
const LIMIT: Duration = Duration::from_millis(10);
const INSTRUCTIONS: usize = 1000;

fn main() -> ExitCode {
    let rounds = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    let rounds: u32 = rounds.unwrap_or(100);
    let text = dockerfile_of(INSTRUCTIONS);
    let steps: usize = planned(&text).stages.iter().map(|stage| 1 + stage.steps.len()).sum();
    assert_eq!(steps, INSTRUCTIONS, "every instruction is planned");

    let split = time(rounds, || {
        for _ in 0..100 {
            black_box(black_box(text.as_str()).lines().map(str::len).sum::<usize>());
        }
    });
    let plan = time(rounds, || {
        black_box(planned(black_box(&text)));
    });
    println!(
        "{INSTRUCTIONS} instructions, {} bytes: 100 splits {:.2} ms   plan {:.2} ms   ratio {:.1}",
        text.len(),
        milliseconds(split),
        milliseconds(plan),
        plan.as_secs_f64() / split.as_secs_f64(),
    );
    if plan <= LIMIT {
        return ExitCode::SUCCESS;
    }
    eprintln!("planning takes more than {LIMIT:?}");
    ExitCode::FAILURE
}

/// Stages of ten instructions, each on the one before, with arguments, variables, heredocs, mounts.
fn dockerfile_of(instructions: usize) -> String {
    let mut text = String::new();
    for stage in 0..instructions / 10 {
        let base = match stage {
            0 => "scratch".to_owned(),
            _ => format!("stage{}", stage - 1),
        };
        write!(
            text,
            "FROM {base} AS stage{stage}\n\
             ARG VERSION_{stage}=1.{stage}\n\
             # a comment that says what the next line is for\n\
             ENV NAME_{stage}=${{VERSION_{stage}:-none}} \\\n    OTHER=\"$PATH:/opt/{stage}\"\n\
             WORKDIR /src/$NAME_{stage}\n\
             COPY --chown=1000:1000 a/*.rs b/${{OTHER}} \\\n    ./\n\
             RUN --mount=type=cache,target=/root/.cache,id=c{stage} --mount=type=bind,target=/m \\\n\
             \x20   make -j && \\\n    make install\n\
             COPY <<EOF /etc/app.conf\nversion = $VERSION_{stage}\nEOF\n\
             LABEL org.example.stage={stage} org.example.version=$NAME_{stage}\n\
             EXPOSE 80{stage:02}/tcp\n\
             CMD [\"/app\", \"--stage\", \"{stage}\"]\n\n"
        )
        .expect("a string takes all");
    }
    text
}

fn planned(text: &str) -> Plan {
    let file = dockerfile::parse(text.as_bytes()).expect("the Dockerfile is valid");
    let (host, nothing) = (Platform::host(), BTreeMap::new());
    let request = PlanRequest {
        shows_platform: false,
        target: None,
        build_args: &nothing,
        platform: &host,
        explicit_platform: false,
        build_platform: &host,
        contexts: &BTreeMap::new(),
        labels: &nothing,
        default_labels: &nothing,
        no_cache: &NoCache::Never,
        network: Network::Default,
        entitlements: Entitlements::default(),
        hosts: &[],
        ignore: &Patterns::default(),
        all_stages: false,
    };
    match plan(&file, &request, &BTreeMap::new(), &mut Findings::default()) {
        Ok(Planned::Ready(plan)) => *plan,
        other => panic!("not planned: {other:?}"),
    }
}

/// What `work` takes on average; the clock is too coarse for a single time.
fn time(rounds: u32, work: impl Fn()) -> Duration {
    let start = processor_time();
    (0..rounds).for_each(|_| work());
    (processor_time() - start) / rounds
}

/// Of this thread: the first number of the line is nanoseconds (Linux, sched-stats).
fn processor_time() -> Duration {
    let line = fs::read_to_string("/proc/thread-self/schedstat").expect("/proc is mounted");
    let nanoseconds = line.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
