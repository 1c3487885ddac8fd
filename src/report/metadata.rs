//! `--metadata-file`: the keys that buildx writes, so that what reads its file reads ours.

use serde_json::{Map, Value, json};

use crate::build::Built;

/// How many digits of the digest stand for the build; buildx has a random word as long.
const REF_DIGITS: usize = 25;

#[must_use]
pub fn metadata(built: &Built) -> Value {
    let digest = built.descriptor.digest;
    let mut object = Map::new();
    let mut set = |key: &str, value: Value| object.insert(key.to_owned(), value);
    // BUILDER/NODE/ID; neither a builder nor a node is there, and the same build has the same name.
    set("buildx.build.ref", json!(format!("plimsoll/plimsoll/{}", &digest.hex()[..REF_DIGITS])));
    if let Some(config) = built.config() {
        set("containerimage.config.digest", json!(config));
    }
    set("containerimage.descriptor", json!(built.descriptor));
    set("containerimage.digest", json!(digest));
    for platform in &built.platforms {
        let Some(provenance) = &platform.provenance else { continue };
        let key = match built.only() {
            Some(_) => "buildx.build.provenance".to_owned(),
            None => format!("buildx.build.provenance/{}", platform.image.platform),
        };
        set(&key, provenance.clone());
    }
    if !built.tags.is_empty() {
        set("image.name", json!(built.tags.join(",")));
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::result_for_tests as go_multistage;

    #[test]
    fn the_keys_are_buildx_s() {
        let mut result = go_multistage();
        let value = metadata(&result);
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "buildx.build.ref",
                "containerimage.config.digest",
                "containerimage.descriptor",
                "containerimage.digest",
                "image.name"
            ]
        );
        assert_eq!(value["image.name"], "docker.io/library/app:latest,ghcr.io/a/b:1");
        assert_eq!(value["containerimage.descriptor"]["size"], 612);
        assert_eq!(value["containerimage.digest"], value["containerimage.descriptor"]["digest"]);
        assert!(value["containerimage.config.digest"].as_str().unwrap().starts_with("sha256:"));
        result.tags.clear();
        assert!(metadata(&result).get("image.name").is_none());
        result.platforms.push(result.platforms[0].clone());
        assert!(metadata(&result).get("containerimage.config.digest").is_none());
    }
}
