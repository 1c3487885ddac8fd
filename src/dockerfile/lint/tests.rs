use super::*;

#[test]
fn options_are_read() {
    for (text, error, skips, asks) in [
        ("", false, &[][..], &[][..]),
        (" ", false, &[], &[]),
        ("skip=A,B", false, &["A", "B"], &[]),
        (" skip = A , B ; error = True ", true, &["A", "B"], &[]),
        ("error=1;experimental=A", true, &[], &["A"]),
        ("skip=all;experimental=all;error=f", false, &["A", "B"], &["A", "B"]),
        ("skip=A;skip=B", false, &["B"], &[]),
    ] {
        let options = CheckOptions::parse(text).unwrap();
        assert_eq!(options.error, error, "{text}");
        for name in ["A", "B"] {
            let wants = |experimental| {
                let rule = Rule { name, experimental, ..*Problem::NoEmptyContinuation.rule() };
                options.wants(&rule, None)
            };
            assert_eq!(wants(false), !skips.contains(&name), "{text} {name}");
            assert_eq!(wants(true), asks.contains(&name), "{text} {name}");
        }
    }
}

#[test]
fn mistakes_in_options() {
    for (text, message) in [
        ("skip", "invalid check option \"skip\""),
        ("skip=A;", "invalid check option \"\""),
        ("skip=A;nonsense=B", "invalid check option \"nonsense\""),
        ("error=x", "failed to parse check option \"error=x\": \"x\" is neither true nor false"),
        // A fourth part is part of the third.
        (
            "skip=A;skip=B;error=0;skip=C",
            "failed to parse check option \"error=0;skip=C\": \"0;skip=C\" is neither true nor false",
        ),
    ] {
        assert_eq!(CheckOptions::parse(text).unwrap_err().to_string(), message);
    }
}

#[test]
fn comments_of_an_instruction_add_to_the_options() {
    let comments =
        |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
    for (texts, expected) in [
        (&[][..], 1),
        (&["words"][..], 1),
        (&["check=skip=NoEmptyContinuation"][..], 0),
        (&["words", "CHECK = skip=all for a reason"][..], 0),
        (&["check=skip=Other", "check=skip=all"][..], 1),
        (&["check=nonsense"][..], 1),
    ] {
        let mut findings = Findings::default();
        findings.add(Problem::NoEmptyContinuation, 1..=1, &comments(texts));
        assert_eq!(findings.sorted().len(), expected, "{texts:?}");
    }
}

#[test]
fn rules_have_pages() {
    let url = |problem: Problem| problem.rule().url();
    assert_eq!(
        url(Problem::JsonArgsRecommended(String::new())).as_deref(),
        Some("https://docs.docker.com/go/dockerfile/rule/json-args-recommended/")
    );
    let (image, found, expected) = (String::new(), String::new(), String::new());
    assert_eq!(url(Problem::InvalidBaseImagePlatform { image, found, expected }), None);
}
