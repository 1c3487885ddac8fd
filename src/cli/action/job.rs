//! What the runner gave to the step, and where the step leaves what the runner takes.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cli::environment::Environment;
use crate::cli::progress;
use crate::context::small;
use crate::error::Error;
use crate::github::event::{Event, Variables};
use crate::github::files::{SUMMARY_LIMIT, assignments, within};
use crate::github::inputs::{Inputs, is_off};
use crate::ui::{self, Form, Ui};

use super::client::Client;

/// GitHub sends at most 25 MB.
const PAYLOAD_LIMIT: u64 = 32 << 20;

pub struct Job<'a> {
    pub environment: &'a Environment,
    pub variables: Variables,
    pub inputs: Inputs,
    pub event: Event,
    pub ui: Ui,
    /// How many warnings the step has told.
    warnings: AtomicUsize,
}

impl<'a> Job<'a> {
    /// Reads the environment and the event.
    ///
    /// # Errors
    /// This is no step of a workflow, or an input has an unknown value; with what can print that.
    pub fn of(environment: &'a Environment) -> Result<Self, (Ui, Error)> {
        let variables = environment.texts();
        let inputs = Inputs::of(&variables);
        let annotate = inputs.switch("annotate");
        let token = progress::token();
        let ui = Ui::new(Form::Groups { token, annotate: annotate.clone().unwrap_or(true) });
        let event = annotate.map_err(Error::from).and_then(|_| event(&variables));
        match event {
            Ok(event) => Ok(Self {
                environment,
                variables,
                inputs,
                event,
                ui,
                warnings: AtomicUsize::new(0),
            }),
            Err(error) => Err((ui, error)),
        }
    }

    /// Prints it, and counts warnings.
    pub fn tell(&self, event: &ui::Event) {
        if matches!(event, ui::Event::Warning(_) | ui::Event::Finding { .. }) {
            self.warnings.fetch_add(1, Ordering::Relaxed);
        }
        self.ui.event(event);
    }

    pub fn notice(&self, text: impl Into<String>) {
        self.tell(&ui::Event::Notice(text.into()));
    }

    pub fn warn(&self, text: impl Into<String>) {
        self.tell(&ui::Event::Warning(text.into()));
    }

    pub fn warnings(&self) -> usize {
        self.warnings.load(Ordering::Relaxed)
    }

    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.environment.path(name)
    }

    /// GitHub's API with the job's token; `None`, and a notice, where there is no token.
    pub fn client(&self) -> Option<Client> {
        let url = self.variables.get("GITHUB_API_URL").filter(|url| !url.is_empty());
        let url = url.map_or("https://api.github.com", String::as_str);
        let token = self.inputs.some("github-token");
        let token = token.or_else(|| Some(self.variables.get("GITHUB_TOKEN")?.as_str()))?;
        match Client::new(url, token, &self.event.repository) {
            Ok(client) => Some(client),
            Err(error) => {
                self.notice(error.to_string());
                None
            }
        }
    }

    /// Sets outputs of the step. What can't be written is a warning: the image is there.
    pub fn outputs(&self, values: &[(&str, String)]) {
        self.append("GITHUB_OUTPUT", &assignments(values, &progress::token()));
    }

    /// Sets `DOCKER_METADATA_OUTPUT_NAME` for the steps that follow, as metadata-action does unless it
    /// is told not to.
    pub fn export(&self, values: &[(&str, String)]) {
        if is_off(&self.variables, "DOCKER_METADATA_SET_OUTPUT_ENV") {
            return;
        }
        let name = |name: &str| name.to_ascii_uppercase().replace('-', "_");
        let names: Vec<String> = values
            .iter()
            .map(|(output, _)| format!("DOCKER_METADATA_OUTPUT_{}", name(output)))
            .collect();
        let pairs = names.iter().zip(values).map(|(name, (_, value))| (&**name, value.clone()));
        let pairs: Vec<(&str, String)> = pairs.collect();
        self.append("GITHUB_ENV", &assignments(&pairs, &progress::token()));
    }

    /// Keeps values for the step's end, where they are `STATE_NAME`.
    pub fn keep(&self, values: &[(&str, String)]) {
        self.append("GITHUB_STATE", &assignments(values, &progress::token()));
    }

    /// Writes the summary of the job, cut where it is too long; `whole` says where all of it is.
    pub fn summary(&self, markdown: &str, whole: &str) {
        let note = &format!("The rest did not fit; all of it is in {whole}.");
        self.append("GITHUB_STEP_SUMMARY", &within(markdown, SUMMARY_LIMIT - 1, note));
    }

    fn append(&self, variable: &str, text: &str) {
        let Some(path) = self.path(variable) else { return };
        let written = append(&path, text);
        if let Err(error) = written {
            self.warn(format!("can't write {variable}, {}: {error}", path.display()));
        }
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    file.write_all(text.as_bytes())
}

fn event(variables: &Variables) -> Result<Event, Error> {
    let payload = match variables.get("GITHUB_EVENT_PATH").filter(|path| !path.is_empty()) {
        None => Vec::new(),
        Some(path) => match small::read(Path::new(path), PAYLOAD_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) => {
                return Err(Error::usage(format!("can't read GITHUB_EVENT_PATH, {path}: {error}")));
            }
        },
    };
    Event::read(variables, &payload).map_err(Error::usage)
}
