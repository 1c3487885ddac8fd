//! From the text of a Dockerfile to its plan, by tables.

use std::collections::BTreeMap;

use super::*;
use crate::dockerfile;
use crate::dockerfile::lint::Finding;

mod arguments;
mod configuration;
mod lint;
mod mistakes;
mod outline;
mod stages;
mod steps;

/// What a test sets of a [`PlanRequest`].
#[derive(Default)]
struct Given {
    target: Option<&'static str>,
    build_args: BTreeMap<String, String>,
    platform: Option<&'static str>,
    contexts: BTreeMap<String, ContextShape>,
    labels: BTreeMap<String, String>,
    default_labels: BTreeMap<String, String>,
    no_cache: NoCache,
    network: Network,
    ignore: Patterns,
    entitlements: Entitlements,
    /// By normalized reference; any other image has [`base`] for its configuration.
    images: BTreeMap<&'static str, ImageConfig>,
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn args(pairs: &[(&str, &str)]) -> Given {
    Given { build_args: map(pairs), ..Given::default() }
}

/// A base image with the usual `PATH` and a shell as its command.
fn base() -> ImageConfig {
    serde_json::from_value(serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2020-01-01T00:00:00Z",
        "config": { "Env": ["PATH=/bin"], "Cmd": ["sh"] },
        "history": [{ "created_by": "base" }],
        "rootfs": { "type": "layers", "diff_ids": [] },
    }))
    .expect("the configuration is valid")
}

impl Given {
    fn plan(&self, text: &str) -> Result<Plan, PlanError> {
        self.plan_and_check(text, false).0
    }

    /// Plans as the engine does: again and again with what was asked for.
    fn plan_and_check(
        &self,
        text: &str,
        all_stages: bool,
    ) -> (Result<Plan, PlanError>, Vec<Finding>) {
        let mut findings = Findings::default();
        let result = self.planned(text, all_stages, &mut findings);
        (result, findings.sorted())
    }

    fn planned(
        &self,
        text: &str,
        all_stages: bool,
        findings: &mut Findings,
    ) -> Result<Plan, PlanError> {
        let file = dockerfile::parse(text.as_bytes()).expect("the Dockerfile is valid");
        let host: Platform = "linux/amd64".parse().expect("a platform");
        let platform = self.platform.map_or(host.clone(), |text| text.parse().expect("a platform"));
        let request = PlanRequest {
            shows_platform: false,
            target: self.target,
            build_args: &self.build_args,
            platform: &platform,
            explicit_platform: self.platform.is_some(),
            build_platform: &host,
            contexts: &self.contexts,
            labels: &self.labels,
            default_labels: &self.default_labels,
            no_cache: &self.no_cache,
            network: self.network,
            entitlements: self.entitlements,
            hosts: &[],
            ignore: &self.ignore,
            all_stages,
        };
        let mut images = BTreeMap::new();
        loop {
            match plan(&file, &request, &images, findings)? {
                Planned::Ready(plan) => return Ok(*plan),
                Planned::Needs(requests) => {
                    assert!(!requests.is_empty(), "nothing is needed, yet it is not ready");
                    for request in requests {
                        let config = match &request.source {
                            ImageSource::Registry(name) => self.images.get(name.as_str()),
                            ImageSource::Context(_) => None,
                        };
                        let known = images.insert(request.key(), config.cloned().unwrap_or(base()));
                        assert_eq!(known, None, "{request:?} is asked for twice");
                    }
                }
            }
        }
    }

    fn expect(&self, text: &str) -> Plan {
        self.plan(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }
}

fn plan_of(text: &str) -> Plan {
    Given::default().expect(text)
}

/// The last stage of the plan.
fn target(plan: &Plan) -> &Stage {
    &plan.stages[plan.target.0]
}

/// The configuration of the result, as JSON.
fn config_of(plan: &Plan) -> serde_json::Value {
    serde_json::to_value(&target(plan).config.config).expect("a configuration is valid JSON")
}

/// `created_by` of the target's own steps.
fn history_of(plan: &Plan) -> Vec<&str> {
    target(plan).steps.iter().filter_map(|step| step.created_by.as_deref()).collect()
}

fn run_of(step: &Step) -> &RunOp {
    match &step.op {
        Op::Run(run) => run,
        other => panic!("{other:?} is not a RUN"),
    }
}

fn copy_of(step: &Step) -> &CopyOp {
    match &step.op {
        Op::Copy(copy) => copy,
        other => panic!("{other:?} is not a COPY"),
    }
}

/// The last step of the target.
fn last(plan: &Plan) -> &Step {
    target(plan).steps.last().expect("the stage has steps")
}
