//! `ONBUILD` (L-084).

use super::super::ast::{Heredoc, Instruction, Onbuild};
use super::super::error::{Fault, SyntaxErrorKind};
use super::super::heredoc;
use super::super::keyword::Keyword;
use super::Head;

pub(super) fn parse(head: &Head<'_>, heredocs: Vec<Heredoc>) -> Result<Onbuild, Fault> {
    if head.arguments.is_empty() {
        return Err(SyntaxErrorKind::AtLeastOneArgument(head.name()).into());
    }
    head.without_flags()?;
    let inner = Head::read(&head.arguments, head.escape)?;
    match inner.keyword {
        Keyword::Onbuild => return Err(Fault::at(SyntaxErrorKind::ChainedOnbuild, head.span())),
        Keyword::From | Keyword::Maintainer => {
            return Err(Fault::at(SyntaxErrorKind::OnbuildTrigger(inner.name()), head.span()));
        }
        _ => {}
    }
    let mut trigger = head.arguments.as_str().to_owned();
    heredoc::push_bodies(&mut trigger, &heredocs);
    let kind = super::parse(&inner, heredocs)?;
    Ok(Onbuild { trigger, instruction: Box::new(Instruction { place: inner.place, kind }) })
}
