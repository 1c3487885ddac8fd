//! The checks of a Dockerfile: before a build, and without one.

use super::images::{Images, plan_with_images};
use super::session::Session;
use crate::dockerfile::lint::{Checked, Findings};
use crate::dockerfile::{self, Dockerfile};
use crate::error::Error;
use crate::plan::{Plan, PlanRequest};
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

fn find(
    request: &BuildRequest,
    cancel: &Cancel,
    events: &(dyn Fn(Event) + Sync),
    findings: &mut Findings,
) -> Result<(), Error> {
    let file = dockerfile::parse(&request.dockerfile.bytes).map_err(super::first)?;
    let session = Session::open(request, cancel, events)?;
    let all_stages = request.target.is_none();
    let wanted = PlanRequest { all_stages, ..session.plan_request() };
    plan_with_images(&session, &file, &wanted, findings).map(drop)
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
