//! What instructions do to the image's configuration (section 1.7), and the text each leaves in the
//! history (1.11).

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use crate::dockerfile::expand::{Expanded, Lexer};
use crate::dockerfile::lint::Problem;
use crate::dockerfile::{ArgDefinition, Command, Healthcheck, Instruction, InstructionKind, Pair};
use crate::image::{ContainerConfig, Empty, HealthConfig, ImageConfig};
use crate::platform::Platform;

use super::environment::{self, Environment};
use super::{PlanErrorKind, PlanRequest, args, history, lint, path, ports, signal};

/// Where a base has no `PATH` (L-073).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a stage is at one point: the image that would come out, and what its instructions see.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub image: ImageConfig,
    /// Of the base, which its configuration may contradict (L-076).
    pub platform: Platform,
    /// `ENV` and `ARG` in effect (L-052).
    pub environment: Environment,
    /// Every `ARG` since the base image, for the history of a RUN; `None` without a value.
    pub arguments: Vec<(String, Option<String>)>,
    /// `CMD` stood in this very stage, so that an `ENTRYPOINT` keeps it (L-167).
    command_set: bool,
    /// A `WORKDIR` stood in this stage or one that it stands on (C-10).
    pub workdir_set: bool,
    /// The names that a `LABEL` has set in this stage or one that it stands on.
    pub labeled: BTreeSet<String>,
}

/// What does not change while a file is planned.
pub(super) struct Scope<'a> {
    pub request: &'a PlanRequest<'a>,
    pub globals: &'a Environment,
    pub proxies: &'a [(String, String)],
    pub lexer: Lexer,
    /// What the checks find in the instruction at hand.
    pub problems: RefCell<Vec<Problem>>,
}

impl Scope<'_> {
    pub(super) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }
}

impl State {
    /// `FROM scratch`, or a directory (L-073).
    pub(super) fn empty(platform: &Platform) -> Self {
        let config = ContainerConfig { working_dir: "/".to_owned(), ..ContainerConfig::default() };
        let image = ImageConfig { config, platform: platform.clone(), ..ImageConfig::default() };
        Self::new(image, platform)
    }

    /// On an image that was asked for with `platform` (L-085).
    pub(super) fn on_image(image: &ImageConfig, platform: &Platform) -> Self {
        Self::new(ImageConfig { created: None, ..image.clone() }, platform)
    }

    fn new(image: ImageConfig, platform: &Platform) -> Self {
        let state = Self {
            image,
            platform: platform.clone(),
            environment: Environment::default(),
            arguments: Vec::new(),
            command_set: false,
            workdir_set: false,
            labeled: BTreeSet::new(),
        };
        state.inherited()
    }

    /// As the next stage starts with it: the image's variables come after the arguments, and win.
    pub(super) fn inherited(mut self) -> Self {
        self.command_set = false;
        let config = &mut self.image.config;
        config.on_build = None;
        let variables = config.env.get_or_insert_default();
        let names = |variable: &String| environment::split(variable).0 == "PATH";
        if !variables.iter().any(names) && self.image.platform.os != "windows" {
            variables.push(format!("PATH={DEFAULT_PATH}"));
        }
        self.environment.set_all(variables.iter().map(|variable| environment::split(variable)));
        self
    }

    /// A word with its variables replaced and its quotes removed; what is not set is empty (L-040).
    pub(super) fn expand(&self, word: &str, scope: &Scope<'_>) -> Result<String, PlanErrorKind> {
        let Expanded { text, undefined } = scope.lexer.expand(word, &self.environment)?;
        lint::undefined(undefined, self, scope);
        Ok(text)
    }

    /// Where relative paths start: absolute and clean.
    pub(super) fn directory(&self) -> String {
        path::clean(&self.image.config.working_dir)
    }

