//! What was written in a Dockerfile: instructions with their places, nothing expanded yet.

use std::ops::RangeInclusive;

/// A half-open range of byte offsets in the Dockerfile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// A word as written, quotes and variables included, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub span: Span,
}

/// A parsed Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    pub directives: Directives,
    /// `ARG` before the first `FROM` (L-050).
    pub global_args: Vec<Instruction>,
    /// In the order of the file; at least one.
    pub stages: Vec<Stage>,
    /// The last lines of instructions that have an empty line inside (C-03).
    pub empty_continuations: Vec<usize>,
}

/// Parser directives at the top of the file (L-011).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// The value of `# syntax=` (L-013).
    pub syntax: Option<Word>,
    /// `\` or a backtick (L-014).
    pub escape: char,
    /// The value of `# check=` (L-015).
    pub check: Option<Word>,
}

impl Default for Directives {
    fn default() -> Self {
        Self { syntax: None, escape: '\\', check: None }
    }
}

/// `FROM` and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    pub from: From,
    pub instructions: Vec<Instruction>,
}

/// `FROM [--platform=P] BASE [AS NAME]` (L-070).
///
/// Values of flags, here and below, are without the quotes and escapes that they were written with:
/// flags are unquoted where they are split, and again when they are expanded (L-016).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    pub place: Place,
    pub platform: Option<Word>,
    pub base: Word,
    /// Lower-cased; `None` where the stage has no name.
    pub name: Option<String>,
    /// The name as written, and the keyword `AS` as written, for the checks.
    pub name_as_written: Option<Word>,
    pub as_keyword: Option<Word>,
}

/// Where an instruction stands, and how it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From the keyword to the last byte, heredoc bodies included.
    pub span: Span,
    /// Lines counted from one, heredoc bodies included.
    pub lines: RangeInclusive<usize>,
    /// The keyword as written.
    pub keyword: String,
    /// The logical line: continuations joined, comments removed, without heredoc bodies.
    pub text: String,
    /// The comment lines directly above, without `#` (L-019).
    pub comments: Vec<String>,
}

/// One instruction of a stage, or a global `ARG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub place: Place,
    pub kind: InstructionKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstructionKind {
    Add(Transfer),
    Arg(Vec<ArgDefinition>),
    Cmd(Command),
    Copy(Transfer),
    Entrypoint(Command),
    Env(Vec<Pair>),
    Expose(Vec<Word>),
    Healthcheck(Healthcheck),
    Label(Vec<Pair>),
    Maintainer(String),
    Onbuild(Onbuild),
    Run(Run),
    Shell(Vec<String>),
    Stopsignal(Word),
    User(Word),
    Volume(Vec<Word>),
    Workdir(Word),
}

/// `ARG name[=default]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDefinition {
    pub name: Word,
    /// Not expanded, quotes kept.
    pub default: Option<Word>,
}

/// `key=value` of `ENV` and `LABEL`, neither expanded (L-160, L-161).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub key: Word,
    pub value: Word,
    /// Written as `ENV key value` (C-13).
    pub legacy: bool,
}

/// The shell form is one text, the exec form a list (L-018, L-100).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Shell(String),
    Exec(Vec<String>),
}

/// `RUN` (L-100 to L-118).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The values of `--mount`, not expanded; see [`super::mount`].
    pub mounts: Vec<Word>,
    pub network: Option<Word>,
    pub security: Option<Word>,
    pub devices: Vec<Word>,
    pub command: Command,
    /// The heredocs of the shell form, in order (L-104).
    pub heredocs: Vec<Heredoc>,
}

/// `COPY` and `ADD` (L-130 to L-149).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// `--from` of `COPY`; never expanded (L-037).
    pub from: Option<Word>,
    pub chown: Option<Word>,
    pub chmod: Option<Word>,
    pub link: bool,
    pub parents: bool,
    pub exclude: Vec<Word>,
    /// `ADD` only.
    pub checksum: Option<Word>,
    /// `ADD` only.
    pub keep_git_dir: Option<bool>,
    /// `ADD` only.
    pub unpack: Option<bool>,
    /// In the order written, without heredocs.
    pub sources: Vec<Word>,
    /// Files written in place; they follow the other sources (L-149).
    pub heredocs: Vec<Heredoc>,
    pub destination: Word,
}

/// `<<NAME` and its body (L-104, L-141).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without quotes, which is also the file's name in `COPY`.
    pub name: String,
    /// Variables are expanded unless the delimiter was quoted.
    pub expand: bool,
    /// Written as `<<-`: leading tabs are removed.
    pub chomp: bool,
    pub file_descriptor: u32,
    /// As written, line endings kept, tabs not yet removed.
    pub content: String,
    /// Of the body.
    pub span: Span,
}

/// `HEALTHCHECK` (L-169).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    None,
    Check {
        /// Nanoseconds; `None` where not written.
        interval: Option<i64>,
        timeout: Option<i64>,
        start_period: Option<i64>,
        start_interval: Option<i64>,
        retries: Option<u32>,
        command: Command,
    },
}

/// `ONBUILD` (L-084).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onbuild {
    /// The text to keep in the image's config, heredoc bodies included.
    pub trigger: String,
    /// The same, parsed.
    pub instruction: Box<Instruction>,
}
