//! `ENV`, `LABEL` and `ARG`: names with values (L-050, L-160, L-161).

use super::super::ast::{ArgDefinition, Pair};
use super::super::error::{Fault, SyntaxErrorKind};
use super::super::words;
use super::Head;

/// `key=value …`, or the old form `key the rest of the line`, which has no `=` in its first word.
pub(super) fn pairs(head: &Head<'_>) -> Result<Vec<Pair>, Fault> {
    let words = words::quoted(&head.arguments, head.escape);
    let Some(first) = words.first() else {
        return Err(SyntaxErrorKind::AtLeastOneArgument(head.name()).into());
    };
    head.without_flags()?;
    if !first.as_str().contains('=') {
        return legacy(head).map(|pair| vec![pair]);
    }
    words
        .iter()
        .map(|word| {
            let Some(equals) = word.as_str().find('=') else {
                let kind = SyntaxErrorKind::NoEquals(word.as_str().to_owned());
                return Err(Fault::at(kind, word.span()));
            };
            if equals == 0 {
                return Err(Fault::at(SyntaxErrorKind::BlankName(head.name()), word.span()));
            }
            let (key, value) = (word.slice(0..equals).word(), word.from(equals + 1).word());
            Ok(Pair { key, value, legacy: false })
        })
        .collect()
}

fn legacy(head: &Head<'_>) -> Result<Pair, Fault> {
    let text = head.arguments.as_str();
    let end = text
        .find(words::is_separator)
        .ok_or_else(|| Fault::at(SyntaxErrorKind::TwoArguments(head.name()), head.span()))?;
    let (key, rest) = head.arguments.split_at(end);
    let skipped = rest.as_str().len() - rest.as_str().trim_start_matches(words::is_separator).len();
    Ok(Pair { key: key.word(), value: rest.from(skipped).word(), legacy: true })
}

pub(super) fn arguments(head: &Head<'_>) -> Result<Vec<ArgDefinition>, Fault> {
    let words = words::quoted(&head.arguments, head.escape);
    if words.is_empty() {
        return Err(SyntaxErrorKind::AtLeastOneArgument(head.name()).into());
    }
    head.without_flags()?;
    words
        .iter()
        .map(|word| match word.as_str().find('=') {
            Some(0) => Err(Fault::at(SyntaxErrorKind::BlankName(head.name()), word.span())),
            Some(equals) => Ok(ArgDefinition {
                name: word.slice(0..equals).word(),
                default: Some(word.from(equals + 1).word()),
            }),
            None => Ok(ArgDefinition { name: word.word(), default: None }),
        })
        .collect()
}
