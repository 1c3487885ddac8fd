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

/// Results of Moby's own table (patternmatcher_test.go), and of the documentation.
#[test]
fn single_patterns_match_as_in_moby() {
    for (pattern, path, expected) in [
        ("**", "file", true),
        ("**", "file/", true),
        ("**/", "file", true),
        ("**/", "dir/file", true),
        ("**/**", "dir/file", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/dir2/file", true),
        ("dir/**", "dir", false),
        ("**/dir", "dir", true),
        ("**/dir", "dir/file", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/*", "dir/dir2/dir2/file", true),
        ("**/dir2/**", "dir/dir2/dir2/file", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**file", "dirfile", true),
        ("**/file", "dir/dir/file", true),
        ("**/file*", "dir/dir/file.txt", true),
        ("**/file*txt", "dir/dir/file.txt", true),
        ("**/file*.txt", "dir/dir/file.txt", true),
        ("**/file*.txt*", "dir/dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("**/**/*.txt2", "dir/dir/file.txt", false),
        ("**/*.txt", "file.txt", true),
        ("**/**/*.txt", "file.txt", true),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/file.txt", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt/**", "a/file.txt", false),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[^b-d]e", "aze", true),
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcdef", false),
        ("abc.def", "abc.def", true),
        ("abc.def", "abcZdef", false),
        ("abc?def", "abcZdef", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "axb", false),
        ("**/foo/bar", "foo/bar", true),
        ("**/foo/bar", "dir/dir2/foo/bar", true),
        ("abc/**", "abc", false),
        ("abc/**", "abc/def/ghi", true),
        ("**/.foo", ".foo", true),
        ("**/.foo", "bar.foo", false),
        ("a(b)c/def", "a(b)c/def", true),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        ("*.md", "docs/a.md", false),
        ("*.md", "a.md", true),
        ("/foo", "foo", true),
        ("foo/", "foo/x", true),
        (".", "anything", false),
        ("/", "anything", false),
        ("..", "anything", false),
        ("*c/dist/*.exe", "proj/bin/dist/foo.exe", false),
    ] {
        let found = patterns(&[pattern]).matches(path.as_bytes());
        assert_eq!(found, expected, "{pattern} on {path}");
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

/// Moby's `MatchesUsingParentResults`, word for word, with one recursion for the parents.
fn slow_results(lines: &[String], path: &str) -> (bool, Vec<bool>) {
    let parent = match path.rsplit_once('/') {
        Some((parent, _)) => slow_results(lines, parent).1,
        None => vec![false; lines.len()],
    };
    let mut matched = false;
    let mut each = vec![false; lines.len()];
    for (index, line) in lines.iter().enumerate() {
        let (negated, pattern) = match line.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, line.as_str()),
        };
        let mut matches = parent[index];
        if !matches {
            if negated != matched {
                continue;
            }
            matches = slow_matches(pattern, path);
        }
        each[index] = matches;
        if matches {
            matched = !negated;
        }
    }
    (matched, each)
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
        prop_assert_eq!(patterns.matches(path.as_bytes()), slow_results(&lines, &path).0);
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
