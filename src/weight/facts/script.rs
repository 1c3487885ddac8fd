//! `#!`

use super::Script;

/// As Linux reads it (`BINPRM_BUF_SIZE`).
pub(super) const LINE: u64 = 256;

pub(super) fn is_script(mode: u32, head: &[u8]) -> bool {
    mode & 0o111 != 0 && head.starts_with(b"#!")
}

pub(super) fn script(bytes: &[u8]) -> Option<Script> {
    let line = bytes.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim();
    let (interpreter, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    if !interpreter.starts_with('/') {
        return None;
    }
    let program = interpreter.ends_with("/env").then(|| env_program(argument)).flatten();
    Some(Script { interpreter: interpreter.to_owned(), program })
}

/// `python3` of `-S FOO=1 python3 -u`.
fn env_program(argument: &str) -> Option<String> {
    let mut words = argument.split_whitespace();
    let program = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    Some(program.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        for (text, interpreter, program) in [
            ("#!/bin/sh\n", "/bin/sh", None),
            ("#! /usr/bin/perl -w\nx", "/usr/bin/perl", None),
            ("#!/usr/bin/env python3\n", "/usr/bin/env", Some("python3")),
            ("#!/usr/bin/env -S A=1 node --x", "/usr/bin/env", Some("node")),
            ("#!/bin/sh\r\n", "/bin/sh", None),
        ] {
            let found = script(text.as_bytes()).unwrap();
            let expected =
                Script { interpreter: interpreter.to_owned(), program: program.map(str::to_owned) };
            assert_eq!(found, expected, "{text:?}");
        }
        assert_eq!(script(b"#!\n"), None);
        assert_eq!(script(b"#!relative\n"), None);
        assert!(!is_script(0o644, b"#!/bin/sh"));
    }
}
