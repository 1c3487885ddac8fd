//! How an image was made, as a predicate of SLSA. What the fields mean is in docs/provenance.md.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Attestation, DigestSet, Mode, ProvenanceOptions, SlsaVersion, Vcs};
use crate::platform::Platform;

/// Where it says what a predicate means.
const BUILD_TYPE: &str = "https://github.com/plimsoll-build/plimsoll/blob/main/docs/provenance.md";

/// What is known of how an image was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Of the image.
    pub platform: Platform,
    /// Of the machine.
    pub builder_platform: Platform,
    /// Of this program.
    pub program_version: &'static str,
    pub context: Context,
    /// As the context has it; `None` where it came on standard input.
    pub dockerfile_path: Option<String>,
    pub dockerfile: Vec<u8>,
    pub arguments: Arguments,
    /// The ids of those that steps have.
    pub secrets: BTreeSet<String>,
    /// Likewise.
    pub ssh: BTreeSet<String>,
    /// The names of what was read of this machine's disk or of standard input, and has no digest.
    pub locals: BTreeSet<String>,
    /// What came from elsewhere.
    pub materials: BTreeSet<Material>,
    pub stages: Vec<StageSteps>,
    pub source_date_epoch: Option<i64>,
}

/// What a user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    pub target: Option<String>,
    pub build_args: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// Named contexts: where they are, as a log may show it.
    pub contexts: BTreeMap<String, String>,
    /// `none` or `host`.
    pub network: Option<&'static str>,
}

/// Where the main context is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Context {
    /// Nowhere else.
    #[default]
    Local,
    From(Material),
    Git(GitCommit),
}

/// A commit of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitCommit {
    /// Without credentials, with the reference.
    pub url: String,
    /// Empty for all of it.
    pub subdirectory: String,
    pub commit: String,
}

/// Something with a digest that a build has read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Material {
    pub uri: String,
    pub digest: DigestSet,
}

/// One stage, as the build had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StageSteps {
    pub name: String,
    pub base: String,
    pub steps: Vec<StepKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepKey {
    pub title: String,
    /// Lines of the Dockerfile.
    pub lines: (usize, usize),
    /// The digest of the step's definition and of all that it reads.
    pub key: String,
}

/// The provenance of an image. The same values give the same bytes, in every run.
#[must_use]
pub fn predicate(capture: &Capture, options: &ProvenanceOptions) -> Attestation {
    let parts = Parts::of(capture, options);
    let (predicate_type, predicate) = match options.version {
        SlsaVersion::V1 => ("https://slsa.dev/provenance/v1", parts.v1()),
        SlsaVersion::V02 => ("https://slsa.dev/provenance/v0.2", parts.v02()),
    };
    let inline_only = options.inline_only;
    Attestation { predicate_type, file_name: "provenance.json", inline_only, predicate }
}

/// What both versions of the predicate say in their own words.
struct Parts<'a> {
    capture: &'a Capture,
    options: &'a ProvenanceOptions,
    request: Value,
    /// The request tells all that was asked for.
    is_request_whole: bool,
    vcs: Vcs,
}

