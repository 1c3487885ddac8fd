//! What the image is called: the `tags`, `images`, `flavor`, `labels` and `annotations` inputs,
//! folded into whole names.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::event::{Event, Variables};
use super::inputs::Inputs;
use super::list::{ListRules, fields, list, quoted};
use super::metadata::{self, Facts, Image, Metadata, MetadataError, Rules, metadata};

/// Names and labels of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// `[HOST/]PATH:TAG`, as they were given or made.
    pub names: Vec<String>,
    /// Its `tags` are without `names` that were given whole.
    pub metadata: Metadata,
    /// Names were given for tags, as metadata-action has them.
    pub(super) has_images: bool,
    /// Every name was given whole, so that another step may have made them.
    pub(super) is_whole: bool,
    /// Of which levels the outputs say that annotations are.
    pub(super) levels: Vec<String>,
    /// `LEVEL:NAME=VALUE`, as they were given.
    pub(super) of_levels: Vec<String>,
}

impl Naming {
    /// The `json` output, with metadata-action's keys.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "tags": self.names,
            "tag-names": self.metadata.tag_names,
            "labels": self.metadata.labels,
            "annotations": self.annotations(),
        })
    }

    /// The labels that the image must have, and those that it has unless the Dockerfile says
    /// otherwise. Who names no images has used build-push-action alone, which sets none by itself.
    #[must_use]
    pub fn labels(&self) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let is_default = |name: &String| !self.has_images && self.metadata.derived.contains(name);
        self.metadata.labels.clone().into_iter().partition(|(name, _)| !is_default(name))
    }

    /// Whether variables for later steps say what the image is called. Whole names may be those of
    /// metadata-action, whose own variables stay then.
    #[must_use]
    pub fn is_exported(&self) -> bool {
        self.has_images || !self.is_whole
    }

    /// `LEVEL:NAME=VALUE`
    #[must_use]
    pub fn annotations(&self) -> Vec<String> {
        let of = |level: &String| self.of_event(level);
        self.levels.iter().flat_map(of).chain(self.of_levels.iter().cloned()).collect()
    }

    /// As the image gets them: those without a level are of all levels that the outputs say where there
    /// is an index, else of the manifest.
    #[must_use]
    pub fn annotations_to_set(&self, has_index: bool) -> Vec<String> {
        match has_index {
            true => self.annotations(),
            false => [self.of_event("manifest"), self.of_levels.clone()].concat(),
        }
    }

    /// Those that were given without a level, too.
    fn of_event(&self, level: &str) -> Vec<String> {
        let all = self.metadata.annotations.iter();
        all.map(|(name, value)| format!("{level}:{name}={value}")).collect()
    }
}

