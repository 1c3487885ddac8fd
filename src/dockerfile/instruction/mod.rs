//! What each instruction makes of its flags and arguments (1.5 to 1.7).

mod onbuild;
mod pairs;
mod process;
mod run;
mod stage;
mod transfer;

use super::ast::{Heredoc, InstructionKind, Place, Span, Word};
use super::error::{Fault, SyntaxErrorKind};
use super::flag::{self, Flag, Flags};
use super::json;
use super::keyword::Keyword;
use super::line::Fragment;
use super::words;

pub(super) use stage::parse as parse_from;

/// A logical line, split into its three parts.
pub(super) struct Head<'a> {
    pub(super) keyword: Keyword,
    pub(super) place: Place,
    flags: Vec<Flag>,
    arguments: Fragment<'a>,
    escape: char,
}

impl<'a> Head<'a> {
    /// `line` is not blank.
    pub(super) fn read(line: &Fragment<'a>, escape: char) -> Result<Self, Fault> {
        let line = line.trim();
        let end = line.as_str().find(words::is_separator).unwrap_or(line.as_str().len());
        let (name, rest) = line.split_at(end);
        let Some(keyword) = Keyword::parse(name.as_str()) else {
            let (name, at) = (name.as_str().to_owned(), name.span());
            let suggestion = Keyword::nearest(&name);
            return Err(Fault::at(SyntaxErrorKind::UnknownInstruction { name, suggestion }, at));
        };
        let (flags, arguments) = flag::split(&rest, escape);
        let place = Place {
            span: line.span(),
            lines: line.lines(),
            keyword: name.as_str().to_owned(),
            text: line.as_str().to_owned(),
            comments: Vec::new(),
        };
        Ok(Self { keyword, place, flags, arguments, escape })
    }

    /// Whether `<<` means something here (L-105).
    pub(super) fn takes_heredocs(&self) -> bool {
        match self.keyword {
            keyword if keyword.takes_heredocs() => {
                json::string_array(self.arguments.as_str()) == Ok(None)
            }
            Keyword::Onbuild if !self.arguments.is_empty() => {
                Head::read(&self.arguments, self.escape)
                    .is_ok_and(|inner| inner.keyword != Keyword::Onbuild && inner.takes_heredocs())
            }
            _ => false,
        }
    }

    fn name(&self) -> &'static str {
        self.keyword.name()
    }

    /// Checks that there are no flags.
    fn without_flags(&self) -> Result<(), Fault> {
        Flags::check(self.flags.clone(), &[]).map(drop)
    }

    /// All arguments as one: `USER`, `WORKDIR` and others that take the rest of the line.
    fn one_word(&self) -> Result<Word, Fault> {
        if self.arguments.is_empty() {
            return Err(SyntaxErrorKind::ExactlyOneArgument(self.name()).into());
        }
        self.without_flags()?;
        Ok(self.arguments.word())
    }

    /// The elements of an exec form, or words separated by spaces, and whether it is the former.
    fn json_or_words(&self) -> Result<(Vec<Word>, bool), Fault> {
        Ok(match self.json()? {
            Some(texts) => {
                let span = self.arguments.span();
                (texts.into_iter().map(|text| Word { text, span }).collect(), true)
            }
            None => (words::plain(&self.arguments).iter().map(Fragment::word).collect(), false),
        })
    }

    fn json(&self) -> Result<Option<Vec<String>>, Fault> {
        json::string_array(self.arguments.as_str())
            .map_err(|kind| Fault::at(kind, self.arguments.span()))
    }

    fn span(&self) -> Span {
        self.arguments.span()
    }
}

/// Any instruction but `FROM`. `heredocs` are those that the line began; there are none where it
/// can't begin any.
pub(super) fn parse(head: &Head<'_>, heredocs: Vec<Heredoc>) -> Result<InstructionKind, Fault> {
    Ok(match head.keyword {
        Keyword::Add => InstructionKind::Add(transfer::parse(head, heredocs)?),
        Keyword::Arg => InstructionKind::Arg(pairs::arguments(head)?),
        Keyword::Cmd => InstructionKind::Cmd(process::command(head)?),
        Keyword::Copy => InstructionKind::Copy(transfer::parse(head, heredocs)?),
        Keyword::Entrypoint => InstructionKind::Entrypoint(process::command(head)?),
        Keyword::Env => InstructionKind::Env(pairs::pairs(head)?),
        Keyword::Expose => InstructionKind::Expose(expose(head)?),
        Keyword::From => return Err(SyntaxErrorKind::OnbuildTrigger("FROM").into()),
        Keyword::Healthcheck => InstructionKind::Healthcheck(process::healthcheck(head)?),
        Keyword::Label => InstructionKind::Label(pairs::pairs(head)?),
        Keyword::Maintainer => InstructionKind::Maintainer(head.one_word()?.text),
        Keyword::Onbuild => InstructionKind::Onbuild(onbuild::parse(head, heredocs)?),
        Keyword::Run => InstructionKind::Run(run::parse(head, heredocs)?),
        Keyword::Shell => InstructionKind::Shell(process::shell(head)?),
        Keyword::Stopsignal => InstructionKind::Stopsignal(head.one_word()?),
        Keyword::User => InstructionKind::User(head.one_word()?),
        Keyword::Volume => InstructionKind::Volume(volume(head)?),
        Keyword::Workdir => InstructionKind::Workdir(head.one_word()?),
    })
}

/// Ports as written; what they mean is known after expansion (L-162).
fn expose(head: &Head<'_>) -> Result<Vec<Word>, Fault> {
    let ports: Vec<Word> = words::plain(&head.arguments).iter().map(Fragment::word).collect();
    if ports.is_empty() {
        return Err(SyntaxErrorKind::AtLeastOneArgument(head.name()).into());
    }
    head.without_flags()?;
    Ok(ports)
}

/// L-163.
fn volume(head: &Head<'_>) -> Result<Vec<Word>, Fault> {
    let (mut volumes, _) = head.json_or_words()?;
    if volumes.is_empty() {
        return Err(SyntaxErrorKind::AtLeastOneArgument(head.name()).into());
    }
    head.without_flags()?;
    for volume in &mut volumes {
        volume.text = volume.text.trim().to_owned();
        if volume.text.is_empty() {
            return Err(Fault::at(SyntaxErrorKind::EmptyVolume, volume.span));
        }
    }
    Ok(volumes)
}
