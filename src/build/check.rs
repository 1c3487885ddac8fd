//! What is asked of a Dockerfile without building it: its checks, which are made before a build too,
//! and what it offers.

use super::images::{Images, plan_with_images};
use super::session::Session;
use crate::dockerfile::lint::{Checked, Findings};
use crate::dockerfile::outline::{self, Outline, Target};
use crate::dockerfile::{self, Dockerfile};
use crate::error::Error;
use crate::plan::{Plan, PlanRequest, findings_as_read};
use crate::request::BuildRequest;
use crate::sandbox::Cancel;
use crate::ui::Event;

/// Checks what `request` would build: the stages that its target needs, or all of them where it
/// names none. The configurations of bases are fetched, since checks depend on them.
pub fn check(request: &BuildRequest, cancel: &Cancel, events: &(dyn Fn(Event) + Sync)) -> Checked {
    let mut findings = Findings::default();
    // No result is asked for.
    let request = BuildRequest { cache_from: Vec::new(), cache_to: Vec::new(), ..request.clone() };
    let error = find(&request, cancel, events, &mut findings).err();
    Checked { findings: findings.sorted(), error }
}

/// What the target of `request` takes from outside. The configurations of bases are fetched, since
/// their variables may be part of it.
///
/// # Errors
/// A mistake in the Dockerfile, or a base that can't be had.
pub fn outline(
    request: &BuildRequest,
    cancel: &Cancel,
    events: &(dyn Fn(Event) + Sync),
) -> Result<Outline, Error> {
    let mut findings = Findings::default();
    let request = BuildRequest { cache_from: Vec::new(), cache_to: Vec::new(), ..request.clone() };
    let file = read(&request, &mut findings)?;
    let session = Session::open(&request, cancel, events)?;
    let planned = plan_with_images(&session, &file, &session.plan_request(), &mut findings);
    planned.map(|(plan, _)| plan.outline)
}

/// The stages that `request` could build.
///
/// # Errors
/// A mistake in the Dockerfile.
pub fn targets(request: &BuildRequest) -> Result<Vec<Target>, Error> {
    read(request, &mut Findings::default()).map(|file| outline::targets(&file))
}

fn find(
    request: &BuildRequest,
    cancel: &Cancel,
    events: &(dyn Fn(Event) + Sync),
    findings: &mut Findings,
) -> Result<(), Error> {
    let file = read(request, findings)?;
    let all_stages = request.target.is_none();
    let first = Session::open(request, cancel, events)?;
    let others = request.platforms[1..].iter().map(|platform| first.beside(platform));
    let others = others.collect::<Result<Vec<Session<'_>>, Error>>()?;
    for session in std::iter::once(&first).chain(&others) {
        let wanted = PlanRequest { all_stages, ..session.plan_request() };
        let mut own = Findings::default();
        let planned = plan_with_images(session, &file, &wanted, &mut own);
        findings.extend_with_new(own);
        planned?;
    }
    Ok(())
}

/// Reads the Dockerfile of a build. Where it has a mistake, what the checks found up to there is told.
pub(super) fn read_and_warn(
    request: &BuildRequest,
    events: &(dyn Fn(Event) + Sync),
) -> Result<Dockerfile, Error> {
    let mut findings = Findings::default();
    let read = read(request, &mut findings);
    for finding in findings.sorted() {
        events(Event::Finding { file: request.dockerfile.name.clone(), finding });
    }
    read
}

/// All mistakes of a Dockerfile are known at once; the first is told, and what was found before it.
fn read(request: &BuildRequest, findings: &mut Findings) -> Result<Dockerfile, Error> {
    let bytes = &request.dockerfile.bytes;
    dockerfile::parse(bytes).map_err(|errors| {
        if let Some(file) = dockerfile::parse_up_to_mistake(bytes) {
            *findings = findings_as_read(&file, &request.build_args);
        }
        let first = errors.into_iter().next();
        first.map_or_else(|| Error::build("the Dockerfile can't be read"), Error::from)
    })
}

/// Plans `file` for a build, and tells what the checks found and which arguments were for nothing.
pub(super) fn plan_and_warn(
    session: &Session<'_>,
    file: &Dockerfile,
) -> Result<(Plan, Images), Error> {
    let mut findings = Findings::default();
    let planned = plan_with_images(session, file, &session.plan_request(), &mut findings);
    session.progress.findings(&session.request.dockerfile.name, &findings);
    let (plan, images) = planned?;
    for name in &plan.unused_args {
        session.progress.warning(format!("the build argument {name} is not used by any ARG"));
    }
    Ok((plan, images))
}