/// Applies the inputs to the event. `committed` is the time of the commit, where the event or the
/// checkout says it.
///
/// A line of `tags` is a rule where it has `type=` or other attributes, else a whole name. Where there
/// are `images`, it is a rule as well unless it is a name of one of them: `type=raw` is what
/// metadata-action takes an untyped line for.
pub fn naming(
    inputs: &Inputs,
    event: &Event,
    variables: &Variables,
    now: Timestamp,
    committed: Option<Timestamp>,
) -> Result<Naming, MetadataError> {
    let lines = list(inputs.raw("tags"), ListRules::COMMENTED);
    let has_images = inputs.some("images").is_some();
    let images = metadata::images(inputs.raw("images"))?;
    let names_of = |line: &String| list(line, ListRules::COMMAS);
    let whole = |line: &String| {
        let fields = fields(line);
        // `NAME,enable=true` is short for `type=raw,value=NAME,enable=true`.
        let rule = fields.iter().any(|field| field.trim_start().starts_with("type="))
            || fields.iter().skip(1).any(|field| field.contains('='));
        !rule && (!has_images || names_of(line).iter().all(|name| is_of(name, &images)))
    };
    let (names, rules): (Vec<String>, Vec<String>) = lines.into_iter().partition(whole);
    let mut names: Vec<String> = names.iter().flat_map(names_of).collect();
    // Whole names are all that there is, unless there are rules beside them.
    let made = names.is_empty() || !rules.is_empty();
    let default_image = format!("ghcr.io/{}", event.repository);
    let images = if has_images { inputs.raw("images") } else { &default_image };
    let mut annotations = inputs.list("annotations", ListRules::LINES);
    // A comment of metadata-action's, and no name that anybody wants.
    annotations.retain(|line| !line.starts_with('#'));
    let (of_levels, annotations): (Vec<String>, Vec<String>) =
        annotations.into_iter().partition(|line| has_levels(line));
    let mut rules = Rules::parse(
        images,
        &rules.join("\n"),
        inputs.raw("flavor"),
        inputs.raw("labels"),
        &annotations.iter().map(|line| quoted(line)).collect::<Vec<_>>().join("\n"),
    )?;
    let mut tag_names: Vec<String> =
        names.iter().filter_map(|name| tag_of(name)).map(str::to_owned).collect();
    if !(has_images && made) {
        rules.version = names.first().and_then(|name| tag_of(name)).map(str::to_owned);
    }
    rules.no_empty = !has_images;
    let mut metadata = metadata(&rules, &facts(event, variables, now, committed)?)?;
    if made {
        names.extend(metadata.tags.iter().cloned());
        tag_names.append(&mut metadata.tag_names);
    }
    metadata.tag_names = once_each(tag_names);
    let names = once_each(names);
    let levels =
        variables.get("DOCKER_METADATA_ANNOTATIONS_LEVELS").filter(|text| !text.is_empty());
    let levels = levels.map_or("manifest", String::as_str).split(',').map(str::to_owned).collect();
    Ok(Naming { names, metadata, has_images, is_whole: !made, levels, of_levels })
}

