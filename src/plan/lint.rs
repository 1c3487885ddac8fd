//! The build checks that need what words expand to, or what a base brings along.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::dockerfile::expand::{Expanded, Lexer};
use crate::dockerfile::lint::{Findings, Problem};
use crate::dockerfile::{self, Command as Form, Dockerfile, InstructionKind, Pair, suggest};
use crate::ignore::clean as clean_path;
use crate::image::ImageConfig;
use crate::platform::Platform;

use super::config::{Scope, State};
use super::environment::Environment;
use super::ports::Port;
use super::stages::Command;
use super::{CopyOp, CopySource, ImageKey, ImageSource, Lines, PlanRequest, args, reference};

/// A name with one of these words is one of a secret…
const SECRET: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
/// …unless one of these says that it is not.
const NOT_SECRET: [&str; 3] = ["public", "file", "version"];

const TARGET: &str = "TARGETPLATFORM";

/// Every base is an image without any build argument given (C-17).
pub(super) fn default_bases(file: &Dockerfile, request: &PlanRequest<'_>, findings: &mut Findings) {
    // What fails here fails once more where it is told.
    let Ok(globals) = args::global(file, request, &BTreeMap::new()) else { return };
    let lexer = Lexer::new(file.directives.escape);
    for from in file.stages.iter().map(|stage| &stage.from) {
        let Ok(base) = globals.expand(lexer, &from.base.text) else { return };
        if reference::normalize(&base).is_err() {
            let problem = Problem::InvalidDefaultArgInFrom(from.base.text.clone());
            findings.add(problem, from.place.lines.clone(), &[]);
        }
    }
}

/// The variables of a `FROM` (C-09), and its platform (C-15, C-18).
pub(super) fn from(
    file: &Dockerfile,
    from: &dockerfile::From,
    globals: &Environment,
    findings: &mut Findings,
) {
    let lexer = Lexer::new(file.directives.escape);
    let mut report = |problem| {
        findings.add(problem, from.place.lines.clone(), &from.place.comments);
    };
    let definitions = || file.global_args.iter().flat_map(|arg| args::definitions(&arg.kind));
    let in_file = definitions().map(|definition| definition.name.text.as_str());
    let declared: Vec<&str> = in_file.chain(globals.names()).collect();
    for word in std::iter::once(&from.base).chain(&from.platform) {
        let Ok(Expanded { undefined, .. }) = lexer.expand(&word.text, globals) else { return };
        for name in undefined.into_iter().filter(|name| !declared.contains(&name.as_str())) {
            let suggestion = suggest::nearest(&name, declared.iter().copied()).map(str::to_owned);
            report(Problem::UndefinedArgInFrom { name, suggestion });
        }
    }
    let Some(word) = &from.platform else { return };
    let used = RefCell::new(BTreeSet::new());
    let value = |name: &str| {
        used.borrow_mut().insert(name.to_owned());
        globals.get(name).map(str::to_owned)
    };
    let Ok(Expanded { text, .. }) = lexer.expand(&word.text, &value) else { return };
    let used = used.into_inner();
    if used.is_empty() {
        // Whoever names a stage after a platform means just that one.
        let named = |platform: &Platform| {
            let name = from.name.as_deref().unwrap_or_default();
            name.contains(&platform.os) || name.contains(&platform.architecture)
        };
        if text.parse().is_ok_and(|platform| !named(&platform)) {
            report(Problem::FromPlatformFlagConstDisallowed(text));
        }
    } else if used.iter().eq([TARGET]) && globals.get(TARGET) == Some(&text) {
        report(Problem::RedundantTargetPlatform(word.text.clone()));
    }
}

/// The base, or the image that is copied from, is of the platform that was asked for (C-14).
pub(super) fn platform(
    name: &str,
    key: &ImageKey,
    images: &BTreeMap<ImageKey, ImageConfig>,
    lines: Lines,
    findings: &mut Findings,
) {
    let (ImageSource::Registry(_), Some(image)) = (&key.source, images.get(key)) else { return };
    let (found, expected) = (image.platform.normalized(), key.platform.normalized());
    if (&found.os, &found.architecture) != (&expected.os, &expected.architecture) {
        let (found, expected) = (found.to_string(), expected.to_string());
        let problem = Problem::InvalidBaseImagePlatform { image: name.to_owned(), found, expected };
        findings.add(problem, lines.into(), &[]);
    }
}

