use proptest::prelude::*;

use super::*;

fn patterns(lines: &[&str]) -> Patterns {
    Patterns::parse(lines.join("\n").as_bytes()).expect("valid")
}

#[test]
fn a_file_is_read_line_by_line() {
    let file = b"\xef\xbb\xbf# comment\n\n  a/b/ \r\n/c\n ! /d/../e\n #f\n";
    let found = Patterns::parse(file).expect("valid");
    for (path, ignored) in
        [("a/b", true), ("c", true), ("e", false), ("#f", true), ("d", false), ("a", false)]
    {
        assert_eq!(found.matches(path.as_bytes()), ignored, "{path}");
    }
    assert!(found.has_exceptions());
    assert!(Patterns::parse(b"").expect("valid").is_empty());
}

#[test]
fn an_error_names_its_line() {
    for (file, expected) in [
        ("a\n!", IgnoreError::LoneExclamation { line: 2 }),
        ("a\n\n[x", IgnoreError::Pattern { line: 3, source: BadPattern("[x".to_owned()) }),
        ("a\\", IgnoreError::Pattern { line: 1, source: BadPattern("a\\".to_owned()) }),
    ] {
        assert_eq!(Patterns::parse(file.as_bytes()).err(), Some(expected), "{file}");
    }
    let flags = Patterns::from_flags(&["#a", "[x"]).expect_err("unclosed");
    let source = BadPattern("[x".to_owned());
    assert_eq!(flags, IgnoreError::Pattern { line: 2, source });
}

#[test]
fn single_patterns() {
    for (pattern, matching, others) in [
        // A name or path stands for itself and all below it, from the top.
        ("logs", "logs logs/a logs/a/b", "log logsx x/logs"),
        ("/logs/", "logs logs/a", "x/logs"),
        ("./out/../tmp/x", "tmp/x tmp/x/y", "out tmp"),
        // `*` and `?` stay within a name.
        ("*.log", "a.log .log a.log/x", "a.log2 x/a.log"),
        ("cache/*.o", "cache/a.o cache/.o", "cache/a/b.o cache/a.ox cache"),
        ("cache*/*.o", "cache/a.o cache2/a.o", "cache/x/a.o"),
        ("v?.txt", "v1.txt vä.txt", "v.txt v12.txt v/.txt"),
        (".*", ".git .git/config", "git a/.git"),
        ("*/bin/*.exe", "a/bin/b.exe", "bin/b.exe a/b/bin/c.exe"),
        // `**/` is any depth, none included; at the end of a word `**` is anything at all.
        ("**", "a a/b a/b/c", ""),
        ("**/", "a a/b", ""),
        ("**/**", "a a/b", ""),
        ("**/target", "target a/target a/b/target target/x", "targets atarget"),
        ("**/*.tmp", "a.tmp d/a.tmp d/e/a.tmp", "a.tmp2 tmp"),
        ("**/**/*.tmp", "a.tmp d/a.tmp d/e/a.tmp", "a.tmpx"),
        ("**/a*z", "az d/abz d/e/a.z", "abzx"),
        ("**/doc/*", "doc/a d/doc/a d/doc/a/b", "doc d/doc"),
        ("**/doc/**", "doc/a d/doc/a/b", "doc d/doc"),
        ("**/doc/api", "doc/api d/doc/api", "doc/x/api"),
        ("**/.cfg", ".cfg d/.cfg", "a.cfg d/a.cfg"),
        ("**gen", "gen agen d/gen d/agen", "genx"),
        ("src**/*.c", "src/a.c src/x/a.c srcs/a.c src.c", "src/a.h a/src.c"),
        ("pkg/**", "pkg/a pkg/a/b", "pkg pkgs/a"),
        ("pkg/*.js/**", "pkg/a.js/b", "pkg/a.js"),
        // Classes, escapes, and what regular expressions have but patterns have not.
        ("part[2-4]", "part2 part4", "part part1 part22"),
        ("part[^2-4]", "part1 partx", "part part3"),
        (r"5\*", "5*", "5 55"),
        ("a.b", "a.b", "axb ab"),
        ("(a|b)+{1}$", "(a|b)+{1}$ (a|b)+{1}$/x", "a aa"),
        // These name no path of a context.
        (".", "", "a"),
        ("/", "", "a"),
        ("..", "", "a"),
    ] {
        let patterns = patterns(&[pattern]);
        for (paths, expected) in [(matching, true), (others, false)] {
            for path in paths.split_whitespace() {
                assert_eq!(patterns.matches(path.as_bytes()), expected, "{pattern} on {path}");
            }
        }
    }
}

