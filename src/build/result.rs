//! What a build did, as data. Every output (table, JSON, metadata file) is rendered from it.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::baseline::Baseline;
use crate::digest::{DiffId, Digest};
use crate::dockerfile::lint::Finding;
use crate::figures::{human, time};
use crate::image::Descriptor;
use crate::plan::Lines;
use crate::platform::Platform;
use crate::request::DockerfileSource;
use crate::weight::{Logged, Weight};

/// A whole build.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// Of what the names stand for: the manifest of the only image, or the index of all.
    pub descriptor: Descriptor,
    /// Normalized.
    pub tags: Vec<String>,
    /// One for each platform, in the order of the request; there is at least one.
    pub platforms: Vec<BuildResult>,
    /// Where it went besides the local store.
    pub written: Vec<Written>,
    /// What the checks of the Dockerfile found.
    pub warnings: Vec<CheckWarning>,
    pub dockerfile: DockerfileSource,
    pub took: Duration,
}

/// A finding in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckWarning {
    pub rule: &'static str,
    /// What the rule is about.
    pub description: &'static str,
    /// Where the rule is explained.
    pub url: Option<String>,
    pub message: String,
    /// Counted from one.
    pub lines: RangeInclusive<usize>,
}

impl From<Finding> for CheckWarning {
    fn from(finding: Finding) -> Self {
        let rule = finding.problem.rule();
        Self {
            rule: rule.name,
            description: rule.description,
            url: rule.url(),
            message: finding.problem.to_string(),
            lines: finding.lines,
        }
    }
}

/// What became of one platform.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BuildResult {
    /// Those that the target needs, in the order of the Dockerfile; the target is among them.
    pub stages: Vec<StageResult>,
    pub image: ImageResult,
    /// Where the request wants it. Too large to stand beside the rest, so it is written by itself.
    #[serde(skip)]
    pub weight: Option<Weight>,
    /// The predicate of the least provenance, where the request wants one.
    #[serde(skip)]
    pub provenance: Option<serde_json::Value>,
    /// An earlier weight, where the request wants one and there is one.
    pub baseline: Option<Baseline>,
    /// The last builds of the base branch and this one, the oldest first.
    pub builds: Vec<Logged>,
    pub notices: Vec<String>,
    /// What `--cache-from` was asked.
    pub looked_in: Vec<LookedIn>,
    /// Those that were brought back or could have changed.
    pub cache_mounts: Vec<CacheMountResult>,
    /// Results that `--cache-to` did not get: they are as quickly made as fetched.
    pub not_saved: Vec<NotSaved>,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageResult {
    /// As the log shows it: `builder`, or `stage-1`.
    pub name: String,
    /// As the Dockerfile names it after expansion: `golang:1.12`, `scratch`, another stage.
    pub base: String,
    /// Its layers are layers of the image.
    pub in_image: bool,
    pub steps: Vec<StepResult>,
    /// From the lowest, the base's included; `None` where nobody knows: the stage was not needed, and
    /// what is known of the image says nothing of it.
    pub layers: Option<Vec<LayerResult>>,
    /// From the start of its first step to the end of its last.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepResult {
    /// `[builder 2/4] RUN go build`
    pub title: String,
    #[serde(serialize_with = "first_and_last")]
    pub lines: Lines,
    #[serde(flatten)]
    pub outcome: Outcome,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
    /// `None` where the step leaves no layer.
    pub layer: Option<LayerResult>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// Why no cached result would do: `changed`, `--no-cache`, `below a step that ran` …
    Ran {
        why: String,
    },
    Cached,
    /// Changes the image's configuration only: nothing to run or to cache.
    Config,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerResult {
    pub diff_id: DiffId,
    /// Sum of the sizes of its files; `None` where nobody had to look inside.
    pub unpacked_bytes: Option<u64>,
    /// The compressed form; `None` where nobody needed one.
    pub blob: Option<BlobResult>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BlobResult {
    pub digest: Digest,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageResult {
    /// Of the manifest.
    pub descriptor: Descriptor,
    /// The digest of the configuration, which is the image ID.
    pub config: Digest,
    pub platform: Platform,
    pub layers: Vec<LayerResult>,
    /// Normalized.
    pub tags: Vec<String>,
    pub annotations: BTreeMap<String, String>,
}

/// A cache that was asked for results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LookedIn {
    pub place: String,
    pub questions: usize,
    /// Entries that were read.
    pub entries: usize,
    /// Of those; bytes.
    pub bytes: u64,
    /// Spent waiting for it.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

/// What became of a cache mount that outlives the machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CacheMountResult {
    /// As the Dockerfile has it.
    pub id: String,
    /// `None` where nothing came from a cache: there was none, or none was needed.
    pub restored: Option<RestoredFrom>,
    /// `None` where no cache was to have it, or none could.
    pub saved: Option<MountSaved>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RestoredFrom {
    pub place: String,
    pub unpacked_bytes: u64,
    pub compressed_bytes: u64,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub took: Duration,
}

impl std::fmt::Display for RestoredFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { place, unpacked_bytes, compressed_bytes, took } = self;
        let (unpacked, compressed) = (human(*unpacked_bytes), human(*compressed_bytes));
        let took = time(*took);
        write!(f, "restored {unpacked} unpacked, {compressed} compressed, from {place} in {took}")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum MountSaved {
    /// It is as it was.
    Unchanged,
    Saved {
        /// Compressed, to all caches.
        bytes: u64,
        #[serde(rename = "seconds", serialize_with = "seconds")]
        took: Duration,
    },
    /// The next build begins with an empty one.
    Dropped { why: String },
    /// The next build has what was saved before.
    NotSaved { why: String },
}

impl std::fmt::Display for MountSaved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unchanged => write!(f, "unchanged"),
            Self::Saved { bytes, took } => {
                write!(f, "saved {} compressed in {}", human(*bytes), time(*took))
            }
            Self::Dropped { why } => write!(f, "dropped: {why}"),
            Self::NotSaved { why } => write!(f, "not saved: {why}"),
        }
    }
}