/// Of `CMD`, `ENTRYPOINT` and `HEALTHCHECK` a stage has one each; the others are without effect
/// (C-12).
pub(super) fn repeated(commands: &[Command<'_>], findings: &mut Findings) {
    let is: [fn(&InstructionKind) -> bool; 3] = [
        |kind| matches!(kind, InstructionKind::Cmd(_)),
        |kind| matches!(kind, InstructionKind::Entrypoint(_)),
        |kind| matches!(kind, InstructionKind::Healthcheck(_)),
    ];
    for is in is {
        let same: Vec<_> = commands.iter().filter(|c| is(&c.instruction.kind)).collect();
        for pair in same.windows(2) {
            let place = &pair[1].instruction.place;
            let problem = Problem::MultipleInstructionsDisallowed(place.keyword.clone());
            findings.add(problem, pair[0].lines.into(), &place.comments);
        }
    }
}

/// `CMD` or `ENTRYPOINT` through a shell (C-07). Whoever sets a shell wants it.
pub(super) fn shell_form(form: &Form, keyword: &str, state: &State, scope: &Scope<'_>) {
    let has_own_shell = state.image.config.shell.as_ref().is_some_and(|shell| !shell.is_empty());
    if matches!(form, Form::Shell(_)) && !has_own_shell {
        scope.report(Problem::JsonArgsRecommended(keyword.to_owned()));
    }
}

/// `ENV key value`, and `LABEL` so (C-13).
pub(super) fn legacy_format(pairs: &[Pair], keyword: &str, scope: &Scope<'_>) {
    for _ in pairs.iter().filter(|pair| pair.legacy) {
        scope.report(Problem::LegacyKeyValueFormat(keyword.to_owned()));
    }
}

/// Variables of a word that nothing sets or declares (C-11).
pub(super) fn undefined(names: Vec<String>, state: &State, scope: &Scope<'_>) {
    let declared = |name: &str| state.arguments.iter().any(|(known, _)| known == name);
    for name in names {
        if declared(&name) || args::is_hidden(&name) {
            continue;
        }
        let suggestion = suggest::nearest(&name, state.environment.names());
        let suggestion = suggestion.map(|name| format!("${name}"));
        scope.report(Problem::UndefinedVar { name, suggestion });
    }
}

/// C-10.
pub(super) fn working_directory(written: &str, state: &State, scope: &Scope<'_>) {
    if !state.workdir_set && !written.starts_with('/') {
        scope.report(Problem::WorkdirRelativePath(written.to_owned()));
    }
}

/// C-16.
pub(super) fn secret(instruction: &'static str, name: &str, scope: &Scope<'_>) {
    let has = |words: &[&str]| {
        name.split('_').any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
    };
    if has(&SECRET) && !has(&NOT_SECRET) {
        scope.report(Problem::SecretsUsedInArgOrEnv { instruction, name: name.to_owned() });
    }
}

/// C-21, C-22.
pub(super) fn port(port: &Port<'_>, scope: &Scope<'_>) {
    if port.protocol.bytes().any(|byte| byte.is_ascii_uppercase()) {
        scope.report(Problem::ExposeProtoCasing(port.text.to_owned()));
    }
    if !port.address.is_empty() || !port.host.is_empty() {
        scope.report(Problem::ExposeInvalidFormat(port.text.to_owned()));
    }
}

/// Files of the main context that are copied though they are ignored (C-19). Where some patterns
/// take back what others ignore, nothing is said (L-195).
pub(super) fn ignored(op: &CopyOp, from_context: bool, is_add: bool, scope: &Scope<'_>) {
    let ignore = scope.request.ignore;
    if !from_context || ignore.has_exceptions() {
        return;
    }
    let verb = if is_add { "Add" } else { "Copy" };
    for source in &op.sources {
        let CopySource::Path(written) = source else { continue };
        let path = clean_path(written);
        // The context as a whole can't be ignored, but all in it can.
        if matches!(path.as_str(), "." | "/") && !ignore.has_everything() {
            continue;
        }
        if ignore.matches(path.as_bytes()) {
            scope.report(Problem::CopyIgnoredFile { verb, path });
        }
    }
}
