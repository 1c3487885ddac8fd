//! Which instruction made which layer, from the history that an image carries.

use crate::image::History;
use crate::weight::{Source, Step};

/// One step for each of `layers`, from the lowest. Tools that write no history, or another number of
/// layers than there are, leave them without instruction.
#[must_use]
pub fn steps(history: &[History], layers: usize) -> Vec<Step> {
    let made: Vec<&History> = history.iter().filter(|entry| !entry.empty_layer).collect();
    let unknown = || Step { instruction: String::new(), lines: None, source: Source::Unknown };
    if made.len() != layers {
        return (0..layers).map(|_| unknown()).collect();
    }
    let step = |entry: &&History| Step {
        instruction: collapsed(&instruction(entry.created_by.as_deref().unwrap_or_default())),
        ..unknown()
    };
    made.iter().map(step).collect()
}

/// Lines were joined with the blanks that they began with.
pub(super) fn collapsed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `RUN apt-get update` of what BuildKit, the classic builder, Buildah and others write.
fn instruction(created_by: &str) -> String {
    let text = created_by.trim();
    let text = text.strip_suffix("# buildkit").map_or(text, str::trim_end);
    let (keyword, command) = match text.strip_prefix("RUN ") {
        Some(command) => (true, command),
        None => (false, text),
    };
    // `|2 A=1 B=2 /bin/sh -c …`: build arguments come first.
    let command = match command.strip_prefix('|') {
        Some(arguments) => {
            arguments.find("/bin/sh -c ").map_or(command, |shell| &arguments[shell..])
        }
        None => command,
    };
    match command.strip_prefix("/bin/sh -c ") {
        Some(rest) => match rest.trim_start().strip_prefix("#(nop)") {
            Some(other) => other.trim().to_owned(),
            None => format!("RUN {}", rest.trim()),
        },
        None if keyword => format!("RUN {command}"),
        None => command.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builders_put_around_goes() {
        for (created_by, expected) in [
            ("RUN /bin/sh -c apt-get update # buildkit", "RUN apt-get update"),
            ("RUN |1 V=2 /bin/sh -c make V=$V # buildkit", "RUN make V=$V"),
            ("RUN /bin/bash -o pipefail -c x # buildkit", "RUN /bin/bash -o pipefail -c x"),
            ("COPY app /srv # buildkit", "COPY app /srv"),
            ("/bin/sh -c #(nop) ADD file:1f4e in / ", "ADD file:1f4e in /"),
            ("/bin/sh -c #(nop)  CMD [\"sh\"]", "CMD [\"sh\"]"),
            ("/bin/sh -c echo a", "RUN echo a"),
            ("|1 V=2 /bin/sh -c echo $V", "RUN echo $V"),
            ("debuerreotype 0.15", "debuerreotype 0.15"),
            ("", ""),
        ] {
            assert_eq!(instruction(created_by), expected, "{created_by}");
        }
    }

    #[test]
    fn a_history_that_does_not_fit_says_nothing() {
        let entry = |empty_layer| History {
            created_by: Some("COPY a b".to_owned()),
            empty_layer,
            ..History::default()
        };
        let history = [entry(false), entry(true), entry(false)];
        assert_eq!(steps(&history, 2)[1].instruction, "COPY a b");
        assert!(steps(&history, 3).iter().all(|step| step.instruction.is_empty()));
    }
}
