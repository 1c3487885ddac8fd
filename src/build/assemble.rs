//! Layers and instructions become an image's configuration (dockerfile: exact config and history).

use crate::image::{History, ImageConfig};
use crate::plan::{Op, Plan, StageFrom, StageId};

/// What BuildKit writes beside every history entry; tools that read it know the format by it.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// The configuration of `stage`, whose layers above its base image were made at `times` (seconds
/// since 1970) and have `diff_ids`, the base's included.
pub(super) fn image_config(
    plan: &Plan,
    stage: StageId,
    diff_ids: Vec<crate::digest::DiffId>,
    times: &[i64],
    now: i64,
) -> ImageConfig {
    let mut config = plan.stages[stage.0].config.clone();
    config.history.extend(history(plan, stage, times, now));
    config.created = config.history.last().and_then(|entry| entry.created.clone());
    config.created.get_or_insert_with(|| rfc3339(now));
    config.rootfs.diff_ids = diff_ids;
    config
}

/// One entry for each instruction of the stages that `stage` stands on and of itself. An entry
/// without a layer has the time of the next layer, or of the one before where none follows.
fn history(plan: &Plan, stage: StageId, times: &[i64], now: i64) -> Vec<History> {
    let mut entries: Vec<(History, Option<i64>)> = Vec::new();
    let mut times = times.iter().copied();
    for id in plan.lineage(stage) {
        let stage = &plan.stages[id.0];
        if let StageFrom::Context(name) = &stage.from {
            let created_by = Some(format!("FROM {name}"));
            entries.push((entry(created_by, false), times.next()));
        }
        for step in &stage.steps {
            let empty = step.op == Op::Config;
            let Some(created_by) = step.created_by.clone() else { continue };
            let time = if empty { None } else { times.next() };
            entries.push((entry(Some(created_by), empty), time));
        }
    }
    let mut next = entries.iter().rev().find_map(|(_, time)| *time).unwrap_or(now);
    for (history, time) in entries.iter_mut().rev() {
        next = time.unwrap_or(next);
        history.created = Some(rfc3339(next));
    }
    entries.into_iter().map(|(history, _)| history).collect()
}

fn entry(created_by: Option<String>, empty_layer: bool) -> History {
    History {
        created: None,
        created_by,
        author: None,
        comment: Some(COMMENT.to_owned()),
        empty_layer,
    }
}

/// `1970-01-01T00:00:00Z`
pub(super) fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .unwrap_or(if seconds < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX })
        .to_string()
}
