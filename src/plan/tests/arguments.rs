use super::*;

/// The last RUN's environment without `PATH`.
fn environment(plan: &Plan) -> String {
    let run = run_of(last(plan));
    let pairs: Vec<String> = run
        .env
        .iter()
        .filter(|(name, _)| name != "PATH")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join(" ")
}

#[test]
fn a_run_sees_what_is_in_scope() {
    let none: &[(&str, &str)] = &[];
    for (text, build_args, expected) in [
        ("FROM a\nARG A=1\nRUN x", none, "A=1"),
        ("FROM a\nARG A=1\nRUN x", &[("A", "2")], "A=2"),
        ("FROM a\nARG A\nRUN x", none, ""),
        ("ARG A=g\nFROM a\nRUN x", none, ""),
        ("ARG A=g\nFROM a\nARG A\nRUN x", none, "A=g"),
        ("ARG A=g\nFROM a\nARG A=s\nRUN x", none, "A=s"),
        ("ARG A=g\nFROM a\nARG A=s\nRUN x", &[("A", "b")], "A=b"),
        ("ARG A=g B=$A\nFROM a\nARG B\nRUN x", &[("A", "b")], "B=b"),
        ("FROM a\nARG A=1 B=$A$A\nRUN x", none, "A=1 B=11"),
        ("FROM a\nENV A=1 B=$A\nRUN x", none, "A=1 B="),
        ("FROM a\nENV A=1\nENV B=$A\nRUN x", none, "A=1 B=1"),
        // The later of ENV and ARG wins, and stands last (L-052).
        ("FROM a\nARG A=1\nENV A=2\nENV B=3\nRUN x", none, "A=2 B=3"),
        ("FROM a\nENV A=2\nENV B=3\nARG A=1\nRUN x", none, "B=3 A=1"),
        // A stage on a stage keeps the arguments, but the image's variables win (L-051).
        ("FROM a AS s\nARG A=1\nFROM s\nRUN x", none, "A=1"),
        ("FROM a AS s\nENV A=2\nARG A=1\nFROM s\nRUN x", none, "A=2"),
        ("FROM a AS s\nARG A=1\nFROM b\nCOPY --from=s / /\nRUN x", none, ""),
        ("FROM a\nARG TARGETARCH TARGETOS\nRUN x", none, "TARGETARCH=amd64 TARGETOS=linux"),
        ("FROM a\nARG TARGETARCH\nRUN x", &[("TARGETARCH", "x")], "TARGETARCH=x"),
        ("FROM a\nARG TARGETSTAGE\nRUN x", none, "TARGETSTAGE=default"),
        ("FROM a AS Z\nARG TARGETSTAGE\nRUN x", none, "TARGETSTAGE=z"),
        ("FROM a\nARG BUILDPLATFORM\nRUN x", none, "BUILDPLATFORM=linux/amd64"),
        ("FROM a\nARG BUILDKIT_SBOM_SCAN_STAGE=1\nRUN x", none, ""),
        ("FROM a\nARG A=a\\ b C='$A' D=\"$A\"\nRUN x", none, "A=a b C=$A D=a b"),
    ] {
        assert_eq!(environment(&args(build_args).expect(text)), expected, "{text}");
    }
}