impl<'a> Parts<'a> {
    fn of(capture: &'a Capture, options: &'a ProvenanceOptions) -> Self {
        let Capture { arguments, .. } = capture;
        let max = options.mode == Mode::Max;
        let mut args = BTreeMap::new();
        let mut set = |name: String, value: &str| args.insert(name, value.to_owned());
        set("platform".to_owned(), &capture.platform.to_string());
        if let Some(target) = &arguments.target {
            set("target".to_owned(), target);
        }
        if let Some(network) = arguments.network {
            set("force-network-mode".to_owned(), network);
        }
        for (name, place) in &arguments.contexts {
            set(format!("context:{name}"), place);
        }
        if max {
            for (name, value) in &arguments.build_args {
                set(format!("build-arg:{name}"), value);
            }
            for (name, value) in &arguments.labels {
                set(format!("label:{name}"), value);
            }
        }
        let mut request = Map::new();
        request.insert("frontend".to_owned(), json!("dockerfile.v0"));
        request.insert("args".to_owned(), json!(args));
        let named = |key: &str, names: &BTreeSet<String>| -> Value {
            names.iter().map(|name| json!({ key: name })).collect()
        };
        for (key, inner, names, is_told) in [
            ("locals", "name", &capture.locals, true),
            ("secrets", "id", &capture.secrets, max),
            ("ssh", "id", &capture.ssh, max),
        ] {
            if is_told && !names.is_empty() {
                request.insert(key.to_owned(), named(inner, names));
            }
        }
        let is_plain = arguments.build_args.is_empty() && arguments.labels.is_empty();
        // Of a context that was fetched the materials say it.
        let is_local = matches!(capture.context, Context::Local);
        Self {
            capture,
            options,
            request: Value::Object(request),
            is_request_whole: max || is_plain,
            vcs: if is_local { options.vcs.clone() } else { Vcs::default() },
        }
    }

    fn v1(&self) -> Value {
        let mut internal = Map::new();
        let builder_platform = self.capture.builder_platform.to_string();
        internal.insert("builderPlatform".to_owned(), json!(builder_platform));
        if let Some(epoch) = self.capture.source_date_epoch {
            internal.insert("sourceDateEpoch".to_owned(), json!(epoch));
        }
        if let Some(config) = self.build_config() {
            internal.insert("buildConfig".to_owned(), config);
        }
        let mut metadata = Map::new();
        metadata.insert("buildkit_metadata".to_owned(), self.metadata());
        metadata.insert(
            "buildkit_completeness".to_owned(),
            json!({
                "request": self.is_request_whole,
                "resolvedDependencies": self.capture.locals.is_empty(),
            }),
        );
        if self.options.reproducible {
            metadata.insert("buildkit_reproducible".to_owned(), json!(true));
        }
        json!({
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "configSource": self.config_source("path"),
                    "request": self.request,
                },
                "internalParameters": internal,
                "resolvedDependencies": self.capture.materials,
            },
            "runDetails": {
                "builder": {
                    "id": self.builder_id(),
                    "version": { "plimsoll": self.capture.program_version },
                },
                "metadata": metadata,
            },
        })
    }

    fn v02(&self) -> Value {
        let builder_platform = self.capture.builder_platform.to_string();
        let mut environment = Map::new();
        environment.insert("platform".to_owned(), json!(builder_platform));
        environment.insert("plimsoll".to_owned(), json!(self.capture.program_version));
        if let Some(epoch) = self.capture.source_date_epoch {
            environment.insert("sourceDateEpoch".to_owned(), json!(epoch));
        }
        let mut predicate = json!({
            "builder": { "id": self.builder_id() },
            "buildType": BUILD_TYPE,
            "invocation": {
                "configSource": self.config_source("entryPoint"),
                "parameters": self.request,
                "environment": environment,
            },
            "materials": self.capture.materials,
            "metadata": {
                "completeness": {
                    "parameters": self.is_request_whole,
                    "environment": true,
                    "materials": self.capture.locals.is_empty(),
                },
                "reproducible": self.options.reproducible,
                "https://mobyproject.org/buildkit@v1#metadata": self.metadata(),
            },
        });
        if let Some(config) = self.build_config() {
            predicate["buildConfig"] = config;
        }
        predicate
    }

    /// Empty where nobody is named: the field has to be there.
    fn builder_id(&self) -> &str {
        self.options.builder_id.as_deref().unwrap_or_default()
    }

    /// Where the Dockerfile is; its path is called `path_key`.
    fn config_source(&self, path_key: &str) -> Value {
        let mut source = Map::new();
        let place = match &self.capture.context {
            Context::Local => None,
            Context::From(material) => Some((material.uri.clone(), material.digest.clone())),
            Context::Git(git) => {
                let uri = git_place(&git.url, &git.subdirectory);
                Some((uri, DigestSet::of_commit(&git.commit)))
            }
        };
        if let Some((uri, digest)) = place {
            source.insert("uri".to_owned(), json!(uri));
            source.insert("digest".to_owned(), json!(digest));
        }
        if let Some(path) = &self.capture.dockerfile_path {
            source.insert(path_key.to_owned(), json!(path));
        }
        Value::Object(source)
    }

    fn build_config(&self) -> Option<Value> {
        let max = self.options.mode == Mode::Max;
        max.then(|| json!({ "stages": self.capture.stages }))
    }

    fn metadata(&self) -> Value {
        let mut metadata = Map::new();
        if self.vcs != Vcs::default() {
            metadata.insert("vcs".to_owned(), json!(self.vcs));
        }
        if self.options.mode == Mode::Max {
            let name = self.capture.dockerfile_path.as_deref();
            let file = json!({
                "filename": name.unwrap_or("Dockerfile"),
                "language": "Dockerfile",
                "data": BASE64.encode(&self.capture.dockerfile),
            });
            metadata.insert("source".to_owned(), json!({ "infos": [file] }));
        }
        Value::Object(metadata)
    }
}

