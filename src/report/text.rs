//! The end of a build's log: the table of stages, and what the image weighs.

use crate::build::{
    BuildResult, Built, CacheMountResult, LookedIn, NotSaved, Outcome, StageResult, StepResult,
    Written, WrittenKind,
};

use super::table::{Align, Column, render};
use super::{human, time};

/// Together with the gaps at most 100 characters.
const COLUMNS: [Column; 7] = [
    Column { heading: "STAGE", align: Align::Left, limit: 18 },
    Column { heading: "BASE", align: Align::Left, limit: 26 },
    Column { heading: "LAYERS", align: Align::Right, limit: 6 },
    Column { heading: "UNPACKED", align: Align::Right, limit: 9 },
    Column { heading: "TIME", align: Align::Right, limit: 7 },
    Column { heading: "STEPS", align: Align::Left, limit: 14 },
    Column { heading: "IN IMAGE", align: Align::Left, limit: 8 },
];

const UNKNOWN: &str = "unknown";

/// Lines of at most 100 characters, but for references and paths, which are never cut. Several
/// platforms have a table each.
#[must_use]
pub fn text(built: &Built) -> String {
    let mut text = String::new();
    if let Some(only) = built.only() {
        text.push_str(&table(only));
        stands_for(&mut text, only);
        if built.config().is_none() {
            // There are attestations beside it.
            line(&mut text, "Index", built.descriptor.digest.to_string());
        }
        push_written(&mut text, built);
        made(&mut text, only);
    } else {
        for result in &built.platforms {
            text.push_str(&format!("{}\n\n{}", result.image.platform, table(result)));
            stands_for(&mut text, result);
            made(&mut text, result);
            text.push('\n');
        }
        line(&mut text, "Index", built.descriptor.digest.to_string());
        push_written(&mut text, built);
    }
    line(&mut text, "Time", time(built.took));
    text
}

fn line(text: &mut String, name: &str, value: String) {
    text.push_str(&format!("{name:<12} {value}"));
    text.truncate(text.trim_end().len());
    text.push('\n');
}

fn table(result: &BuildResult) -> String {
    let rows: Vec<Vec<String>> = result.stages.iter().map(row).collect();
    render(&COLUMNS, &rows) + "\n"
}

/// What the image is, and what it took to have it.
fn stands_for(text: &mut String, result: &BuildResult) {
    let image = &result.image;
    line(text, "Image", image.config.to_string());
    line(text, "Manifest", image.descriptor.digest.to_string());
    let size = format!(
        "{} compressed, {} unpacked, {}",
        bytes(image.compressed_bytes()),
        bytes(image.unpacked_bytes()),
        counted(image.layers.len(), "layer")
    );
    line(text, "Size", size);
    let left = result.stages.iter().filter(|stage| !stage.in_image).count();
    if left > 0 {
        let stages = counted(left, "build stage");
        let left = format!("{} unpacked, in {stages}", bytes(result.left_behind_bytes()));
        line(text, "Left behind", left);
    }
    let (hits, steps) = result.cache_hits();
    line(text, "Cached", format!("{hits} of {}", counted(steps, "step")));
}

fn push_written(text: &mut String, built: &Built) {
    for written in &built.written {
        line(text, verb(written.kind), transfer(written));
    }
}

/// Why something ran, and what became of caches.
fn made(text: &mut String, result: &BuildResult) {
    for (title, why) in result.causes() {
        line(text, "Ran", format!("{title}: {why}"));
    }
    for CacheMountResult { id, restored, saved } in &result.cache_mounts {
        let restored = restored.as_ref().map(ToString::to_string);
        let parts: Vec<String> =
            restored.into_iter().chain(saved.as_ref().map(ToString::to_string)).collect();
        line(text, "Cache mount", format!("{id}: {}", parts.join("; ")));
    }
    for NotSaved { title, bytes, seconds } in &result.not_saved {
        let (size, made) = (human(*bytes), time(std::time::Duration::from_secs_f64(*seconds)));
        line(text, "Not saved", format!("{title} ({size} compressed, made again in {made})"));
    }
}

