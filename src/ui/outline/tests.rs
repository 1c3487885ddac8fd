use serde_json::json;

use super::*;
use crate::dockerfile::outline::targets;
use crate::dockerfile::parse;

fn argument(name: &str, value: &str, description: &str, line: usize) -> Argument {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Argument {
        name: name.to_owned(),
        value: some(value),
        description: some(description),
        lines: line..=line,
    }
}

fn need(id: &str, is_required: bool) -> Need {
    Need { id: id.to_owned(), is_required, lines: 7..=8 }
}

fn example() -> Outline {
    Outline {
        name: Some("release".to_owned()),
        description: Some("is all".to_owned()),
        arguments: vec![
            argument("GO_VERSION", "1.22", "sets the version", 1),
            argument("ENV", "", "", 3),
        ],
        secrets: vec![need("token", true), need("b", false)],
        ssh: vec![need("default", false)],
    }
}

#[test]
fn columns_are_those_of_buildx() {
    let expected = "TARGET:      release\n\
                    DESCRIPTION: is all\n\
                    \n\
                    BUILD ARG    VALUE   DESCRIPTION\n\
                    GO_VERSION   1.22    sets the version\n\
                    ENV                  \n\
                    \n\
                    SECRET   REQUIRED\n\
                    token    true\n\
                    b        \n\
                    \n\
                    SSH       REQUIRED\n\
                    default   \n\
                    \n";
    assert_eq!(outline_text(&example()), expected);
    assert_eq!(outline_text(&Outline::default()), "");
    let described = Outline { description: Some("x".to_owned()), ..Outline::default() };
    assert_eq!(outline_text(&described), "TARGET:      (default)\nDESCRIPTION: x\n\n");
}

#[test]
fn control_characters_are_made_visible() {
    let outline = Outline { arguments: vec![argument("A", "\u{1b}[2J", "", 1)], ..example() };
    assert!(!outline_text(&outline).contains('\u{1b}'));
}

#[test]
fn keys_are_those_of_buildkit() {
    let object: serde_json::Value =
        serde_json::from_str(&outline_json(&example(), b"FROM a\n")).unwrap();
    let at = |line| json!({ "start": { "line": line }, "end": { "line": line } });
    let two = json!({ "ranges": [at(7), at(8)] });
    assert_eq!(
        object,
        json!({
            "name": "release",
            "description": "is all",
            "args": [
                { "name": "GO_VERSION", "description": "sets the version", "value": "1.22",
                  "location": { "ranges": [at(1)] } },
                { "name": "ENV", "location": { "ranges": [at(3)] } },
            ],
            "secrets": [
                { "name": "token", "required": true, "location": two },
                { "name": "b", "location": two },
            ],
            "ssh": [{ "name": "default", "location": two }],
            "sources": ["RlJPTSBhCg=="],
        })
    );
    let object: serde_json::Value =
        serde_json::from_str(&outline_json(&Outline::default(), b"")).unwrap();
    assert_eq!(object, json!({ "sources": [""] }));
}

#[test]
fn stages_are_a_table_and_an_object() {
    let text = "# a is one\nFROM --platform=linux/amd64 x AS a\nFROM a\nFROM a AS last\n";
    let list = targets(&parse(text.as_bytes()).unwrap());
    assert_eq!(
        targets_text(&list),
        "TARGET         DESCRIPTION\na              is one\n               \nlast (default) \n"
    );
    assert_eq!(targets_text(&list[1..2]), "TARGET DESCRIPTION\n       \n");
    let object: serde_json::Value = serde_json::from_str(&targets_json(&list, b"")).unwrap();
    let at = |line| json!({ "ranges": [{ "start": { "line": line }, "end": { "line": line } }] });
    assert_eq!(
        object["targets"],
        json!([
            { "name": "a", "description": "is one", "base": "x", "platform": "linux/amd64",
              "location": at(2) },
            { "base": "a", "location": at(3) },
            { "name": "last", "default": true, "base": "a", "location": at(4) },
        ])
    );
}