#[test]
fn the_last_line_that_applies_wins() {
    for (lines, path, expected) in [
        (&["*", "!a"][..], "a", false),
        (&["*", "!a"], "a/b", false),
        (&["*", "!a/b"], "a/b", false),
        (&["*", "!a/b"], "a/c", true),
        (&["!a", "*"], "a", true),
        (&["*.md", "!README*.md", "README-secret.md"], "README.md", false),
        (&["*.md", "!README*.md", "README-secret.md"], "README-secret.md", true),
        (&["*.md", "README-secret.md", "!README*.md"], "README-secret.md", false),
        (&["**/*.txt", "!a/**/keep.txt"], "a/x/keep.txt", false),
        (&["a", "!a/b", "a/b/c"], "a/b/c", true),
        (&["a", "!a/b", "a/b/c"], "a/b/d", false),
        // A line that had nothing to take back at the parent does not reach below it.
        (&["a/b", "!a"], "a/b", true),
    ] {
        let found = patterns(lines).matches(path.as_bytes());
        assert_eq!(found, expected, "{lines:?} on {path}");
    }
}

/// A line as a glob, all of `**` spelled out, tried at every place.
fn slow_matches(pattern: &str, path: &str) -> bool {
    fn whole(pattern: &[u8], path: &[u8]) -> bool {
        match pattern {
            [] => path.is_empty(),
            [b'*', b'*'] | [b'*', b'*', b'/'] => true,
            [b'*', b'*', b'/', rest @ ..] => (0..=path.len())
                .filter(|at| *at == 0 || path[at - 1] == b'/')
                .any(|at| whole(rest, &path[at..])),
            [b'*', rest @ ..] => {
                let run = path.iter().take_while(|byte| **byte != b'/').count();
                (0..=run).any(|at| whole(rest, &path[at..]))
            }
            [b'?', rest @ ..] => {
                path.first().is_some_and(|byte| *byte != b'/') && whole(rest, &path[1..])
            }
            [byte, rest @ ..] => path.first() == Some(byte) && whole(rest, &path[1..]),
        }
    }
    whole(pattern.as_bytes(), path.as_bytes())
}

/// Whether `path` is ignored, told from the top down: at every
/// directory on the way the lines are asked in turn, those that held above without a look. A line is
/// asked only where its answer could turn the verdict so far.
fn slow_results(lines: &[String], path: &str) -> bool {
    let mut holding: Vec<&String> = Vec::new();
    let mut ignored = false;
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for place in ends.map(|end| &path[..end]) {
        ignored = false;
        let mut held = Vec::new();
        for line in lines {
            let takes_back = line.starts_with('!');
            let could_turn = ignored == takes_back;
            let inherited = holding.iter().any(|above| std::ptr::eq(*above, line));
            if inherited || could_turn && slow_matches(line.trim_start_matches('!'), place) {
                held.push(line);
                ignored = !takes_back;
            }
        }
        holding = held;
    }
    ignored
}

fn line() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "ab", "*", "a*", "?", "**", "*b"]);
    (any::<bool>(), prop::collection::vec(part, 1..4)).prop_map(|(negated, parts)| {
        format!("{}{}", if negated { "!" } else { "" }, parts.join("/"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_matcher_agrees_with_the_slow_one(
        lines in prop::collection::vec(line(), 0..5),
        path in "[ab]{1,2}(/[ab]{1,2}){0,3}",
    ) {
        let patterns = Patterns::parse(lines.join("\n").as_bytes()).expect("valid");
        prop_assert_eq!(patterns.matches(path.as_bytes()), slow_results(&lines, &path));
    }

    #[test]
    fn a_walk_that_skips_directories_misses_nothing(
        lines in prop::collection::vec(line(), 0..5),
        path in "[ab]{1,2}(/[ab]{1,2}){0,3}",
    ) {
        let patterns = Patterns::parse(lines.join("\n").as_bytes()).expect("valid");
        if !patterns.matches(path.as_bytes()) {
            for (at, _) in path.match_indices('/') {
                let directory = &path.as_bytes()[..at];
                prop_assert!(
                    !patterns.matches(directory) || patterns.may_take_back_below(directory)
                );
            }
        }
    }
}
