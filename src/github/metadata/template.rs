//! `{{name}}` and `{{name 'argument' key='value'}}` in rules and labels.

use super::MetadataError;

/// What stands between the braces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: Vec<String>,
    pub(super) options: Vec<(String, String)>,
}

/// The text with every expression replaced by what `value` says. A name that is not known becomes
/// nothing, and with arguments is an error.
pub(super) fn render(
    text: &str,
    value: &mut dyn FnMut(&Template<'_>) -> Result<Option<String>, MetadataError>,
) -> Result<String, MetadataError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let unclosed = || MetadataError(format!("an expression without an end, in {text:?}"));
        let (inside, after) = match after.strip_prefix('{') {
            Some(after) => after.split_once("}}}").ok_or_else(unclosed)?,
            None => after.split_once("}}").ok_or_else(unclosed)?,
        };
        let template = parse(inside)
            .ok_or_else(|| MetadataError(format!("can't read {{{{{inside}}}}}, in {text:?}")))?;
        match value(&template)? {
            Some(value) => out.push_str(&value),
            None if template.arguments.is_empty() && template.options.is_empty() => {}
            None => {
                return Err(MetadataError(format!(
                    "unknown expression {:?}, in {text:?}",
                    template.name
                )));
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn parse(inside: &str) -> Option<Template<'_>> {
    let inside = inside.trim();
    let end = inside.find(char::is_whitespace).unwrap_or(inside.len());
    let (name, mut rest) = inside.split_at(end);
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    if name.is_empty() || !name.chars().all(known) {
        return None;
    }
    let mut template = Template { name, arguments: Vec::new(), options: Vec::new() };
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(template);
        }
        let key_end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
        let key = rest[..key_end].to_owned();
        if !key.is_empty() {
            rest = rest[key_end..].strip_prefix('=')?;
        }
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (argument, after) = rest[1..].split_once(quote)?;
        rest = after;
        if key.is_empty() {
            template.arguments.push(argument.to_owned());
        } else {
            template.options.push((key, argument.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_replaced() {
        let mut value = |t: &Template<'_>| {
            Ok(match t.name {
                "branch" => Some("main".to_owned()),
                "date" => Some(format!("{:?}{:?}", t.arguments, t.options)),
                _ => None,
            })
        };
        let rows = [
            ("plain", "plain"),
            ("{{branch}}-{{ branch }}-{{{branch}}}", "main-main-main"),
            ("a{{nothing}}b", "ab"),
            ("{{date 'YYYY}' tz='UTC'}}", r#"["YYYY}"][("tz", "UTC")]"#),
            ("} {", "} {"),
        ];
        for (text, expected) in rows {
            assert_eq!(render(text, &mut value).unwrap(), expected, "{text}");
        }
        for bad in ["{{branch", "{{}}", "{{#if x}}", "{{other 'x'}}", "{{date 'x}}", "{{date x}}"] {
            assert!(render(bad, &mut value).is_err(), "{bad}");
        }
    }
}