    /// `SHELL` and the text (L-100).
    pub(super) fn in_shell(&self, text: &str) -> Vec<String> {
        let mut argv = match &self.image.config.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        };
        argv.push(text.to_owned());
        argv
    }

    /// The argument vector of either form.
    fn argv(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Shell(text) => self.in_shell(text),
            Command::Exec(argv) => argv.clone(),
        }
    }

    /// The arguments of a RUN for its history: each once, where it was first declared, with the
    /// value that is in effect (L-059).
    pub(super) fn effective_arguments(&self) -> Vec<(String, String)> {
        // There is one call for every RUN: a look through all variables for each is too much.
        let known: HashMap<&str, &str> = self.environment.iter().collect();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut effective: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.arguments {
            let known = known.get(name.as_str()).copied();
            let value = known.or(value.as_deref()).unwrap_or_default().to_owned();
            match places.entry(name) {
                Entry::Occupied(place) => effective[*place.get()].1 = value,
                Entry::Vacant(place) => {
                    place.insert(effective.len());
                    effective.push((name.clone(), value));
                }
            }
        }
        effective
    }

    /// Applies an instruction that changes nothing but the configuration. Its history text; `None`
    /// for `ONBUILD`, which leaves none.
    pub(super) fn apply(
        &mut self,
        instruction: &Instruction,
        scope: &Scope<'_>,
    ) -> Result<Option<String>, PlanErrorKind> {
        let keyword = instruction.place.keyword.as_str();
        let expand = |text: &str| self.expand(text, scope);
        let text = match &instruction.kind {
            InstructionKind::Arg(definitions) => self.declare(definitions, scope)?,
            InstructionKind::Env(written) => {
                let pairs = self.expand_pairs(written, scope)?;
                lint::legacy_format(written, keyword, scope);
                let config = self.image.config.env.get_or_insert_default();
                for (name, value) in &pairs {
                    lint::secret("ENV", name, scope);
                    self.environment.set(name, value);
                    set_variable(config, name, value);
                }
                format!("ENV {}", joined(&pairs))
            }
            InstructionKind::Label(written) => {
                let pairs = self.expand_pairs(written, scope)?;
                lint::legacy_format(written, keyword, scope);
                let text = format!("LABEL {}", joined(&pairs));
                self.labeled.extend(pairs.iter().map(|(name, _)| name.clone()));
                self.image.config.labels.get_or_insert_default().extend(pairs);
                text
            }
            InstructionKind::Cmd(command) => {
                lint::shell_form(command, keyword, self, scope);
                let argv = self.argv(command);
                let text = format!("CMD {}", history::quoted_list(&argv));
                self.command_set = true;
                self.image.config.cmd = filled(argv);
                self.image.config.args_escaped = true;
                text
            }
            InstructionKind::Entrypoint(command) => {
                lint::shell_form(command, keyword, self, scope);
                let argv = self.argv(command);
                let text = format!("ENTRYPOINT {}", history::quoted_list(&argv));
                self.image.config.entrypoint = filled(argv);
                if !self.command_set {
                    self.image.config.cmd = None;
                }
                text
            }
            InstructionKind::Shell(words) => {
                self.image.config.shell = Some(words.clone());
                format!("SHELL {}", history::plain_list(words))
            }
            InstructionKind::Expose(words) => {
                // The words are sorted as written, which orders the history (L-162).
                let mut words: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
                words.sort_unstable();
                let mut exposed = Vec::new();
                for word in words {
                    for text in scope.lexer.words(word, &self.environment)? {
                        let port = ports::Port::split(&text)?;
                        lint::port(&port, scope);
                        exposed.extend(port.expand()?);
                    }
                }
                let text = format!("EXPOSE {}", history::plain_list(&exposed));
                let known = self.image.config.exposed_ports.get_or_insert_default();
                known.extend(exposed.into_iter().map(|port| (port, Empty {})));
                text
            }
            InstructionKind::Volume(words) => {
                let volumes: Vec<String> =
                    words.iter().map(|word| expand(&word.text)).collect::<Result<_, _>>()?;
                if volumes.iter().any(String::is_empty) {
                    return Err(PlanErrorKind::EmptyVolume);
                }
                let text = format!("VOLUME {}", history::plain_list(&volumes));
                let known = self.image.config.volumes.get_or_insert_default();
                known.extend(volumes.into_iter().map(|volume| (volume, Empty {})));
                text
            }
            InstructionKind::User(word) => {
                let user = expand(&word.text)?;
                let text = format!("USER {user}");
                self.image.config.user = user;
                text
            }
            InstructionKind::Stopsignal(word) => {
                let name = expand(&word.text)?;
                if !signal::is_valid(&name) {
                    return Err(PlanErrorKind::Signal(name));
                }
                let text = format!("STOPSIGNAL {name}");
                self.image.config.stop_signal = name;
                text
            }
            InstructionKind::Healthcheck(check) => {
                let health = health(check);
                let text = history::healthcheck(&health);
                self.image.config.healthcheck = Some(health);
                text
            }
            InstructionKind::Maintainer(name) => {
                self.image.author = Some(name.clone());
                format!("MAINTAINER {name}")
            }
            InstructionKind::Onbuild(onbuild) => {
                let triggers = self.image.config.on_build.get_or_insert_default();
                triggers.push(onbuild.trigger.clone());
                return Ok(None);
            }
            InstructionKind::Workdir(_)
            | InstructionKind::Run(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Add(_) => return Ok(None),
        };
        Ok(Some(text))
    }

    /// Each pair sees the variables from before the instruction (L-038).
    fn expand_pairs(
        &self,
        pairs: &[Pair],
        scope: &Scope<'_>,
    ) -> Result<Vec<(String, String)>, PlanErrorKind> {
        let expand = |text: &str| self.expand(text, scope);
        pairs.iter().map(|pair| Ok((expand(&pair.key.text)?, expand(&pair.value.text)?))).collect()
    }

    /// `WORKDIR`: the history text, and the directory to make, unless it is the root (L-165). An
    /// absolute path stays in the configuration as it was written.
    pub(super) fn enter(&mut self, written: &str) -> (String, Option<String>) {
        self.workdir_set = true;
        let current = &mut self.image.config.working_dir;
        if !written.starts_with('/') {
            *current = path::join(current, written);
        } else {
            written.clone_into(current);
        }
        let directory = path::clean(current);
        (format!("WORKDIR {current}"), (directory != "/").then_some(directory))
    }

    /// `ARG`: a build argument, else the default, else the global of the same name (L-050); pairs
    /// from left to right (L-038).
    fn declare(
        &mut self,
        definitions: &[ArgDefinition],
        scope: &Scope<'_>,
    ) -> Result<String, PlanErrorKind> {
        let mut text = String::from("ARG");
        for definition in definitions {
            let name = &definition.name.text;
            lint::secret("ARG", name, scope);
            let value = match (scope.request.build_args.get(name), &definition.default) {
                (Some(value), _) => Some(value.clone()),
                (None, Some(default)) => Some(self.expand(&default.text, scope)?),
                (None, None) => scope.globals.get(name).map(str::to_owned),
            };
            text.push(' ');
            text.push_str(name);
            if let Some(value) = &value {
                text.push('=');
                text.push_str(value);
                if !args::is_hidden(name) {
                    self.environment.set(name, value);
                }
            }
            self.arguments.push((name.clone(), value));
        }
        Ok(text)
    }
}

