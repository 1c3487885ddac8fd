//! What the target takes from outside; the first three are BuildKit's own cases.

use super::*;

/// Name, value, description and line of each argument.
fn arguments(given: &Given, text: &str) -> Vec<String> {
    let outline = given.expect(text).outline;
    let shown = outline.arguments.iter().map(|argument| {
        let value = argument.value.as_deref().unwrap_or_default();
        let description = argument.description.as_deref().unwrap_or_default();
        format!("{}={value}|{description}|{}", argument.name, argument.lines.start())
    });
    shown.collect()
}

#[test]
fn arguments_of_the_target_and_of_what_it_needs() {
    let text = "
ARG inherited=box
ARG inherited2=box2
ARG unused=abc${inherited2}
# sfx is a suffix
ARG sfx=\"usy${inherited}\"

FROM b${sfx} AS first
# this is not assigned to anything
ARG FOO=123
# BAR is a number
ARG BAR=456
RUN true

FROM alpine${unused} AS second
ARG BAZ
RUN true

FROM scratch AS third
ARG ABC=a
# check=skip=all
ARG password
# alternate_password will show up in the outline
# check=skip=all
ARG alternate_password

# target defines build target
FROM third AS target
COPY --from=first /etc/passwd /

FROM second
";
    let given = Given { target: Some("target"), ..args(&[("BAR", "678")]) };
    assert_eq!(
        arguments(&given, text),
        [
            "inherited=box||2",
            "sfx=usybox|is a suffix|6",
            "FOO=123||10",
            "BAR=678|is a number|12",
            "ABC=a||20",
            "password=||22",
            "alternate_password=|will show up in the outline|25",
        ]
    );
    let outline = given.expect(text).outline;
    assert_eq!(
        (outline.name.as_deref(), outline.description.as_deref()),
        (Some("target"), Some("defines build target"))
    );
    let given = Given::default();
    assert_eq!(arguments(&given, text), ["inherited2=box2||3", "unused=abcbox2||4", "BAZ=||16"]);
    assert_eq!(given.expect(text).outline.name, None);
}

#[test]
fn secrets_and_agents_of_the_target_and_of_what_it_needs() {
    let text = "
FROM busybox AS first
RUN --mount=type=secret,target=/etc/passwd,required=true --mount=type=ssh true

FROM alpine AS second
RUN --mount=type=secret,id=unused --mount=type=ssh,id=ssh2 true

FROM scratch AS third
ARG BAR
RUN --mount=type=secret,id=second${BAR} true

FROM third AS target
COPY --from=first /foo /
RUN --mount=type=ssh,id=ssh3,required true

FROM second
";
    let given = Given { target: Some("target"), ..args(&[("BAR", "678")]) };
    let outline = given.expect(text).outline;
    let shown = |needs: &[dockerfile::outline::Need]| -> Vec<(String, bool, usize)> {
        needs.iter().map(|n| (n.id.clone(), n.is_required, *n.lines.start())).collect()
    };
    assert_eq!(
        shown(&outline.secrets),
        [("passwd".to_owned(), true, 3), ("second678".to_owned(), false, 10)]
    );
    assert_eq!(
        shown(&outline.ssh),
        [("default".to_owned(), false, 3), ("ssh3".to_owned(), true, 14)]
    );
}

#[test]
fn what_a_default_is_made_of_counts_too() {
    let text = "
ARG FOO=123
ARG ABC=abc
ARG DEF=def
ARG FOO=${FOO}${ABC}
ARG BAR=${FOO}456
ARG FOO=${FOO}456${BAR}
FROM scratch
ARG FOO
ARG INFOO=123
ARG INBAR=${INFOO}456
ARG INFOO=${INFOO}456${INBAR}
";
    assert_eq!(
        arguments(&Given::default(), text),
        [
            "ABC=abc||3",
            "BAR=123abc456||6",
            "FOO=123abc456123abc456||7",
            "INBAR=123456||11",
            "INFOO=123456123456||12",
        ]
    );
}

#[test]
fn names_are_told_once_and_in_order() {
    for (text, expected) in [
        // The target's own counts, not that of its base.
        ("FROM scratch AS a\nARG A=1\nFROM a\nARG A=2\n", &["A=2||4"][..]),
        // What is given replaces the default, and what that is made of.
        ("ARG G=1\nARG GIVEN=$G\nFROM $GIVEN\n", &["GIVEN=x||2"]),
        ("ARG GIVEN=1\nFROM scratch\nARG GIVEN\n", &["GIVEN=x||3"]),
        // Predefined ones are no one's to declare.
        ("FROM scratch\nARG TARGETARCH\nARG A=1 B=2\n", &["A=1||3", "B=2||3"]),
        ("ARG P=linux/amd64\nFROM --platform=$P scratch\n", &["P=linux/amd64||1"]),
        ("FROM scratch\n", &[]),
    ] {
        assert_eq!(arguments(&args(&[("GIVEN", "x")]), text), expected, "{text}");
    }
}
