//! Workflow commands of GitHub's runner.

use crate::dockerfile::lint::Finding;
use crate::error::Error;

use super::{clean, excerpt};

/// Bytes.
const SHORTEST_MASKED: usize = 4;

/// `::group::TITLE`
pub(super) fn group(title: &str) -> String {
    format!("::group::{}", data(title))
}

/// From here to [`resume`] the runner takes no line for a command, whatever a step prints.
pub(super) fn stop(token: &str) -> String {
    format!("::stop-commands::{token}")
}

pub(super) fn resume(token: &str) -> String {
    format!("::{token}::")
}

pub(super) const END_GROUP: &str = "::endgroup::";

/// An annotation of the run; `level` is `notice` or `warning`.
pub(super) fn annotation(level: &str, text: &str) -> String {
    format!("::{level}::{}", data(text))
}

/// `::add-mask::LINE` for each line of a secret. A line of few characters is more likely to be an
/// ordinary word, which the runner would hide everywhere.
pub(super) fn mask(secret: &str) -> Vec<String> {
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_MASKED);
    lines.map(|line| format!("::add-mask::{}", data(line))).collect()
}

/// Text in which the runner's page finds no command of the older form, which may stand anywhere in a
/// line: `##[error]`.
pub(super) fn tame(text: &str) -> String {
    text.replace("##[", "## [")
}

/// `::warning file=F,line=N,endLine=N,title=RULE::MESSAGE`
#[must_use]
pub fn finding_command(dockerfile: &str, finding: &Finding) -> String {
    let (file, problem) = (property(dockerfile), &finding.problem);
    let (first, last) = (finding.lines.start(), finding.lines.end());
    let (title, message) =
        (property(problem.rule().name), data(&clean::line(&problem.to_string())));
    format!("::warning file={file},line={first},endLine={last},title={title}::{message}")
}

/// `::error …::MESSAGE` for each place of the error, or one without a place.
#[must_use]
pub fn error_commands(error: &Error, dockerfile: Option<&str>) -> Vec<String> {
    let message = data(&excerpt::message(error));
    let (Some(name), false) = (dockerfile, error.locations.is_empty()) else {
        return vec![format!("::error::{message}")];
    };
    let name = property(name);
    error
        .locations
        .iter()
        .map(|location| {
            let (first, last) = (location.lines.start(), location.lines.end());
            let column = location.column.map(|column| format!(",col={column}")).unwrap_or_default();
            format!("::error file={name},line={first},endLine={last}{column}::{message}")
        })
        .collect()
}

/// The text after the last `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property such as `file=`.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Location;

    #[test]
    fn errors_are_escaped_and_placed() {
        let error = Error::build("100% wrong\r\n::set-env::").at(Location::lines(3..=4));
        assert_eq!(
            error_commands(&error, Some("a,b:c/Dockerfile")),
            [
                "::error file=a%2Cb%3Ac/Dockerfile,line=3,endLine=4::failed to build: failed to solve: \
              100%25 wrong%0D%0A::set-env::"
            ]
        );
        let error = Error::build("x").at(Location { lines: 3..=3, column: Some(5) });
        assert!(
            error_commands(&error, Some("D"))[0]
                .starts_with("::error file=D,line=3,endLine=3,col=5::")
        );
        assert_eq!(error_commands(&Error::usage("x"), Some("D")), ["::error::x"]);
    }

    #[test]
    fn each_line_of_a_secret_is_masked() {
        let secret = "-----BEGIN KEY-----\r\n50%AAAA\n}\n\n";
        assert_eq!(mask(secret), ["::add-mask::-----BEGIN KEY-----", "::add-mask::50%25AAAA"]);
    }
}
