//! What the checks of a Dockerfile found, for people, programs and GitHub's runner.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{clean, excerpt, github};
use crate::dockerfile::lint::{Checked, Finding};
use crate::error::Location;

/// `Name: message (line N)`, as BuildKit's log has it.
#[must_use]
pub(super) fn line(finding: &Finding) -> String {
    let (rule, line) = (finding.problem.rule(), finding.lines.start());
    clean::line(&format!("{}: {} (line {line})", rule.name, finding.problem))
}

/// As `docker build --check` shows it: a count, then every finding with its lines. `dockerfile` is
/// the name as typed and the bytes.
#[must_use]
pub fn text(checked: &Checked, dockerfile: (&str, &[u8])) -> String {
    let mut text = match (checked.findings.len(), &checked.error) {
        (0, Some(_)) => return String::new(),
        (0, None) => return "Check complete, no warnings found.\n".to_owned(),
        (1, _) => "Check complete, 1 warning has been found!\n".to_owned(),
        (count, _) => format!("Check complete, {count} warnings have been found!\n"),
    };
    for Finding { problem, lines } in &checked.findings {
        let rule = problem.rule();
        let url = rule.url().map(|url| format!(" - {url}")).unwrap_or_default();
        let _ =
            write!(text, "\nWARNING: {}{url}\n{}\n", rule.name, clean::line(&problem.to_string()));
        let (name, bytes) = dockerfile;
        text.extend(excerpt::excerpt(name, bytes, &Location::lines(lines.clone())));
    }
    text
}

/// The object that `docker build --call=check,format=json` prints, without the build definition.
/// Lines count from one; the bytes of the Dockerfile are in Base64.
#[must_use]
pub fn json(checked: &Checked, dockerfile: (&str, &[u8])) -> Value {
    let warnings: Vec<Value> = checked
        .findings
        .iter()
        .map(|Finding { problem, lines }| {
            let rule = problem.rule();
            let mut warning = json!({
                "ruleName": rule.name,
                "description": rule.description,
                "detail": problem.to_string(),
                "location": location(&[Location::lines(lines.clone())]),
            });
            if let Some(url) = rule.url() {
                warning["url"] = json!(url);
            }
            warning
        })
        .collect();
    let (name, bytes) = dockerfile;
    let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    let source = json!({ "filename": name, "language": "Dockerfile", "data": data });
    let mut object = json!({ "warnings": warnings, "sources": [source] });
    if let Some(error) = &checked.error {
        object["buildError"] =
            json!({ "message": error.message, "location": location(&error.locations) });
    }
    object
}

/// A range for every line, as BuildKit has it.
fn location(places: &[Location]) -> Value {
    let ranges: Vec<Value> = places
        .iter()
        .flat_map(|place| place.lines.clone())
        .map(|line| json!({ "start": { "line": line }, "end": { "line": line } }))
        .collect();
    json!({ "ranges": ranges })
}

/// A warning of the workflow for every finding, a line each. An error is told where progress is.
#[must_use]
pub fn github(checked: &Checked, dockerfile: &str) -> String {
    let commands = checked.findings.iter().map(|f| github::finding_command(dockerfile, f));
    commands.map(|command| command + "\n").collect()
}

#[cfg(test)]
mod tests;
