//! The checks without a build: the Dockerfile is planned, nothing is run.

use super::images::plan_with_images;
use super::progress::Progress;
use super::session::Session;
use crate::dockerfile;
use crate::dockerfile::lint::{Finding, Findings};
use crate::error::Error;
use crate::plan::PlanRequest;
use crate::request::BuildRequest;
use crate::sandbox::Cancel;
use crate::ui::Event;

/// What the checks found, and what kept them from seeing the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// By line.
    pub findings: Vec<Finding>,
    pub error: Option<Error>,
}

/// Checks what `request` would build: the stages that its target needs, or all of them where it
/// names none. The configurations of bases are fetched, since checks depend on them.
pub fn check(request: &BuildRequest, cancel: &Cancel, events: &(dyn Fn(Event) + Sync)) -> Checked {
    let mut findings = Findings::default();
    let error = find(request, cancel, events, &mut findings).err();
    Checked { findings: findings.sorted(), error }
}

fn find(
    request: &BuildRequest,
    cancel: &Cancel,
    events: &(dyn Fn(Event) + Sync),
    findings: &mut Findings,
) -> Result<(), Error> {
    let session = Session::open(request, cancel, Progress::new(events))?;
    let file = dockerfile::parse(&request.dockerfile.bytes).map_err(super::first)?;
    let all_stages = request.target.is_none();
    let wanted = PlanRequest { all_stages, ..session.plan_request() };
    plan_with_images(&session, &file, &wanted, findings).map(drop)
}
