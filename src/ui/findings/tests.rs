use super::*;
use crate::dockerfile::lint::Problem;
use crate::error::Error;

const FILE: (&str, &[u8]) = ("a,b/Dockerfile", b"FROM a\nCMD b\nEXPOSE 80/TCP\n");

fn checked() -> Checked {
    let cmd = Problem::JsonArgsRecommended("CMD".to_owned());
    let port = Problem::ExposeProtoCasing("80/\u{1b}TCP%".to_owned());
    let finding = |problem, line| Finding { problem, lines: line..=line };
    Checked { findings: vec![finding(cmd, 2), finding(port, 3)], error: None }
}

#[test]
fn text_is_that_of_docker() {
    let expected = "\
Check complete, 2 warnings have been found!

WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
a,b/Dockerfile:2
--------------------
   1 |     FROM a
   2 | >>> CMD b
   3 |     EXPOSE 80/TCP
   4 |     \n--------------------

WARNING: ExposeProtoCasing - https://docs.docker.com/go/dockerfile/rule/expose-proto-casing/
Defined protocol '80/␛TCP%' in EXPOSE instruction should be lowercase
a,b/Dockerfile:3
--------------------
   1 |     FROM a
   2 |     CMD b
   3 | >>> EXPOSE 80/TCP
   4 |     \n--------------------
";
    assert_eq!(text(&checked(), FILE), expected);
    let mut one = checked();
    one.findings.pop();
    assert!(text(&one, FILE).starts_with("Check complete, 1 warning has been found!\n"));
    let none = Checked::default();
    assert_eq!(text(&none, FILE), "Check complete, no warnings found.\n");
    let failed = Checked { error: Some(Error::build("no")), ..none };
    assert_eq!(text(&failed, FILE), "");
}

#[test]
fn json_has_docker_s_keys() {
    let mut checked = checked();
    checked.findings.truncate(1);
    checked.error = Some(Error::build("no such stage").at(Location::lines(1..=3)));
    let ranges =
        [1, 2, 3].map(|line| json!({ "start": { "line": line }, "end": { "line": line } }));
    let expected = json!({
        "warnings": [{
            "ruleName": "JSONArgsRecommended",
            "description":
                "A command in the form of a list gets its signals itself, not through a shell.",
            "url": "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
            "detail": "JSON arguments recommended for CMD to prevent unintended behavior related \
                       to OS signals",
            "location": { "ranges": [{ "start": { "line": 2 }, "end": { "line": 2 } }] },
        }],
        "sources": [{
            "filename": "a,b/Dockerfile",
            "language": "Dockerfile",
            "data": "RlJPTSBhCkNNRCBiCkVYUE9TRSA4MC9UQ1AK",
        }],
        "buildError": {
            "message": "no such stage",
            "location": { "ranges": ranges },
        },
    });
    assert_eq!(json(&checked, FILE), expected);
}

#[test]
fn annotations_are_escaped() {
    let expected = "\
::warning file=a%2Cb/Dockerfile,line=2,endLine=2,title=JSONArgsRecommended::JSON arguments \
recommended for CMD to prevent unintended behavior related to OS signals
::warning file=a%2Cb/Dockerfile,line=3,endLine=3,title=ExposeProtoCasing::Defined protocol \
'80/␛TCP%25' in EXPOSE instruction should be lowercase
";
    assert_eq!(github(&checked(), FILE.0), expected);
}
