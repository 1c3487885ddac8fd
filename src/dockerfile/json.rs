//! The exec form: a JSON array of strings (L-018).

use serde_json::Value;

use super::error::SyntaxErrorKind;

/// The strings, or `None` where the text is not a JSON array and so is the shell form.
///
/// # Errors
/// An array with something else than strings in it.
pub(super) fn string_array(text: &str) -> Result<Option<Vec<String>>, SyntaxErrorKind> {
    if !text.trim_start().starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<Value>>(text) else { return Ok(None) };
    values
        .into_iter()
        .map(|value| match value {
            Value::String(text) => Ok(text),
            _ => Err(SyntaxErrorKind::NotStrings),
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detection() {
        for (text, expected) in [
            ("[]", Some(vec![])),
            (r#" ["a", "b c"] "#, Some(vec!["a", "b c"])),
            (r#"["\u2603\n"]"#, Some(vec!["☃\n"])),
            ("", None),
            ("a", None),
            (r#""a""#, None),
            ("['a']", None),
            (r#"["a""#, None),
            (r#"["a"] b"#, None),
            (r#"["a",]"#, None),
            ("[[", None),
        ] {
            let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(string_array(text), Ok(expected), "{text}");
        }
        for text in ["[1]", r#"["a", ["b"]]"#, "[null]", r#"[{"a": "b"}]"#] {
            assert_eq!(string_array(text), Err(SyntaxErrorKind::NotStrings), "{text}");
        }
    }
}