/// What no cache got of a stage, from its last saved step up to this one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NotSaved {
    pub title: String,
    /// What would have been saved, of all these steps.
    pub bytes: u64,
    /// How long it takes to make that again.
    pub seconds: f64,
}

/// One output, done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    pub kind: WrittenKind,
    /// A reference, a path, or `-` for standard output.
    pub place: String,
    /// What was sent or written.
    pub transferred_bytes: u64,
    /// What was there already.
    pub skipped_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WrittenKind {
    Registry,
    Oci,
    Docker,
    Local,
    Tar,
    Cache,
}

impl Built {
    /// The config of the only image, which is its ID. Several have none in common, nor has an image
    /// in an index.
    #[must_use]
    pub fn config(&self) -> Option<Digest> {
        let only =
            self.only().filter(|only| only.image.descriptor.digest == self.descriptor.digest);
        only.map(|only| only.image.config)
    }

    /// The only platform.
    #[must_use]
    pub fn only(&self) -> Option<&BuildResult> {
        let [only] = self.platforms.as_slice() else { return None };
        Some(only)
    }

    /// What an image is known by, as buildx has it: its config, or else what the names stand for.
    #[must_use]
    pub fn id(&self) -> Digest {
        self.config().unwrap_or(self.descriptor.digest)
    }

    /// How many steps came from the cache, and how many could have.
    #[must_use]
    pub fn cache_hits(&self) -> (usize, usize) {
        let hits = self.platforms.iter().map(BuildResult::cache_hits);
        hits.fold((0, 0), |(hits, all), (more, of)| (hits + more, all + of))
    }
}

impl BuildResult {
    /// How many steps came from the cache, and how many could have.
    #[must_use]
    pub fn cache_hits(&self) -> (usize, usize) {
        let steps = self.stages.iter().flat_map(|stage| &stage.steps);
        count(steps)
    }

