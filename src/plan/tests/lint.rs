//! Every rule by a table (1.9): what is found, and near it what is not. More of them, with their
//! excerpts, is compared with BuildKit in `tests/golden-checks`.

use super::*;

/// `LINE Rule: message` of each finding.
fn found(given: &Given, text: &str) -> Vec<String> {
    let (planned, findings) = given.plan_and_check(text, given.target.is_none());
    planned.unwrap_or_else(|error| panic!("{error}\n{text}"));
    let shown = |finding: &Finding| {
        let problem = &finding.problem;
        format!("{} {}: {problem}", finding.lines.start(), problem.rule().name)
    };
    findings.iter().map(shown).collect()
}

/// What follows `FROM scratch`, and the findings: their line, and what they say.
fn check(rule: &str, given: &Given, rows: &[(&str, &[(usize, &str)])]) {
    for (text, expected) in rows {
        let expected: Vec<String> =
            expected.iter().map(|(line, message)| format!("{line} {rule}: {message}")).collect();
        assert_eq!(found(given, text), expected, "{text}");
    }
}

fn plain(rule: &str, rows: &[(&str, &[(usize, &str)])]) {
    check(rule, &Given::default(), rows);
}

#[test]
fn c01_stage_name_casing() {
    plain(
        "StageNameCasing",
        &[
            ("FROM scratch AS Abc", &[(1, "Stage name 'Abc' should be lowercase")]),
            ("FROM scratch AS abc", &[]),
            ("FROM scratch AS a-b_c.1", &[]),
        ],
    );
}

#[test]
fn c02_from_as_casing() {
    plain(
        "FromAsCasing",
        &[
            ("FROM scratch as a", &[(1, "'as' and 'FROM' keywords' casing do not match")]),
            ("from scratch As a", &[(1, "'As' and 'from' keywords' casing do not match")]),
            ("FROM scratch AS a", &[]),
            ("from scratch as a", &[]),
        ],
    );
}

#[test]
fn c03_no_empty_continuation() {
    plain(
        "NoEmptyContinuation",
        &[
            ("FROM scratch\nENV A=1 \\\n\n  B=2", &[(4, "Empty continuation line")]),
            ("FROM scratch\nENV A=1 \\\n# comment\n  B=2", &[]),
            ("FROM scratch\n\nENV A=1", &[]),
        ],
    );
}

#[test]
fn c04_consistent_instruction_casing() {
    let upper = |keyword| {
        format!("Command '{keyword}' should match the case of the command majority (uppercase)")
    };
    plain(
        "ConsistentInstructionCasing",
        &[
            ("FROM scratch\nenv A=1\nENV B=2", &[(2, &upper("env"))]),
            ("FROM scratch\nEnv A=1", &[(2, &upper("Env"))]),
            (
                "FROM scratch\nenv A=1\nlabel b=2",
                &[(1, "Command 'FROM' should match the case of the command majority (lowercase)")],
            ),
            ("from scratch\nenv A=1", &[]),
            ("arg X\nFROM scratch\nENV A=1", &[]),
        ],
    );
}

#[test]
fn c05_duplicate_stage_name() {
    plain(
        "DuplicateStageName",
        &[
            (
                "FROM scratch AS a\nFROM scratch AS b\nFROM scratch AS a",
                &[(3, "Duplicate stage name \"a\", stage names should be unique")],
            ),
            ("FROM scratch\nFROM scratch", &[]),
        ],
    );
}

#[test]
fn c06_reserved_stage_name() {
    let message =
        |name| format!("Stage name should not use the same name as reserved stage {name:?}");
    plain(
        "ReservedStageName",
        &[
            ("FROM scratch AS scratch", &[(1, &message("scratch"))]),
            ("FROM scratch AS context", &[(1, &message("context"))]),
            ("FROM scratch AS contexts", &[]),
        ],
    );
}

#[test]
fn c07_json_args_recommended() {
    let message = |name| {
        format!(
            "JSON arguments recommended for {name} to prevent unintended behavior related to OS \
             signals"
        )
    };
    plain(
        "JSONArgsRecommended",
        &[
            ("FROM scratch\nCMD a", &[(2, &message("CMD"))]),
            ("FROM scratch\nENTRYPOINT a", &[(2, &message("ENTRYPOINT"))]),
            ("FROM scratch\nCMD [\"a\"]\nENTRYPOINT [\"a\"]", &[]),
            ("FROM scratch\nSHELL [\"/bin/bash\", \"-c\"]\nCMD a", &[]),
        ],
    );
    let mut image = base();
    image.config.shell = Some(vec!["/bin/bash".to_owned()]);
    let given = Given {
        images: BTreeMap::from([("docker.io/library/a:latest", image)]),
        ..Given::default()
    };
    check("JSONArgsRecommended", &given, &[("FROM a\nCMD b", &[])]);
}

