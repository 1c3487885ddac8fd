//! What the image is called, for steps that build with `docker buildx bake`: files that add to one
//! of its targets, with metadata-action's names and keys.

use serde_json::{Value, json};

use super::naming::Naming;

/// The target that the files are of, unless the input `bake-target` says otherwise.
pub const TARGET: &str = "docker-metadata-action";

/// A file that a step can give to bake.
#[derive(Clone, Debug, PartialEq)]
pub struct BakeFile {
    /// The output that says where it is.
    pub output: &'static str,
    pub name: &'static str,
    pub content: Value,
}

/// One for tags, labels and annotations each, and one for the first two together.
#[must_use]
pub fn bake_files(naming: &Naming, target: &str) -> [BakeFile; 4] {
    let (tags, labels) = (json!(naming.names), json!(naming.metadata.labels));
    let args = json!({
        "DOCKER_META_IMAGES": images(&naming.names).join(","),
        "DOCKER_META_VERSION": naming.metadata.version.as_deref().unwrap_or_default(),
    });
    let file = |output, name, content: Value| {
        let content = json!({ "target": { target: content } });
        BakeFile { output, name, content }
    };
    [
        file(
            "bake-file-tags",
            "docker-metadata-action-bake-tags.json",
            json!({ "tags": tags, "args": args }),
        ),
        file(
            "bake-file-labels",
            "docker-metadata-action-bake-labels.json",
            json!({ "labels": labels }),
        ),
        file(
            "bake-file-annotations",
            "docker-metadata-action-bake-annotations.json",
            json!({ "annotations": naming.annotations() }),
        ),
        file(
            "bake-file",
            "docker-metadata-action-bake.json",
            json!({ "tags": tags, "labels": labels, "args": args }),
        ),
    ]
}

/// The names without their tags, each once.
fn images(names: &[String]) -> Vec<&str> {
    let mut images = Vec::new();
    for name in names {
        let image = match name.rsplit_once(':') {
            // The port of a registry has a path behind it.
            Some((image, tag)) if !tag.contains('/') => image,
            _ => name,
        };
        if !images.contains(&image) {
            images.push(image);
        }
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::metadata::Metadata;

    #[test]
    fn keys_are_those_of_metadata_action() {
        let label = [("a.b".to_owned(), "x=y".to_owned())];
        let naming = Naming {
            names: ["acme/boat:1.2", "acme/boat:latest", "localhost:5000/boat"]
                .map(str::to_owned)
                .to_vec(),
            metadata: Metadata {
                version: Some("1.2".to_owned()),
                labels: label.clone().into(),
                annotations: label.into(),
                ..Metadata::default()
            },
            levels: vec!["manifest".to_owned(), "index".to_owned()],
            ..Naming::default()
        };
        let [tags, labels, annotations, both] = bake_files(&naming, "meta");
        let args = json!({
            "DOCKER_META_IMAGES": "acme/boat,localhost:5000/boat",
            "DOCKER_META_VERSION": "1.2",
        });
        let names = json!(["acme/boat:1.2", "acme/boat:latest", "localhost:5000/boat"]);
        let expected = |content: Value| json!({ "target": { "meta": content } });
        assert_eq!(tags.content, expected(json!({ "tags": names, "args": args })));
        assert_eq!(labels.content, expected(json!({ "labels": { "a.b": "x=y" } })));
        assert_eq!(
            annotations.content,
            expected(json!({ "annotations": ["manifest:a.b=x=y", "index:a.b=x=y"] }))
        );
        assert_eq!(
            both.content,
            expected(json!({ "tags": names, "labels": { "a.b": "x=y" }, "args": args }))
        );
        let [.., both] = bake_files(&Naming::default(), TARGET);
        let args = json!({ "DOCKER_META_IMAGES": "", "DOCKER_META_VERSION": "" });
        let content = json!({ "tags": [], "labels": {}, "args": args });
        assert_eq!(both.content, json!({ "target": { "docker-metadata-action": content } }));
    }
}
