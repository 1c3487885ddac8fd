//! One stage of the graph with everything expanded: its steps and its configuration.

use std::collections::{BTreeMap, BTreeSet};

use crate::dockerfile::InstructionKind;
use crate::dockerfile::lint::Findings;
use crate::image::ImageConfig;
use crate::request::NoCache;

use super::config::{Scope, State};
use super::outline::Part;
use super::reference::shown;
use super::stages::{Command, Graph, Node, Origin};
use super::title::{Titles, uppercased};
use super::{
    CopyFrom, ImageId, ImageKey, ImageRequest, Lines, Op, PlanError, PlanErrorKind, Stage,
    StageFrom, StageId, Step, WorkdirOp, args, copy, history, lint, mounts, run,
};

/// What is planned so far.
pub(super) struct Planner<'a> {
    pub scope: Scope<'a>,
    pub graph: &'a Graph<'a>,
    pub images: &'a BTreeMap<ImageKey, ImageConfig>,
    pub findings: &'a mut Findings,
    /// By position in the file: what a stage ends as, and where it stands in the plan.
    finished: Vec<Option<(State, StageId)>>,
    /// By position in the file, for the outline.
    pub parts: Vec<Part>,
    pub stages: Vec<Stage>,
    pub requests: Vec<ImageRequest>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        scope: Scope<'a>,
        graph: &'a Graph<'a>,
        images: &'a BTreeMap<ImageKey, ImageConfig>,
        findings: &'a mut Findings,
    ) -> Self {
        let finished = graph.nodes.iter().map(|_| None).collect();
        let parts = vec![Part::default(); graph.nodes.len()];
        let (stages, requests) = (Vec::new(), Vec::new());
        Self { scope, graph, images, findings, finished, parts, stages, requests }
    }

    /// Plans a stage; all that it stands on and reads has been planned before.
    pub(super) fn stage(&mut self, index: usize) -> Result<(), PlanError> {
        let node = &self.graph.nodes[index];
        let (from, mut state) = self.base(node);
        lint::repeated(&node.commands, self.findings);
        let counted = node.commands.iter().filter(|command| is_counted(command)).count();
        let external = !matches!(node.base, Origin::Nothing | Origin::Stage(_));
        let shown_name = (!self.graph.is_alone()).then(|| node.name.clone());
        let platform = self.scope.request.shows_platform.then(|| self.shown_platform(node));
        let shown_name = match (platform, shown_name) {
            (Some(platform), Some(name)) => Some(format!("{platform} {name}")),
            (platform, name) => platform.or(name),
        };
        let mut titles = Titles::new(shown_name, counted + usize::from(external));
        let title = match &node.base {
            Origin::Image(key, _) => {
                Some(titles.next(&format!("FROM {}", shown(&key.source)), false))
            }
            Origin::Directory(name) => Some(titles.next(&format!("FROM {name}"), false)),
            _ => None,
        };
        let mut steps = Vec::with_capacity(node.commands.len());
        for command in &node.commands {
            let step = self.step(node, command, &mut state, &mut titles);
            for problem in self.scope.problems.take() {
                let comments = &command.instruction.place.comments;
                self.findings.add(problem, command.lines.into(), comments);
            }
            steps.push(step.map_err(|kind| kind.at(command.lines))?);
        }
        let id = StageId(self.stages.len());
        self.stages.push(Stage {
            name: node.name.clone(),
            index,
            lines: node.lines,
            from,
            title,
            platform: state.platform.clone(),
            steps,
            config: state.image.clone(),
            no_cache: match self.scope.request.no_cache {
                NoCache::Never => false,
                NoCache::All => true,
                NoCache::Stages(names) => {
                    names.iter().any(|name| name.eq_ignore_ascii_case(&node.name))
                }
            },
        });
        self.finished[index] = Some((state, id));
        Ok(())
    }

    /// The names that a `LABEL` has set in a planned stage or below it.
    pub(super) fn labeled(&self, stage: Option<&usize>) -> Option<&BTreeSet<String>> {
        self.finished[*stage?].as_ref().map(|(state, _)| &state.labeled)
    }

    /// `linux/amd64`, or `linux/amd64->arm64` where a stage asks what it builds for.
    fn shown_platform(&self, node: &Node<'_>) -> String {
        let (own, target) = (&node.platform, self.scope.request.platform);
        let definitions =
            node.commands.iter().flat_map(|command| args::definitions(&command.instruction.kind));
        let asks = definitions.into_iter().any(|arg| arg.name.text.starts_with("TARGET"));
        match target.to_string().strip_prefix(&format!("{}/", own.os)) {
            _ if !asks || own == target => own.to_string(),
            Some(rest) => format!("{own}->{rest}"),
            None => format!("{own}->{target}"),
        }
    }

    fn base(&mut self, node: &Node<'_>) -> (StageFrom, State) {
        let target = self.scope.request.platform;
        match &node.base {
            Origin::Nothing | Origin::Context => (StageFrom::Scratch, State::empty(target)),
            Origin::Directory(name) => {
                (StageFrom::Context(name.clone()), State::empty(&node.platform))
            }
            Origin::Image(key, name) => {
                let state = self.images.get(key).map_or_else(
                    || State::empty(&node.platform),
                    |image| State::on_image(image, &node.platform),
                );
                lint::platform(name, key, self.images, node.lines, self.findings);
                (StageFrom::Image(self.request(key, node.lines)), state)
            }
            Origin::Stage(stage) => match &self.finished[*stage] {
                Some((state, id)) => (StageFrom::Stage(*id), state.clone().inherited()),
                // A base stands before what stands on it, and is reachable from it.
                None => unreachable!("a stage is planned before its base"),
            },
        }
    }

    fn step(
        &mut self,
        node: &Node<'_>,
        command: &Command<'_>,
        state: &mut State,
        titles: &mut Titles,
    ) -> Result<Step, PlanErrorKind> {
        let place = &command.instruction.place;
        let text = place.text.trim();
        let (title, op, created_by) = match &command.instruction.kind {
            InstructionKind::Run(run) => {
                let sources = std::iter::zip(&command.reads, &run.mounts)
                    .map(|(origin, mount)| {
                        let source = self.source(node, origin, command.lines);
                        source.ok_or_else(|| mounts::from_later(&mount.text))
                    })
                    .collect::<Result<_, _>>()?;
                let op = run::plan(run, sources, state, &self.scope)?;
                self.parts[node.index].mount(&op, command.lines);
                let title = run::title(run, text, &op, state);
                let created_by = history::run(&state.effective_arguments(), &op.argv);
                (titles.next(&title, command.triggered), Op::Run(op), Some(created_by))
            }
            InstructionKind::Copy(transfer) | InstructionKind::Add(transfer) => {
                let is_add = matches!(command.instruction.kind, InstructionKind::Add(_));
                let origin = command.reads.first().unwrap_or(&Origin::Context);
                let from = self.source(node, origin, command.lines).ok_or_else(|| {
                    PlanErrorKind::CopyFromLater {
                        from: transfer.from.as_ref().map_or_else(String::new, |w| w.text.clone()),
                        current: node.name.clone(),
                    }
                })?;
                let op = copy::plan(transfer, is_add, from, state, &self.scope)?;
                lint::ignored(&op, *origin == Origin::Context, is_add, &self.scope);
                let title = self.shown(state, text);
                let created_by = copy::created_by(&op, is_add);
                let title = titles.next(&title, command.triggered);
                (title, Op::Copy(op), Some(created_by))
            }
            InstructionKind::Workdir(word) => {
                let written = state.expand(&word.text, &self.scope)?;
                lint::working_directory(&written, state, &self.scope);
                let (created_by, directory) = state.enter(&written);
                let shown = self.shown(state, text);
                let (title, op) = match directory {
                    Some(path) => {
                        let user = state.image.config.user.clone();
                        let title = titles.next(&shown, command.triggered);
                        (title, Op::Workdir(WorkdirOp { path, user }))
                    }
                    None => (shown, Op::Config),
                };
                (title, op, Some(created_by))
            }
            _ => {
                let created_by = state.apply(&command.instruction, &self.scope)?;
                self.declare(node.index, command, state);
                (uppercased(text), Op::Config, created_by)
            }
        };
        Ok(Step { lines: command.lines, title, op, created_by })
    }

    /// Tells the outline what an `ARG` declared.
    fn declare(&mut self, stage: usize, command: &Command<'_>, state: &State) {
        let definitions = args::definitions(&command.instruction.kind);
        let first = state.arguments.len() - definitions.len();
        for (definition, (name, value)) in std::iter::zip(definitions, &state.arguments[first..]) {
            let Scope { request, globals, .. } = &self.scope;
            let is_own = definition.default.is_some() || request.build_args.contains_key(name);
            let is_inherited = !is_own && globals.get(name).is_some();
            self.parts[stage].declare(definition, value.as_ref(), is_inherited, command);
        }
    }

    /// An instruction for the log, its variables replaced where that works.
    fn shown(&self, state: &State, text: &str) -> String {
        let expanded = state.environment.expand(self.scope.lexer, text);
        uppercased(expanded.as_deref().unwrap_or(text))
    }

    /// `None` for a stage that is not planned yet, because it stands further down (L-080).
    fn source(&mut self, node: &Node<'_>, origin: &Origin, lines: Lines) -> Option<CopyFrom> {
        Some(match origin {
            Origin::Nothing => CopyFrom::Empty,
            Origin::Context => CopyFrom::Context,
            Origin::Directory(name) => CopyFrom::Named(name.clone()),
            Origin::Image(key, name) => {
                lint::platform(name, key, self.images, lines, self.findings);
                CopyFrom::Image(self.request(key, lines))
            }
            Origin::Stage(stage) if *stage < node.index => {
                CopyFrom::Stage(self.finished[*stage].as_ref()?.1)
            }
            Origin::Stage(_) => return None,
        })
    }

    /// The image's place in the plan; it gets one when it is first asked for.
    fn request(&mut self, key: &ImageKey, lines: Lines) -> ImageId {
        let known = self.requests.iter().position(|request| request.key() == *key);
        ImageId(known.unwrap_or_else(|| {
            let ImageKey { source, platform } = key.clone();
            self.requests.push(ImageRequest { source, platform, lines });
            self.requests.len() - 1
        }))
    }
}

/// Whether BuildKit numbers the instruction. It counts `WORKDIR /` too, though it shows none.
fn is_counted(command: &Command<'_>) -> bool {
    matches!(
        command.instruction.kind,
        InstructionKind::Run(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Add(_)
            | InstructionKind::Workdir(_)
    )
}
