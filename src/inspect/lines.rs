//! Which lines of a Dockerfile made which layers of an image that was built from it, by this program
//! or by another: the instructions of a stage are laid beside the history, the last first.

use super::history::collapsed;
use crate::dockerfile::{self, Command, Dockerfile, Instruction, InstructionKind};
use crate::weight::{Source, Step};

/// Gives steps their lines and sources, as far down as Dockerfile and history agree. Any stage may
/// be the one that was built; the one that fits furthest is taken, of equals the last.
pub(super) fn find(text: &str, steps: &mut [Step]) {
    let Ok(file) = dockerfile::parse(text.as_bytes()) else { return };
    let fits = (0..file.stages.len()).map(|target| fit(&file, target, steps));
    let Some(best) = fits.max_by_key(|fit| fit.made.len()) else { return };
    let below = steps.len() - best.made.len();
    for (step, made) in steps.iter_mut().rev().zip(best.made) {
        *step = made;
    }
    if let Some(base) = best.base {
        for step in &mut steps[..below] {
            step.source = Source::Base(base.clone());
        }
    }
}

/// How far down a stage and what it stands on fit.
struct Fit {
    /// From the top.
    made: Vec<Step>,
    /// What all instructions stand on; `None` where history and Dockerfile part before.
    base: Option<String>,
}

fn fit(file: &Dockerfile, target: usize, steps: &[Step]) -> Fit {
    let mut fit = Fit { made: Vec::new(), base: None };
    let mut left = steps.iter().rev().peekable();
    let mut stage = target;
    loop {
        for instruction in file.stages[stage].instructions.iter().rev() {
            let found = left.next_if(|step| is_of(instruction, &step.instruction));
            match &instruction.kind {
                InstructionKind::Run(_) | InstructionKind::Copy(_) | InstructionKind::Add(_)
                    if found.is_none() =>
                {
                    return fit;
                }
                // The classic builder makes no layer of it.
                _ if found.is_none() => {}
                _ => fit.made.push(made(file, stage, instruction)),
            }
        }
        let base = &file.stages[stage].from.base.text;
        match stage_named(file, base, stage) {
            Some(below) => stage = below,
            None => {
                fit.base = Some(base.clone());
                return fit;
            }
        }
    }
}

fn made(file: &Dockerfile, stage: usize, instruction: &Instruction) -> Step {
    let lines = &instruction.place.lines;
    let line = |line: usize| u32::try_from(line).unwrap_or(u32::MAX);
    let source = match &instruction.kind {
        InstructionKind::Copy(copy) if copy.from.is_some() => {
            let from = copy.from.as_ref().map_or("", |from| &from.text);
            let named = stage_named(file, from, stage).map(|stage| stage_name(file, stage));
            Source::CopiedFrom(named.unwrap_or_else(|| from.to_owned()))
        }
        InstructionKind::Copy(_) | InstructionKind::Add(_) => Source::Context,
        _ => Source::Stage(stage_name(file, stage)),
    };
    Step {
        instruction: collapsed(&instruction.place.text),
        lines: Some((line(*lines.start()), line(*lines.end()))),
        source,
    }
}

/// As the log calls it.
fn stage_name(file: &Dockerfile, stage: usize) -> String {
    let name = file.stages[stage].from.name.clone();
    name.unwrap_or_else(|| format!("stage-{stage}"))
}

/// The stage before `before` that goes by this name or number.
fn stage_named(file: &Dockerfile, name: &str, before: usize) -> Option<usize> {
    let lower = name.to_lowercase();
    let named = (0..before).rev().find(|i| file.stages[*i].from.name.as_ref() == Some(&lower));
    named.or_else(|| name.parse().ok().filter(|number| *number < before))
}

/// Whether the history's text can be that of an instruction.
fn is_of(instruction: &Instruction, history: &str) -> bool {
    let (keyword, rest) = history.split_once(' ').unwrap_or((history, ""));
    let rest = collapsed(rest);
    match &instruction.kind {
        InstructionKind::Run(run) => {
            let is_same = match &run.command {
                // A SHELL comes before the text.
                Command::Shell(text) => rest.ends_with(&collapsed(text)),
                // Buildah writes it as it stands.
                Command::Exec(words) => {
                    rest.ends_with(&collapsed(&words.join(" ")))
                        || collapsed(&instruction.place.text).ends_with(&rest)
                }
            };
            // Builders differ in how they write heredocs.
            keyword == "RUN" && (!run.heredocs.is_empty() || is_same)
        }
        InstructionKind::Copy(transfer) => {
            keyword == "COPY" && is_destination(&transfer.destination.text, &rest)
        }
        InstructionKind::Add(transfer) => {
            keyword == "ADD" && is_destination(&transfer.destination.text, &rest)
        }
        InstructionKind::Workdir(path) => {
            keyword == "WORKDIR"
                && (path.text.contains('$') || rest.ends_with(path.text.trim_end_matches('/')))
        }
        _ => false,
    }
}

