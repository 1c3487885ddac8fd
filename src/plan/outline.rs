//! What the target takes from outside: build arguments, secrets, agents. As `docker build
//! --call=outline` has it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::dockerfile::expand::{self, Lexer};
use crate::dockerfile::outline::{Argument, Need, Outline, description};
use crate::dockerfile::{ArgDefinition, Dockerfile, Instruction};

use super::environment::Environment;
use super::stages::{Command, Graph, Origin};
use super::{Lines, MountKind, PlanRequest, RunOp, args};

/// A global argument, and those that its default is made of.
#[derive(Clone, Debug)]
struct Global {
    argument: Argument,
    made_of: BTreeSet<String>,
}

/// What one stage takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// Names of its ARGs, also of those that only repeat a global one.
    used: BTreeSet<String>,
    /// Its own, the last of a name.
    arguments: BTreeMap<String, Argument>,
    /// Each once, where it is first named.
    secrets: Vec<Need>,
    ssh: Vec<Need>,
}

impl Part {
    /// An ARG of the stage with the value that it has there.
    pub(super) fn declare(
        &mut self,
        definition: &ArgDefinition,
        value: Option<&String>,
        is_inherited: bool,
        command: &Command<'_>,
    ) {
        let name = definition.name.text.clone();
        if !is_inherited {
            let argument = argument(definition, value, &command.instruction, command.lines);
            self.arguments.insert(name.clone(), argument);
        }
        self.used.insert(name);
    }

    pub(super) fn mount(&mut self, run: &RunOp, lines: Lines) {
        for mount in &run.mounts {
            let (list, id, is_required) = match &mount.kind {
                MountKind::Secret { id, required, .. } => (&mut self.secrets, id, *required),
                MountKind::Ssh { id, required, .. } => (&mut self.ssh, id, *required),
                _ => continue,
            };
            if list.iter().all(|known| known.id != *id) {
                list.push(Need { id: id.clone(), is_required, lines: lines.into() });
            }
        }
    }
}

/// What the stage at `target` and those that it needs take; `parts` are of the stages of the file.
pub(super) fn outline(
    target: usize,
    file: &Dockerfile,
    request: &PlanRequest<'_>,
    graph: &Graph<'_>,
    parts: &[Part],
) -> Outline {
    let from = &file.stages[target].from;
    let name = from.name.clone();
    let mut outline = Outline {
        description: name.as_deref().and_then(|name| description(&from.place.comments, name)),
        name,
        ..Outline::default()
    };
    let globals = globals(file, request);
    // What is known of a name first counts: of the target, then of its base, then of the others.
    let mut known = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![target];
    while let Some(stage) = open.pop() {
        if !seen.insert(stage) {
            continue;
        }
        let part = &parts[stage];
        for name in used(stage, graph, part, &globals) {
            let global = || globals.get(&name).map(|global| &global.argument);
            if let Some(argument) = part.arguments.get(&name).or_else(global)
                && known.insert(name)
            {
                outline.arguments.push(argument.clone());
            }
        }
        for (list, more) in [(&mut outline.secrets, &part.secrets), (&mut outline.ssh, &part.ssh)] {
            for need in more {
                if list.iter().all(|known| known.id != need.id) {
                    list.push(need.clone());
                }
            }
        }
        let node = &graph.nodes[stage];
        let reads = node.commands.iter().flat_map(|command| &command.reads);
        let stages = std::iter::once(&node.base).chain(reads).filter_map(|origin| match origin {
            Origin::Stage(stage) => Some(*stage),
            _ => None,
        });
        let first = open.len();
        open.extend(stages);
        open[first..].reverse();
    }
    outline.arguments.sort_by_key(|argument| *argument.lines.start());
    outline.secrets.sort_by_key(|need| *need.lines.start());
    outline.ssh.sort_by_key(|need| *need.lines.start());
    outline
}

/// The names that a stage, and the `FROM` lines of the stages below it, use; and those that the
/// defaults of these are made of.
fn used(
    stage: usize,
    graph: &Graph<'_>,
    part: &Part,
    globals: &BTreeMap<String, Global>,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&String> = part.used.iter().collect();
    let mut below = Some(stage);
    while let Some(index) = below {
        let node = &graph.nodes[index];
        open.extend(&node.variables);
        below = match node.base {
            Origin::Stage(base) => Some(base),
            _ => None,
        };
    }
    while let Some(name) = open.pop() {
        // One that the stage declares anew is made of nothing global.
        if found.insert(name.clone())
            && !part.arguments.contains_key(name)
            && let Some(global) = globals.get(name)
        {
            open.extend(&global.made_of);
        }
    }
    found
}

/// The arguments before the first stage. That their defaults expand has been seen.
fn globals(file: &Dockerfile, request: &PlanRequest<'_>) -> BTreeMap<String, Global> {
    let lexer = Lexer::new(file.directives.escape);
    let mut environment = args::predefined(file, request);
    let mut globals: BTreeMap<String, Global> = BTreeMap::new();
    for instruction in &file.global_args {
        let lines = Lines::from(instruction.place.lines.clone());
        for definition in args::definitions(&instruction.kind) {
            let name = &definition.name.text;
            let is_given = request.build_args.contains_key(name);
            let default = definition.default.as_ref().filter(|_| !is_given);
            let default = default.map(|word| variables(&word.text, lexer, &environment));
            let mut made_of = default.unwrap_or_default();
            if made_of.remove(name)
                && let Some(before) = globals.get(name)
            {
                made_of.extend(before.made_of.iter().cloned());
            }
            let value = args::declare(&mut environment, definition, request.build_args, lexer);
            let value = value.ok().flatten();
            let argument = argument(definition, value.as_ref(), instruction, lines);
            globals.insert(name.clone(), Global { argument, made_of });
        }
    }
    globals
}

fn argument(
    definition: &ArgDefinition,
    value: Option<&String>,
    instruction: &Instruction,
    lines: Lines,
) -> Argument {
    let name = definition.name.text.clone();
    Argument {
        description: description(&instruction.place.comments, &name),
        name,
        value: value.cloned(),
        lines: lines.into(),
    }
}

/// The variables of `environment` that a word uses.
pub(super) fn variables(word: &str, lexer: Lexer, environment: &Environment) -> BTreeSet<String> {
    struct Watched<'a> {
        environment: &'a Environment,
        used: RefCell<BTreeSet<String>>,
    }

    impl expand::Environment for Watched<'_> {
        fn get(&self, name: &str) -> Option<Cow<'_, str>> {
            let value = self.environment.get(name)?;
            self.used.borrow_mut().insert(name.to_owned());
            Some(Cow::Borrowed(value))
        }
    }

    let watched = Watched { environment, used: RefCell::default() };
    // What can't be expanded is told by whoever needs the result.
    let _ = lexer.expand(word, &watched);
    watched.used.into_inner()
}