#[test]
fn proxies_reach_every_run_but_not_its_environment_proper() {
    let given = args(&[("http_proxy", "lower"), ("HTTP_PROXY", "upper"), ("NO_PROXY", "")]);
    let plan = given.expect("FROM a\nARG no_proxy\nRUN x");
    let run = run_of(last(&plan));
    let expected = [("HTTP_PROXY", "lower"), ("http_proxy", "lower")];
    assert_eq!(run.proxy_env, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(environment(&plan), "");
    assert_eq!(plan.unused_args, [""; 0]);
    let declared = given.expect("FROM a\nARG HTTP_PROXY\nRUN x");
    assert_eq!(environment(&declared), "HTTP_PROXY=upper");
}

#[test]
fn unused_build_arguments_are_named() {
    let given = args(&[
        ("USED", "1"),
        ("GLOBAL", "1"),
        ("ELSEWHERE", "1"),
        ("UNUSED", "1"),
        ("TARGETARCH", "x"),
        ("BUILDKIT_INLINE_CACHE", "1"),
        ("SOURCE_DATE_EPOCH", "1"),
    ]);
    let plan = given
        .expect("ARG GLOBAL\nFROM a AS other\nARG ELSEWHERE\nFROM a\nARG USED\nRUN echo $UNUSED");
    assert_eq!(plan.unused_args, ["UNUSED"]);
}

#[test]
fn the_history_of_a_run_has_its_arguments() {
    for (text, expected) in [
        ("FROM a\nRUN x", "RUN /bin/sh -c x # buildkit"),
        ("FROM a\nRUN [\"x\", \"y z\"]", "RUN x y z # buildkit"),
        ("FROM a\nARG A=1\nARG B\nRUN x", "RUN |2 A=1 B= /bin/sh -c x # buildkit"),
        // Each once, where it first was, with the value in effect (L-059).
        ("FROM a\nARG A=1\nARG B=2\nARG A=3\nRUN x", "RUN |2 A=3 B=2 /bin/sh -c x # buildkit"),
        ("FROM a\nARG A=1\nENV A=2\nRUN x", "RUN |1 A=2 /bin/sh -c x # buildkit"),
        ("FROM a AS s\nARG A=1\nFROM s\nRUN x", "RUN |1 A=1 /bin/sh -c x # buildkit"),
        ("FROM a\nSHELL [\"/bin/bash\", \"-ec\"]\nRUN x", "RUN /bin/bash -ec x # buildkit"),
        ("FROM a\nRUN <<EOF\na\nb\nEOF", "RUN /bin/sh -c a\nb\n # buildkit"),
    ] {
        assert_eq!(last(&plan_of(text)).created_by.as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn the_file_may_give_a_default_epoch() {
    let request = |given: &Given, text: &str| {
        let file = dockerfile::parse(text.as_bytes()).expect("the Dockerfile is valid");
        let platform: Platform = "linux/amd64".parse().expect("a platform");
        source_date_epoch(
            &file,
            &PlanRequest {
                shows_platform: false,
                target: None,
                build_args: &given.build_args,
                platform: &platform,
                explicit_platform: false,
                build_platform: &platform,
                contexts: &given.contexts,
                labels: &given.labels,
                default_labels: &given.default_labels,
                no_cache: &given.no_cache,
                network: given.network,
                entitlements: given.entitlements,
                hosts: &[],
                ignore: &given.ignore,
                all_stages: false,
            },
        )
    };
    for (text, expected) in [
        ("FROM a", None),
        ("ARG SOURCE_DATE_EPOCH\nFROM a", None),
        ("ARG SOURCE_DATE_EPOCH=\nFROM a", None),
        ("ARG SOURCE_DATE_EPOCH=7\nFROM a", Some(7)),
        ("ARG T=8\nARG SOURCE_DATE_EPOCH=$T\nFROM a", Some(8)),
        // Only a global one counts.
        ("FROM a\nARG SOURCE_DATE_EPOCH=9", None),
    ] {
        assert_eq!(
            request(&Given::default(), text),
            Ok(expected.map(SourceDateEpoch::Time)),
            "{text}"
        );
    }
    let given = args(&[("SOURCE_DATE_EPOCH", "5")]);
    assert_eq!(
        request(&given, "ARG SOURCE_DATE_EPOCH=7\nFROM a"),
        Ok(Some(SourceDateEpoch::Time(5)))
    );
    let lines = Lines { first: 2, last: 2 };
    let named = request(&Given::default(), "ARG A\nARG SOURCE_DATE_EPOCH=git\nFROM a");
    assert_eq!(named, Ok(Some(SourceDateEpoch::Of("git".to_owned(), lines))));
    let error = request(&Given::default(), "ARG A\nARG SOURCE_DATE_EPOCH=-1\nFROM a");
    let error = error.expect_err("before 1970");
    assert_eq!(error.kind, PlanErrorKind::SourceDateEpoch("-1".to_owned()));
    assert_eq!(error.lines, [lines]);
}
