//! The stages of the file as a graph: what each stands on, what each reads, which are needed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::dockerfile::expand::Lexer;
use crate::dockerfile::lint::Findings;
use crate::dockerfile::mount::mount_from;
use crate::dockerfile::{self, Dockerfile, Instruction, InstructionKind, suggest};
use crate::image::ImageConfig;
use crate::platform::Platform;

use super::environment::Environment;
use super::reference::{named_context, normalize};
use super::{
    ContextShape, ImageKey, ImageRequest, ImageSource, Lines, PlanError, PlanErrorKind,
    PlanRequest, lint, outline,
};

/// Where files come from: under a stage, or into a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// `scratch`, or a step that reads nothing.
    Nothing,
    /// The main context.
    Context,
    /// A named context that is a directory.
    Directory(String),
    /// A stage, by its position in the file.
    Stage(usize),
    /// With its name as written, after expansion.
    Image(ImageKey, String),
}

/// An instruction and what it reads.
pub(super) struct Command<'a> {
    pub instruction: Cow<'a, Instruction>,
    /// For a trigger, those of the `FROM` that set it off.
    pub lines: Lines,
    /// One for a COPY, one for every mount of a RUN, none otherwise.
    pub reads: Vec<Origin>,
    /// Came from an `ONBUILD`.
    pub triggered: bool,
}

pub(super) struct Node<'a> {
    pub index: usize,
    /// As shown: `stage-N` without a name.
    pub name: String,
    pub lines: Lines,
    pub base: Origin,
    /// Of the base image, where it is one.
    pub platform: Platform,
    pub commands: Vec<Command<'a>>,
    /// Of the globals, those that the `FROM` uses.
    pub variables: BTreeSet<String>,
    /// A named context stands for the whole stage (L-071).
    replaced: bool,
    triggers_done: bool,
}

pub(super) struct Graph<'a> {
    pub nodes: Vec<Node<'a>>,
    /// By lower-cased name; the last one of a name (L-072).
    names: BTreeMap<String, usize>,
    request: &'a PlanRequest<'a>,
}

impl<'a> Graph<'a> {
    /// Resolves every base and every `--from`.
    pub(super) fn new(
        file: &'a Dockerfile,
        request: &'a PlanRequest<'a>,
        globals: &Environment,
        findings: &mut Findings,
    ) -> Result<Self, PlanError> {
        let lexer = Lexer::new(file.directives.escape);
        let mut graph = Self { nodes: Vec::new(), names: BTreeMap::new(), request };
        for stage in &file.stages {
            lint::from(file, &stage.from, globals, findings);
            let node = graph.node(&stage.from, globals, lexer)?;
            if let Some(name) = &stage.from.name {
                graph.names.insert(name.clone(), node.index);
            }
            graph.nodes.push(node);
        }
        // Only now, since a COPY may name a later stage, which is a mistake with its own text.
        for (index, stage) in file.stages.iter().enumerate() {
            if graph.nodes[index].replaced {
                continue;
            }
            for instruction in &stage.instructions {
                let lines = Lines::from(instruction.place.lines.clone());
                let command = graph.command(Cow::Borrowed(instruction), lines, false)?;
                graph.nodes[index].commands.push(command);
            }
        }
        graph.refuse_cycle()?;
        Ok(graph)
    }