    /// For each stage in which something ran, the first step that did, and why.
    pub fn causes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.stages.iter().filter_map(|stage| {
            stage.steps.iter().find_map(|step| match &step.outcome {
                Outcome::Ran { why } => Some((step.title.as_str(), why.as_str())),
                Outcome::Cached | Outcome::Config => None,
            })
        })
    }

    /// Unpacked bytes of the layers that some stage has and the image has not, each counted once;
    /// `None` where one is not known.
    #[must_use]
    pub fn left_behind_bytes(&self) -> Option<u64> {
        let mut counted: HashSet<DiffId> =
            self.image.layers.iter().map(|layer| layer.diff_id).collect();
        let mut bytes = 0;
        for stage in self.stages.iter().filter(|stage| !stage.in_image) {
            for layer in stage.layers.as_ref()? {
                if counted.insert(layer.diff_id) {
                    bytes += layer.unpacked_bytes?;
                }
            }
        }
        Some(bytes)
    }
}

impl StageResult {
    /// As [`BuildResult::cache_hits`], of this stage.
    #[must_use]
    pub fn cache_hits(&self) -> (usize, usize) {
        count(self.steps.iter())
    }

    /// Sum over its layers; `None` where one is not known.
    #[must_use]
    pub fn unpacked_bytes(&self) -> Option<u64> {
        unpacked_bytes(self.layers.as_ref()?)
    }
}

impl ImageResult {
    /// Sum over its layers; `None` where one is not known.
    #[must_use]
    pub fn unpacked_bytes(&self) -> Option<u64> {
        unpacked_bytes(&self.layers)
    }

    /// What a machine that has nothing of it downloads: the layers' blobs; `None` where one was not
    /// made.
    #[must_use]
    pub fn compressed_bytes(&self) -> Option<u64> {
        self.layers.iter().map(|layer| layer.blob.map(|blob| blob.bytes)).sum()
    }
}

fn unpacked_bytes(layers: &[LayerResult]) -> Option<u64> {
    layers.iter().map(|layer| layer.unpacked_bytes).sum()
}