/// `--explain`: every step, whether it ran, and why; then where results were looked for.
#[must_use]
pub fn explanation(built: &Built) -> String {
    let mut text = String::new();
    let steps =
        built.platforms.iter().flat_map(|result| &result.stages).flat_map(|stage| &stage.steps);
    for StepResult { title, outcome, took, .. } in steps {
        let line = match outcome {
            Outcome::Config => continue,
            Outcome::Cached => format!("cached  {title}"),
            Outcome::Ran { why } => format!("ran     {title} ({}): {why}", time(*took)),
        };
        text.push_str(&line);
        text.push('\n');
    }
    // The platforms share the places, and the last has counted all of it.
    let looked_in = built.platforms.last().map_or(&[][..], |result| &result.looked_in);
    for LookedIn { place, questions, entries, bytes, took } in looked_in {
        text.push_str(&format!(
            "looked in {place}: {}, {} found, {} read, {}\n",
            counted(*questions, "question"),
            if *entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") },
            human(*bytes),
            time(*took)
        ));
    }
    text
}

fn row(stage: &StageResult) -> Vec<String> {
    vec![
        stage.name.clone(),
        stage.base.clone(),
        stage.layers.as_ref().map_or_else(|| UNKNOWN.to_owned(), |layers| layers.len().to_string()),
        bytes(stage.unpacked_bytes()),
        time(stage.took),
        steps(stage),
        if stage.in_image { "yes" } else { "no" }.to_owned(),
    ]
}

fn steps(stage: &StageResult) -> String {
    match stage.cache_hits() {
        (0, 0) => "none".to_owned(),
        (hits, all) if hits == all => "cached".to_owned(),
        (0, all) => format!("{all} ran"),
        (hits, all) => format!("{} ran of {all}", all - hits),
    }
}

fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| UNKNOWN.to_owned(), human)
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn verb(kind: WrittenKind) -> &'static str {
    match kind {
        WrittenKind::Registry => "Pushed",
        WrittenKind::Cache => "Cache to",
        WrittenKind::Oci | WrittenKind::Docker | WrittenKind::Local | WrittenKind::Tar => "Wrote",
    }
}

