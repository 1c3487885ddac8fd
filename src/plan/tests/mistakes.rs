use super::*;
use crate::error::Error;

/// Text, message, and the lines it points at.
#[test]
fn mistakes_are_named_with_their_lines() {
    for (text, message, lines) in [
        ("FROM $A", "base name ($A) should not be blank", vec![1]),
        (
            "FROM Alpine",
            "failed to parse stage name \"Alpine\": invalid reference format: \
             repository name (library/Alpine) must be lowercase",
            vec![1],
        ),
        (
            "FROM a\nFROM a:b:c",
            "failed to parse stage name \"a:b:c\": invalid reference format",
            vec![2],
        ),
        ("FROM ${A?no}", "failed to process \"${A?no}\": A: no", vec![1]),
        ("ARG A=${\nFROM a", "failed to process \"${\": syntax error: missing '}'", vec![1]),
        (
            "FROM --platform=$TARGTPLATFORM a",
            "empty platform value from expression $TARGTPLATFORM (did you mean TARGETPLATFORM?)",
            vec![1],
        ),
        ("FROM --platform=a/b/c/d a", "failed to parse platform a/b/c/d: ", vec![1]),
        ("FROM a AS x\nFROM b\nCOPY --from=2 a b", "invalid stage index 2", vec![3]),
        ("FROM a\nCOPY --from=-1 a b", "invalid stage index -1", vec![2]),
        (
            "FROM a AS x\nCOPY --from=y a b\nFROM b AS y\nRUN --mount=from=x,target=/m z",
            "circular dependency detected on stage: x",
            vec![4, 2],
        ),
        ("FROM a AS x\nCOPY --from=x a b", "circular dependency detected on stage: x", vec![2]),
        (
            "FROM a\nCOPY --from=c / /\nFROM b AS b\nCOPY --from=c / /\nFROM d AS c\nCOPY --from=b / /",
            "circular dependency detected on stage: stage-0",
            vec![4, 6, 2],
        ),
        (
            "FROM a\nCOPY a $B \\\n  ${C",
            "failed to process \"${C\": syntax error: missing '}'",
            vec![2],
        ),
        ("FROM a\nRUN --mount=target=/ x", "invalid mount target \"/\"", vec![2]),
        ("FROM a\nRUN --mount=type=$A,target=/m x", "unsupported mount type \"\"", vec![2]),
        (
            "FROM a\nRUN --mount=tpye=cache x",
            "unexpected key 'tpye' in 'tpye=cache' (did you mean type?)",
            vec![2],
        ),
        (
            "FROM a\nCOPY --chmod=9 a b",
            "invalid chmod parameter: '9'. it should be octal string and between 0 and 07777",
            vec![2],
        ),
        ("FROM a\nCOPY https://e.com/a b", "source can't be a URL for COPY", vec![2]),
        ("FROM a\nARG A=git@e.com:x\nCOPY $A b", "source can't be a git ref for COPY", vec![3]),
        (
            "FROM a\nADD --checksum=sha256:0 https://e.com/a https://e.com/b c/",
            "checksum can't be specified for multiple sources",
            vec![2],
        ),
        (
            "FROM a\nADD --checksum=sha256:0 a b",
            "checksum requires HTTP(S) or Git sources",
            vec![2],
        ),
        ("FROM a\nEXPOSE 80/http", "invalid port: \"80/http\": invalid proto: http", vec![2]),
        ("FROM a\nSTOPSIGNAL $A", "invalid signal: ", vec![2]),
        ("FROM a\nVOLUME $A", "VOLUME specified can not be an empty string", vec![2]),
        ("FROM a\nADD https://e.com/a.git?depth=1 b", "unexpected query \"depth\"", vec![2]),
        ("FROM a\nRUN --security=insecure x", "security.insecure is not allowed", vec![2]),
        ("FROM a\nRUN --network=host x", "network.host is not allowed", vec![2]),
        ("FROM a\nRUN --device=d x", "device feature is only supported in", vec![2]),
        ("FROM a\nRUN []", "RUN requires a command", vec![2]),
    ] {
        let error = Error::from(Given::default().plan(text).expect_err(text));
        assert!(
            error.message.starts_with(message),
            "{} instead of {message}\n{text}",
            error.message
        );
        let found: Vec<usize> = error.locations.iter().map(|at| *at.lines.start()).collect();
        assert_eq!(found, lines, "{text}");
    }
}

#[test]
fn a_stage_further_down_is_not_there_yet() {
    for (text, message) in [
        (
            "FROM a AS x\nCOPY --from=Y / /\nFROM x AS y",
            "cannot copy from stage \"Y\", it needs to be defined before current stage \"x\"",
        ),
        (
            "FROM a\nCOPY --from=1 / /\nFROM b AS y",
            "cannot copy from stage \"1\", it needs to be defined before current stage \"stage-0\"",
        ),
        (
            "FROM a AS x\nRUN --mount=from=y,target=/m z\nFROM b AS y",
            "cannot mount from stage \"y\" to \"/m\", stage needs to be defined before current command",
        ),
    ] {
        let given = Given {
            target: Some(if text.contains("AS x") { "x" } else { "y" }),
            ..Given::default()
        };
        let planned = given.plan(text);
        if given.target == Some("y") {
            // What the target does not need is not looked at.
            assert!(planned.is_ok(), "{planned:?}");
            continue;
        }
        let error = planned.expect_err(text);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.lines, [Lines { first: 2, last: 2 }]);
    }
}

#[test]
fn an_unknown_target_is_suggested() {
    for (target, message) in [
        ("buidler", "target stage \"buidler\" could not be found (did you mean builder?)"),
        ("stage-1", "target stage \"stage-1\" could not be found"),
        ("0", "target stage \"0\" could not be found"),
    ] {
        let given = Given { target: Some(target), ..Given::default() };
        let error = given.plan("FROM a AS builder\nFROM b").expect_err(target);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.lines, []);
    }
}

#[test]
fn no_frontend_is_pulled() {
    let text = "FROM a";
    let given = args(&[("BUILDKIT_SYNTAX", "example.com/other:1")]);
    let error = given.plan(text).expect_err("it is another language");
    assert!(error.to_string().contains("example.com/other:1"), "{error}");
    args(&[("BUILDKIT_SYNTAX", "docker/dockerfile:1")]).expect(text);
}

#[test]
fn a_wrong_trigger_is_shown_where_it_is_set_off() {
    for (trigger, message) in
        [("NOPE x", "unknown instruction: NOPE"), ("COPY --from=9 a b", "invalid stage index 9")]
    {
        let mut image = base();
        image.config.on_build = Some(vec![trigger.to_owned()]);
        let images = BTreeMap::from([("docker.io/library/a:latest", image)]);
        let error = Given { images, ..Given::default() }.plan("# c\nFROM a").expect_err(trigger);
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.lines, [Lines { first: 2, last: 2 }]);
    }
}
