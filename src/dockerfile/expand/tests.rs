//! Words as the planner meets them; the corpus has more.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Expanded, Lexer};

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The text, or the error without the word.
fn expand(word: &str, pairs: &[(&str, &str)]) -> Result<String, String> {
    Lexer::default()
        .expand(word, &environment(pairs))
        .map(|expanded| expanded.text)
        .map_err(|error| error.kind.to_string())
}

#[test]
fn names() {
    let env = [("a", "1"), ("a_b2", "2"), ("é", "3")];
    for (word, expected) in [
        ("$a-$a_b2/$é", "1-2/3"),
        ("$a.b", "1.b"),
        ("$", "$"),
        ("a$", "a$"),
        ("$.", "$."),
        ("$12a", "a"),
        ("$$a", "a"),
        ("$?x", "x"),
        ("${a}b", "1b"),
        ("$none", ""),
    ] {
        assert_eq!(expand(word, &env), Ok(expected.to_owned()), "{word}");
    }
}

#[test]
fn defaults_alternatives_and_refusals() {
    let env = [("full", "x"), ("empty", "")];
    for (word, expected) in [
        ("${full-w}${empty-w}${none-w}", Ok("xw")),
        ("${full:-w}${empty:-w}${none:-w}", Ok("xww")),
        ("${full+w}${empty+w}${none+w}", Ok("ww")),
        ("${full:+w}${empty:+w}${none:+w}", Ok("w")),
        ("${full?w}${empty?w}", Ok("x")),
        ("${none?}", Err("none: is not allowed to be unset")),
        ("${none:?}", Err("none: is not allowed to be unset")),
        ("${empty:?}", Err("empty: is not allowed to be empty")),
        ("${empty:?give $full}", Err("empty: give x")),
        ("${none:-${none:-\"a }\"}}", Ok("a }")),
        ("${none:-'$full'}", Ok("$full")),
    ] {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(expand(word, &env), expected, "{word}");
    }
}

#[test]
fn patterns() {
    let env = [
        ("path", "/a/b/c.tar.gz"),
        ("stars", "a***yy*"),
        ("special", "()[]{}^$.*?|\\x"),
        ("needle", "\\*/"),
        ("globs", "/foo*/*/*.txt"),
        ("dollar", "$1"),
    ];
    for (word, expected) in [
        ("${path#*/}", "a/b/c.tar.gz"),
        ("${path##*/}", "c.tar.gz"),
        ("${path%.*}", "/a/b/c.tar"),
        ("${path%%.*}", "/a/b/c"),
        ("${path%}${path##}", "/a/b/c.tar.gz/a/b/c.tar.gz"),
        ("${stars%%\\**\\*}", "a"),
        ("${special#()[]{\\}^$.\\*\\?|\\\\}", "x"),
        ("${path/\\//-}", "-a/b/c.tar.gz"),
        ("${path//\\//-}", "-a-b-c.tar.gz"),
        ("${path/[ab]/-}", "/a/b/c.tar.gz"),
        ("${path/t?r/zip}", "/a/b/c.zip.gz"),
        ("${path//\\//\\/}", "\\/a\\/b\\/c.tar.gz"),
        ("${globs/$needle/.} ${globs//$needle/.}", "/foo.*/*.txt /foo..*.txt"),
        ("${path///}", "/a/b/c.tar.gz"),
        // Nothing of a replacement is special.
        ("${path//\\//$dollar}", "abc.tar.gz"),
        ("${none/a/b}${none#a}", ""),
    ] {
        assert_eq!(expand(word, &env), Ok(expected.to_owned()), "{word}");
    }
}

#[test]
fn mistakes() {
    for (word, expected) in [
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ("\"a", "unexpected end of statement while looking for matching double-quote"),
        ("${", "syntax error: missing '}'"),
        ("${a", "syntax error: missing '}'"),
        ("${a:-b", "syntax error: missing '}'"),
        ("${a:-'b}", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${{a}", "syntax error: bad substitution"),
        ("${:-a}", "syntax error: bad substitution"),
        ("${a:=b}", "unsupported modifier (:=) in substitution"),
        ("${a:#b}", "unsupported modifier (:#) in substitution"),
        ("${a=b}", "unsupported modifier (=) in substitution"),
        ("${.}", "unsupported modifier (.) in substitution"),
        ("${a/b}", "syntax error: missing '/' in ${}"),
        ("${a#\\x}", "invalid pattern (\\x) in substitution: invalid escape '\\x'"),
    ] {
        assert_eq!(expand(word, &[]), Err(expected.to_owned()), "{word}");
    }
    let error = Lexer::default().expand("a${}", &|_: &str| None).map_err(|e| e.to_string());
    assert_eq!(error, Err("failed to process \"a${}\": syntax error: bad substitution".into()));
}

#[test]
fn undefined_names_are_told() {
    let expanded = Lexer::default().expand("$a ${b:-x}$a$c", &environment(&[("c", "")]));
    assert_eq!(
        expanded,
        Ok(Expanded { text: " x".into(), undefined: vec!["a".into(), "b".into()] })
    );
}

#[test]
fn the_escape_is_chosen() {
    let lexer = Lexer::new('`');
    let env = environment(&[("a", "1")]);
    for (word, expected) in [("C:\\$a", "C:\\1"), ("`$a", "$a"), ("\"`$a`x\"", "$a`x")] {
        let text = lexer.expand(word, &env).map(|expanded| expanded.text);
        assert_eq!(text, Ok(expected.to_owned()), "{word}");
    }
}

#[test]
fn heredocs_keep_their_quotes() {
    let env = environment(&[("a", "1")]);
    for (body, expected) in [
        ("\"$a\"\n'$a' it's\n", "\"1\"\n'1' it's\n"),
        ("\\\n", "\n"),
        ("\\\\\n", "\\\n"),
        ("\\$a\n", "$a\n"),
        ("${b:-\"x\"}", "\"x\""),
    ] {
        // The escape of the file does not count.
        let text = Lexer::new('`').heredoc(body, &env).map(|expanded| expanded.text);
        assert_eq!(text, Ok(expected.to_owned()), "{body:?}");
    }
}

#[test]
fn a_word_before_a_default_survives_splitting() {
    let words = Lexer::default().words("80${a:-80 81} '9 9'", &environment(&[]));
    assert_eq!(words, Ok(vec!["8080".into(), "81".into(), "9 9".into()]));
}

#[test]
fn neither_depth_nor_length_is_unlimited() {
    let deep = "${a:-".repeat(100_000);
    assert_eq!(expand(&deep, &[]), Err("substitutions are nested more than 64 deep".to_owned()));
    let value = "x".repeat(1 << 20);
    assert_eq!(
        expand("$a$a$a$a$a", &[("a", &value)]),
        Err("the value is longer than 4194304 bytes".to_owned())
    );
}

proptest! {
    #[test]
    fn no_word_panics(word in r#"([a-c ${}:+?#%/*\\'"`\n-]|é|\PC){0,40}"#, value in r"[a-c*?/\\]{0,6}") {
        let env = environment(&[("a", &value), ("b", "")]);
        for escape in ['\\', '`'] {
            let lexer = Lexer::new(escape);
            let _ = lexer.heredoc(&word, &env);
            let text = lexer.expand(&word, &env).map(|expanded| expanded.text);
            let words = lexer.words(&word, &env);
            prop_assert_eq!(text.is_ok(), words.is_ok());
        }
    }

    #[test]
    fn single_quotes_make_any_text_literal(text in "[^']{0,20}") {
        prop_assert_eq!(expand(&format!("'{text}'"), &[]), Ok(text));
    }
}