fn transfer(written: &Written) -> String {
    let place = match written.place.as_str() {
        "-" => "standard output",
        place => place,
    };
    let sent = match written.kind {
        WrittenKind::Registry => "sent",
        _ => "written",
    };
    let mut text = format!("{place} ({} {sent}", human(written.transferred_bytes));
    if written.skipped_bytes > 0 {
        text.push_str(&format!(", {} there already", human(written.skipped_bytes)));
    }
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::result_for_tests as go_multistage;

    #[test]
    fn the_go_program_on_alpine() {
        let expected = "\
STAGE    BASE           LAYERS  UNPACKED   TIME  STEPS       IN IMAGE
builder  golang:1.12         4  809.3 MB  12.3s  2 ran of 3  no
stage-1  alpine:latest       2    9.8 MB   0.1s  1 ran of 2  yes

Image        sha256:b79606fb3afea5bd1609ed40b622142f1c98125abcfe89a76a661b0e8e343910
Manifest     sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
Size         4.5 MB compressed, 9.8 MB unpacked, 2 layers
Left behind  809.3 MB unpacked, in 1 build stage
Cached       2 of 5 steps
Pushed       ghcr.io/a/b:1 (1.1 MB sent, 3.4 MB there already)
Ran          [builder 3/4] COPY . .: new
Ran          [stage-1 3/3] COPY --from=builder /app/myapp .: new
Time         13.1s
";
        assert_eq!(text(&go_multistage()), expected);
    }

    #[test]
    fn everything_is_explained() {
        let mut result = go_multistage();
        result.platforms[0].looked_in.push(LookedIn {
            place: "local /cache".to_owned(),
            questions: 1,
            entries: 2,
            bytes: 12_345,
            took: std::time::Duration::from_millis(120),
        });
        let expected = "\
cached  [builder 2/4] WORKDIR /app
ran     [builder 3/4] COPY . . (0.0s): new
ran     [builder 4/4] RUN go build -o myapp (12.3s): new
cached  [stage-1 2/3] WORKDIR /root/
ran     [stage-1 3/3] COPY --from=builder /app/myapp . (0.0s): new
looked in local /cache: 1 question, 2 entries found, 12.3 kB read, 0.1s
";
        assert_eq!(explanation(&result), expected);
    }

    #[test]
    fn what_no_cache_got_is_named() {
        let mut result = go_multistage();
        let title = "[builder 2/3] COPY . .".to_owned();
        result.platforms[0].not_saved.push(NotSaved { title, bytes: 900_000, seconds: 0.21 });
        let line =
            "Not saved    [builder 2/3] COPY . . (900.0 kB compressed, made again in 0.2s)\n";
        assert!(text(&result).contains(line), "{}", text(&result));
    }

    #[test]
    fn one_stage_all_cached_of_sizes_unknown() {
        let mut result = go_multistage();
        result.platforms[0].stages.remove(0);
        let stage = &mut result.platforms[0].stages[0];
        let layers = stage.layers.as_mut().unwrap();
        layers.truncate(1);
        layers[0].unpacked_bytes = None;
        layers[0].blob = None;
        stage.steps.truncate(1);
        let layers = layers.clone();
        result.platforms[0].image.layers = layers;
        result.written[0] = Written {
            kind: WrittenKind::Tar,
            place: "-".to_owned(),
            transferred_bytes: 10_240,
            skipped_bytes: 0,
        };
        let expected = "\
STAGE    BASE           LAYERS  UNPACKED  TIME  STEPS   IN IMAGE
stage-1  alpine:latest       1   unknown  0.1s  cached  yes

Image        sha256:b79606fb3afea5bd1609ed40b622142f1c98125abcfe89a76a661b0e8e343910
Manifest     sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
Size         unknown compressed, unknown unpacked, 1 layer
Cached       1 of 1 step
Wrote        standard output (10.2 kB written)
Time         13.1s
";
        assert_eq!(text(&result), expected);
    }

    #[test]
    fn several_platforms_have_a_table_each() {
        let mut built = go_multistage();
        let mut arm = built.platforms[0].clone();
        arm.image.platform = "linux/arm64".parse().unwrap();
        arm.stages.remove(0);
        built.platforms[0].stages.remove(0);
        built.platforms.push(arm);
        let part = "\
STAGE    BASE           LAYERS  UNPACKED  TIME  STEPS       IN IMAGE
stage-1  alpine:latest       2    9.8 MB  0.1s  1 ran of 2  yes

Image        sha256:b79606fb3afea5bd1609ed40b622142f1c98125abcfe89a76a661b0e8e343910
Manifest     sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
Size         4.5 MB compressed, 9.8 MB unpacked, 2 layers
Cached       1 of 2 steps
Ran          [stage-1 3/3] COPY --from=builder /app/myapp .: new
";
        let end = "\
Index        sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f
Pushed       ghcr.io/a/b:1 (1.1 MB sent, 3.4 MB there already)
Time         13.1s
";
        let expected = format!("linux/amd64\n\n{part}\nlinux/arm64\n\n{part}\n{end}");
        assert_eq!(text(&built), expected);
    }

    #[test]
    fn the_table_is_at_most_100_wide() {
        let mut result = go_multistage();
        let stage = &mut result.platforms[0].stages[0];
        stage.name = "n".repeat(60);
        stage.base = "b".repeat(60);
        stage.took = std::time::Duration::from_secs(59_999);
        stage.steps = stage.steps.iter().cycle().take(300).cloned().collect();
        let text = text(&result);
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{text}");
        assert!(text.contains(&format!("…{} ", "n".repeat(17))), "{text}");
    }
}
