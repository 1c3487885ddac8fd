//! Any ignore file is a list of patterns or a mistake, and asking path by path gives what asking from
//! the top gives. What stands before the first line's end is the path, the rest the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::ignore::{Glob, Matched, Patterns};

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (path, file) = bytes.split_at(end);
    if let Ok(text) = std::str::from_utf8(file)
        && let Ok(glob) = Glob::new(text.trim())
    {
        let _ = glob.matches(path);
    }
    let Ok(patterns) = Patterns::parse(file) else { return };
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let mut above = Matched::default();
    for end in slashes {
        above = patterns.step(&above, &path[..end]);
        if above.matched && !patterns.may_take_back_below(&path[..end]) {
            assert!(patterns.matches(path), "a walk would not have looked");
            return;
        }
    }
    assert_eq!(patterns.step(&above, path).matched, patterns.matches(path));
});
