//! Errors in the words of a workflow: what the program calls a flag is an input there. **Pure.**

use crate::error::{Error, ErrorKind};
use crate::github::inputs::INPUTS;

/// Flags whose inputs have other names.
const OTHER_NAMES: [(&str, &str); 16] = [
    ("add-host", "add-hosts"),
    ("annotation", "annotations"),
    ("attest", "attests"),
    ("build-arg", "build-args"),
    ("build-context", "build-contexts"),
    ("ca-cert", "ca-certs"),
    ("cache-mount-budget", "cache-budget"),
    ("insecure-registry", "insecure-registries"),
    ("label", "labels"),
    ("no-cache-filter", "no-cache-filters"),
    ("output", "outputs"),
    ("platform", "platforms"),
    ("registry-login", "registry-auth"),
    ("registry-mirror", "registry-mirrors"),
    ("secret", "secrets"),
    ("tag", "tags"),
];

/// The same error for somebody who wrote a workflow. Flags of instructions are the Dockerfile's own: they
/// stand in messages of failed builds alone, which stay.
pub fn of_inputs(mut error: Error) -> Error {
    if error.kind == ErrorKind::Usage {
        let message = text(&error.message);
        // As what the inputs themselves refuse.
        let of_flag = error.message.starts_with("--") && message != error.message;
        error.message = if of_flag { format!("input {message}") } else { message };
    }
    error.hints = error.hints.iter().map(|hint| text(hint)).collect();
    error
}

fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, flag)) = rest.split_once("--") {
        let end = flag.find(|c: char| c != '-' && !c.is_ascii_lowercase()).unwrap_or(flag.len());
        let (name, after) = flag.split_at(end);
        out.push_str(before);
        let begins_all = out.is_empty();
        // Not a word with dashes in it, such as `a--b`.
        let begins = before.chars().next_back().is_none_or(|c| " `(\"".contains(c));
        match input(name).filter(|_| begins) {
            Some(input) => {
                out.push_str(input);
                let mut follows = after.chars();
                // What was the value of the flag is the input's.
                match (follows.next(), follows.next()) {
                    (Some('='), _) => {
                        out.push_str(": ");
                        rest = &after[1..];
                        continue;
                    }
                    // A message begins with the flag as it was given.
                    (Some(' '), Some(value))
                        if begins_all || value.is_ascii_uppercase() || is_key(after) =>
                    {
                        out.push(':');
                    }
                    _ => {}
                }
            }
            None => {
                out.push_str("--");
                out.push_str(name);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    login(&out)
}

/// ` type=gha`, ` id=NAME`, ` network.host`: a value, not the next word of the sentence.
fn is_key(after: &str) -> bool {
    let word = after.trim_start().split([' ', '`', ',']).next().unwrap_or_default();
    let word = word.trim_end_matches('.');
    word.contains(['=', '.']) || word == "default"
}

fn input(flag: &str) -> Option<&'static str> {
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == flag).map(|(_, input)| *input);
    other.or_else(|| INPUTS.iter().map(|input| input.name).find(|name| *name == flag))
}

/// `docker login HOST` is a step there, or two inputs.
fn login(text: &str) -> String {
    let Some((before, rest)) = text.split_once("with `docker login ") else {
        return text.to_owned();
    };
    let Some((host, after)) = rest.split_once('`') else { return text.to_owned() };
    format!(
        "{before}with `registry: {host}`, `username` and `password`, or in a step before{after}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_inputs() {
        for (said, expected) in [
            ("--attest type=vex: there is no such", "attests: type=vex: there is no such"),
            ("--output: dest= is missing", "outputs: dest= is missing"),
            ("--cache-from type=s3: unknown type", "cache-from: type=s3: unknown type"),
            ("Write --provenance=false.", "Write provenance: false."),
            ("Add `--ssh default`.", "Add `ssh: default`."),
            ("Add `--secret id=a,src=FILE`.", "Add `secrets: id=a,src=FILE`."),
            (
                "Add `--allow network.host` if you trust this Dockerfile.",
                "Add `allow: network.host` if you trust this Dockerfile.",
            ),
            (
                "Trust it with --ca-cert FILE, or with --insecure-registry ghcr.io.",
                "Trust it with ca-certs: FILE, or with insecure-registries: ghcr.io.",
            ),
            ("Leave --file out.", "Leave file out."),
            ("Write FROM --chown or a--file.", "Write FROM --chown or a--file."),
            (
                "Log in with `docker login ghcr.io`. Check its name too.",
                "Log in with `registry: ghcr.io`, `username` and `password`, or in a step before. \
                 Check its name too.",
            ),
        ] {
            assert_eq!(text(said), expected);
        }
    }

    #[test]
    fn a_failed_build_keeps_its_message() {
        let error = Error::build("FROM --platform is wrong").hinted("Use --file F.");
        let said = of_inputs(error);
        assert_eq!((&*said.message, &*said.hints[0]), ("FROM --platform is wrong", "Use file: F."));
        let error = of_inputs(Error::usage("--platform x: no platform"));
        assert_eq!(error.message, "input platforms: x: no platform");
    }

    #[test]
    fn every_other_name_is_an_input() {
        for (flag, name) in OTHER_NAMES {
            assert!(INPUTS.iter().any(|input| input.name == name), "{flag}");
            assert!(INPUTS.iter().all(|input| input.name != flag), "{flag}");
        }
    }
}