#[test]
fn c08_maintainer_deprecated() {
    plain(
        "MaintainerDeprecated",
        &[
            (
                "FROM scratch\nMAINTAINER me",
                &[(2, "Maintainer instruction is deprecated in favor of using label")],
            ),
            ("FROM scratch\nLABEL org.opencontainers.image.authors=me", &[]),
        ],
    );
}

#[test]
fn c09_undefined_arg_in_from() {
    plain(
        "UndefinedArgInFrom",
        &[
            (
                "ARG VERSION=1\nFROM a:1${VERSIO}",
                &[(2, "FROM argument 'VERSIO' is not declared (did you mean VERSION?)")],
            ),
            (
                "FROM --platform=${PLATFORMX:-linux/amd64} a",
                &[(1, "FROM argument 'PLATFORMX' is not declared")],
            ),
            ("ARG V=1\nFROM a:$V\nFROM --platform=$BUILDPLATFORM a", &[]),
            ("ARG V\nFROM a$V", &[]),
        ],
    );
}

#[test]
fn c10_workdir_relative_path() {
    let message = |path| {
        format!("Relative workdir {path:?} can have unexpected results if the base image changes")
    };
    plain(
        "WorkdirRelativePath",
        &[
            ("FROM a\nWORKDIR b\nWORKDIR c", &[(2, &message("b"))]),
            ("FROM a\nENV B=b\nWORKDIR $B", &[(3, &message("b"))]),
            ("FROM a\nWORKDIR /b\nWORKDIR c", &[]),
            ("FROM a AS b\nWORKDIR /b\nFROM b\nWORKDIR c", &[]),
        ],
    );
}

#[test]
fn c11_undefined_var() {
    plain(
        "UndefinedVar",
        &[
            (
                "FROM a\nENV NAME=1\nLABEL b=$NAM",
                &[(3, "Usage of undefined variable '$NAM' (did you mean $NAME?)")],
            ),
            (
                "FROM a\nCOPY <<B /b\n$SOMEWHERE\nB",
                &[(2, "Usage of undefined variable '$SOMEWHERE'")],
            ),
            (
                "FROM a\nRUN --mount=type=cache,target=/b$SOMEWHERE c",
                &[(2, "Usage of undefined variable '$SOMEWHERE'")],
            ),
            ("FROM a\nARG B\nLABEL c=$B d=$PATH", &[]),
            ("FROM a\nRUN echo $ANY\nCMD [\"$ANY\"]", &[]),
            ("FROM a\nCOPY <<'B' /b\n$SOMEWHERE\nB", &[]),
            ("FROM a AS b\nARG C\nFROM b\nLABEL c=$C", &[]),
        ],
    );
}

#[test]
fn c12_multiple_instructions_disallowed() {
    let message = |name| {
        format!(
            "Multiple {name} instructions should not be used in the same stage because only the \
             last one will be used"
        )
    };
    plain(
        "MultipleInstructionsDisallowed",
        &[
            ("FROM a\nCMD [\"1\"]\nENV B=1\nCMD [\"2\"]", &[(2, &message("CMD"))]),
            ("FROM a\nHEALTHCHECK NONE\nHEALTHCHECK CMD b", &[(2, &message("HEALTHCHECK"))]),
            (
                "FROM a\nENTRYPOINT [\"1\"]\nENTRYPOINT [\"2\"]\nENTRYPOINT [\"3\"]",
                &[(2, &message("ENTRYPOINT")), (3, &message("ENTRYPOINT"))],
            ),
            ("FROM a AS b\nCMD [\"1\"]\nFROM b\nCMD [\"2\"]\nENTRYPOINT [\"3\"]", &[]),
        ],
    );
}

#[test]
fn c13_legacy_key_value_format() {
    plain(
        "LegacyKeyValueFormat",
        &[
            (
                "FROM a\nENV B c",
                &[(
                    2,
                    "\"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
                )],
            ),
            (
                "FROM a\nLABEL b c d",
                &[(
                    2,
                    "\"LABEL key=value\" should be used instead of legacy \"LABEL key value\" format",
                )],
            ),
            ("FROM a\nENV B=\"c d\" E=f\nLABEL b=c", &[]),
        ],
    );
}

