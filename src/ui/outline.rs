//! What a Dockerfile offers, for people and programs: as `docker build --call=outline` and
//! `--call=targets` print it.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use serde::Serialize;

use super::clean;
use crate::dockerfile::outline::{Argument, Need, Outline, Target};

/// The target, then a table for each kind of what it takes.
#[must_use]
pub fn outline_text(outline: &Outline) -> String {
    let mut text = String::new();
    let Outline { name, description, arguments, secrets, ssh } = outline;
    if name.is_some() || description.is_some() {
        let mut rows = vec![vec!["TARGET:", name.as_deref().unwrap_or("(default)")]];
        rows.extend(description.as_deref().map(|said| vec!["DESCRIPTION:", said]));
        text.push_str(&table(&rows, 1));
        text.push('\n');
    }
    if !arguments.is_empty() {
        let mut rows = vec![vec!["BUILD ARG", "VALUE", "DESCRIPTION"]];
        rows.extend(arguments.iter().map(|Argument { name, value, description, .. }| {
            vec![
                name.as_str(),
                value.as_deref().unwrap_or_default(),
                description.as_deref().unwrap_or_default(),
            ]
        }));
        text.push_str(&table(&rows, 3));
        text.push('\n');
    }
    for (kind, needs) in [("SECRET", secrets), ("SSH", ssh)] {
        if needs.is_empty() {
            continue;
        }
        let mut rows = vec![vec![kind, "REQUIRED"]];
        rows.extend(needs.iter().map(|need| {
            let required = if need.is_required { "true" } else { "" };
            vec![need.id.as_str(), required]
        }));
        text.push_str(&table(&rows, 3));
        text.push('\n');
    }
    text
}

/// A line for every stage.
#[must_use]
pub fn targets_text(targets: &[Target]) -> String {
    let names: Vec<String> = targets
        .iter()
        .map(|target| match (&target.name, target.is_default) {
            (None, true) => "(default)".to_owned(),
            (Some(name), true) => format!("{name} (default)"),
            (name, false) => name.clone().unwrap_or_default(),
        })
        .collect();
    let mut rows = vec![vec!["TARGET", "DESCRIPTION"]];
    let descriptions = targets.iter().map(|target| target.description.as_deref());
    rows.extend(
        std::iter::zip(&names, descriptions)
            .map(|(name, said)| vec![name.as_str(), said.unwrap_or_default()]),
    );
    table(&rows, 1)
}

/// Columns as wide as their widest cell, `gap` apart; nothing is added behind the last.
fn table(rows: &[Vec<&str>], gap: usize) -> String {
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| clean::line(cell)).collect()).collect();
    let columns = cells.iter().map(Vec::len).max().unwrap_or_default();
    let widest = |column: usize| {
        let of = |row: &Vec<String>| row.get(column).map_or(0, |cell| cell.chars().count());
        cells.iter().map(of).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    let mut text = String::new();
    for row in &cells {
        for (column, cell) in row.iter().enumerate() {
            let width = if column + 1 < row.len() { widths[column] + gap } else { 0 };
            let _ = write!(text, "{cell:width$}");
        }
        text.push('\n');
    }
    text
}

/// The object of `docker build --call=outline,format=json`. Lines count from one; the bytes of the
/// Dockerfile are in Base64.
#[must_use]
pub fn outline_json(outline: &Outline, dockerfile: &[u8]) -> String {
    #[derive(Serialize)]
    struct Object<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        args: Vec<Arg<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<Required<'a>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        ssh: Vec<Required<'a>>,
        sources: [String; 1],
    }

    #[derive(Serialize)]
    struct Arg<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<&'a str>,
        location: Location,
    }

    pretty(&Object {
        name: filled(&outline.name),
        description: filled(&outline.description),
        args: outline
            .arguments
            .iter()
            .map(|argument| Arg {
                name: &argument.name,
                description: filled(&argument.description),
                value: filled(&argument.value),
                location: Location::of(&argument.lines),
            })
            .collect(),
        secrets: needs(&outline.secrets),
        ssh: needs(&outline.ssh),
        sources: [base64(dockerfile)],
    })
}

/// The object of `docker build --call=targets,format=json`, likewise.
#[must_use]
pub fn targets_json(targets: &[Target], dockerfile: &[u8]) -> String {
    #[derive(Serialize)]
    struct Object<'a> {
        targets: Vec<Stage<'a>>,
        sources: [String; 1],
    }

    #[derive(Serialize)]
    struct Stage<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        default: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        base: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        platform: Option<&'a str>,
        location: Location,
    }

    let targets = targets
        .iter()
        .map(|target| Stage {
            name: filled(&target.name),
            default: target.is_default,
            description: filled(&target.description),
            base: &target.base,
            platform: filled(&target.platform),
            location: Location::of(&target.lines),
        })
        .collect();
    pretty(&Object { targets, sources: [base64(dockerfile)] })
}

#[derive(Serialize)]
struct Required<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    required: bool,
    location: Location,
}

fn needs(needs: &[Need]) -> Vec<Required<'_>> {
    let needs = needs.iter().map(|need| Required {
        name: &need.id,
        required: need.is_required,
        location: Location::of(&need.lines),
    });
    needs.collect()
}

/// BuildKit leaves out what is empty.
fn filled(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// A range for every line, as BuildKit has it.
#[derive(Serialize)]
struct Location {
    ranges: Vec<Range>,
}

#[derive(Serialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Serialize)]
struct Position {
    line: usize,
}

impl Location {
    fn of(lines: &RangeInclusive<usize>) -> Self {
        let range = |line| Range { start: Position { line }, end: Position { line } };
        Self { ranges: lines.clone().map(range).collect() }
    }
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

fn pretty(object: &impl Serialize) -> String {
    // Text with keys that are text is always an object.
    serde_json::to_string_pretty(object).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests;
