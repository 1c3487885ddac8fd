//! `plimsoll action`: one step of a workflow. Reads the inputs and the event, builds, and tells.

mod annotations;
mod attests;
mod caching;
mod client;
mod comment;
mod companion;
mod door;
mod job;
mod load;
mod login;
mod outputs;
mod publish;
mod pushing;
mod root;
mod secrets;
mod source;
mod waiver;
mod wording;

use std::cell::OnceCell;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::build::Built;
use crate::cache::Store;
use crate::cli::args::{ActionArgs, BuildArgs};
use crate::cli::call::{Call, Method};
use crate::cli::environment::Environment;
use crate::cli::limits::{self, Limits};
use crate::cli::signal::Signals;
use crate::cli::{build, fail, sized, store};
use crate::error::{Error, ErrorKind};
use crate::github::api::BODY_LIMIT;
use crate::github::inputs::Inputs;
use crate::github::naming::{Naming, naming};
use crate::report;
use crate::request::{BuildRequest, Credential, Destination, Secret};
use crate::ui::{Event, Form, Ui, excerpt, findings};

use caching::Cache;
use client::Client;
use comment::Mode;
use door::{Push, Wanted};
use job::Job;
use load::Load;
use login::AwsLogin;
use publish::Published;
use root::Rights;
use source::Source;

pub(super) use companion::run as comment;

/// State of the step that its last act reads.
const ENDED: &str = "ended";

pub(super) fn run(args: &ActionArgs, environment: &Environment) -> ExitCode {
    if args.handed_over {
        return fail(&Ui::new(Form::Plain), &root::take_over(args.post), None);
    }
    if args.elevated
        && let Err(error) = root::obey_pipe()
    {
        let error = Error::build(format!("can't listen to the first process: {error}"));
        return fail(&Ui::new(Form::Plain), &error, None);
    }
    let ended = environment.is_true(&format!("STATE_{ENDED}"));
    if args.post && ended {
        return ExitCode::SUCCESS;
    }
    let mut refused = None;
    if args.post || runs_steps(environment) {
        match root::enter(args, environment) {
            Rights::Here { refused: why } => refused = why,
            Rights::Elsewhere(code) => return code,
        }
    }
    if args.post {
        return clean(environment);
    }
    let job = match Job::of(environment) {
        Ok(job) => job,
        Err((ui, error)) => return fail(&ui, &error, None),
    };
    let code = step(&job, refused.as_deref());
    job.keep(&[(ENDED, "true".to_owned())]);
    code
}

/// What reads files from a fork, or a Dockerfile alone, needs no rights.
fn runs_steps(environment: &Environment) -> bool {
    let inputs = Inputs::of(&environment.texts());
    inputs.some("comment-from").is_none()
        && Call::parse(inputs.text("call")).is_ok_and(|call| call.method == Method::Build)
}

/// The step was killed: removes what it was working on.
fn clean(environment: &Environment) -> ExitCode {
    // Opening the store is what removes the folders of dead processes.
    if let Ok(path) = store::directory(None, environment)
        && path.exists()
    {
        let _ = Store::open(&path);
    }
    ExitCode::SUCCESS
}

fn step(job: &Job<'_>, refused: Option<&str>) -> ExitCode {
    let signals = match Signals::watch() {
        Ok(signals) => signals,
        Err(error) => {
            return fail(&job.ui, &Error::build(format!("can't watch for signals: {error}")), None);
        }
    };
    mask(job);
    for (name, why) in job.inputs.ignored() {
        job.notice(format!("the input {name} does nothing here: {why}"));
    }
    let step = Step { job, signals, request: OnceCell::new() };
    match step.run() {
        Ok(code) => code,
        Err(error) => step.fail(error, refused),
    }
}

/// The runner shall show none of these, whoever prints them.
fn mask(job: &Job<'_>) {
    let token = |name: &str| job.variables.get(name).map(String::as_str);
    let secrets =
        [job.inputs.some("github-token"), token("ACTIONS_RUNTIME_TOKEN"), token("GITHUB_TOKEN")];
    job.ui.mask(&secrets.into_iter().flatten().collect::<Vec<_>>());
}

fn mask_all<'s>(job: &Job<'_>, secrets: impl Iterator<Item = &'s Secret>) {
    let texts = secrets.filter_map(|secret| std::str::from_utf8(&secret.0).ok());
    job.ui.mask(&texts.collect::<Vec<_>>());
}

fn secret(credential: &Credential) -> &Secret {
    match credential {
        Credential::Basic { password: secret, .. }
        | Credential::IdentityToken(secret)
        | Credential::RegistryToken(secret) => secret,
    }
}

/// The step under way.
struct Step<'a> {
    job: &'a Job<'a>,
    signals: Arc<Signals>,
    /// As soon as it is known, for the lines of errors.
    request: OnceCell<BuildRequest>,
}

/// What is wanted, before the engine is asked.
struct Prepared {
    naming: Naming,
    args: BuildArgs,
    client: Option<Client>,
    mode: Mode,
    loads: Vec<Load>,
}