fn joined(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(" ")
}

/// Replaces in place, so that the order of declaration stays (L-160).
fn set_variable(variables: &mut Vec<String>, name: &str, value: &str) {
    let variable = format!("{name}={value}");
    match variables.iter_mut().find(|known| environment::split(known).0 == name) {
        Some(known) => *known = variable,
        None => variables.push(variable),
    }
}

/// An empty list is left out of the written configuration, as BuildKit does (L-166, L-167).
fn filled(argv: Vec<String>) -> Option<Vec<String>> {
    (!argv.is_empty()).then_some(argv)
}

/// `HEALTHCHECK` (L-169).
fn health(check: &Healthcheck) -> HealthConfig {
    let Healthcheck::Check { interval, timeout, start_period, start_interval, retries, command } =
        check
    else {
        return HealthConfig { test: vec!["NONE".to_owned()], ..HealthConfig::default() };
    };
    let test = match command {
        Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
        Command::Exec(argv) => [&["CMD".to_owned()], argv.as_slice()].concat(),
    };
    HealthConfig {
        test,
        interval: interval.unwrap_or_default(),
        timeout: timeout.unwrap_or_default(),
        start_period: start_period.unwrap_or_default(),
        start_interval: start_interval.unwrap_or_default(),
        retries: retries.unwrap_or_default().into(),
    }
}