    /// `FROM`, with the global arguments in scope (L-070 to L-075).
    fn node(
        &self,
        from: &dockerfile::From,
        globals: &Environment,
        lexer: Lexer,
    ) -> Result<Node<'a>, PlanError> {
        let index = self.nodes.len();
        let lines = Lines::from(from.place.lines.clone());
        let expand = |text| globals.expand(lexer, text).map_err(|kind| kind.at(lines));
        let base = expand(&from.base.text)?;
        if base.is_empty() {
            return Err(PlanErrorKind::BlankBase(from.base.text.clone()).at(lines));
        }
        let platform = match &from.platform {
            Some(word) => platform(&word.text, globals, lexer).map_err(|kind| kind.at(lines))?,
            None => self.request.platform.clone(),
        };
        let contexts = self.request.contexts;
        let replacement =
            from.name.as_deref().and_then(|name| named_context(contexts, name, &platform));
        let replaced = replacement.is_some();
        let base = match (replacement, self.names.get(&base)) {
            (Some(found), _) => context_origin(found, &platform),
            (None, Some(&stage)) => self.stage(stage),
            (None, None) => self.external(&base, &platform).map_err(|kind| kind.at(lines))?,
        };
        let name = from.name.clone().unwrap_or_else(|| format!("stage-{index}"));
        Ok(Node {
            index,
            name,
            lines,
            base,
            platform,
            commands: Vec::new(),
            variables: match replaced {
                true => BTreeSet::new(),
                false => std::iter::once(&from.base)
                    .chain(&from.platform)
                    .flat_map(|word| outline::variables(&word.text, lexer, globals))
                    .collect(),
            },
            replaced,
            triggers_done: false,
        })
    }

    /// A name that is no stage: a named context, or an image of a registry.
    fn external(&self, name: &str, platform: &Platform) -> Result<Origin, PlanErrorKind> {
        if name == "scratch" {
            return Ok(Origin::Nothing);
        }
        if let Some(found) = named_context(self.request.contexts, name, platform) {
            return Ok(context_origin(found, platform));
        }
        let reference = normalize(name)
            .map_err(|reason| PlanErrorKind::Reference { name: name.to_owned(), reason })?;
        let source = ImageSource::Registry(reference);
        Ok(Origin::Image(ImageKey { source, platform: platform.clone() }, name.to_owned()))
    }

    /// A stage by its name in any case, or else something external (L-071, L-078).
    fn named(&self, name: &str) -> Result<Origin, PlanErrorKind> {
        match self.names.get(&name.to_lowercase()) {
            Some(&stage) => Ok(self.stage(stage)),
            None => self.external(name, self.request.platform),
        }
    }

    /// A stage of the file, or what a named context put in its place.
    fn stage(&self, index: usize) -> Origin {
        match &self.nodes[index] {
            node if node.replaced => node.base.clone(),
            _ => Origin::Stage(index),
        }
    }

    /// Finds what an instruction reads.
    fn command(
        &self,
        instruction: Cow<'a, Instruction>,
        lines: Lines,
        triggered: bool,
    ) -> Result<Command<'a>, PlanError> {
        let reads = match &instruction.kind {
            InstructionKind::Copy(copy) => match &copy.from {
                Some(from) => self.copied(&from.text).map(|origin| vec![origin]),
                None => Ok(vec![Origin::Context]),
            },
            InstructionKind::Add(_) => Ok(vec![Origin::Context]),
            InstructionKind::Run(run) => {
                run.mounts.iter().map(|mount| self.mounted(&mount.text)).collect()
            }
            _ => Ok(Vec::new()),
        };
        let reads = reads.map_err(|kind| kind.at(lines))?;
        Ok(Command { instruction, lines, reads, triggered })
    }

    /// `COPY --from`: a position, a stage, a context or an image; never expanded (L-037, L-077).
    fn copied(&self, from: &str) -> Result<Origin, PlanErrorKind> {
        // Nothing is in scope, so that whatever would change is a variable or a quote.
        let expanded = Environment::default().expand(Lexer::default(), from)?;
        if expanded != from {
            return Err(PlanErrorKind::VariableInFrom);
        }
        match from.parse::<i64>() {
            Ok(index) => usize::try_from(index)
                .ok()
                .filter(|&index| index < self.nodes.len())
                .map(|index| self.stage(index))
                .ok_or(PlanErrorKind::StageIndex(index)),
            Err(_) => self.named(from),
        }
    }

    fn mounted(&self, value: &str) -> Result<Origin, PlanErrorKind> {
        match mount_from(value)? {
            Some(from) => self.named(&from),
            None => Ok(Origin::Nothing),
        }
    }

    /// The stage that `--target` names, or the last (L-081).
    pub(super) fn target(&self) -> Result<usize, PlanError> {
        let Some(name) = self.request.target else { return Ok(self.nodes.len() - 1) };
        self.names.get(&name.to_lowercase()).copied().ok_or_else(|| {
            let names = self.nodes.iter().map(|node| node.name.as_str());
            let kind = PlanErrorKind::UnknownTarget {
                name: name.to_owned(),
                suggestion: suggest::nearest(name, names).map(str::to_owned),
            };
            PlanError { kind, lines: Vec::new() }
        })
    }

    /// What `target` needs, itself included, in the order of the file (L-079).
    pub(super) fn reachable(&self, target: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([target]);
        let mut open = vec![target];
        while let Some(index) = open.pop() {
            let node = &self.nodes[index];
            let reads = node.commands.iter().flat_map(|command| &command.reads);
            for origin in reads.chain([&node.base]) {
                if let Origin::Stage(stage) = origin
                    && found.insert(*stage)
                {
                    open.push(*stage);
                }
            }
        }
        found
    }

    /// Puts the `ONBUILD` instructions of a stage's base before its own, once the base is known
    /// (L-084). Whether they read anything, so that more stages or images may be needed.
    pub(super) fn trigger(
        &mut self,
        index: usize,
        images: &BTreeMap<ImageKey, ImageConfig>,
    ) -> Result<bool, PlanError> {
        let node = &self.nodes[index];
        if node.triggers_done {
            return Ok(false);
        }
        let triggers: Vec<String> = match &node.base {
            _ if node.replaced => Vec::new(),
            Origin::Stage(base) => self.nodes[*base]
                .commands
                .iter()
                .filter_map(|command| match &command.instruction.kind {
                    InstructionKind::Onbuild(onbuild) => Some(onbuild.trigger.clone()),
                    _ => None,
                })
                .collect(),
            Origin::Image(key, _) => match images.get(key) {
                Some(image) => image.config.on_build.clone().unwrap_or_default(),
                None => return Ok(false),
            },
            _ => Vec::new(),
        };
        let lines = node.lines;
        let mut commands = Vec::with_capacity(triggers.len());
        for trigger in triggers {
            let instruction = dockerfile::parse_instruction(&trigger, '\\')
                .map_err(|error| PlanErrorKind::Trigger(error.to_string()).at(lines))?;
            commands.push(self.command(Cow::Owned(instruction), lines, true)?);
        }
        let reads = commands.iter().any(|command| !command.reads.is_empty());
        let node = &mut self.nodes[index];
        node.triggers_done = true;
        commands.append(&mut node.commands);
        node.commands = commands;
        Ok(reads)
    }

    /// Images that the stages `needed` stand on or read, and that `images` has not.
    pub(super) fn missing(
        &self,
        needed: &BTreeSet<usize>,
        images: &BTreeMap<ImageKey, ImageConfig>,
    ) -> Vec<ImageRequest> {
        let mut missing: Vec<ImageRequest> = Vec::new();
        for node in needed.iter().map(|&index| &self.nodes[index]) {
            let base = std::iter::once((&node.base, node.lines));
            let reads = node
                .commands
                .iter()
                .flat_map(|command| command.reads.iter().map(|origin| (origin, command.lines)));
            for (origin, lines) in base.chain(reads) {
                let Origin::Image(key, _) = origin else { continue };
                if !images.contains_key(key) && missing.iter().all(|known| known.key() != *key) {
                    let ImageKey { source, platform } = key.clone();
                    missing.push(ImageRequest { source, platform, lines });
                }
            }
        }
        missing
    }

    /// A single stage that reads nothing else is shown without its name.
    pub(super) fn is_alone(&self) -> bool {
        let mut commands = self.nodes.iter().flat_map(|node| &node.commands);
        self.nodes.len() == 1
            && commands.all(|command| command.reads.iter().all(|read| *read == Origin::Context))
    }

    /// Stages that copy from each other (L-080). A stage that stands on a later one can't be
    /// written, so only what instructions read matters.
    fn refuse_cycle(&self) -> Result<(), PlanError> {
        let edges: Vec<Vec<(usize, Lines)>> = self
            .nodes
            .iter()
            .map(|node| {
                let of = |command: &Command<'_>| {
                    let lines = command.lines;
                    let stages = command.reads.iter().filter_map(|origin| match origin {
                        Origin::Stage(stage) => Some(*stage),
                        _ => None,
                    });
                    stages.map(move |stage| (stage, lines)).collect::<Vec<_>>()
                };
                node.commands.iter().flat_map(of).collect()
            })
            .collect();
        let mut visited = vec![false; edges.len()];
        for start in 0..edges.len() {
            // Each with the edges that are left of it, and the lines that led to it.
            let mut path = vec![(start, edges[start].iter(), None)];
            if std::mem::replace(&mut visited[start], true) {
                continue;
            }
            while let Some((_, left, _)) = path.last_mut() {
                let Some(&(next, lines)) = left.next() else {
                    path.pop();
                    continue;
                };
                if path.iter().any(|(node, ..)| *node == next) {
                    // The line that closes the circle first, as BuildKit has it.
                    let led = path.iter().rev().filter_map(|(.., by)| *by);
                    let lines = [lines].into_iter().chain(led).collect();
                    let kind = PlanErrorKind::Cycle(self.nodes[start].name.clone());
                    return Err(PlanError { kind, lines });
                }
                if !std::mem::replace(&mut visited[next], true) {
                    path.push((next, edges[next].iter(), Some(lines)));
                }
            }
        }
        Ok(())
    }
}

fn context_origin((name, shape): (&str, ContextShape), platform: &Platform) -> Origin {
    match shape {
        ContextShape::Directory => Origin::Directory(name.to_owned()),
        ContextShape::Image => {
            let source = ImageSource::Context(name.to_owned());
            Origin::Image(ImageKey { source, platform: platform.clone() }, name.to_owned())
        }
    }
}

/// `FROM --platform` (L-075).
fn platform(
    expression: &str,
    globals: &Environment,
    lexer: Lexer,
) -> Result<Platform, PlanErrorKind> {
    let expanded = lexer.expand(expression, globals)?;
    if expanded.text.is_empty() {
        let suggestion = expanded
            .undefined
            .iter()
            .find_map(|name| suggest::nearest(name, globals.names()))
            .map(str::to_owned);
        return Err(PlanErrorKind::EmptyPlatform { expression: expression.to_owned(), suggestion });
    }
    expanded.text.parse().map_err(|error: crate::platform::PlatformError| PlanErrorKind::Platform {
        expression: expression.to_owned(),
        reason: error.to_string(),
    })
}
