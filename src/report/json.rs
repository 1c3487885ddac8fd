//! A build result as JSON: the data as it is, and the sums that a reader would have to make.

use serde_json::{Value, json};

use crate::build::{BuildResult, Built};

/// One object. Bytes are integers, times are seconds; a sum that is not known is null. Of several
/// platforms there is an object each, in `platforms`. `descriptor` is of the index, if there is one.
#[must_use]
pub fn json(built: &Built) -> Value {
    let (hits, steps) = built.cache_hits();
    let mut value = match built.only() {
        Some(only) => {
            let mut value = platform(only);
            if built.config().is_none() {
                value["descriptor"] = json!(built.descriptor);
            }
            value
        }
        None => json!({
            "descriptor": built.descriptor,
            "tags": built.tags,
            "platforms": built.platforms.iter().map(platform).collect::<Vec<_>>(),
            "cached_steps": hits,
            "steps": steps,
        }),
    };
    value["written"] = json!(built.written);
    value["seconds"] = json!(built.took.as_secs_f64());
    value
}

fn platform(result: &BuildResult) -> Value {
    let (hits, steps) = result.cache_hits();
    let mut value = json!({
        "stages": result.stages,
        "image": result.image,
        "notices": result.notices,
        "cache_mounts": result.cache_mounts,
        "not_saved": result.not_saved,
        "looked_in": result.looked_in,
        "baseline": result.baseline,
        "builds": result.builds,
        "seconds": result.took.as_secs_f64(),
        "cached_steps": hits,
        "steps": steps,
        "left_behind_bytes": result.left_behind_bytes(),
    });
    for (index, stage) in result.stages.iter().enumerate() {
        value["stages"][index]["unpacked_bytes"] = json!(stage.unpacked_bytes());
    }
    value["image"]["unpacked_bytes"] = json!(result.image.unpacked_bytes());
    value["image"]["compressed_bytes"] = json!(result.image.compressed_bytes());
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::result_for_tests as go_multistage;

    #[test]
    fn sums_are_there() {
        let value = json(&go_multistage());
        assert_eq!(value["stages"][0]["unpacked_bytes"], 809_301_200);
        assert_eq!(value["image"]["compressed_bytes"], 4_450_000);
        assert_eq!(value["left_behind_bytes"], 809_301_200);
        assert_eq!((value["cached_steps"].as_u64(), value["steps"].as_u64()), (Some(2), Some(5)));
        assert_eq!(value["written"][0]["kind"], "registry");
    }

    #[test]
    fn several_platforms_stand_in_a_list() {
        let mut built = go_multistage();
        built.platforms.push(built.platforms[0].clone());
        let value = json(&built);
        assert_eq!(value["platforms"][1]["image"]["compressed_bytes"], 4_450_000);
        assert_eq!((value["cached_steps"].as_u64(), value["steps"].as_u64()), (Some(4), Some(10)));
        assert_eq!(value["descriptor"]["size"], 612);
    }
}
