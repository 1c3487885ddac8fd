//! `COPY` and `ADD` (L-130 to L-149).

use super::super::ast::{Heredoc, Transfer, Word};
use super::super::error::{Fault, SyntaxErrorKind};
use super::super::expand::Lexer;
use super::super::flag::{Flags, Takes};
use super::super::heredoc::HeredocStart;
use super::super::keyword::Keyword;
use super::Head;

const COPY_FLAGS: [(&str, Takes); 6] = [
    ("chown", Takes::Text),
    ("from", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Boolean),
    ("exclude", Takes::List),
    ("parents", Takes::Boolean),
];

const ADD_FLAGS: [(&str, Takes); 7] = [
    ("chown", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Boolean),
    ("keep-git-dir", Takes::Boolean),
    ("checksum", Takes::Text),
    ("unpack", Takes::Boolean),
    ("exclude", Takes::List),
];

pub(super) fn parse(head: &Head<'_>, heredocs: Vec<Heredoc>) -> Result<Transfer, Fault> {
    let (mut sources, is_json) = head.json_or_words()?;
    let destination = sources.pop();
    let Some(destination) = destination.filter(|_| !sources.is_empty()) else {
        return Err(SyntaxErrorKind::NoDestination(head.name()).into());
    };
    let known: &[_] = if head.keyword == Keyword::Copy { &COPY_FLAGS } else { &ADD_FLAGS };
    let flags = Flags::check(head.flags.clone(), known)?;
    if !is_json {
        if HeredocStart::parse(&destination.text).is_some() {
            let kind = SyntaxErrorKind::HeredocDestination(head.name());
            return Err(Fault::at(kind, destination.span));
        }
        let before = sources.len();
        sources.retain(|source| HeredocStart::parse(&source.text).is_none());
        // A name with spaces is one word to the shell, but several here.
        if before - sources.len() != heredocs.len() {
            return Err(Fault::at(SyntaxErrorKind::HeredocWord(head.name()), head.span()));
        }
    }
    let from = flags.text("from");
    if let Some(from) = &from {
        check_without_variables(from, head.escape)?;
    }
    Ok(Transfer {
        from,
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.boolean("link") == Some(true),
        parents: flags.boolean("parents") == Some(true),
        exclude: flags.list("exclude"),
        checksum: flags.text("checksum"),
        keep_git_dir: flags.boolean("keep-git-dir"),
        unpack: flags.boolean("unpack"),
        sources,
        heredocs,
        destination,
    })
}

/// Stages must be known before any variable is (L-037).
fn check_without_variables(from: &Word, escape: char) -> Result<(), Fault> {
    let expanded = Lexer::new(escape)
        .expand(&from.text, &|_: &str| None)
        .map_err(|error| Fault::at(error, from.span))?;
    if expanded.text == from.text {
        return Ok(());
    }
    Err(Fault::at(SyntaxErrorKind::VariableInFrom, from.span))
}
