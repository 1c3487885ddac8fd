//! The error rows of the language, each with its message, the lines that are shown, and exit code 1.
//! The words are BuildKit's, as it said them for these same files; it says some of them without
//! `dockerfile parse error on line N`, and shows no lines with some. Three are ours, since BuildKit
//! says no more than what its own functions do (`invalid syntax`, `strconv.ParseInt`): those of a
//! platform, of symbolic `--chmod` and of `--retries` that is no number.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Row, flags, Dockerfile, message, first line of each excerpt.
type Row = (&'static str, &'static [&'static str], &'static str, &'static str, &'static [usize]);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("L-003", &[], "", "the Dockerfile cannot be empty", &[]),
    ("L-003", &[], "# only\n\n# comments\n", "file with no instructions", &[3]),
    ("L-003", &[], "ARG A=1\n", "dockerfile contains no stages to build", &[]),
    ("L-003", &[], "RUN x\nFROM scratch\n", "no build stage in current context", &[1]),
    ("L-004", &[], "FROM scratch\nCPY a /\n", "dockerfile parse error on line 2: unknown instruction: CPY (did you mean COPY?)", &[2]),
    ("L-004", &[], "FORM scratch\n", "dockerfile parse error on line 1: unknown instruction: FORM (did you mean FROM?)", &[1]),
    ("L-004", &[], "FROM scratch\nxyzzyxyzzy a\n", "dockerfile parse error on line 2: unknown instruction: xyzzyxyzzy", &[2]),
    ("L-004", &[], "FROM scratch\nENV A=1 \\\n  B=2\ncopi a /\n", "dockerfile parse error on line 4: unknown instruction: copi (did you mean copy?)", &[4]),
    ("L-012", &[], "# escape=`\n# escape=`\nFROM scratch\n", "only one escape parser directive can be used", &[2]),
    ("L-012", &[], "# check=skip=all\n# check=skip=all\nFROM scratch\n", "only one check parser directive can be used", &[2]),
    ("L-014", &[], "# escape=x\nFROM scratch\n", "invalid escape token 'x' does not match ` or \\", &[1]),
    ("L-015", &[], "# check=erro=true\nFROM scratch\n", "failed to parse check options: invalid check option \"erro\"", &[]),
    ("L-015", &[], "# check=skip\nFROM scratch\n", "failed to parse check options: invalid check option \"skip\"", &[]),
    ("L-015", &[], "# check=error=true\nFROM scratch as a\n", "lint violation found for rules: FromAsCasing", &[]),
    ("L-015", &["--build-arg=BUILDKIT_DOCKERFILE_CHECK=nonsense=1"], "FROM scratch\n", "failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK: invalid check option \"nonsense\"", &[]),
    ("L-017", &[], "FROM scratch\nCOPY --link=maybe a /\n", "dockerfile parse error on line 2: expecting boolean value for flag --link, not: maybe", &[2]),
    ("L-017", &[], "FROM scratch\nCOPY --chown a /\n", "dockerfile parse error on line 2: missing a value on flag: --chown", &[2]),
    ("L-017", &[], "FROM scratch\nCOPY --chown=a --chown=b a /\n", "dockerfile parse error on line 2: duplicate flag specified: --chown", &[2]),
    ("L-017", &[], "FROM scratch\nCOPY --chmd=755 a /\n", "dockerfile parse error on line 2: unknown flag: --chmd (did you mean chmod?)", &[2]),
    ("L-017", &[], "FROM scratch\nRUN --nonsensical=1 a\n", "dockerfile parse error on line 2: unknown flag: --nonsensical", &[2]),
    ("L-017", &[], "FROM scratch\nENV --a b=c\n", "dockerfile parse error on line 2: unknown flag: --a", &[2]),
    ("L-018", &[], "FROM scratch\nCMD [1]\n", "when using JSON array syntax, arrays must be comprised of strings only", &[2]),
    ("L-018", &[], "FROM scratch\nCOPY [\"a\", 2, \"b\"]\n", "when using JSON array syntax, arrays must be comprised of strings only", &[2]),
    ("L-032", &[], "FROM scratch\nENV A=${B?is needed}\n", "Syntax error - can't find = in \"needed}\". Must be of the form: name=value", &[2]),
    ("L-032", &[], "FROM scratch\nENV A=${B:?}\n", "failed to process \"${B:?}\": B: is not allowed to be unset", &[2]),
    ("L-032", &[], "FROM scratch\nENV A=${B?}\n", "failed to process \"${B?}\": B: is not allowed to be unset", &[2]),
    ("L-033", &[], "FROM scratch\nENV A=${B:#x}\n", "failed to process \"${B:#x}\": unsupported modifier (:#) in substitution", &[2]),
    ("L-033", &[], "FROM scratch\nENV A=1\nENV B=${A#\\x}\n", "failed to process \"${A#\\\\x}\": invalid pattern (\\x) in substitution: invalid escape '\\x'", &[3]),
    ("L-034", &[], "FROM scratch\nENV A=${B/x}\n", "failed to process \"${B/x}\": syntax error: missing '/' in ${}", &[2]),
    ("L-035", &[], "FROM scratch\nENV A=${}\n", "failed to process \"${}\": syntax error: bad substitution", &[2]),
    ("L-035", &[], "FROM scratch\nENV A=${:}\n", "failed to process \"${:}\": syntax error: bad substitution", &[2]),
    ("L-035", &[], "FROM scratch\nENV A=${{\n", "failed to process \"${{\": syntax error: bad substitution", &[2]),
    ("L-035", &[], "FROM scratch\nENV A=${B\n", "failed to process \"${B\": syntax error: missing '}'", &[2]),
    ("L-035", &[], "FROM scratch\nLABEL A=1\nUSER ${B!x}\n", "failed to process \"${B!x}\": unsupported modifier (!) in substitution", &[3]),
    ("L-036", &[], "FROM scratch\nENV A='b\n", "failed to process \"'b\": unexpected end of statement while looking for matching single-quote", &[2]),
    ("L-036", &[], "FROM scratch\nWORKDIR \"b\n", "failed to process \"\\\"b\": unexpected end of statement while looking for matching double-quote", &[2]),
    ("L-036", &[], "FROM scratch\nWORKDIR 'b\n", "failed to process \"'b\": unexpected end of statement while looking for matching single-quote", &[2]),
    ("L-037", &[], "ARG A=1\nFROM scratch\nCOPY --from=$A a /\n", "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround", &[3]),
    ("L-037", &[], "FROM scratch\nRUN --mount=from=$A,target=/b c\n", "dockerfile parse error on line 2: 'from' doesn't support variable expansion, define alias stage instead", &[2]),
    ("L-070", &[], "FROM\n", "dockerfile parse error on line 1: FROM requires either one or three arguments", &[1]),
    ("L-070", &[], "FROM a b\n", "dockerfile parse error on line 1: FROM requires either one or three arguments", &[1]),
    ("L-070", &[], "FROM a b c\n", "dockerfile parse error on line 1: FROM requires either one or three arguments", &[1]),
    ("L-070", &[], "FROM scratch AS 1a\n", "dockerfile parse error on line 1: invalid name for build stage: \"1a\", name can't start with a number or contain symbols", &[1]),
    ("L-070", &[], "FROM scratch AS a/b\n", "dockerfile parse error on line 1: invalid name for build stage: \"a/b\", name can't start with a number or contain symbols", &[1]),
    ("L-074", &[], "ARG A\nFROM $A\n", "base name ($A) should not be blank", &[2]),
    ("L-074", &[], "FROM Upper/Case\n", "failed to parse stage name \"Upper/Case\": invalid reference format: repository name (Case) must be lowercase", &[1]),
    ("L-074", &[], "FROM a::b\n", "failed to parse stage name \"a::b\": invalid reference format", &[1]),
    ("L-075", &[], "ARG PLATFORM=linux/amd64\nFROM --platform=$PLATFOR scratch\n", "empty platform value from expression $PLATFOR (did you mean PLATFORM?)", &[2]),
    ("L-075", &[], "FROM --platform=a/b/c/d scratch\n", "failed to parse platform a/b/c/d: expected a platform such as linux/amd64 or linux/arm64/v8 but found \"a/b/c/d\"", &[1]),
    ("L-077", &[], "FROM scratch\nCOPY --from=3 a /\n", "invalid stage index 3", &[2]),
    ("L-077", &[], "FROM scratch\nCOPY --from=-1 a /\n", "invalid stage index -1", &[2]),
    ("L-080", &[], "FROM scratch AS a\nCOPY --from=b a /\nFROM scratch AS b\nCOPY --from=a a /\n", "circular dependency detected on stage: a", &[4, 2]),
    ("L-080", &[], "FROM scratch AS a\nCOPY --from=b a /\nFROM scratch AS b\nFROM a\n", "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"", &[2]),
    ("L-080", &[], "FROM scratch AS a\nRUN --mount=from=b,target=/x y\nFROM scratch AS b\nFROM a\n", "cannot mount from stage \"b\" to \"/x\", stage needs to be defined before current command", &[2]),
    ("L-080", &[], "FROM scratch AS a\nCOPY --from=a a /\n", "circular dependency detected on stage: a", &[2]),
    ("L-081", &["--target=releas"], "FROM scratch AS release\n", "target stage \"releas\" could not be found (did you mean release?)", &[]),
    ("L-081", &["--target=other"], "FROM scratch AS release\n", "target stage \"other\" could not be found", &[]),
    ("L-084", &[], "FROM scratch\nONBUILD ONBUILD RUN a\n", "dockerfile parse error on line 2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", &[2]),
    ("L-084", &[], "FROM scratch\nONBUILD FROM a\n", "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger", &[2]),
    ("L-084", &[], "FROM scratch\nONBUILD MAINTAINER a\n", "dockerfile parse error on line 2: MAINTAINER isn't allowed as an ONBUILD trigger", &[2]),
    ("L-084", &[], "FROM scratch\nONBUILD\n", "dockerfile parse error on line 2: ONBUILD requires at least one argument", &[2]),
    ("L-084", &[], "FROM scratch AS a\nONBUILD COPY --from=9 a /\nFROM a\n", "invalid stage index 9", &[3]),
    ("L-104", &[], "FROM scratch\nRUN <<EOF\na\n", "unterminated heredoc", &[2]),
    ("L-106", &[], "FROM scratch\nRUN --mount=type=cache,targt=/a b\n", "unexpected key 'targt' in 'targt=/a' (did you mean target?)", &[2]),
    ("L-106", &[], "FROM scratch\nRUN --mount=type=cach,target=/a b\n", "unsupported mount type \"cach\" (did you mean cache?)", &[2]),
    ("L-106", &[], "FROM scratch\nRUN --mount=type=cache,target=/ b\n", "invalid mount target \"/\"", &[2]),
    ("L-106", &[], "FROM scratch\nRUN --mount=nonsense b\n", "invalid field 'nonsense' must be a key=value pair", &[2]),
    ("L-108", &[], "FROM scratch\nRUN --mount=type=cache,target=/a,sharing=lockd b\n", "unsupported sharing value \"lockd\" (did you mean locked?)", &[2]),
    ("L-109", &[], "FROM scratch\nRUN --mount=type=tmpfs,target=/a,size=much b\n", "invalid value for size: much", &[2]),
    ("L-110", &[], "FROM scratch\nRUN --mount=type=secret b\n", "invalid secret mount. one of source, target required", &[2]),
    ("L-110", &[], "FROM scratch\nRUN --mount=type=secret,id=a,source=b c\n", "both source and id can't be set", &[2]),
    ("L-110", &[], "FROM scratch\nRUN --mount=type=secret,id=a,required=maybe c\n", "invalid value for required: maybe", &[2]),
    ("L-111", &[], "FROM scratch\nRUN --mount=type=ssh,source=b c\n", "ssh does not support source", &[2]),
    ("L-112", &[], "FROM scratch\nRUN --mount=type=bind,target=/a,mode=644 c\n", "mode not allowed for \"bind\" type mounts", &[2]),
    ("L-112", &[], "FROM scratch\nRUN --mount=type=cache,target=/a,required c\n", "unexpected key 'required' for mount type 'cache'", &[2]),
    ("L-112", &[], "FROM scratch\nRUN --mount=type=cache,target=/a,size=1 c\n", "unexpected key 'size' for mount type 'cache'", &[2]),
    ("L-112", &[], "FROM scratch\nRUN --mount=type=bind,target=/a,sharing=locked c\n", "invalid cache sharing set for bind mount", &[2]),
    ("L-112", &[], "FROM scratch\nRUN --mount=type=secret,id=a,sharing=locked c\n", "secret mount should not define sharing", &[2]),
    ("L-112", &[], "FROM scratch\nRUN --mount=type=cache,target=/a,uid=x c\n", "invalid value x for uid", &[2]),
    ("L-113", &[], "FROM scratch\nRUN --network=bridge a\n", "dockerfile parse error on line 2: invalid network mode \"bridge\"", &[2]),
    ("L-114", &[], "FROM scratch\nRUN --security=loose a\n", "dockerfile parse error on line 2: security \"loose\" is not valid", &[2]),
    ("L-130", &[], "FROM scratch\nCOPY a\n", "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination could not be determined", &[2]),
    ("L-130", &[], "FROM scratch\nADD\n", "dockerfile parse error on line 2: ADD requires at least two arguments, but only one was provided. Destination could not be determined", &[2]),
    ("L-132", &[], "FROM scratch\nCOPY missing /\n", "failed to compute cache key: failed to calculate checksum of ref: \"/missing\": not found", &[2]),
    ("L-132", &[], "FROM scratch\nADD a b/missing /\n", "failed to compute cache key: failed to calculate checksum of ref: \"/b/missing\": not found", &[2]),
    ("L-136", &[], "FROM scratch\nCOPY --chmod=99 a /\n", "invalid chmod parameter: '99'. it should be octal string and between 0 and 07777", &[2]),
    ("L-136", &[], "FROM scratch\nCOPY --chmod=u+y a /\n", "invalid chmod parameter: 'u+y'. it should be octal string and between 0 and 07777", &[2]),
    ("L-140", &[], "FROM scratch\nCOPY https://example.com/a /\n", "source can't be a URL for COPY", &[2]),
    ("L-140", &[], "FROM scratch\nCOPY https://example.com/a.git /\n", "source can't be a git ref for COPY", &[2]),
    ("L-141", &[], "FROM scratch\nCOPY a <<EOF\nx\nEOF\n", "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination", &[2]),
    ("L-148", &[], "FROM scratch\nADD --checksum=sha256:0 a b /\n", "checksum can't be specified for multiple sources", &[2]),
    ("L-148", &[], "FROM scratch\nADD --checksum=sha256:0 a /\n", "checksum requires HTTP(S) or Git sources", &[2]),
    ("L-148", &[], "FROM scratch\nCOPY --checksum=sha256:0 a /\n", "dockerfile parse error on line 2: unknown flag: --checksum", &[2]),
    ("L-160", &[], "FROM scratch\nENV A\n", "ENV must have two arguments", &[2]),
    ("L-160", &[], "FROM scratch\nENV A=1 B\n", "Syntax error - can't find = in \"B\". Must be of the form: name=value", &[2]),
    ("L-160", &[], "FROM scratch\nENV =1\n", "dockerfile parse error on line 2: ENV names can not be blank", &[2]),
    ("L-160", &[], "FROM scratch\nENV\n", "dockerfile parse error on line 2: ENV requires at least one argument", &[2]),
    ("L-161", &[], "FROM scratch\nLABEL a\n", "LABEL must have two arguments", &[2]),
    ("L-161", &[], "FROM scratch\nLABEL a=1 b\n", "Syntax error - can't find = in \"b\". Must be of the form: name=value", &[2]),
    ("L-162", &[], "FROM scratch\nEXPOSE 80/http\n", "invalid port: \"80/http\": invalid proto: http", &[2]),
    ("L-162", &[], "FROM scratch\nEXPOSE 70000\n", "invalid containerPort: 70000", &[2]),
    ("L-162", &[], "FROM scratch\nEXPOSE 90-80\n", "invalid containerPort: 90-80", &[2]),
    ("L-162", &[], "FROM scratch\nEXPOSE x:80\n", "invalid hostPort: x", &[2]),
    ("L-162", &[], "FROM scratch\nEXPOSE 1.2.3:80:80\n", "invalid IP address: 1.2.3", &[2]),
    ("L-162", &[], "FROM scratch\nEXPOSE /tcp\n", "invalid port: \"/tcp\": no port specified", &[2]),
    ("L-162", &[], "FROM scratch\nEXPOSE\n", "dockerfile parse error on line 2: EXPOSE requires at least one argument", &[2]),
    ("L-163", &[], "FROM scratch\nVOLUME [\"\"]\n", "dockerfile parse error on line 2: VOLUME specified can not be an empty string", &[2]),
    ("L-163", &[], "FROM scratch\nVOLUME\n", "dockerfile parse error on line 2: VOLUME requires at least one argument", &[2]),
    ("L-164", &[], "FROM scratch\nUSER\n", "dockerfile parse error on line 2: USER requires exactly one argument", &[2]),
    ("L-165", &[], "FROM scratch\nWORKDIR\n", "dockerfile parse error on line 2: WORKDIR requires exactly one argument", &[2]),
    ("L-168", &[], "FROM scratch\nSHELL bash -c\n", "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form", &[2]),
    ("L-168", &[], "FROM scratch\nSHELL []\n", "dockerfile parse error on line 2: SHELL requires at least one argument", &[2]),
    ("L-169", &[], "FROM scratch\nHEALTHCHECK\n", "dockerfile parse error on line 2: HEALTHCHECK requires at least one argument", &[2]),
    ("L-169", &[], "FROM scratch\nHEALTHCHECK NONE a\n", "dockerfile parse error on line 2: HEALTHCHECK NONE takes no arguments", &[2]),
    ("L-169", &[], "FROM scratch\nHEALTHCHECK CMD\n", "dockerfile parse error on line 2: Missing command after HEALTHCHECK CMD", &[2]),
    ("L-169", &[], "FROM scratch\nHEALTHCHECK PING a\n", "dockerfile parse error on line 2: Unknown type \"PING\" in HEALTHCHECK (try CMD)", &[2]),
    ("L-169", &[], "FROM scratch\nHEALTHCHECK --interval=1 CMD a\n", "dockerfile parse error on line 2: time: missing unit in duration \"1\"", &[2]),
    ("L-169", &[], "FROM scratch\nHEALTHCHECK --timeout=1us CMD a\n", "dockerfile parse error on line 2: Interval \"timeout\" cannot be less than 1ms", &[2]),
    ("L-169", &[], "FROM scratch\nHEALTHCHECK --retries=x CMD a\n", "dockerfile parse error on line 2: --retries is not a number: \"x\"", &[2]),
    ("L-169", &[], "FROM scratch\nHEALTHCHECK --retries=-1 CMD a\n", "dockerfile parse error on line 2: --retries cannot be negative (-1)", &[2]),
    ("L-170", &[], "FROM scratch\nSTOPSIGNAL SIGNONE\n", "invalid signal: SIGNONE", &[2]),
    ("L-170", &[], "FROM scratch\nSTOPSIGNAL\n", "dockerfile parse error on line 2: STOPSIGNAL requires exactly one argument", &[2]),
    ("L-171", &[], "FROM scratch\nMAINTAINER\n", "dockerfile parse error on line 2: MAINTAINER requires exactly one argument", &[2]),
    ("L-013", &[], "# syntax=example.com/other:1\nFROM scratch\n", "the Dockerfile asks for the frontend \"example.com/other:1\", and only docker/dockerfile is supported", &[1]),
    ("L-013", &["--build-arg=BUILDKIT_SYNTAX=other"], "FROM scratch\n", "the Dockerfile asks for the frontend \"other\", and only docker/dockerfile is supported", &[]),
    ("L-135", &[], "FROM scratch\nCOPY --chown=nobody a /\n", "--chown=nobody: unable to find user nobody: no matching entries in passwd file", &[2]),
];

fn build(context: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["build", "--store", "store"])
        .args(flags)
        .arg(".")
        .current_dir(context)
        .env_clear()
        .output()
        .unwrap()
}