impl GitCommit {
    #[must_use]
    pub fn material(&self) -> Material {
        Material { uri: self.url.clone(), digest: DigestSet::of_commit(&self.commit) }
    }
}

/// `URL#REFERENCE:FOLDER`, as BuildKit writes it; `url` has its reference.
#[must_use]
pub fn git_place(url: &str, subdirectory: &str) -> String {
    match (subdirectory.is_empty(), url.contains('#')) {
        (true, _) => url.to_owned(),
        (false, true) => format!("{url}:{subdirectory}"),
        (false, false) => format!("{url}#:{subdirectory}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn text(name: &str) -> String {
        name.to_owned()
    }

    fn capture() -> Capture {
        let one = |name: &str, value: &str| BTreeMap::from([(text(name), text(value))]);
        Capture {
            platform: "linux/arm64".parse().unwrap(),
            builder_platform: "linux/amd64".parse().unwrap(),
            program_version: "1.2.3",
            context: Context::Local,
            dockerfile_path: Some(text("app/Dockerfile")),
            dockerfile: b"FROM alpine\n".to_vec(),
            arguments: Arguments {
                target: Some(text("app")),
                build_args: one("A", "argued"),
                labels: one("b", "labeled"),
                contexts: one("more", "https://example.com/more.git#main"),
                network: Some("none"),
            },
            secrets: BTreeSet::from([text("token")]),
            ssh: BTreeSet::from([text("default")]),
            locals: BTreeSet::from([text("context"), text("dockerfile")]),
            materials: BTreeSet::from([Material {
                uri: text("pkg:docker/alpine@latest?platform=linux%2Farm64"),
                digest: DigestSet::from(&Digest::of(b"alpine")),
            }]),
            stages: vec![StageSteps {
                name: text("app"),
                base: text("alpine"),
                steps: vec![StepKey { title: text("RUN a"), lines: (2, 3), key: text("abc") }],
            }],
            source_date_epoch: Some(5),
        }
    }

    fn options(mode: Mode, version: SlsaVersion) -> ProvenanceOptions {
        let vcs = Vcs { source: None, revision: Some("1".repeat(40)) };
        let builder_id = Some(text("https://example.com/me"));
        ProvenanceOptions { mode, version, builder_id, vcs, ..ProvenanceOptions::default() }
    }

    #[test]
    fn the_least_has_names_and_no_values() {
        let said = predicate(&capture(), &options(Mode::Min, SlsaVersion::V1)).predicate;
        assert_eq!(
            said,
            json!({
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "configSource": { "path": "app/Dockerfile" },
                        "request": {
                            "frontend": "dockerfile.v0",
                            "args": {
                                "platform": "linux/arm64",
                                "target": "app",
                                "force-network-mode": "none",
                                "context:more": "https://example.com/more.git#main",
                            },
                            "locals": [{ "name": "context" }, { "name": "dockerfile" }],
                        },
                    },
                    "internalParameters": {
                        "builderPlatform": "linux/amd64",
                        "sourceDateEpoch": 5,
                    },
                    "resolvedDependencies": [{
                        "uri": "pkg:docker/alpine@latest?platform=linux%2Farm64",
                        "digest": { "sha256": Digest::of(b"alpine").hex() },
                    }],
                },
                "runDetails": {
                    "builder": {
                        "id": "https://example.com/me",
                        "version": { "plimsoll": "1.2.3" },
                    },
                    "metadata": {
                        "buildkit_metadata": { "vcs": { "revision": "1".repeat(40) } },
                        "buildkit_completeness": {
                            "request": false,
                            "resolvedDependencies": false,
                        },
                    },
                },
            })
        );
    }

    #[test]
    fn the_most_has_values_the_dockerfile_and_its_steps() {
        let options = options(Mode::Max, SlsaVersion::V1);
        let reproducible = ProvenanceOptions { reproducible: true, ..options };
        let said = predicate(&capture(), &reproducible).predicate;
        let request = &said["buildDefinition"]["externalParameters"]["request"];
        assert_eq!(request["args"]["build-arg:A"], "argued");
        assert_eq!(request["args"]["label:b"], "labeled");
        assert_eq!(request["secrets"], json!([{ "id": "token" }]));
        assert_eq!(request["ssh"], json!([{ "id": "default" }]));
        let config = &said["buildDefinition"]["internalParameters"]["buildConfig"];
        let step = json!({ "title": "RUN a", "lines": [2, 3], "key": "abc" });
        assert_eq!(config["stages"][0]["steps"], json!([step]));
        let metadata = &said["runDetails"]["metadata"];
        let file = &metadata["buildkit_metadata"]["source"]["infos"][0];
        assert_eq!(file["data"], "RlJPTSBhbHBpbmUK");
        assert_eq!(metadata["buildkit_reproducible"], true);
        assert_eq!(metadata["buildkit_completeness"]["request"], true);
    }

    #[test]
    fn the_older_version_says_the_same() {
        let said = predicate(&capture(), &options(Mode::Max, SlsaVersion::V02));
        assert_eq!(said.predicate_type, "https://slsa.dev/provenance/v0.2");
        let said = said.predicate;
        assert_eq!(said["builder"]["id"], "https://example.com/me");
        assert_eq!(said["invocation"]["configSource"]["entryPoint"], "app/Dockerfile");
        assert_eq!(said["invocation"]["parameters"]["args"]["build-arg:A"], "argued");
        assert_eq!(said["materials"].as_array().unwrap().len(), 1);
        assert_eq!(said["metadata"]["completeness"]["materials"], false);
        assert_eq!(said["buildConfig"]["stages"][0]["name"], "app");
    }

    #[test]
    fn a_context_from_elsewhere_is_the_source() {
        let commit = "2".repeat(40);
        let git = |url: &str, subdirectory: &str| {
            let git = GitCommit {
                url: text(url),
                subdirectory: text(subdirectory),
                commit: commit.clone(),
            };
            let materials = BTreeSet::from([git.material()]);
            Capture { context: Context::Git(git), materials, locals: BTreeSet::new(), ..capture() }
        };
        for (capture, uri) in [
            (git("https://e.com/a.git#main", "sub"), "https://e.com/a.git#main:sub"),
            (git("https://e.com/a.git", "sub"), "https://e.com/a.git#:sub"),
            (git("https://e.com/a.git#v1", ""), "https://e.com/a.git#v1"),
        ] {
            let said = predicate(&capture, &options(Mode::Min, SlsaVersion::V1)).predicate;
            let source = &said["buildDefinition"]["externalParameters"]["configSource"];
            assert_eq!((&source["uri"], &source["digest"]["sha1"]), (&json!(uri), &json!(commit)));
            let metadata = &said["runDetails"]["metadata"];
            assert_eq!(metadata["buildkit_completeness"]["resolvedDependencies"], true);
            assert!(metadata["buildkit_metadata"].get("vcs").is_none(), "{metadata}");
        }
    }
}
