//! From bytes to stages: reads instruction by instruction, and goes on after a mistake.

use super::ast::{Directives, Dockerfile, From, Heredoc, Instruction, InstructionKind, Stage};
use super::directive::{self, Header};
use super::error::{Fault, SyntaxError, SyntaxErrorKind};
use super::frontend::frontend;
use super::heredoc::HeredocStart;
use super::instruction::{self, Head};
use super::keyword::Keyword;
use super::line::{Lines, LogicalLine};

/// Of a Dockerfile, in bytes.
const MAX_FILE: usize = 1 << 20;
/// Of a line, in bytes, without its end (L-002).
const MAX_LINE: usize = 65_535;
/// More mistakes than these are one: the file is no Dockerfile.
const MAX_ERRORS: usize = 20;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// `FROM`, or an instruction of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    From(From),
    Instruction(Instruction),
}

/// The instructions of a file one after the other, good and bad, without the rules that make
/// stages of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statements {
    pub directives: Directives,
    pub list: Vec<Result<Statement, SyntaxError>>,
    /// The last lines of instructions with an empty line inside (C-03).
    pub empty_continuations: Vec<usize>,
}

/// Reads a Dockerfile. `# syntax=` may name Docker's own frontend, which is built in.
///
/// # Errors
/// All mistakes that can be told apart, in the order of their lines; at least one.
pub fn parse(bytes: &[u8]) -> Result<Dockerfile, Vec<SyntaxError>> {
    read(bytes, Syntax::Declared)
}

/// As [`parse`], whatever `# syntax=` says: the build argument `BUILDKIT_SYNTAX` has the last word.
///
/// # Errors
/// As [`parse`].
pub fn parse_builtin(bytes: &[u8]) -> Result<Dockerfile, Vec<SyntaxError>> {
    read(bytes, Syntax::BuiltIn)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Declared,
    BuiltIn,
}

fn read(bytes: &[u8], syntax: Syntax) -> Result<Dockerfile, Vec<SyntaxError>> {
    let statements = match checked_text(bytes) {
        Ok(text) => statements(text, syntax),
        Err(error) => Err(vec![error]),
    }?;
    stages(statements)
}

/// Reads instructions, `FROM` among them, wherever they stand. For files that are parts of a
/// Dockerfile, and for those who want to see what is right in one with mistakes.
///
/// # Errors
/// The text as a whole can't be read: not UTF-8, too large, wrong directives, or no instructions.
pub fn parse_instructions(bytes: &[u8]) -> Result<Statements, Vec<SyntaxError>> {
    match checked_text(bytes) {
        Ok(text) => statements(text, Syntax::BuiltIn),
        Err(error) => Err(vec![error]),
    }
}

/// The stages of what stands before the first mistake; `None` where that is no stage.
#[must_use]
pub fn parse_up_to_mistake(bytes: &[u8]) -> Option<Dockerfile> {
    let mut statements = parse_instructions(bytes).ok()?;
    let mistake = statements.list.iter().position(Result::is_err);
    statements.list.truncate(mistake.unwrap_or(statements.list.len()));
    stages(statements).ok()
}

/// Reads one instruction, such as a trigger that `ONBUILD` left in an image (L-084).
///
/// # Errors
/// A mistake in it, `FROM`, or not exactly one instruction. Lines count in `text`.
pub fn parse_instruction(text: &str, escape: char) -> Result<Instruction, SyntaxError> {
    let mut reader = Reader::new(text, 0, escape);
    let statements: Vec<_> = reader.by_ref().take(2).collect();
    let count = statements.len();
    match (statements.into_iter().next(), count) {
        (Some(Err(error)), _) => Err(error),
        (Some(Ok(Statement::Instruction(instruction))), 1) => Ok(instruction),
        (Some(Ok(Statement::From(from))), 1) => {
            Err(SyntaxError::new(SyntaxErrorKind::OnbuildTrigger("FROM"), from.place.lines))
        }
        _ => Err(SyntaxError::new(SyntaxErrorKind::TriggerCount(count), 1..=1)),
    }
}

/// The bytes as text, if they are within the limits.
fn checked_text(bytes: &[u8]) -> Result<&str, SyntaxError> {
    let refuse = |kind: SyntaxErrorKind, line| Err(SyntaxError::new(kind, line..=line));
    if bytes.len() > MAX_FILE {
        return refuse(SyntaxErrorKind::FileTooLarge { limit: MAX_FILE }, 1);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let offset = error.valid_up_to();
            let line = 1 + bytes[..offset].iter().filter(|byte| **byte == b'\n').count();
            return refuse(SyntaxErrorKind::NotUtf8 { byte: bytes[offset], offset }, line);
        }
    };
    let too_long = |line: &str| line.strip_suffix('\n').unwrap_or(line).len() > MAX_LINE;
    if let Some(line) = Lines::new(text, 0).find(|line| too_long(line.raw)) {
        return refuse(SyntaxErrorKind::LineTooLong { limit: MAX_LINE }, line.number);
    }
    Ok(text)
}

