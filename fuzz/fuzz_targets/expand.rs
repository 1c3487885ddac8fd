//! Any word has an expansion or a mistake, the same one however it is asked for. What stands before
//! the first line's end is the value of the variables, the rest the word.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::dockerfile::expand::Lexer;

fuzz_target!(|text: &str| {
    let (value, word) = text.split_once('\n').unwrap_or(("", text));
    let variables = |name: &str| match name {
        "a" | "b" => Some(value.to_owned()),
        "e" => Some(String::new()),
        _ => None,
    };
    for escape in ['\\', '`'] {
        let lexer = Lexer::new(escape);
        let expanded = lexer.expand(word, &variables);
        let words = lexer.words(word, &variables);
        assert_eq!(expanded.is_ok(), words.is_ok());
        if let (Ok(expanded), Ok(words)) = (expanded, words) {
            assert!(words.concat().len() <= expanded.text.len());
        }
        let _ = lexer.heredoc(word, &variables);
    }
});
