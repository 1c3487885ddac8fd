//! `FROM` (L-070).

use super::super::ast::From;
use super::super::error::{Fault, SyntaxErrorKind};
use super::super::flag::{Flags, Takes};
use super::super::words;
use super::Head;

pub(in super::super) fn parse(head: Head<'_>) -> Result<From, Fault> {
    let arguments = words::plain(&head.arguments);
    let (base, naming) = match arguments.as_slice() {
        [base] => (base, None),
        [base, keyword, name] if keyword.as_str().eq_ignore_ascii_case("as") => {
            (base, Some((keyword.word(), name.word())))
        }
        _ => return Err(SyntaxErrorKind::FromArguments.into()),
    };
    let base = base.word();
    let (as_keyword, name_as_written) = naming.unzip();
    let name = match &name_as_written {
        None => None,
        Some(written) => Some(stage_name(&written.text).ok_or_else(|| {
            Fault::at(SyntaxErrorKind::StageName(written.text.clone()), written.span)
        })?),
    };
    let flags = Flags::check(head.flags, &[("platform", Takes::Text)])?;
    let platform = flags.text("platform");
    Ok(From { place: head.place, platform, base, name, name_as_written, as_keyword })
}

/// The name in lower case, if it is one.
fn stage_name(written: &str) -> Option<String> {
    let name = written.to_lowercase();
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    valid.then_some(name)
}