fn once_each(mut names: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The tag of a whole name.
fn tag_of(name: &str) -> Option<&str> {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    // The port of a registry has a path behind it.
    name.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'))
}

/// Whether it is one of the images with a tag.
fn is_of(name: &str, images: &[Image]) -> bool {
    let is_tag = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    name.rsplit_once(':').is_some_and(|(image, tag)| {
        is_tag(tag) && images.iter().any(|known| known.name.to_lowercase() == image.to_lowercase())
    })
}

/// Whether a name begins with levels, as `manifest[linux/arm64],index:NAME` does. What stands before a
/// colon may be part of the name.
fn has_levels(line: &str) -> bool {
    let known = ["manifest", "index", "index-descriptor", "manifest-descriptor"];
    let name = line.split('=').next().unwrap_or_default();
    let Some((levels, _)) = name.split_once(':') else { return false };
    let mut bases = levels.split(',').map(|level| level.split('[').next().unwrap_or_default());
    bases.all(|base| known.contains(&base))
}

pub(super) fn facts(
    event: &Event,
    variables: &Variables,
    now: Timestamp,
    committed: Option<Timestamp>,
) -> Result<Facts, MetadataError> {
    let of_head = variables
        .get("DOCKER_METADATA_PR_HEAD_SHA")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let head = event.pull_request.as_ref().filter(|_| of_head).map(|pull| &pull.head_sha);
    let short_sha = match variables.get("DOCKER_METADATA_SHORT_SHA_LENGTH").map(String::as_str) {
        None | Some("") => 7,
        Some(text) => text.parse().map_err(|_| {
            MetadataError(format!(
                "expected a whole number in DOCKER_METADATA_SHORT_SHA_LENGTH but found {text:?}"
            ))
        })?,
    };
    Ok(Facts {
        event: event.name.clone(),
        git_ref: event.git_ref.clone(),
        sha: head.unwrap_or(&event.sha).clone(),
        short_sha,
        base_ref: event.base_ref.clone(),
        default_branch: event.default_branch.clone(),
        repository: event.about.clone(),
        now,
        committed: event.committed.or(committed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(rows: &[(&str, &str)]) -> Variables {
        rows.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    fn named(inputs: &[(&str, &str)]) -> Naming {
        let event = variables(&[
            ("GITHUB_REPOSITORY", "Acme/Boat"),
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_REF", "refs/tags/v1.2.3"),
            ("GITHUB_SHA", "860c1904a1ce19322e91ac35af1ab07466440c37"),
        ]);
        let event = Event::read(&event, b"").unwrap();
        let inputs = Inputs::of(&variables(inputs));
        naming(&inputs, &event, &variables(&[]), Timestamp::UNIX_EPOCH, None).unwrap()
    }

    #[test]
    fn names_are_given_or_made() {
        let rows: &[(&[(&str, &str)], &str)] = &[
            (&[], "ghcr.io/acme/boat:v1.2.3 ghcr.io/acme/boat:latest"),
            (&[("INPUT_TAGS", "acme/boat:1\nquay.io/a/b:2,c:3")], "acme/boat:1 quay.io/a/b:2 c:3"),
            (&[("INPUT_TAGS", "boat")], "boat"),
            (&[("INPUT_TAGS", "type=sha")], "ghcr.io/acme/boat:sha-860c190"),
            (
                &[("INPUT_IMAGES", "acme/boat"), ("INPUT_TAGS", "one\ntype=sha")],
                "acme/boat:one acme/boat:sha-860c190",
            ),
            (&[("INPUT_IMAGES", "acme/boat")], "acme/boat:v1.2.3 acme/boat:latest"),
            (
                &[("INPUT_IMAGES", "a"), ("INPUT_TAGS", "quay.io/x:1\ntype=raw,value=y")],
                "a:quay.io-x-1 a:y",
            ),
            (
                &[("INPUT_IMAGES", "ghcr.io/acme/boat"), ("INPUT_TAGS", "feature/foo\n1:2")],
                "ghcr.io/acme/boat:feature-foo ghcr.io/acme/boat:1-2",
            ),
            (
                &[("INPUT_IMAGES", "reg:5000/Boat\nb"), ("INPUT_TAGS", "reg:5000/boat:x,b:y")],
                "reg:5000/boat:x b:y",
            ),
            (
                &[("INPUT_IMAGES", "a"), ("INPUT_TAGS", "a:1/b\na:{{tag}}\na@sha256:00")],
                "a:a-1-b a:a-v1.2.3 a:a-sha256-00",
            ),
            (
                &[("INPUT_IMAGES", "a\nb"), ("INPUT_TAGS", "a:x\ntype=raw,value=y\nb")],
                "a:x a:y a:b b:y b:b",
            ),
            (
                &[
                    ("INPUT_IMAGES", "a"),
                    ("INPUT_TAGS", "x,prefix=feat/\n{{date 'HH:mm'}}\nno,enable=false"),
                ],
                "a:feat-x a:00-00",
            ),
            (&[("INPUT_TAGS", "x:1\nx:1")], "x:1"),
            (
                &[
                    ("INPUT_TAGS", "type=semver,pattern={{major}}"),
                    ("INPUT_FLAVOR", "latest=false"),
                ],
                "ghcr.io/acme/boat:1",
            ),
        ];
        for (inputs, expected) in rows {
            assert_eq!(named(inputs).names.join(" "), *expected, "{inputs:?}");
        }
    }

    #[test]
    fn a_version_is_that_of_the_first_name() {
        let images = ("INPUT_IMAGES", "a");
        for (inputs, version, tags) in [
            (&[("INPUT_TAGS", "acme/boat:1.2,acme/boat:latest")][..], "1.2", "1.2 latest"),
            (&[("INPUT_TAGS", "x/y:1.2@sha256:00\ntype=sha")], "1.2", "1.2 sha-860c190"),
            (&[("INPUT_TAGS", "reg:5000/boat")], "v1.2.3", ""),
            (&[images, ("INPUT_TAGS", "a:2")], "2", "2"),
            (&[images, ("INPUT_TAGS", "a:2\ntype=ref,event=tag")], "v1.2.3", "2 v1.2.3 latest"),
            (&[images, ("INPUT_TAGS", "type=sha")], "sha-860c190", "sha-860c190"),
        ] {
            let Naming { metadata, .. } = named(inputs);
            assert_eq!(metadata.version.as_deref(), Some(version), "{inputs:?}");
            assert_eq!(metadata.labels["org.opencontainers.image.version"], version);
            assert_eq!(metadata.annotations["org.opencontainers.image.version"], version);
            assert_eq!(metadata.tag_names.join(" "), tags, "{inputs:?}");
        }
    }

    #[test]
    fn variables_are_left_to_the_step_that_made_the_names() {
        let (images, rule) = (("INPUT_IMAGES", "x"), ("INPUT_TAGS", "x:1\ntype=sha"));
        for (inputs, expected) in [
            (&[("INPUT_TAGS", "x:1,x:2")][..], false),
            (&[], true),
            (&[rule], true),
            (&[images, ("INPUT_TAGS", "x:1")], true),
        ] {
            assert_eq!(named(inputs).is_exported(), expected, "{inputs:?}");
        }
    }

    #[test]
    fn labels_of_the_event_are_defaults_unless_images_are_named() {
        let labels = ("INPUT_LABELS", "org.opencontainers.image.title=Own\nother=");
        let (given, defaults) = named(&[("INPUT_TAGS", "x:1"), labels]).labels();
        assert_eq!(given.keys().collect::<Vec<_>>(), ["org.opencontainers.image.title", "other"]);
        let names = ["created", "revision", "source", "url", "version"];
        let names = names.map(|name| format!("org.opencontainers.image.{name}"));
        assert_eq!(defaults.keys().cloned().collect::<Vec<_>>(), names, "none is empty");
        let (given, defaults) = named(&[("INPUT_IMAGES", "x"), labels]).labels();
        assert_eq!((given.len(), defaults.len()), (9, 0));
        assert_eq!(given["org.opencontainers.image.description"], "");
    }

    #[test]
    fn annotations_have_levels_where_they_were_given_or_there_is_an_index() {
        let lines = "index:a=1\nmanifest[linux/arm64]:b=2\nc=3\nu:r:l=4\n  # note=5\n#d=6\n";
        let mut naming = named(&[("INPUT_TAGS", "x:1"), ("INPUT_ANNOTATIONS", lines)]);
        naming.levels = vec!["index".to_owned()];
        let sorted = |has_index| {
            let mut all = naming.annotations_to_set(has_index);
            all.retain(|line| !line.contains("org.opencontainers"));
            all.sort();
            all
        };
        let several = ["index:a=1", "index:c=3", "index:u:r:l=4", "manifest[linux/arm64]:b=2"];
        assert_eq!(sorted(true), several);
        let one = ["index:a=1", "manifest:c=3", "manifest:u:r:l=4", "manifest[linux/arm64]:b=2"];
        assert_eq!(sorted(false), one);
    }

    #[test]
    fn labels_and_annotations_come_along() {
        let naming = named(&[
            ("INPUT_TAGS", "x:1"),
            ("INPUT_LABELS", "a=1"),
            ("INPUT_ANNOTATIONS", "manifest:b=2\nu:r:l=5"),
        ]);
        assert_eq!(naming.metadata.labels["a"], "1");
        assert_eq!(naming.metadata.annotations["u:r:l"], "5");
        assert!(naming.annotations().contains(&"manifest:u:r:l=5".to_owned()));
        assert!(naming.annotations().contains(&"manifest:b=2".to_owned()));
        assert_eq!(naming.json()["tags"], json!(["x:1"]));
        assert_eq!(naming.json()["labels"]["org.opencontainers.image.version"], "1");
    }
}
