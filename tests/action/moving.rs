//! Workflows of those who come from the actions that this one replaces: what they say must go on
//! meaning what it did.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::fake_registry::{FakeRegistry, Options};
use super::github::FakeGithub;
use super::runner::Runner;

/// Puts a program `docker` before all others; it keeps the archive and its environment in `docker/`.
fn docker(runner: &mut Runner, ends: &str) {
    let folder = runner.path("docker");
    fs::create_dir(&folder).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$@\" >{0}/arguments\nenv >{0}/environment\ncp \"$4\" {0}/archive\n{ends}\n",
        folder.display()
    );
    fs::write(folder.join("docker"), script).unwrap();
    fs::set_permissions(folder.join("docker"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    runner.set("PATH", &format!("{}:{path}", folder.display()));
}

#[test]
fn an_image_is_loaded_into_docker() {
    let mut runner = Runner::new();
    docker(&mut runner, "");
    runner.input("load", "true");
    runner.input("push", "auto");
    runner.input("tags", "acme/boat:1");
    let ended = runner.built();
    assert_eq!(ended.output("pushed"), "false");
    let read = |name: &str| fs::read(runner.path("docker").join(name)).unwrap();
    let arguments = String::from_utf8(read("arguments")).unwrap();
    assert!(arguments.starts_with("load --quiet --input "), "{arguments}");
    let environment = String::from_utf8(read("environment")).unwrap();
    assert!(!environment.contains(super::runner::TOKEN), "{environment}");
    let archive = String::from_utf8_lossy(&read("archive")).into_owned();
    assert!(archive.contains("docker.io/acme/boat:1") || archive.contains("acme/boat:1"));
    assert!(archive.contains("manifest.json"));
    let left = fs::read_dir(runner.path("temp")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("load")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// build-push-action makes `--output type=docker` of `load: true`.
#[test]
fn an_output_for_docker_without_a_place_is_loaded() {
    let mut runner = Runner::new();
    docker(&mut runner, "");
    runner.input("push", "auto");
    runner.input("outputs", "type=docker,name=acme/boat:2");
    let ended = runner.built();
    assert_eq!((ended.output("pushed"), ended.output("tags")), ("false", "acme/boat:2"));
    let read = |name: &str| fs::read(runner.path("docker").join(name)).unwrap();
    assert!(read("arguments").starts_with(b"load --quiet --input "));
    assert!(String::from_utf8_lossy(&read("archive")).contains("acme/boat:2"));
    // Once, however often it is said.
    runner.input("load", "true");
    assert_eq!(runner.built().output("tags"), "acme/boat:2");
}

#[test]
fn a_docker_that_does_not_load_fails_the_step() {
    let mut runner = Runner::new();
    docker(&mut runner, "echo 'Cannot connect to the Docker daemon' >&2\nexit 1");
    runner.input("load", "true");
    let ended = runner.run();
    assert_eq!(ended.code, 1, "{}", ended.log);
    let errors = ended.commands("::error").join("\n");
    let expected = "can't load the image into Docker: Cannot connect to the Docker daemon";
    assert!(errors.contains(expected), "{errors}");
    assert!(ended.log.contains("outputs: type=docker,dest=image.tar"), "{}", ended.log);
    runner.set("PATH", "/nowhere");
    let ended = runner.run();
    assert_eq!(ended.code, 1, "{}", ended.log);
    assert!(ended.log.contains("there is no program docker"), "{}", ended.log);
}

#[test]
fn a_matrix_pushes_by_digest() {
    let registry = FakeRegistry::start(Options::default());
    let name = format!("{}/acme/boat", registry.host());
    let mut runner = Runner::new();
    runner.input("tags", &name);
    runner.input("outputs", "type=image,push-by-digest=true,name-canonical=true,push=true");
    let ended = runner.built();
    let digest = ended.output("digest");
    assert!(registry.manifest("acme/boat", digest).is_some(), "{}", ended.log);
    assert!(registry.manifest("acme/boat", "latest").is_none(), "no tag");
    assert_eq!(ended.output("pushed"), "true");
    assert!(ended.summary.contains(&format!("Pushed `{name}@{digest}`")), "{}", ended.summary);
    // The registry has it already.
    let again = runner.built();
    assert_eq!((again.output("digest"), again.output("pushed")), (digest, "true"));
    assert!(registry.manifest("acme/boat", "latest").is_none(), "no tag");
}

/// As in the guide for several runners that build-push-action has: no tags, and a name in the output.
#[test]
fn the_name_of_an_output_comes_before_those_of_the_event() {
    let registry = FakeRegistry::start(Options::default());
    let name = format!("{}/foo/bar", registry.host());
    let mut runner = Runner::new();
    runner.input("push", "auto");
    for line in [
        format!("type=image,name={name},push-by-digest=true,name-canonical=true,push=true"),
        format!("type=registry,name={name}:1"),
    ] {
        runner.input("outputs", &line);
        let ended = runner.built();
        assert_eq!(ended.output("pushed"), "true", "{}", ended.log);
        let digest = ended.output("digest");
        assert!(registry.manifest("foo/bar", digest).is_some(), "{}", ended.log);
        assert!(ended.output("tags").starts_with(&name), "{:?}", ended.outputs);
        assert!(!ended.output("metadata").contains("ghcr.io"), "{:?}", ended.outputs);
        assert!(!ended.summary.contains("ghcr.io"), "{}", ended.summary);
    }
    assert!(registry.manifest("foo/bar", "1").is_some());
    assert!(registry.manifest("foo/bar", "latest").is_none(), "no tag by digest");

    // What has no name of its own has that of the event still.
    runner.input("outputs", &format!("type=image,name={name}:2\ntype=oci,dest=o.tar"));
    let ended = runner.built();
    assert_eq!(ended.output("tags"), "ghcr.io/acme/boat:main");
    assert!(registry.manifest("foo/bar", "2").is_some(), "{}", ended.log);
    let tar =
        String::from_utf8_lossy(&fs::read(runner.path("workspace/o.tar")).unwrap()).into_owned();
    assert!(tar.contains("ghcr.io/acme/boat:main") && !tar.contains("foo/bar"));
    runner.input("outputs", "type=oci,dest=o.tar,name=foo/bar:3");
    runner.built();
    let tar =
        String::from_utf8_lossy(&fs::read(runner.path("workspace/o.tar")).unwrap()).into_owned();
    assert!(tar.contains("docker.io/foo/bar:3") && !tar.contains("ghcr.io"));

    // Tags that were given win, as with buildx.
    runner.input("tags", &format!("{}/acme/boat:4", registry.host()));
    runner.input("outputs", &format!("type=image,name={name}:4,push=true"));
    runner.built();
    assert!(registry.manifest("foo/bar", "4").is_none());
    assert!(registry.manifest("acme/boat", "4").is_some());
}

#[test]
fn several_platforms_are_one_index() {
    let registry = FakeRegistry::start(Options::default());
    let name = format!("{}/acme/boat", registry.host());
    let mut runner = Runner::new();
    runner.input("tags", &name);
    runner.input("platforms", "linux/amd64,linux/arm64");
    runner.input("annotations", "index:a=1\nmanifest[linux/arm64]:b=2\nc=3");
    runner.input("outputs", "type=image,annotation-index.d=4");
    runner.input("push", "true");
    let ended = runner.built();
    let digest = ended.output("digest");
    let read = |digest: &str| -> serde_json::Value {
        serde_json::from_slice(&registry.manifest("acme/boat", digest).unwrap()).unwrap()
    };
    assert_eq!(registry.manifest("acme/boat", "latest"), registry.manifest("acme/boat", digest));
    let index = read(digest);
    assert_eq!(index["annotations"], serde_json::json!({"a": "1", "d": "4"}));
    let manifests = index["manifests"].as_array().unwrap();
    let of = |at: usize| read(manifests[at]["digest"].as_str().unwrap())["annotations"].clone();
    assert_eq!(
        (manifests.len(), manifests[1]["platform"]["architecture"].as_str()),
        (2, Some("arm64"))
    );
    assert_eq!(
        (&of(0)["b"], &of(1)["b"], &of(1)["c"]),
        (&serde_json::Value::Null, &"2".into(), &"3".into())
    );
    assert_eq!(ended.output("imageid"), digest);
    assert!(ended.output("metadata").contains("image.index.v1+json"), "{}", ended.log);
    for platform in ["linux/amd64", "linux/arm64"] {
        let head = format!("### Image size: `{name}:latest` for `{platform}`");
        assert!(ended.summary.contains(&head), "{}", ended.summary);
    }
    assert_eq!(ended.summary.matches("Pushed `").count(), 1, "{}", ended.summary);
    let folder = runner.report(&ended);
    assert!(folder.join("linux_arm64/image.weight").exists());
    assert!(!folder.join("image.weight").exists());

    runner.input("load", "true");
    let refused = runner.run();
    assert_eq!(refused.code, 2);
    assert!(refused.log.contains("does not support manifest lists"), "{}", refused.log);
}

/// One platform has an index where the image is attested.
#[test]
fn annotations_go_to_what_the_image_has() {
    let registry = FakeRegistry::start(Options::default());
    let mut runner = Runner::new();
    runner.input("tags", &format!("{}/acme/boat:1", registry.host()));
    runner.input("platforms", "linux/arm64");
    runner.input(
        "annotations",
        "# a=comment\nindex:a=1\nmanifest[linux/arm64]:b=2\nmanifest[linux/amd64]:c=3\nd:e=4",
    );
    runner.input("outputs", "type=image,annotation-manifest[linux/arm64].f=5,annotation-index.g=6");
    runner.input("push", "true");
    let read = |digest: &str| -> serde_json::Value {
        serde_json::from_slice(&registry.manifest("acme/boat", digest).unwrap()).unwrap()
    };
    let told = "the annotation c is left out: there is no image for linux/amd64";
    let built = |runner: &Runner, expected: &[&str]| {
        let ended = runner.built();
        let warnings = ended.commands("::warning");
        assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
        expected.iter().for_each(|text| assert!(ended.log.contains(text), "{text}\n{}", ended.log));
        read(ended.output("digest"))
    };
    let all = |manifest: &serde_json::Value| -> Vec<String> {
        let all = manifest["annotations"].as_object().unwrap().iter();
        let own = all.filter(|(name, _)| !name.starts_with("org.opencontainers."));
        own.map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect()
    };
    let manifest = built(
        &runner,
        &[told, "annotation a is left out: there is no index", "annotation g is left out"],
    );
    assert_eq!(all(&manifest), ["b=2", "d:e=4", "f=5"]);
    runner.input("provenance", "true");
    let index = built(&runner, &[told]);
    assert_eq!(all(&index), ["a=1", "g=6"]);
    let manifest = read(index["manifests"][0]["digest"].as_str().unwrap());
    assert_eq!(all(&manifest), ["b=2", "d:e=4", "f=5"]);
    // A run that pushes nothing is told nothing of an index that a push would have.
    runner.input("push", "false");
    runner.input("outputs", "");
    let ended = runner.built();
    assert_eq!(ended.commands("::warning").len(), 1, "{}", ended.log);
}

#[test]
fn outputs_that_are_no_image_are_not_pushed_by_default() {
    let registry = FakeRegistry::start(Options::default());
    let mut runner = Runner::new();
    runner.input("tags", &format!("{}/acme/boat", registry.host()));
    runner.input("push", "auto");
    runner.input("outputs", "type=local,dest=out");
    assert_eq!(runner.built().output("pushed"), "false");
    assert!(runner.path("workspace/out/data").exists());
    runner.input("outputs", "type=image,compression=zstd");
    assert_eq!(runner.built().output("pushed"), "true");
}

/// `env: SOURCE_DATE_EPOCH: 0` is what BuildKit's guide has.
#[test]
fn a_time_in_the_environment_comes_before_that_of_the_commit() {
    let mut runner = Runner::new();
    runner.set("SOURCE_DATE_EPOCH", "0");
    runner.input("outputs", "type=oci,dest=layout,tar=false");
    let ended = runner.built();
    let config = ended.output("imageid").strip_prefix("sha256:").unwrap();
    let path = runner.path("workspace/layout/blobs/sha256").join(config);
    let config: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
}

#[test]
fn labels_of_the_file_come_before_those_of_the_event_unless_images_are_named() {
    let name = "org.opencontainers.image";
    let mut runner = Runner::new();
    let label = format!("LABEL {name}.title=Sloop {name}.licenses=MIT who=file\n");
    runner.write("Dockerfile", format!("FROM scratch\nCOPY data /\n{label}"));
    runner.input("outputs", "type=oci,dest=layout,tar=false");
    runner.input("labels", "who=ada");
    runner.input("tags", "acme/boat:1.2.3");
    let labels = |runner: &Runner| -> serde_json::Value {
        let ended = runner.built();
        let config = ended.output("imageid").strip_prefix("sha256:").unwrap();
        let path = runner.path("workspace/layout/blobs/sha256").join(config);
        let config: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        config["config"]["Labels"].clone()
    };
    let found = labels(&runner);
    let of = |key: &str| found[format!("{name}.{key}")].as_str();
    assert_eq!(
        (of("title"), of("licenses"), of("version")),
        (Some("Sloop"), Some("MIT"), Some("1.2.3"))
    );
    assert_eq!((found["who"].as_str(), of("description")), (Some("ada"), None), "{found}");
    // A second build knows every step, and its labels are still right.
    runner.input("images", "acme/boat");
    let found = labels(&runner);
    let of = |key: &str| found[format!("{name}.{key}")].as_str();
    assert_eq!(
        (of("title"), of("licenses"), of("description")),
        (Some("boat"), Some(""), Some(""))
    );
}

#[test]
fn a_branch_of_any_name_gives_a_tag() {
    let mut runner = Runner::new();
    runner.push("refs/heads/#12-Größe");
    assert_eq!(runner.built().output("tags"), "ghcr.io/acme/boat:12-Gr-e");
}

#[test]
fn what_the_event_of_a_schedule_does_not_say_the_api_does() {
    let github = FakeGithub::start();
    let mut runner = Runner::new();
    runner.set("GITHUB_API_URL", &github.url());
    runner.set("GITHUB_EVENT_NAME", "schedule");
    fs::write(runner.path("event.json"), r#"{"schedule": "0 4 * * *"}"#).unwrap();
    runner.input("tags", "type=schedule\ntype=edge");
    let ended = runner.built();
    assert_eq!(ended.output("tags"), "ghcr.io/acme/boat:nightly\nghcr.io/acme/boat:edge");
    let labels = ended.output("labels");
    assert!(labels.contains("org.opencontainers.image.description=It floats"), "{labels}");
    assert!(labels.contains("org.opencontainers.image.licenses=MIT"), "{labels}");
}

#[test]
fn outputs_are_those_of_metadata_action() {
    let mut runner = Runner::new();
    runner.set("DOCKER_METADATA_ANNOTATIONS_LEVELS", "manifest,index");
    runner.input("tags", "type=sha\ntype=ref,event=branch");
    runner.input("annotations", "index:a=1\nb=2");
    runner.input("sep-annotations", "|");
    let variables = runner.path("variables");
    runner.set("GITHUB_ENV", variables.to_str().unwrap());
    let ended = runner.built();
    let set = fs::read_to_string(&variables).unwrap();
    assert!(set.contains("DOCKER_METADATA_OUTPUT_TAG_NAMES<<"), "{set}");
    assert!(set.contains("DOCKER_METADATA_OUTPUT_JSON<<"), "{set}");
    fs::remove_file(&variables).unwrap();
    runner.set("DOCKER_METADATA_SET_OUTPUT_ENV", "false");
    runner.built();
    assert!(!variables.exists());
    runner.unset("DOCKER_METADATA_SET_OUTPUT_ENV");
    runner.input("tags", "acme/boat:1");
    runner.built();
    assert!(!variables.exists(), "metadata-action may have made that name");
    assert_eq!(ended.output("tag-names"), "main\nsha-860c190");
    let annotations: Vec<&str> = ended.output("annotations").split('|').collect();
    assert_eq!(annotations.len(), 15, "{annotations:?}");
    assert!(annotations.contains(&"manifest:b=2") && annotations.contains(&"index:b=2"));
    let json: serde_json::Value = serde_json::from_str(ended.output("json")).unwrap();
    assert_eq!(json["annotations"].as_array().unwrap().len(), 15);
    let warnings = ended.commands("::warning").join("\n");
    assert!(warnings.contains("the annotation a is left out"), "{warnings}");
}

#[test]
fn secrets_are_masked_before_anything_can_fail() {
    let mut runner = Runner::new();
    runner.input("secrets", "key=hunter2");
    runner.input("context", "nowhere");
    let ended = runner.run();
    assert_eq!(ended.code, 2, "{}", ended.log);
    assert_eq!(ended.commands("::add-mask::hunter2").len(), 1, "{}", ended.log);
}

/// On a pull request from a fork every `secrets.NAME` is an empty text.
#[test]
fn a_fork_without_secrets_is_built() {
    let mut runner = Runner::new();
    runner.pull_request("eve/boat", &[]);
    runner.input("username", "ada");
    runner.input("password", "");
    runner.input("secrets", "NPM_TOKEN=\n");
    runner.input("secret-files", "KEY=./nowhere");
    let ended = runner.built();
    let warnings = ended.commands("::warning").join("\n");
    for expected in [
        "no login to ghcr.io: there is no password in this run",
        "the secret NPM_TOKEN is left out: it is empty",
        "the secret KEY is left out: there is no file ./nowhere",
    ] {
        assert!(warnings.contains(expected), "{warnings}");
    }
    // Whoever may have them is told.
    runner.push("refs/heads/main");
    let ended = runner.run();
    assert_eq!(ended.code, 2, "{}", ended.log);
    assert!(ended.log.contains("input username: there is no password with it"), "{}", ended.log);
}

#[test]
fn later_steps_find_files_for_bake() {
    let mut runner = Runner::new();
    runner.input("tags", "acme/boat:1");
    runner.input("labels", "who=ada");
    runner.input("bake-target", "boat");
    let ended = runner.built();
    let read = |output: &str| -> serde_json::Value {
        let path = ended.output(output);
        assert!(path.starts_with(runner.path("temp").to_str().unwrap()), "{output}: {path}");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let both = read("bake-file");
    assert_eq!(both["target"]["boat"]["tags"][0], "acme/boat:1");
    assert_eq!(both["target"]["boat"]["labels"]["who"], "ada");
    assert_eq!(both["target"]["boat"]["args"]["DOCKER_META_IMAGES"], "acme/boat");
    assert_eq!(read("bake-file-tags")["target"]["boat"]["tags"], both["target"]["boat"]["tags"]);
    assert_eq!(read("bake-file-labels")["target"]["boat"]["labels"]["who"], "ada");
    let annotations = &read("bake-file-annotations")["target"]["boat"]["annotations"];
    assert!(annotations[0].as_str().unwrap().starts_with("manifest:"), "{annotations}");
}