fn count<'a>(steps: impl Iterator<Item = &'a StepResult>) -> (usize, usize) {
    steps.fold((0, 0), |(hits, all), step| match step.outcome {
        Outcome::Cached => (hits + 1, all + 1),
        Outcome::Ran { .. } => (hits, all + 1),
        Outcome::Config => (hits, all),
    })
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn first_and_last<S: Serializer>(lines: &Lines, serializer: S) -> Result<S::Ok, S::Error> {
    [lines.first, lines.last].serialize(serializer)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn layer(name: &str, unpacked: u64, compressed: u64) -> LayerResult {
        LayerResult {
            diff_id: DiffId::of(name.as_bytes()),
            unpacked_bytes: Some(unpacked),
            blob: Some(BlobResult { digest: Digest::of(name.as_bytes()), bytes: compressed }),
        }
    }

    pub(crate) fn step(title: &str, line: usize, outcome: Outcome, millis: u64) -> StepResult {
        StepResult {
            title: title.to_owned(),
            lines: (line..=line).into(),
            outcome,
            took: Duration::from_millis(millis),
            layer: None,
        }
    }

    /// The Go program on Alpine.
    pub(crate) fn go_multistage() -> Built {
        let platform = go_platform();
        Built {
            descriptor: platform.image.descriptor.clone(),
            tags: platform.image.tags.clone(),
            platforms: vec![platform],
            written: vec![Written {
                kind: WrittenKind::Registry,
                place: "ghcr.io/a/b:1".to_owned(),
                transferred_bytes: 1_050_900,
                skipped_bytes: 3_400_000,
            }],
            warnings: vec![CheckWarning {
                rule: "StageNameCasing",
                description: "Stage names should be lowercase.",
                url: Some("https://checks.example/stage-name-casing".to_owned()),
                message: "Stage name 'B' should be lowercase".to_owned(),
                lines: 2..=3,
            }],
            dockerfile: DockerfileSource {
                name: "Dockerfile".to_owned(),
                bytes: b"FROM a\nFROM b \\\n  AS B\n".to_vec(),
                ignore: None,
            },
            took: Duration::from_millis(13_100),
        }
    }

    pub(crate) fn go_platform() -> BuildResult {
        let ran = || Outcome::Ran { why: "new".to_owned() };
        let golang =
            [layer("debian", 150_000_000, 50_000_000), layer("go", 650_000_000, 220_000_000)];
        let alpine = layer("alpine", 7_800_000, 3_400_000);
        let builder = [layer("copy", 1_200, 600), layer("build", 9_300_000, 4_200_000)];
        let image = vec![alpine, layer("myapp", 1_950_000, 1_050_000)];
        BuildResult {
            stages: vec![
                StageResult {
                    name: "builder".to_owned(),
                    base: "golang:1.12".to_owned(),
                    in_image: false,
                    steps: vec![
                        step("[builder 2/4] WORKDIR /app", 3, Outcome::Cached, 0),
                        step("[builder 3/4] COPY . .", 4, ran(), 20),
                        step("[builder 4/4] RUN go build -o myapp", 5, ran(), 12_300),
                    ],
                    layers: Some(golang.into_iter().chain(builder).collect()),
                    took: Duration::from_millis(12_340),
                },
                StageResult {
                    name: "stage-1".to_owned(),
                    base: "alpine:latest".to_owned(),
                    in_image: true,
                    steps: vec![
                        step("[stage-1 2/3] WORKDIR /root/", 9, Outcome::Cached, 0),
                        step("[stage-1 3/3] COPY --from=builder /app/myapp .", 10, ran(), 40),
                        step("CMD [\"./myapp\"]", 11, Outcome::Config, 0),
                    ],
                    layers: Some(image.clone()),
                    took: Duration::from_millis(60),
                },
            ],
            image: ImageResult {
                descriptor: Descriptor::new(
                    crate::image::media_type::OCI_MANIFEST,
                    Digest::of(b"manifest"),
                    612,
                ),
                config: Digest::of(b"config"),
                platform: Platform::from_str("linux/amd64").unwrap(),
                layers: image,
                tags: vec!["docker.io/library/app:latest".to_owned(), "ghcr.io/a/b:1".to_owned()],
                annotations: BTreeMap::new(),
            },
            looked_in: Vec::new(),
            cache_mounts: Vec::new(),
            not_saved: Vec::new(),
            weight: None,
            provenance: None,
            baseline: None,
            builds: Vec::new(),
            notices: Vec::new(),
            took: Duration::from_millis(13_100),
        }
    }

    use std::str::FromStr as _;

    #[test]
    fn hits_and_sizes_are_sums() {
        let mut result = go_platform();
        assert_eq!(result.cache_hits(), (2, 5));
        assert_eq!(result.stages[1].cache_hits(), (1, 2));
        assert_eq!(result.stages[0].unpacked_bytes(), Some(809_301_200));
        assert_eq!(result.image.unpacked_bytes(), Some(9_750_000));
        assert_eq!(result.image.compressed_bytes(), Some(4_450_000));
        assert_eq!(result.left_behind_bytes(), Some(809_301_200));

        // A second stage on the same base adds nothing, and a layer of the image is not left behind.
        let mut test = result.stages[0].clone();
        test.layers.as_mut().unwrap().push(result.image.layers[0].clone());
        result.stages.insert(1, test);
        assert_eq!(result.left_behind_bytes(), Some(809_301_200));

        result.stages[0].layers.as_mut().unwrap()[0].unpacked_bytes = None;
        assert_eq!(result.left_behind_bytes(), None);
        assert_eq!(result.stages[0].unpacked_bytes(), None);
        result.stages[1].layers = None;
        assert_eq!(result.left_behind_bytes(), None);
        assert_eq!(result.stages[1].unpacked_bytes(), None);
    }

    #[test]
    fn json_has_bytes_as_integers_and_outcomes_by_name() {
        let json = serde_json::to_value(go_platform()).unwrap();
        let step = &json["stages"][0]["steps"][2];
        assert_eq!(step["outcome"], "ran");
        assert_eq!(step["why"], "new");
        assert_eq!(step["lines"], serde_json::json!([5, 5]));
        assert_eq!(json["image"]["layers"][0]["unpacked_bytes"], 7_800_000);
        assert_eq!(json["seconds"], 13.1);
    }
}