/// The classic builder writes an absolute destination; a variable is written expanded. Sources and
/// destination stand one behind the other, whatever blanks they have.
fn is_destination(written: &str, history: &str) -> bool {
    let last = |path: &str| -> String {
        collapsed(path.trim_end_matches('/').rsplit('/').next().unwrap_or_default())
    };
    let name = last(written);
    if written.contains('$') || name == "." {
        return true;
    }
    let history = history.trim_end_matches('/');
    match history.strip_suffix(&name) {
        // The root has no name, and is all that is left of its path.
        Some(before) => before.is_empty() || before.ends_with(['/', ' ']),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKERFILE: &str = "FROM golang:1 AS builder\nWORKDIR /src\nCOPY . .\nRUN go build \\\n  \
        -o app\nFROM debian AS base\nRUN --mount=type=cache,target=/var/cache/apt apt-get update \\\n\
        # why\n  && apt-get install -y curl\nFROM base\nENV A=1\nCOPY --from=builder /src/app /bin/\n\
        ADD x $A\n";

    fn found(history: &[&str]) -> Vec<(Option<(u32, u32)>, Source)> {
        let step = |text: &&str| Step {
            instruction: (*text).to_owned(),
            lines: None,
            source: Source::Unknown,
        };
        let mut steps: Vec<Step> = history.iter().map(step).collect();
        find(DOCKERFILE, &mut steps);
        steps.into_iter().map(|step| (step.lines, step.source)).collect()
    }

    #[test]
    fn the_last_stage_is_followed_down_to_its_base() {
        let history = [
            "debuerreotype 0.15",
            "RUN apt-get update   && apt-get install -y curl",
            "COPY /src/app /bin/",
            "ADD x 1",
        ];
        let expected = [
            (None, Source::Base("debian".to_owned())),
            (Some((7, 9)), Source::Stage("base".to_owned())),
            (Some((12, 12)), Source::CopiedFrom("builder".to_owned())),
            (Some((13, 13)), Source::Context),
        ];
        assert_eq!(found(&history), expected);
    }

    #[test]
    fn any_stage_may_have_been_built() {
        let history = ["", "WORKDIR /src", "COPY . .", "RUN go build   -o app"];
        let expected = [None, Some((2, 2)), Some((3, 3)), Some((4, 5))];
        assert_eq!(
            found(&history).into_iter().map(|(lines, _)| lines).collect::<Vec<_>>(),
            expected
        );
    }

    /// BuildKit's own words (L-130, L-135, L-141), the classic builder's and Buildah's.
    #[test]
    fn destinations_may_have_blanks() {
        for (written, history, expected) in [
            ("/json dest/", "sp ace /json dest/", true),
            ("/c", "a b /c", true),
            ("/d e", "a b c /d e", true),
            ("/d e", "a b c /d f", false),
            ("/e", "a /d-e", false),
            ("number", "--chown=12 f /number", true),
            ("/", "f* Docker* /", true),
            ("/", "a /b", false),
            ("./sub/", "file:1f4e in /app/sub/ ", true),
            ("b  c", "dir:1f4e in /b c", true),
            ("$A/b", "x /whatever", true),
            (".", "x /app", true),
            ("/kept", "<<EOF /kept", true),
        ] {
            assert_eq!(
                is_destination(written, &collapsed(history)),
                expected,
                "{written} {history}"
            );
        }
    }

    #[test]
    fn an_instruction_in_json_form_has_its_line() {
        let file = "FROM scratch\nCOPY [\"a b\", \"/c d/\"]\nADD [\"x\", \"y z\", \"/c\"]\n";
        let step = |text: &str| Step {
            instruction: text.to_owned(),
            lines: None,
            source: Source::Unknown,
        };
        let mut steps = [step("COPY a b /c d/"), step("ADD x y z /c")];
        find(file, &mut steps);
        let lines: Vec<_> = steps.iter().map(|step| step.lines).collect();
        assert_eq!(lines, [Some((2, 2)), Some((3, 3))]);
    }

    #[test]
    fn another_image_gets_nothing() {
        let history = ["RUN something else", "COPY a /other"];
        assert!(found(&history).iter().all(|step| *step == (None, Source::Unknown)));
    }
}
