//! `{{name}}` and `{{name 'argument' key='value'}}` in rules and labels.

use super::MetadataError;

/// What stands between the braces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: Vec<String>,
    pub(super) options: Vec<(String, String)>,
}

/// What a name in an expression stands for; `None` where nothing has that name.
type Value<'v> = dyn FnMut(&Template<'_>) -> Result<Option<String>, MetadataError> + 'v;

/// The text with every expression replaced by what `value` says. A name that is not known becomes
/// nothing, and with arguments is an error. `#if` and `#unless` choose between parts of the text.
pub(super) fn render(text: &str, value: &mut Value<'_>) -> Result<String, MetadataError> {
    let mut renderer = Renderer { text, rest: text, trims: false, out: String::new(), value };
    match renderer.block(true)? {
        None => Ok(renderer.out),
        Some(tag) => Err(renderer.wrong(format!("{{{{{tag}}}}} ends nothing"))),
    }
}

struct Renderer<'t, 'v> {
    text: &'t str,
    rest: &'t str,
    /// The expression before `rest` ended with `~`: space behind it is left out.
    trims: bool,
    out: String,
    value: &'v mut Value<'v>,
}

impl<'t> Renderer<'t, '_> {
    fn wrong(&self, what: String) -> MetadataError {
        MetadataError(format!("{what}, in {:?}", self.text))
    }

    /// Renders up to the tag that ends a block, `else` or `/if`, which is returned; `None` at the end
    /// of the text. Nothing comes of it unless `live`.
    fn block(&mut self, live: bool) -> Result<Option<&'t str>, MetadataError> {
        while let Some(tag) = self.next_tag(live)? {
            if tag.starts_with('!') {
                continue;
            } else if let Some(head) = tag.strip_prefix('#') {
                self.condition(head, live)?;
            } else if tag.starts_with('/') || tag == "^" || first_word(tag) == "else" {
                return Ok(Some(tag));
            } else if live {
                let template = self.template(tag.strip_prefix('&').unwrap_or(tag))?;
                if let Some(value) = (self.value)(&template)? {
                    self.out.push_str(&value);
                } else if !template.arguments.is_empty() || !template.options.is_empty() {
                    return Err(self.wrong(format!("unknown expression {:?}", template.name)));
                }
            }
        }
        Ok(None)
    }

    /// `#if NAME … else … /if`
    fn condition(&mut self, head: &'t str, live: bool) -> Result<(), MetadataError> {
        let kind = first_word(head);
        let mut holds = live && self.holds(head)?;
        let mut is_settled = !live || holds;
        while let Some(tag) = self.block(holds)? {
            if let Some(name) = tag.strip_prefix('/')
                && name.trim() == kind
            {
                return Ok(());
            }
            holds = match tag.strip_prefix("else").map(str::trim_start) {
                None if tag != "^" => break,
                _ if is_settled => false,
                None | Some("") => true,
                Some(head) => self.holds(head)?,
            };
            is_settled |= holds;
        }
        Err(self.wrong(format!("{{{{#{head}}}}} has no end")))
    }

    /// As Handlebars decides: what is nothing, empty or zero is false, and any other text is true,
    /// `false` too.
    fn holds(&mut self, head: &'t str) -> Result<bool, MetadataError> {
        let (kind, name) = head.split_once(char::is_whitespace).unwrap_or((head, ""));
        if !["if", "unless"].contains(&kind) {
            return Err(self.wrong(format!("can't read {{{{#{head}}}}}")));
        }
        let template = self.template(name)?;
        let value = (self.value)(&template)?.unwrap_or_default();
        let is_true = !matches!(value.as_str(), "" | "0");
        Ok(is_true == (kind == "if"))
    }

    /// What the next braces hold. The text before them goes out, if `live`.
    fn next_tag(&mut self, live: bool) -> Result<Option<&'t str>, MetadataError> {
        let (before, tag) = match self.rest.split_once("{{") {
            Some((before, after)) => (before, Some(after)),
            None => (self.rest, None),
        };
        let before = if self.trims { before.trim_start() } else { before };
        self.rest = "";
        let Some(after) = tag else {
            self.out.push_str(if live { before } else { "" });
            return Ok(None);
        };
        let end = match after {
            _ if after.starts_with('{') => "}}}",
            _ if after.trim_start_matches('~').starts_with("!--") => "--}}",
            _ => "}}",
        };
        let after = if end == "}}}" { &after[1..] } else { after };
        let (inside, rest) = after
            .split_once(end)
            .ok_or_else(|| self.wrong("an expression without an end".to_owned()))?;
        let before = if inside.starts_with('~') { before.trim_end() } else { before };
        self.out.push_str(if live { before } else { "" });
        self.trims = inside.ends_with('~');
        self.rest = rest;
        let inside = inside.strip_prefix('~').unwrap_or(inside);
        Ok(Some(inside.strip_suffix('~').unwrap_or(inside).trim()))
    }

    fn template(&self, inside: &'t str) -> Result<Template<'t>, MetadataError> {
        parse(inside).ok_or_else(|| self.wrong(format!("can't read {{{{{inside}}}}}")))
    }
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

fn parse(inside: &str) -> Option<Template<'_>> {
    let inside = inside.trim();
    let end = inside.find(char::is_whitespace).unwrap_or(inside.len());
    let (name, mut rest) = inside.split_at(end);
    let name = name.strip_prefix("this.").or(name.strip_prefix("./")).unwrap_or(name);
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
                "zero" => Some("0".to_owned()),
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
            ("{{&branch}}-{{this.branch}}-{{./branch}}", "main-main-main"),
            ("a{{! no {comment} }}b{{!-- {{branch}} --}}c", "abc"),
            ("a  {{~branch~}}  b", "amainb"),
            ("{{#if branch}}b{{/if}}{{#if nothing}}n{{/if}}", "b"),
            ("{{#if zero}}z{{else}}-{{branch}}{{/if}}.", "-main."),
            ("{{#unless nothing}}a{{^}}b{{/unless}}", "a"),
            ("{{#if nothing}}a{{else if branch}}b{{else}}c{{/if}}", "b"),
            ("{{#if branch}}a{{else if branch}}b{{else}}c{{/if}}", "a"),
            ("{{#if nothing}}{{#if branch}}a{{else}}b{{/if}}{{other 'x'}}{{/if}}c", "c"),
        ];
        for (text, expected) in rows {
            assert_eq!(render(text, &mut value).unwrap(), expected, "{text}");
        }
        for bad in [
            "{{branch",
            "{{}}",
            "{{#if x}}",
            "{{#if}}{{/if}}",
            "{{#if x}}{{/unless}}{{/if}}",
            "{{/if}}",
            "{{else}}",
            "{{#each x}}{{/each}}",
            "{{> part}}",
            "{{other 'x'}}",
            "{{date 'x}}",
            "{{date x}}",
        ] {
            assert!(render(bad, &mut value).is_err(), "{bad}");
        }
    }
}
