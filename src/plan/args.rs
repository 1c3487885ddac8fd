//! Arguments that exist without an `ARG` in a stage: global ones, those of the platform, proxies.

use std::collections::BTreeMap;

use crate::dockerfile::expand::Lexer;
use crate::dockerfile::{ArgDefinition, Dockerfile, Instruction, InstructionKind};

use super::environment::Environment;
use super::{Lines, PlanError, PlanErrorKind, PlanRequest};

/// In the order in which a RUN gets them; each in upper and lower case (L-055).
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Arguments that have a meaning without being declared (L-054, L-056, L-057).
const PREDEFINED: &str = "BUILDPLATFORM BUILDOS BUILDOSVERSION BUILDARCH BUILDVARIANT \
                          TARGETPLATFORM TARGETOS TARGETOSVERSION TARGETARCH TARGETVARIANT \
                          TARGETSTAGE SOURCE_DATE_EPOCH";

/// Arguments that describe the build and never enter a RUN's environment (L-057).
pub(super) fn is_hidden(name: &str) -> bool {
    matches!(name, "BUILDKIT_SBOM_SCAN_CONTEXT" | "BUILDKIT_SBOM_SCAN_STAGE")
}

/// What `FROM` lines see, and what an `ARG` without a value in a stage takes (L-050, L-054), with
/// `overrides` in place of defaults.
pub(super) fn global(
    file: &Dockerfile,
    request: &PlanRequest<'_>,
    overrides: &BTreeMap<String, String>,
) -> Result<Environment, PlanError> {
    let mut globals = predefined(file, request);
    let lexer = Lexer::new(file.directives.escape);
    for instruction in &file.global_args {
        let lines = Lines::from(instruction.place.lines.clone());
        for definition in definitions(&instruction.kind) {
            declare(&mut globals, definition, overrides, lexer).map_err(|kind| kind.at(lines))?;
        }
    }
    Ok(globals)
}

/// Those that are there without an `ARG` (L-054).
pub(super) fn predefined(file: &Dockerfile, request: &PlanRequest<'_>) -> Environment {
    let last = file.stages.last().and_then(|stage| stage.from.name.as_deref());
    let (build, target) = (request.build_platform, request.platform);
    let mut globals = Environment::default();
    for (name, value) in [
        ("BUILDPLATFORM", build.to_string().as_str()),
        ("BUILDOS", &build.os),
        ("BUILDOSVERSION", &build.os_version),
        ("BUILDARCH", &build.architecture),
        ("BUILDVARIANT", &build.variant),
        ("TARGETPLATFORM", &target.to_string()),
        ("TARGETOS", &target.os),
        ("TARGETOSVERSION", &target.os_version),
        ("TARGETARCH", &target.architecture),
        ("TARGETVARIANT", &target.variant),
        ("TARGETSTAGE", request.target.or(last).unwrap_or("default")),
    ] {
        globals.set(name, request.build_args.get(name).map_or(value, String::as_str));
    }
    globals
}

/// One global `ARG`, and the value that it gets, if it gets any.
pub(super) fn declare(
    globals: &mut Environment,
    definition: &ArgDefinition,
    overrides: &BTreeMap<String, String>,
    lexer: Lexer,
) -> Result<Option<String>, PlanErrorKind> {
    let name = &definition.name.text;
    let value = match (overrides.get(name), &definition.default) {
        (Some(value), _) => value.clone(),
        (None, Some(default)) => globals.expand(lexer, &default.text)?,
        (None, None) => return Ok(None),
    };
    globals.set(name, &value);
    Ok(Some(value))
}

/// What `SOURCE_DATE_EPOCH` says (L-056).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceDateEpoch {
    /// Seconds since 1970.
    Time(i64),
    /// The time of what has this name: `context`, a named context or a stage.
    Of(String, Lines),
}

/// What `ARG SOURCE_DATE_EPOCH=…` before the first stage says, for a build that is told no other.
///
/// # Errors
/// When it is a time before 1970, or can't be expanded.
pub fn source_date_epoch(
    file: &Dockerfile,
    request: &PlanRequest<'_>,
) -> Result<Option<SourceDateEpoch>, PlanError> {
    let globals = global(file, request, request.build_args)?;
    let of_file = |instruction: &&Instruction| {
        definitions(&instruction.kind).iter().any(|d| d.name.text == EPOCH)
    };
    let Some(instruction) = file.global_args.iter().rfind(of_file) else { return Ok(None) };
    match globals.get(EPOCH) {
        None | Some("") => Ok(None),
        Some(text) => {
            let lines = Lines::from(instruction.place.lines.clone());
            match text.parse::<i64>() {
                Ok(seconds) if seconds >= 0 => Ok(Some(SourceDateEpoch::Time(seconds))),
                Ok(_) => Err(PlanErrorKind::SourceDateEpoch(text.to_owned()).at(lines)),
                Err(_) => Ok(Some(SourceDateEpoch::Of(text.to_owned(), lines))),
            }
        }
    }
}

/// Whether an argument is a proxy, in any case (L-055).
#[must_use]
pub fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
}

/// Proxy arguments as the variables that a RUN gets (L-055).
pub(super) fn proxies(build_args: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let value = |proxy: &str| {
        // The lower-case spelling sorts last, and wins.
        build_args
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(proxy))
            .map(|(_, value)| value)
            .next_back()
            .filter(|value| !value.is_empty())
    };
    PROXIES
        .iter()
        .filter_map(|proxy| Some((proxy, value(proxy)?)))
        .flat_map(|(proxy, value)| {
            [(proxy.to_string(), value.clone()), (proxy.to_ascii_lowercase(), value.clone())]
        })
        .collect()
}

/// Build arguments that nothing declares anywhere in the file, not even in a stage that this build
/// leaves out (L-053). `triggers` are the instructions that bases bring along.
pub(super) fn unused<'a>(
    file: &'a Dockerfile,
    triggers: impl Iterator<Item = &'a InstructionKind>,
    build_args: &BTreeMap<String, String>,
) -> Vec<String> {
    let in_file = file.global_args.iter().chain(file.stages.iter().flat_map(|s| &s.instructions));
    let declared: Vec<&str> = in_file
        .map(|instruction| &instruction.kind)
        .chain(triggers)
        .flat_map(definitions)
        .map(|definition| definition.name.text.as_str())
        .collect();
    let known = |name: &str| {
        declared.contains(&name)
            || name.starts_with("BUILDKIT_")
            || PREDEFINED.split(' ').any(|known| known == name)
            || is_proxy(name)
    };
    build_args.keys().filter(|name| !known(name)).cloned().collect()
}

pub(super) fn definitions(kind: &InstructionKind) -> &[ArgDefinition] {
    match kind {
        InstructionKind::Arg(definitions) => definitions,
        _ => &[],
    }
}
