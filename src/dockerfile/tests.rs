//! Whole files, as [`parse`] sees them.

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;

fn dockerfile(text: &str) -> Dockerfile {
    parse(text.as_bytes()).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

/// The instructions of the only stage.
fn instructions(text: &str) -> Vec<Instruction> {
    let mut stages = dockerfile(&format!("FROM a\n{text}")).stages;
    assert_eq!(stages.len(), 1, "{text}");
    stages.remove(0).instructions
}

fn run(text: &str) -> Run {
    match instructions(text).remove(0).kind {
        InstructionKind::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

fn copy(text: &str) -> Transfer {
    match instructions(text).remove(0).kind {
        InstructionKind::Copy(copy) => copy,
        other => panic!("{other:?}"),
    }
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(|word| word.text.as_str()).collect()
}

/// Each error's message, first and last line.
fn errors(bytes: &[u8]) -> Vec<(String, usize, usize)> {
    let errors = parse(bytes).err().unwrap_or_default();
    errors.iter().map(|e| (e.to_string(), *e.lines.start(), *e.lines.end())).collect()
}

#[test]
fn stages_and_global_arguments() {
    let file = dockerfile(
        "\u{feff}# syntax=docker/dockerfile:1\n# escape=`\n\nARG V=1 W\n\n# the base\nfrom --platform=linux/$A x:$V aS Build.1\nRUN a `\n  b\n\nFROM build.1\n",
    );
    assert_eq!(file.directives.escape, '`');
    assert_eq!(file.global_args.len(), 1);
    let [first, second] = &file.stages[..] else { panic!("{:?}", file.stages) };
    assert_eq!(first.from.base.text, "x:$V");
    assert_eq!(first.from.name.as_deref(), Some("build.1"));
    assert_eq!(first.from.name_as_written.as_ref().map(|word| word.text.as_str()), Some("Build.1"));
    assert_eq!(first.from.as_keyword.as_ref().map(|word| word.text.as_str()), Some("aS"));
    assert_eq!(first.from.platform.as_ref().map(|word| word.text.as_str()), Some("linux/$A"));
    assert_eq!(first.from.place.keyword, "from");
    assert_eq!(first.from.place.comments, ["the base"]);
    assert_eq!(first.from.place.lines, 7..=7);
    assert_eq!(first.instructions[0].place.lines, 8..=9);
    assert_eq!(first.instructions[0].place.text, "RUN a   b");
    assert_eq!(second.from.name, None);
}

#[test]
fn mistakes_have_messages_and_lines() {
    for (text, expected) in [
        ("", vec![("the Dockerfile cannot be empty", 1, 1)]),
        ("# a\n\n# b\n", vec![("file with no instructions", 3, 3)]),
        ("ARG a\n", vec![("dockerfile contains no stages to build", 1, 1)]),
        ("\nRUN a\nFROM b\n", vec![("no build stage in current context", 2, 2)]),
        (
            "FROM a\nRUNN \\\n b\n",
            vec![(
                "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)",
                2,
                3,
            )],
        ),
        (
            "FORM a\nRUN b\nINCLUDE c\n",
            vec![
                (
                    "dockerfile parse error on line 1: unknown instruction: FORM (did you mean FROM?)",
                    1,
                    1,
                ),
                ("dockerfile parse error on line 3: unknown instruction: INCLUDE", 3, 3),
            ],
        ),
        (
            "FROM a\nRUNN <<X\nnot an instruction\nX\nRUN b",
            vec![(
                "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)",
                2,
                2,
            )],
        ),
        ("FROM a\nRUN <<X\nb\n", vec![("unterminated heredoc", 2, 3)]),
        (
            "# syntax=example.com/x:1\nHELLO\n",
            vec![(
                "the Dockerfile asks for the frontend \"example.com/x:1\", \
                 and only docker/dockerfile is supported",
                1,
                1,
            )],
        ),
        ("# escape=x\nFROM a", vec![("invalid escape token 'x' does not match ` or \\", 1, 1)]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(m, a, b)| (m.to_owned(), a, b)).collect();
        assert_eq!(errors(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn an_unfinished_body_of_a_misspelled_instruction_is_no_further_mistake() {
    let errors = errors(b"FROM a\nCOPYY <<X /b\nc\nd\n");
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn wrong_arguments() {
    for (text, expected) in [
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a is b", "FROM requires either one or three arguments"),
        (
            "FROM a AS 1b",
            "invalid name for build stage: \"1b\", name can't start with a number or contain symbols",
        ),
        ("FROM --platfrom=x a", "unknown flag: --platfrom (did you mean platform?)"),
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "ADD [\"a\"]",
            "ADD requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        ("COPY --chonw=a b c", "unknown flag: --chonw (did you mean chown?)"),
        ("COPY --checksum=a b c", "unknown flag: --checksum"),
        ("ADD --from=a b c", "unknown flag: --from"),
        (
            "COPY --from=$a b c",
            "variable expansion is not supported for --from, define a new stage with FROM \
             using ARG from global scope as a workaround",
        ),
        ("COPY a <<X\nX", "COPY cannot accept a heredoc as a destination"),
        ("COPY <<'a b' /c\na b", "COPY needs each heredoc as one word without spaces"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV a", "ENV must have two arguments"),
        ("LABEL a=1 b", "Syntax error - can't find = in \"b\". Must be of the form: name=value"),
        ("ENV a=1 =2", "ENV names can not be blank"),
        ("ARG", "ARG requires at least one argument"),
        ("ARG =1", "ARG names can not be blank"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("VOLUME []", "VOLUME requires at least one argument"),
        ("VOLUME [\" \"]", "VOLUME specified can not be an empty string"),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("MAINTAINER --boo a", "unknown flag: --boo"),
        ("CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only"),
        ("SHELL", "SHELL requires at least one argument"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("SHELL sh -c", "SHELL requires the arguments to be in JSON form"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE a", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK TRY a", "Unknown type \"TRY\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --interval=5 CMD a", "time: missing unit in duration \"5\""),
        ("HEALTHCHECK --timeout=50ns CMD a", "Interval \"timeout\" cannot be less than 1ms"),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --retries=x CMD a", "--retries is not a number: \"x\""),
        ("RUN --network=bridge a", "invalid network mode \"bridge\""),
        ("RUN --security=none a", "security \"none\" is not valid"),
        (
            "RUN --mount=from=$a,target=/b c",
            "'from' doesn't support variable expansion, define alias stage instead",
        ),
        ("RUN --mount a", "missing a value on flag: --mount"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD RUN a", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD from a", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD MAINTAINER a", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("ONBUILD RUNN a", "unknown instruction: RUNN (did you mean RUN?)"),
    ] {
        let errors = parse(format!("FROM a\n{text}").as_bytes()).err().unwrap_or_default();
        let messages: Vec<_> = errors.iter().map(|error| error.kind.to_string()).collect();
        assert_eq!(messages, [expected], "{text}");
    }
}

#[test]
fn limits() {
    let line = |length: usize| format!("FROM a\nRUN {}\n", "x".repeat(length - 4));
    assert_eq!(errors(line(65_535).as_bytes()), []);
    assert_eq!(
        errors(line(65_536).as_bytes()),
        [("dockerfile line greater than max allowed size of 65535".to_owned(), 2, 2)]
    );
    let file = "FROM a\n".repeat(150_000);
    assert_eq!(
        errors(file.as_bytes()),
        [("the Dockerfile is larger than 1048576 bytes".to_owned(), 1, 1)]
    );
    assert_eq!(
        errors(b"FROM a\nRUN \xff"),
        [("the Dockerfile is not UTF-8: byte 0xff at offset 11".to_owned(), 2, 2)]
    );
    assert_eq!(errors("x\n".repeat(1000).as_bytes()).len(), 20);
}

#[test]
fn an_error_for_the_user() {
    let error = parse("FROM a\nCOPY é --x --from=$b c d".as_bytes()).err();
    assert_eq!(error, None, "flags after a word are words");
    let mut errors =
        parse("FROM a\n  COPY --link --from=$b é d".as_bytes()).err().unwrap_or_default();
    let error = crate::error::Error::from(errors.remove(0));
    assert_eq!(error.kind, ErrorKind::Build);
    assert!(error.message.starts_with("variable expansion is not supported for --from"));
    let [location] = &error.locations[..] else { panic!("{:?}", error.locations) };
    assert_eq!((location.lines.clone(), location.column), (2..=2, Some(22)));

    let mut errors = parse(b"RUN a").err().unwrap_or_default();
    let error = crate::error::Error::from(errors.remove(0));
    assert_eq!(error.hints.len(), 1);
}

#[test]
fn a_column_only_on_the_first_line() {
    let errors = parse(b"FROM a\nCOPY \\\n  --chonw=b c d").err().unwrap_or_default();
    assert_eq!((errors[0].lines.clone(), errors[0].column), (2..=3, None));
    let errors = parse(b"FROM a\nCOPY --chonw=b \\\n c d").err().unwrap_or_default();
    assert_eq!((errors[0].lines.clone(), errors[0].column), (2..=3, Some(6)));
}

#[test]
fn heredocs_of_run() {
    let sole =
        run("RUN --mount=type=cache,target=/x <<-EOF\n\techo $a\n\n# no comment\n\tEOF\nRUN b");
    assert_eq!(sole.command, Command::Shell("<<-EOF".into()));
    assert_eq!(
        sole.script().map(|heredoc| heredoc.text().into_owned()).as_deref(),
        Some("echo $a\n\n# no comment\n")
    );

    let piped = run("RUN <<A cat >x && <<'B' cat >y\n1\nA\n2\nB\n");
    assert_eq!(piped.script(), None);
    let names: Vec<_> = piped.heredocs.iter().map(|h| (h.name.as_str(), h.expand)).collect();
    assert_eq!(names, [("A", true), ("B", false)]);
    assert_eq!(piped.shell_text().as_deref(), Some("<<A cat >x && <<'B' cat >y\n1\nA\n2\nB"));

    let exec = run("RUN [\"cat\", \"<<EOF\"]\nUSER <<EOF");
    assert_eq!(exec.command, Command::Exec(vec!["cat".into(), "<<EOF".into()]));
    assert_eq!(exec.heredocs, []);
}

#[test]
fn heredocs_of_copy() {
    let copy = copy("COPY --chmod=0644 <<A b <<\"C\" /d\n$x\nA\n$y\r\nC\n");
    assert_eq!(texts(&copy.sources), ["b"]);
    let heredocs: Vec<_> =
        copy.heredocs.iter().map(|h| (h.name.as_str(), h.expand, h.content.as_str())).collect();
    assert_eq!(heredocs, [("A", true, "$x\n"), ("C", false, "$y\r\n")]);
    assert_eq!(copy.destination.text, "/d");
}

#[test]
fn flags_of_transfers() {
    let full = copy(
        "COPY --from=b --chown=1:$g --chmod=+x --link --parents=false --exclude=a --exclude=b [\"a b\", \"/c/\"]",
    );
    assert_eq!(full.from.map(|word| word.text).as_deref(), Some("b"));
    assert_eq!(full.chown.map(|word| word.text).as_deref(), Some("1:$g"));
    assert_eq!(full.chmod.map(|word| word.text).as_deref(), Some("+x"));
    assert!(full.link);
    assert!(!full.parents);
    assert_eq!(texts(&full.exclude), ["a", "b"]);
    assert_eq!(texts(&full.sources), ["a b"]);

    let add = instructions("ADD --unpack=false --keep-git-dir --checksum=sha256:$c https://x/y /z");
    let InstructionKind::Add(add) = &add[0].kind else { panic!("{add:?}") };
    assert_eq!((add.unpack, add.keep_git_dir), (Some(false), Some(true)));
    assert_eq!(add.checksum.as_ref().map(|word| word.text.as_str()), Some("sha256:$c"));
}

#[test]
fn triggers() {
    let instructions =
        instructions("onbuild  RUN <<A cat \\\n  <<B\n1\nA\n2\nB\nONBUILD COPY a /b");
    let InstructionKind::Onbuild(onbuild) = &instructions[0].kind else { panic!() };
    assert_eq!(onbuild.trigger, "RUN <<A cat   <<B\n1\nA\n2\nB");
    assert_eq!(instructions[0].place.lines, 2..=7);
    // What was stored in an image reads as what was written.
    let again = parse_instruction(&onbuild.trigger, '\\').map(|instruction| instruction.kind);
    let (Ok(InstructionKind::Run(again)), InstructionKind::Run(run)) =
        (again, &onbuild.instruction.kind)
    else {
        panic!("{onbuild:?}")
    };
    assert_eq!(again.shell_text(), run.shell_text());
    assert_eq!(instructions.len(), 2);

    for (text, message) in [
        ("FROM a", "FROM isn't allowed as an ONBUILD trigger"),
        ("RUN a\nRUN b", "a trigger is one instruction, not 2"),
        ("", "a trigger is one instruction, not 0"),
        ("RUNN a", "unknown instruction: RUNN (did you mean RUN?)"),
    ] {
        let error = parse_instruction(text, '\\').map_err(|error| error.kind.to_string());
        assert_eq!(error.err().as_deref(), Some(message), "{text}");
    }
}

#[test]
fn comments_and_empty_lines() {
    let file = dockerfile(
        "# check=skip=all\n# one\n#\n# two\n\n# three\nFROM a\n# four\nRUN a \\\n\n # inside\n b\nRUN c\n",
    );
    assert_eq!(file.stages[0].from.place.comments, ["two", "three"]);
    let comments: Vec<_> =
        file.stages[0].instructions.iter().map(|i| i.place.comments.clone()).collect();
    assert_eq!(comments, [vec!["four".to_owned()], vec![]]);
    assert_eq!(file.stages[0].instructions[0].place.text, "RUN a  b");
    assert_eq!(file.empty_continuations, [12]);
}

#[test]
fn spans_lead_back_to_the_file() {
    let text =
        "\u{feff}FROM a\r\n  ENV x=1 \\\r\n# c\r\n  y='2 3'\r\nRUN <<E\r\nb\r\nE\r\nUSER u\r\n";
    let file = dockerfile(text);
    let at = |span: Span| &text[span.start..span.end];
    let stage = &file.stages[0];
    assert_eq!(at(stage.from.place.span), "FROM a");
    let [env, run, user] = &stage.instructions[..] else { panic!("{stage:?}") };
    assert_eq!(at(env.place.span), "ENV x=1 \\\r\n# c\r\n  y='2 3'");
    assert_eq!(at(run.place.span), "RUN <<E\r\nb\r\nE");
    assert_eq!(at(user.place.span), "USER u");
    let InstructionKind::Env(pairs) = &env.kind else { panic!("{env:?}") };
    let pairs: Vec<_> = pairs.iter().map(|pair| (at(pair.key.span), at(pair.value.span))).collect();
    assert_eq!(pairs, [("x", "1"), ("y", "'2 3'")]);
    let InstructionKind::Run(run) = &run.kind else { panic!("{run:?}") };
    assert_eq!(at(run.heredocs[0].span), "b\r\n");
}

#[test]
fn commands() {
    for (text, expected) in [
        ("CMD a  b", Command::Shell("a  b".into())),
        ("CMD [\"a\",\"b\"]", Command::Exec(vec!["a".into(), "b".into()])),
        ("CMD []", Command::Exec(vec![])),
        ("CMD", Command::Shell(String::new())),
        ("CMD ['a']", Command::Shell("['a']".into())),
    ] {
        assert_eq!(instructions(text)[0].kind, InstructionKind::Cmd(expected), "{text}");
    }
    assert_eq!(
        instructions("HEALTHCHECK --interval=1m30s --timeout=0 cmd [\"a\"]")[0].kind,
        InstructionKind::Healthcheck(Healthcheck::Check {
            interval: Some(90_000_000_000),
            timeout: Some(0),
            start_period: None,
            start_interval: None,
            retries: None,
            command: Command::Exec(vec!["a".into()]),
        })
    );
    assert_eq!(
        instructions("HEALTHCHECK none")[0].kind,
        InstructionKind::Healthcheck(Healthcheck::None)
    );
}

#[test]
fn the_built_in_syntax_can_be_forced() {
    let text = b"# syntax=example.com/x\nFROM a";
    assert!(parse(text).is_err());
    let syntax = parse_builtin(text).map(|file| file.directives.syntax.map(|word| word.text));
    assert_eq!(syntax, Ok(Some("example.com/x".to_owned())));
}

const PIECES: &[&str] = &[
    "FROM",
    "RUN",
    "COPY",
    "ONBUILD",
    "ENV",
    "HEALTHCHECK",
    "VOLUME",
    "ARG",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\\",
    "\\\n",
    "`",
    "#",
    "# escape=`\n",
    "<<E",
    "<<-'E'",
    "E",
    "\nE\n",
    "--",
    "--from=",
    "--mount=",
    "=",
    "'",
    "\"",
    "[",
    "]",
    ",",
    "$a",
    "${",
    "}",
    "é",
    "\u{feff}",
    "a",
];

/// Pieces that have a meaning, in any order.
fn fragments() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(PIECES), 0..40)
        .prop_map(|pieces| pieces.concat())
}

/// Every place must be one: spans on character boundaries, lines that exist.
fn check_places(text: &str) {
    let Ok(statements) = parse_instructions(text.as_bytes()) else { return };
    let last = text.lines().count();
    for statement in statements.list {
        let lines = match statement {
            Ok(Statement::From(from)) => {
                assert!(text.get(from.place.span.start..from.place.span.end).is_some(), "{text:?}");
                from.place.lines
            }
            Ok(Statement::Instruction(instruction)) => {
                let span = instruction.place.span;
                let written = text.get(span.start..span.end);
                assert!(
                    written.is_some_and(|w| w.starts_with(&instruction.place.keyword)),
                    "{text:?}"
                );
                instruction.place.lines
            }
            Err(error) => error.lines,
        };
        assert!(
            1 <= *lines.start() && lines.start() <= lines.end() && *lines.end() <= last,
            "{text:?}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(errors) = parse(&bytes) {
            prop_assert!(!errors.is_empty());
        }
    }

    #[test]
    fn no_text_panics_and_places_exist(text in fragments()) {
        check_places(&text);
        if let Err(errors) = parse(text.as_bytes()) {
            prop_assert!(errors.is_sorted_by_key(|error| *error.lines.start()));
        }
        let _ = parse_instruction(&text, '\\');
        let _ = mount::parse_mount(&text);
    }
}
