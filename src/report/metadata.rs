//! `--metadata-file`: the keys that buildx writes, so that what reads its file reads ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use crate::build::{Built, CheckWarning};

/// How many digits of the digest stand for the build; buildx has a random word as long.
const REF_DIGITS: usize = 25;
/// Which buildx writes only where `BUILDX_METADATA_WARNINGS` says so, or build-push-action does.
pub const WARNINGS: &str = "buildx.build.warnings";

/// With [`WARNINGS`], where there are some.
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
    if !built.warnings.is_empty() {
        set(
            WARNINGS,
            built.warnings.iter().map(|warning| vertex_warning(warning, built)).collect(),
        );
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

/// As BuildKit's daemon tells it, without the step that it belongs to. Bytes are in Base64, and every
/// line has a range.
fn vertex_warning(warning: &CheckWarning, built: &Built) -> Value {
    let bytes = |bytes: &[u8]| json!(BASE64.encode(bytes));
    let CheckWarning { rule, description, url, message, lines } = warning;
    let short = format!("{rule}: {message} (line {})", lines.start());
    let mut warning = json!({
        "level": 1,
        "short": bytes(short.as_bytes()),
        "detail": [bytes(description.as_bytes())],
    });
    if let Some(url) = url {
        warning["url"] = json!(url);
    }
    let file = &built.dockerfile;
    warning["sourceInfo"] =
        json!({ "filename": file.name, "data": bytes(&file.bytes), "language": "Dockerfile" });
    warning["range"] = lines
        .clone()
        .map(|line| json!({ "start": { "line": line }, "end": { "line": line } }))
        .collect();
    warning
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
                "buildx.build.warnings",
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
        let text = |text: &str| BASE64.encode(text);
        assert_eq!(
            value[WARNINGS],
            json!([{
                "level": 1,
                "short": text("StageNameCasing: Stage name 'B' should be lowercase (line 2)"),
                "detail": [text("Stage names should be lowercase.")],
                "url": "https://checks.example/stage-name-casing",
                "sourceInfo": {
                    "filename": "Dockerfile",
                    "data": text("FROM a\nFROM b \\\n  AS B\n"),
                    "language": "Dockerfile",
                },
                "range": [
                    { "start": { "line": 2 }, "end": { "line": 2 } },
                    { "start": { "line": 3 }, "end": { "line": 3 } },
                ],
            }])
        );
        result.warnings.clear();
        assert!(metadata(&result).get(WARNINGS).is_none());
        result.tags.clear();
        assert!(metadata(&result).get("image.name").is_none());
        result.platforms.push(result.platforms[0].clone());
        assert!(metadata(&result).get("containerimage.config.digest").is_none());
    }
}