#[test]
fn c14_invalid_base_image_platform() {
    let given = Given { platform: Some("linux/arm64"), ..Given::default() };
    let message = |image| {
        format!(
            "Base image {image} was pulled with platform \"linux/amd64\", expected \"linux/arm64\" \
             for current build"
        )
    };
    let rule = "InvalidBaseImagePlatform";
    check(rule, &given, &[("FROM a:1", &[(1, &message("a:1"))])]);
    check(rule, &given, &[("FROM scratch\nCOPY --from=b /c /", &[(2, &message("b"))])]);
    check(rule, &given, &[("FROM --platform=$BUILDPLATFORM a", &[])]);
    plain(rule, &[("FROM a", &[])]);
    let context = Given {
        platform: Some("linux/arm64"),
        contexts: BTreeMap::from([("a".to_owned(), ContextShape::Image)]),
        ..Given::default()
    };
    check(rule, &context, &[("FROM a", &[])]);
}

#[test]
fn c15_redundant_target_platform() {
    let message = |variable| {
        format!(
            "Setting platform to predefined {variable} in FROM is redundant as this is the default \
             behavior"
        )
    };
    plain(
        "RedundantTargetPlatform",
        &[
            ("FROM --platform=$TARGETPLATFORM a", &[(1, &message("$TARGETPLATFORM"))]),
            ("FROM --platform=${TARGETPLATFORM} a", &[(1, &message("${TARGETPLATFORM}"))]),
            ("FROM --platform=$TARGETOS/$TARGETARCH a", &[]),
            ("FROM --platform=$BUILDPLATFORM a", &[]),
        ],
    );
}

#[test]
fn c16_secrets_used_in_arg_or_env() {
    let message = |what| format!("Do not use ARG or ENV instructions for sensitive data ({what})");
    plain(
        "SecretsUsedInArgOrEnv",
        &[
            ("FROM a\nARG PASSWORD", &[(2, &message("ARG \"PASSWORD\""))]),
            ("FROM a\nENV my_ApiKey=1", &[(2, &message("ENV \"my_ApiKey\""))]),
            ("FROM a\nENV TOKEN_X=1", &[(2, &message("ENV \"TOKEN_X\""))]),
            ("FROM a\nENV PUBLIC_KEY=1 SECRET_FILE=2 KEY_VERSION=3", &[]),
            ("FROM a\nENV MONKEY=1 AUTHOR=2 TOKENS=3", &[]),
            ("ARG PASSWORD\nFROM a\nLABEL password=1", &[]),
        ],
    );
}

#[test]
fn c17_invalid_default_arg_in_from() {
    let given = args(&[("TAG", "1"), ("NAME", "a")]);
    let message =
        |base| format!("Default value for ARG {base} results in empty or invalid base image name");
    check(
        "InvalidDefaultArgInFrom",
        &given,
        &[
            ("ARG TAG\nFROM a:$TAG", &[(2, &message("a:$TAG"))]),
            ("ARG NAME\nFROM $NAME", &[(2, &message("$NAME"))]),
            ("ARG TAG=2\nFROM a:$TAG", &[]),
            ("ARG TAG\nFROM a:${TAG:-2}", &[]),
        ],
    );
}

#[test]
fn c18_from_platform_flag_const_disallowed() {
    let message =
        |platform| format!("FROM --platform flag should not use constant value {platform:?}");
    plain(
        "FromPlatformFlagConstDisallowed",
        &[
            ("FROM --platform=linux/amd64 a", &[(1, &message("linux/amd64"))]),
            ("FROM --platform=linux/amd64 a AS b", &[(1, &message("linux/amd64"))]),
            ("FROM --platform=linux/amd64 a AS build_amd64", &[]),
            ("FROM --platform=linux/amd64 a AS linux", &[]),
            ("FROM --platform=$BUILDPLATFORM a", &[]),
        ],
    );
}

