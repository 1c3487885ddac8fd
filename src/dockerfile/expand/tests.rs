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
    let env = [("dir", "opt"), ("dir_2", "srv"), ("größe", "XL")];
    for (word, expected) in [
        ("/$dir/$dir_2/$größe", "/opt/srv/XL"),
        // A name ends where no letter, digit or underscore is.
        ("$dir-1.$dir:", "opt-1.opt:"),
        ("${dir}_2", "opt_2"),
        ("$missing!", "!"),
        // A dollar without a name is a dollar.
        ("$", "$"),
        ("5$", "5$"),
        ("$/$,", "$/$,"),
        // Parameters of the shell are names, too, and nobody sets them.
        ("$1st", "st"),
        ("$10", ""),
        ("$?-$#-$@", "--"),
        ("$$dir", "dir"),
    ] {
        assert_eq!(expand(word, &env), Ok(expected.to_owned()), "{word}");
    }
}

#[test]
fn defaults_alternatives_and_refusals() {
    let env = [("set", "v"), ("blank", "")];
    for (word, expected) in [
        ("${set-d} ${blank-d} ${unset-d}", Ok("v  d")),
        ("${set:-d} ${blank:-d} ${unset:-d}", Ok("v d d")),
        ("${set+a} ${blank+a} ${unset+a}", Ok("a a ")),
        ("${set:+a} ${blank:+a} ${unset:+a}", Ok("a  ")),
        ("${set?e}${set:?e}${blank?e}", Ok("vv")),
        ("${unset?}", Err("unset: is not allowed to be unset")),
        ("${unset:?}", Err("unset: is not allowed to be unset")),
        ("${blank:?}", Err("blank: is not allowed to be empty")),
        ("${unset?say ${set}}", Err("unset: say v")),
        // What stands behind the sign is a word of its own.
        ("${unset:-${blank:-<\"$set }\">}}", Ok("<v }>")),
        ("${unset:-'$set'}", Ok("$set")),
        (r"${unset:-\}}", Ok("}")),
    ] {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(expand(word, &env), expected, "{word}");
    }
}

#[test]
fn patterns() {
    let env = [
        ("file", "/srv/logs/web.2024.log"),
        ("marks", "!!x!!*"),
        ("odd", "+(.)[^]|$\\?*z"),
        ("slash", "\\/?"),
        ("match", "<$0>"),
    ];
    for (word, expected) in [
        ("${file#*/}", "srv/logs/web.2024.log"),
        ("${file##*/}", "web.2024.log"),
        ("${file%.*}", "/srv/logs/web.2024"),
        ("${file%%.*}", "/srv/logs/web"),
        // Without a pattern nothing is cut.
        ("${file#}${file%%}", "/srv/logs/web.2024.log/srv/logs/web.2024.log"),
        // Escaped wildcards are characters, and those of regular expressions always are.
        (r"${marks%%\**}", "!!x!!"),
        (r"${odd#+(.)[^]|$\\\?\*}", "z"),
        ("${file/[lw]/-}", "/srv/logs/web.2024.log"),
        ("${file/20??/year}", "/srv/logs/web.year.log"),
        (r"${file/\//}", "srv/logs/web.2024.log"),
        (r"${file//\//:}", ":srv:logs:web.2024.log"),
        (r"${file//\//\/}", r"\/srv\/logs\/web.2024.log"),
        // A pattern and a replacement may come out of variables.
        ("${file/$slash/_} ${file//$slash/_}", "_rv/logs/web.2024.log _rv_ogs_eb.2024.log"),
        (
            "${file/log/$match} ${file//log/$match}",
            "/srv/<$0>s/web.2024.log /srv/<log>s/web.2024.<log>",
        ),
        ("${file///}", "/srv/logs/web.2024.log"),
        ("[${unset/a/b}${unset%a}]", "[]"),
    ] {
        assert_eq!(expand(word, &env), Ok(expected.to_owned()), "{word}");
    }
}

#[test]
fn mistakes() {
    for (word, expected) in [
        ("x'y", "unexpected end of statement while looking for matching single-quote"),
        ("x\"y", "unexpected end of statement while looking for matching double-quote"),
        ("x${", "syntax error: missing '}'"),
        ("${name", "syntax error: missing '}'"),
        ("${name:", "syntax error: missing '}'"),
        ("${name:-word", "syntax error: missing '}'"),
        ("${name:+\"word}", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${{name}}", "syntax error: bad substitution"),
        ("${:+word}", "syntax error: bad substitution"),
        ("${name:=word}", "unsupported modifier (:=) in substitution"),
        ("${name:%word}", "unsupported modifier (:%) in substitution"),
        ("${name^}", "unsupported modifier (^) in substitution"),
        ("${,}", "unsupported modifier (,) in substitution"),
        ("${name/word}", "syntax error: missing '/' in ${}"),
        // What is not closed counts before what is wrong inside.
        ("${name/'word", "syntax error: missing '/' in ${}"),
        ("${name:+${other!", "syntax error: missing '}'"),
        ("${name:+${other!} more}", "unsupported modifier (!) in substitution"),
        (r"${name%\n}", r"invalid pattern (\n) in substitution: invalid escape '\n'"),
    ] {
        assert_eq!(expand(word, &[]), Err(expected.to_owned()), "{word}");
    }
    let error = Lexer::default().expand("<${}>", &|_: &str| None).map_err(|e| e.to_string());
    assert_eq!(error, Err("failed to process \"<${}>\": syntax error: bad substitution".into()));
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