/// The message without what every failed build begins with, and the first line of each excerpt.
fn told(output: &Output) -> (String, Vec<usize>) {
    let log = String::from_utf8(output.stderr.clone()).unwrap();
    let message = log.lines().find_map(|line| line.strip_prefix("ERROR: ")).unwrap_or_default();
    let prefix = "failed to build: failed to solve: ";
    let message = message.strip_prefix(prefix).unwrap_or(message).to_owned();
    let shown = log.lines().filter_map(|line| line.strip_prefix("Dockerfile:"));
    (message, shown.map(|line| line.parse().unwrap()).collect())
}

/// A context with files `a` and `b`.
fn context(dockerfile: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    fs::write(folder.path().join("a"), "1").unwrap();
    fs::write(folder.path().join("b"), "1").unwrap();
    folder
}

#[test]
fn every_mistake_has_its_message_line_and_exit_code() {
    let mut wrong = Vec::new();
    for (id, flags, dockerfile, message, lines) in ROWS {
        let folder = context(dockerfile.as_bytes());
        let output = build(folder.path(), flags);
        let found = (told(&output), output.status.code());
        let expected = (((*message).to_owned(), lines.to_vec()), Some(1));
        if found != expected {
            wrong.push(format!(
                "{id} {dockerfile:?}\n  expected {expected:?}\n  found    {found:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each row of the reference that has an error text, but those that the golden cases or other tests
/// have alone: what a RUN ends with, and what a server answers.
#[test]
fn every_row_is_there() {
    for id in [
        2, 3, 4, 12, 13, 14, 15, 17, 18, 32, 33, 34, 35, 36, 37, 70, 74, 75, 77, 80, 81, 84, 104,
        106, 108, 109, 110, 111, 112, 113, 114, 130, 132, 135, 136, 140, 141, 148, 160, 161, 162,
        163, 164, 165, 168, 169, 170, 171,
    ] {
        let id = format!("L-{id:03}");
        assert!(id == "L-002" || ROWS.iter().any(|(known, ..)| *known == id), "{id}");
    }
}

#[test]
fn what_is_too_large_or_no_text_is_refused() {
    let line = [b"FROM scratch\nLABEL a=".as_slice(), &vec![b'x'; 65_535], b"\n"].concat();
    let file = b"FROM scratch\n# a comment\n".repeat(50_000);
    for (dockerfile, message, line, code) in [
        (line.as_slice(), "dockerfile line greater than max allowed size of 65535", &[2][..], 1),
        (&file, "can't read Dockerfile: it is larger than 1048576 bytes", &[], 2),
        (
            b"FROM scratch\nLABEL a=\xff\n",
            "the Dockerfile is not UTF-8: byte 0xff at offset 21",
            &[2],
            1,
        ),
    ] {
        let folder = context(dockerfile);
        let output = build(folder.path(), &[]);
        assert_eq!(told(&output), (message.to_owned(), line.to_vec()));
        assert_eq!(output.status.code(), Some(code), "{message}");
    }
}

#[test]
fn a_wrong_ignore_file_is_named() {
    let folder = context(b"FROM scratch\nCOPY a /\n");
    for (text, message) in [
        ("!\n", ".dockerignore: line 1: illegal exclusion pattern: \"!\""),
        ("a\n[\n", ".dockerignore: line 2: syntax error in pattern \"[\""),
    ] {
        fs::write(folder.path().join(".dockerignore"), text).unwrap();
        let output = build(folder.path(), &[]);
        assert_eq!(told(&output), (message.to_owned(), vec![]));
        assert_eq!(output.status.code(), Some(1));
    }
}

/// Exit code 2: nothing was built because nothing was understood.
#[test]
fn a_dockerfile_that_would_block_or_never_end_is_refused() {
    for (path, kind) in [("/dev/zero", "a device"), ("pipe", "a pipe"), (".", "a directory")] {
        let folder = context(b"FROM scratch\n");
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let output = build(folder.path(), &["-f", path]);
        let (message, _) = told(&output);
        assert_eq!(message, format!("can't read {path}: it is {kind}, not a regular file"));
        assert_eq!(output.status.code(), Some(2));
    }
}
