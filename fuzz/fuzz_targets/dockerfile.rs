//! Any bytes are a Dockerfile or a list of mistakes in it, and every place exists in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::dockerfile::{parse, parse_instruction, parse_instructions};

fuzz_target!(|bytes: &[u8]| {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    match parse(bytes) {
        Ok(file) => {
            assert!(!file.stages.is_empty());
            for instruction in file.stages.iter().flat_map(|stage| &stage.instructions) {
                assert!(*instruction.place.lines.end() <= lines);
                assert!(instruction.place.span.end <= bytes.len());
            }
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            for mistake in mistakes {
                assert!(mistake.lines.start() <= mistake.lines.end());
                assert!(*mistake.lines.end() <= lines);
                assert!(!mistake.to_string().is_empty());
            }
        }
    }
    let _ = parse_instructions(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = parse_instruction(text, '`');
    }
});
