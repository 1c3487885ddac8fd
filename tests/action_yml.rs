//! `action.yml` and the README's tables say what the program's own table says.
//!
//! `UPDATE=1 cargo nextest run --test action_yml` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use plimsoll::github::inputs::{IGNORED, INPUTS, OUTPUTS};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Text in YAML's double quotes, which are those of JSON.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn inputs_and_outputs() -> String {
    let mut text = "inputs:\n".to_owned();
    for input in INPUTS {
        text += &format!("  {}:\n    description: {}\n", input.name, quoted(input.about));
        if !input.default.is_empty() {
            text += &format!("    default: {}\n", quoted(input.default));
        }
    }
    for (name, why) in IGNORED {
        let about = format!("Accepted for those who move here: {why}");
        text += &format!("  {name}:\n    description: {}\n", quoted(&about));
    }
    text += "outputs:\n";
    for output in OUTPUTS {
        text += &format!("  {}:\n    description: {}\n", output.name, quoted(output.about));
    }
    text
}

fn tables() -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut text = "| input | default | what it does |\n|---|---|---|\n".to_owned();
    for input in INPUTS {
        let default = match input.default {
            "" => String::new(),
            "${{ github.token }}" => "the job's token".to_owned(),
            default => format!("`{default}`"),
        };
        text += &format!("| `{}` | {default} | {} |\n", input.name, cell(input.about));
    }
    text += "\n| output | what it is |\n|---|---|\n";
    for output in OUTPUTS {
        text += &format!("| `{}` | {} |\n", output.name, cell(output.about));
    }
    text += "\nAccepted and left alone, with a notice: ";
    let ignored: Vec<String> =
        IGNORED.iter().map(|(name, why)| format!("`{name}` ({why})")).collect();
    text += &format!("{}.\n", ignored.join(", "));
    text
}

/// Holds what stands between two lines of a file against `expected`.
fn check(file: &str, begin: &str, end: &str, expected: &str) {
    let path = root().join(file);
    let text = fs::read_to_string(&path).unwrap();
    let start =
        text.find(begin).unwrap_or_else(|| panic!("{file} has no line {begin}")) + begin.len();
    let length = text[start..].find(end).unwrap_or_else(|| panic!("{file} has no line {end}"));
    let found = &text[start..start + length];
    if std::env::var_os("UPDATE").is_some() {
        let text = format!("{}{expected}{}", &text[..start], &text[start + length..]);
        fs::write(&path, text).unwrap();
        return;
    }
    assert!(found == expected, "{file} differs: run with UPDATE=1 and look at the difference");
}

#[test]
fn the_action_declares_what_the_program_reads() {
    check("action.yml", "# From the program's table:\n", "runs:\n", &inputs_and_outputs());
}

#[test]
fn the_guide_has_the_same_tables() {
    check("docs/action.md", "<!-- tables -->\n\n", "\n<!-- end of tables -->\n", &tables());
}