impl Step<'_> {
    fn run(&self) -> Result<ExitCode, Error> {
        let job = self.job;
        if let Some(folder) = job.inputs.some("comment-from") {
            return companion::comment_from(job, folder.as_ref());
        }
        let forks = [("auto", true), ("skip", false)];
        let on_forks = job.inputs.choice("fork-mode", &forks)?;
        if job.event.is_from_fork() && !on_forks {
            job.notice("nothing is built: the pull request comes from a fork");
            job.outputs(&[("pushed", "false".to_owned())]);
            return Ok(ExitCode::SUCCESS);
        }
        let text = job.inputs.text("call");
        let call = Call::parse(text).map_err(|error| error.of_flag_alone("input call"))?;
        let (prepared, request) = self.prepare()?;
        let request = self.request.get_or_init(|| request);
        match call.method {
            Method::Build => self.build(prepared, request),
            Method::Check => self.check(request, call),
            Method::Outline | Method::Targets => {
                let tell = |event: Event| job.tell(&event);
                let text = call.answer(request, &self.signals.cancel, &tell)?;
                // Not printed as it is: nothing in a Dockerfile shall be a command of the runner.
                job.ui.result(&text, &Value::Null);
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    /// Reads the inputs, and makes the request.
    fn prepare(&self) -> Result<(Prepared, BuildRequest), Error> {
        let job = self.job;
        let mode = Mode::of(&job.inputs)?;
        job.inputs.switch("summary")?;
        let client = job.client();
        let source = Source::of(job);
        if let Some(said) = &source.said {
            job.notice(said);
        }
        let committed = source::committed(job, client.as_ref());
        let now = Timestamp::from_second(job.environment.now).unwrap_or_default();
        let event = source::described(job, client.as_ref());
        let mut naming =
            naming(&job.inputs, &event, &job.variables, now, committed).map_err(Error::usage)?;
        naming.metadata.warnings.iter().for_each(|warning| job.warn(warning));
        // The workflow's own choice comes first.
        let is_chosen = job.environment.path("SOURCE_DATE_EPOCH").is_some();
        let epoch = committed.map(Timestamp::as_second).filter(|_| !is_chosen);
        let (inputs, variables) = (&job.inputs, &job.variables);
        let mut wanted =
            door::wanted(inputs, &job.event, variables, &naming, source.context, epoch)?;
        job.ui.mask(&wanted.masked.iter().map(String::as_str).collect::<Vec<_>>());
        wanted.left_out.iter().for_each(|what| job.warn(what));
        wanted.notices.iter().for_each(|what| job.notice(what));
        naming.names.clone_from(&wanted.args.tags);
        for context in &mut wanted.args.build_contexts {
            *context = source::with_default_context(context, &source::git_context(job));
        }
        if let Some((id, token)) = source.git_token {
            let given = wanted.secret_ids(job.environment);
            if !source::is_git_given(&id, given.iter().map(String::as_str)) {
                wanted.confided.secrets.insert(id, Secret(token.into_bytes()));
            }
        }
        let does_load = !wanted.loads.is_empty();
        wanted.args.push = pushing::is_wanted(job, wanted.push, &wanted.args, does_load)?;
        let mut loads = Vec::new();
        for line in &wanted.loads {
            let load = Load::new(job)?;
            wanted.args.outputs.push(load.output(line));
            loads.push(load);
        }
        let mut request = self.request(&mut wanted)?;
        annotations::settle(job, &naming, &wanted.annotations, &mut request)?;
        build::check_platforms(&request)?;
        Ok((Prepared { naming, args: wanted.args, client, mode, loads }, request))
    }

    fn request(&self, wanted: &mut Wanted) -> Result<BuildRequest, Error> {
        let job = self.job;
        let confided = std::mem::take(&mut wanted.confided);
        mask_all(job, confided.credentials.values().map(secret));
        mask_all(job, confided.secrets.values());
        let masked: Vec<String> = confided.secrets.keys().cloned().collect();
        mask_all(job, confided.push_credentials.values().map(secret));
        mask_all(job, wanted.aws.iter().flat_map(AwsLogin::secrets));
        let mut environment = job.environment.clone();
        environment.threads = wanted.threads.unwrap_or(environment.threads);
        let outside = build::Outside {
            confided,
            stdin: &mut std::io::empty(),
            cancel: &self.signals.cancel,
            events: &|event| job.tell(&event),
        };
        let mut request = build::request(&wanted.args, &environment, outside)?;
        let others = request.secrets.iter().filter(|(id, _)| !masked.contains(id));
        mask_all(job, others.map(|(_, secret)| secret));
        for login in &wanted.aws {
            login.exchange(job, &mut request.registry)?;
        }
        request.registry.attempts = wanted.attempts;
        request.run.at_once = wanted.threads;
        request.weigh = true;
        request.default_labels = std::mem::take(&mut wanted.default_labels);
        if wanted.cache == Cache::Off {
            // Nothing typed would mean GitHub's.
            request.cache_from.clear();
            request.cache_to.clear();
        }
        let by_itself = wanted.push == Push::Auto
            && wanted.args.push
            && !pushing::is_asked_for(&wanted.args.outputs);
        pushing::settle(job, by_itself, &mut request);
        Ok(request)
    }

    /// As `docker build --check`: what is found is a failure.
    fn check(&self, request: &BuildRequest, call: Call) -> Result<ExitCode, Error> {
        let job = self.job;
        let events = |event: Event| job.tell(&event);
        let checked = crate::build::check(request, &self.signals.cancel, &events);
        let file = &request.dockerfile;
        for finding in &checked.findings {
            events(Event::Finding { file: file.name.clone(), finding: finding.clone() });
        }
        let text = findings::text(&checked, (&file.name, &file.bytes));
        job.ui.result(&text, &findings::json(&checked, (&file.name, &file.bytes)));
        job.outputs(&[("warnings-count", job.warnings().to_string())]);
        match checked.error {
            Some(error) => Err(error),
            None if checked.findings.is_empty() => Ok(ExitCode::SUCCESS),
            None => Ok(ExitCode::from(call.code_of_findings())),
        }
    }

    fn build(&self, prepared: Prepared, request: &BuildRequest) -> Result<ExitCode, Error> {
        let job = self.job;
        let Prepared { naming, args, client, mode, loads } = prepared;
        let mut limits = Limits::read(&args.limits)?;
        let built = crate::build::build(request, &self.signals.cancel, &|event| job.tell(&event))?;
        give_back(job, request);
        loads.into_iter().try_for_each(|load| load.finish(job))?;
        if let Some(limits) = &mut limits
            && let Some(by) = waiver::find(job, client.as_ref())
        {
            limits.waive(by);
        }
        let sizes = sized::size(request, limits.as_ref(), &built, &|text| job.notice(text));
        let mut text = report::text(&built);
        text.push_str(&sizes.text());
        job.ui.result(&text, &report::json(&built));
        self.publish(&naming, &built, &sizes, client.as_ref(), mode);
        sizes.outcome()?;
        Ok(ExitCode::SUCCESS)
    }

    /// Everything that is told of a build; none of it can fail the step.
    fn publish(
        &self,
        naming: &Naming,
        built: &Built,
        sizes: &sized::Sizes<'_>,
        client: Option<&Client>,
        mode: Mode,
    ) {
        let job = self.job;
        let Some(first) = sizes.platforms.first() else { return };
        let key = key(job, naming);
        let built = Published { naming, built, sizes, first, key: &key };
        if job.inputs.switch("summary").unwrap_or(true) {
            job.summary(&built.summary(), "the file of the output `size-report`");
        }
        match built.write_report(job) {
            Ok(path) => job.outputs(&[("size-report", path.display().to_string())]),
            Err(error) => job.warn(error.message),
        }
        let reports = sizes.reports();
        if let Some(client) = client {
            if let Some(pull) = comment::pull(job, client, mode).filter(|_| mode != Mode::Never) {
                let marker = comment::marker(&key);
                let body = comment::body(&reports, &marker, mode, "");
                let url = comment::post(job, client, pull, &marker, body.as_deref());
                job.outputs(&[("comment-url", url.unwrap_or_default())]);
            }
            if let Some(verdict) = sizes.verdict() {
                let summary = report::sections(&reports, BODY_LIMIT - 1, report::markdown);
                comment::check(job, client, &key, verdict, &summary);
            }
        }
        // Last, since it counts the warnings.
        built.set_outputs(job);
    }

    fn fail(&self, mut error: Error, refused: Option<&str>) -> ExitCode {
        let job = self.job;
        if let (ErrorKind::Machine, Some(refused)) = (error.kind, refused) {
            error.hints = root::hints(refused).into();
        }
        let error = wording::of_inputs(error);
        let built = matches!(error.kind, ErrorKind::Size);
        if !built && !error.is_canceled() && job.inputs.switch("summary").unwrap_or(true) {
            let dockerfile = self.request.get().map(|request| &request.dockerfile);
            let dockerfile = dockerfile.map(|file| (file.name.as_str(), file.bytes.as_slice()));
            let failure = excerpt::failure(&error, dockerfile);
            job.summary(&report::failure_markdown(&failure), "the log");
        }
        let code = fail(&job.ui, &error, self.request.get());
        self.signals.exit_code().map_or(code, ExitCode::from)
    }
}

/// What tells the comments of several images apart: the input, or the first name without its tag.
fn key(job: &Job<'_>, naming: &Naming) -> String {
    let name = || naming.names.first().map(|name| limits::repository(name).to_owned());
    let key = job.inputs.some("comment-key").map(str::to_owned).or_else(name);
    key.unwrap_or_else(|| job.event.repository.clone())
}

/// Makes what the outputs wrote the user's.
fn give_back(job: &Job<'_>, request: &BuildRequest) {
    let destinations: Vec<Destination> =
        request.outputs.iter().filter_map(|output| output.kind.destination()).collect();
    let paths = destinations.iter().filter_map(|destination| match destination {
        Destination::Directory(path) | Destination::File(path) => Some(path.as_path()),
        Destination::Stdout => None,
    });
    root::give_back(job.environment, paths);
}
