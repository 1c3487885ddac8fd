//! Parsing, checking and planning a Dockerfile of 1,000 instructions, against splitting its text into
//! lines 100 times, one after the other, so that both meet the same load.
//!
//! `cargo bench --bench plan [-- ROUNDS]`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use plimsoll::dockerfile;
use plimsoll::dockerfile::lint::Findings;
use plimsoll::ignore::Patterns;
use plimsoll::plan::{Entitlements, Network, Plan, PlanRequest, Planned, plan};
use plimsoll::platform::Platform;
use plimsoll::request::NoCache;

/// What the whole may take, at the median.
const LIMIT: Duration = Duration::from_millis(10);
const INSTRUCTIONS: usize = 1000;

fn main() -> ExitCode {
    let rounds = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    let rounds: usize = rounds.unwrap_or(50);
    let text = dockerfile_of(INSTRUCTIONS);
    let steps: usize = planned(&text).stages.iter().map(|stage| 1 + stage.steps.len()).sum();
    assert_eq!(steps, INSTRUCTIONS, "every instruction is planned");

    let (mut splits, mut plans) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        splits.push(time(|| {
            for _ in 0..100 {
                black_box(black_box(text.as_str()).lines().map(str::len).sum::<usize>());
            }
        }));
        plans.push(time(|| {
            black_box(planned(black_box(&text)));
        }));
    }
    let (split, plan) = (median(splits), median(plans));
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
        target: None,
        build_args: &nothing,
        platform: &host,
        explicit_platform: false,
        build_platform: &host,
        contexts: &BTreeMap::new(),
        labels: &nothing,
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

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