fn statements(text: &str, syntax: Syntax) -> Result<Statements, Vec<SyntaxError>> {
    let whole = |kind: SyntaxErrorKind, line: usize| vec![SyntaxError::new(kind, line..=line)];
    if text.is_empty() {
        return Err(whole(SyntaxErrorKind::Empty, 1));
    }
    let start = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
    let Header { directives, errors, last_line } = directive::read(text, start);
    if !errors.is_empty() {
        return Err(errors);
    }
    if let Some(declared) = directives.syntax.as_ref().filter(|_| syntax == Syntax::Declared)
        && let Err(foreign) = frontend(&declared.text)
    {
        let line = 1 + text[..declared.span.start].matches('\n').count();
        return Err(vec![SyntaxError::new(foreign.into(), line..=line)]);
    }
    let mut reader = Reader::new(text, start, directives.escape);
    reader.last_directive = last_line;
    let list: Vec<_> = reader.by_ref().collect();
    if list.is_empty() {
        return Err(whole(SyntaxErrorKind::NoInstructions, reader.lines.number().max(1)));
    }
    Ok(Statements { directives, list, empty_continuations: reader.empty_continuations })
}

/// Puts instructions into stages (L-003, L-050).
fn stages(statements: Statements) -> Result<Dockerfile, Vec<SyntaxError>> {
    let mut errors: Vec<SyntaxError> = Vec::new();
    let mut global_args = Vec::new();
    let mut stages: Vec<Stage> = Vec::new();
    let Statements { directives, list, empty_continuations } = statements;
    for statement in list {
        match statement {
            Err(error) => errors.push(error),
            Ok(Statement::From(from)) => stages.push(Stage { from, instructions: Vec::new() }),
            Ok(Statement::Instruction(instruction)) => match stages.last_mut() {
                Some(stage) => stage.instructions.push(instruction),
                None if matches!(instruction.kind, InstructionKind::Arg(_)) => {
                    global_args.push(instruction);
                }
                // After another mistake this may be its consequence: a FROM that was misspelled.
                None if errors.is_empty() => {
                    let lines = instruction.place.lines;
                    errors.push(SyntaxError::new(SyntaxErrorKind::NoStageYet, lines));
                }
                None => {}
            },
        }
    }
    if errors.is_empty() && stages.is_empty() {
        errors.push(SyntaxError::new(SyntaxErrorKind::NoStages, 1..=1));
    }
    if errors.is_empty() {
        return Ok(Dockerfile { directives, global_args, stages, empty_continuations });
    }
    errors.truncate(MAX_ERRORS);
    Err(errors)
}

/// Reads one statement after the other.
struct Reader<'a> {
    /// The whole file, in which spans count.
    text: &'a str,
    lines: Lines<'a>,
    escape: char,
    last_directive: usize,
    /// Those above the next instruction (L-019).
    comments: Vec<String>,
    empty_continuations: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, start: usize, escape: char) -> Self {
        Self {
            text,
            lines: Lines::new(&text[start..], start),
            escape,
            last_directive: 0,
            comments: Vec::new(),
            empty_continuations: Vec::new(),
        }
    }

    /// The next logical line with something in it.
    fn logical_line(&mut self) -> Option<LogicalLine> {
        loop {
            let line = self.lines.next()?;
            match line.comment() {
                _ if line.number <= self.last_directive => {}
                // A bare `#` separates comments of an instruction from others.
                Some(comment) if comment.trim().is_empty() => self.comments.clear(),
                Some(comment) => self.comments.push(comment.trim().to_owned()),
                None if line.is_blank() => {}
                None => {
                    let logical = LogicalLine::read(line, &mut self.lines, self.escape);
                    if logical.has_blank {
                        self.empty_continuations.push(*logical.lines.end());
                    }
                    // Nothing but a continuation character (L-009).
                    if !logical.as_fragment().trim().is_empty() {
                        return Some(logical);
                    }
                }
            }
        }
    }

    fn statement(&mut self, logical: &LogicalLine) -> Result<Statement, Fault> {
        let line = logical.as_fragment();
        let comments = std::mem::take(&mut self.comments);
        let mut head = Head::read(&line, self.escape)?;
        head.place.comments = comments;
        if head.keyword == Keyword::From {
            return instruction::parse_from(head).map(Statement::From);
        }
        let mut heredocs = Vec::new();
        if head.takes_heredocs() {
            for start in HeredocStart::find_all(line.as_str()) {
                heredocs.push(self.heredoc(start)?);
                let end = self.lines.number();
                head.place.lines = *head.place.lines.start()..=end;
                head.place.span.end = self.lines.end_of_last();
            }
        }
        let kind = instruction::parse(&head, heredocs)?;
        Ok(Statement::Instruction(Instruction { place: head.place, kind }))
    }

    fn heredoc(&mut self, start: HeredocStart) -> Result<Heredoc, Fault> {
        let name = start.name.clone();
        let kind = SyntaxErrorKind::UnterminatedHeredoc { name };
        start.read_body(&mut self.lines).ok_or(kind.into())
    }

    /// After a misspelled RUN, so that the body is not taken for instructions.
    fn skip_heredocs(&mut self, fault: &Fault, line: &str) {
        let SyntaxErrorKind::UnknownInstruction { suggestion: Some(meant), .. } = &fault.kind
        else {
            return;
        };
        if Keyword::parse(meant).is_some_and(Keyword::takes_heredocs) {
            for start in HeredocStart::find_all(line) {
                start.read_body(&mut self.lines);
            }
        }
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Statement, SyntaxError>;

    fn next(&mut self) -> Option<Self::Item> {
        let logical = self.logical_line()?;
        let statement = self.statement(&logical);
        // With the heredocs that were read.
        let lines = *logical.lines.start()..=self.lines.number();
        Some(statement.map_err(|fault| {
            let line = logical.as_fragment();
            self.skip_heredocs(&fault, line.as_str());
            fault.on(lines, self.text, line.span().start)
        }))
    }
}