#[test]
fn c19_copy_ignored_file() {
    let ignoring = |text: &str| Given {
        ignore: Patterns::parse(text.as_bytes()).expect("the patterns are valid"),
        ..Given::default()
    };
    let message = |verb, file| {
        format!("Attempting to {verb} file {file:?} that is excluded by .dockerignore")
    };
    let rule = "CopyIgnoredFile";
    check(
        rule,
        &ignoring("a\n*.log"),
        &[
            ("FROM b\nCOPY a /", &[(2, &message("Copy", "a"))]),
            (
                "FROM b\nADD ./x.log ./a/c /d/",
                &[(2, &message("Add", "x.log")), (2, &message("Add", "a/c"))],
            ),
            ("FROM b\nCOPY . /\nCOPY b /\nCOPY --from=b a /", &[]),
            ("FROM b\nADD https://example.com/a.log /", &[]),
        ],
    );
    let everything = [("FROM b\nCOPY . /", &[(2, message("Copy", "."))])];
    for (text, expected) in everything {
        let expected: Vec<(usize, &str)> =
            expected.iter().map(|(line, message)| (*line, message.as_str())).collect();
        check(rule, &ignoring("*"), &[(text, &expected)]);
    }
    check(rule, &ignoring("a\n!a/b"), &[("FROM b\nCOPY a /", &[])]);
}

#[test]
fn c20_invalid_definition_description() {
    let message = |what, example| {
        format!("Comment for {what} should follow the format: `# {example} <description>`")
    };
    let on = "# check=experimental=all\n";
    let text = |text: &str| format!("{on}{text}");
    plain(
        "InvalidDefinitionDescription",
        &[
            (&text("# the version\nARG V=1\nFROM a"), &[(3, &message("ARG", "V"))]),
            (&text("FROM a\n# b\nARG C D"), &[(4, &message("ARG", "<arg_key>"))]),
            (&text("# some\nFROM a AS b"), &[(3, &message("FROM", "b"))]),
            (&text("# V is the version\nARG V=1\n# b is it\nFROM a AS b"), &[]),
            (&text("# loose\n#\nARG V=1\n# unnamed\nFROM a"), &[]),
            ("# the version\nARG V=1\nFROM a", &[]),
        ],
    );
}

#[test]
fn c21_expose_proto_casing() {
    let message =
        |port| format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
    plain(
        "ExposeProtoCasing",
        &[
            ("FROM a\nEXPOSE 80/TCP 81/udp", &[(2, &message("80/TCP"))]),
            ("FROM a\nARG P=Udp\nEXPOSE 80/$P", &[(3, &message("80/Udp"))]),
            ("FROM a\nEXPOSE 80 81/tcp", &[]),
        ],
    );
}

#[test]
fn c22_expose_invalid_format() {
    let message = |port| {
        format!(
            "EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
        )
    };
    plain(
        "ExposeInvalidFormat",
        &[
            ("FROM a\nEXPOSE 8080:80", &[(2, &message("8080:80"))]),
            ("FROM a\nEXPOSE 127.0.0.1:80:80", &[(2, &message("127.0.0.1:80:80"))]),
            ("FROM a\nEXPOSE 80 81-82/tcp", &[]),
        ],
    );
}

#[test]
fn only_the_stages_of_the_target_are_checked_by_planning() {
    let text = "FROM a AS b\nCMD c\nFROM a AS d\nCMD e";
    let lines = |given: &Given| -> Vec<usize> {
        let (_, findings) = given.plan_and_check(text, given.target.is_none());
        findings.iter().map(|finding| *finding.lines.start()).collect()
    };
    assert_eq!(lines(&Given::default()), [2, 4]);
    assert_eq!(lines(&Given { target: Some("b"), ..Given::default() }), [2]);
}

#[test]
fn what_was_found_before_a_mistake_is_told() {
    let text = "FROM a AS B\nCOPY --from=7 x /";
    let (planned, findings) = Given::default().plan_and_check(text, true);
    assert_eq!(planned.unwrap_err().to_string(), "invalid stage index 7");
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
fn findings_fail_where_error_is_true() {
    let fails = |text: &str| Given::default().plan(text).err().map(|error| error.to_string());
    let text = "FROM a AS B\nCMD c\nCMD d";
    assert_eq!(fails(text), None);
    let message = "lint violation found for rules: JSONArgsRecommended, \
                   MultipleInstructionsDisallowed, StageNameCasing";
    assert_eq!(fails(&format!("# check=error=true\n{text}")).as_deref(), Some(message));
    assert_eq!(fails(&format!("# check=skip=all;error=true\n{text}")), None);
    assert_eq!(
        fails("# check=erro=true\nFROM a").as_deref(),
        Some("failed to parse check options: invalid check option \"erro\"")
    );
    let argument = args(&[("BUILDKIT_DOCKERFILE_CHECK", "error=maybe")]);
    assert_eq!(
        argument.plan("FROM a").unwrap_err().to_string(),
        "failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK: failed to parse check option \
         \"error=maybe\": \"maybe\" is neither true nor false"
    );
}
