//! What a build is compared with: the weights that earlier builds have left in caches and registries.

#[path = "support/docker_registry.rs"]
mod docker_registry;
#[path = "support/registry/mod.rs"]
mod fake;
#[path = "support/program.rs"]
mod program;

use docker_registry::DockerRegistry;
use fake::{FakeRegistry, Fault, FaultKind, Options};
use plimsoll::digest::Digest;
use program::Home;
use serde_json::{Value, json};

/// A program of so many bytes, and what never changes.
const DOCKERFILE: &str = "FROM scratch\nCOPY data /data\nCOPY app /app\n";

fn commit(number: u32) -> String {
    format!("{number:040x}")
}

/// A project that is built again and again, as in GitHub Actions, each time on a new machine.
struct Project {
    home: Home,
    flags: Vec<String>,
}

impl Project {
    fn new(flags: &[&str]) -> Self {
        let mut home = Home::new(DOCKERFILE);
        home.write("context/data", vec![7; 50_000]);
        home.set("GITHUB_ACTIONS", "true");
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self { home, flags }
    }

    /// A build of an app of `bytes`, for an event; standard error and the report in Markdown.
    fn build(
        &mut self,
        variables: &[(&str, &str)],
        event: &Value,
        bytes: usize,
    ) -> (String, String) {
        for (name, value) in variables {
            self.home.set(name, *value);
        }
        self.home.write("event.json", event.to_string());
        let path = self.home.path().join("event.json");
        self.home.set("GITHUB_EVENT_PATH", path.to_str().unwrap());
        self.home.write("context/app", vec![1; bytes]);
        let _ = std::fs::remove_dir_all(self.home.path().join(".cache"));
        let always = ["--size-baseline=auto", "--size-report=size.md", "--size-report=size.html"];
        let flags: Vec<&str> =
            always.into_iter().chain(self.flags.iter().map(String::as_str)).collect();
        let said = self.home.built(&flags);
        let report = std::fs::read_to_string(self.home.path().join("size.md")).unwrap();
        (said, report)
    }

    fn push(&mut self, number: u32, before: u32, bytes: usize) -> (String, String) {
        let sha = commit(number);
        let variables = [("GITHUB_REF", "refs/heads/main"), ("GITHUB_SHA", sha.as_str())];
        self.build(&variables, &json!({ "before": commit(before) }), bytes)
    }

    fn pull(&mut self, number: u32, base: u32, bytes: usize) -> (String, String) {
        let variables = [
            ("GITHUB_REF", "refs/pull/7/merge"),
            ("GITHUB_SHA", &commit(99)),
            ("GITHUB_BASE_REF", "main"),
        ];
        let event = json!({ "pull_request": {
            "head": { "sha": commit(number), "ref": "main" },
            "base": { "sha": commit(base), "ref": "main" },
        }});
        self.build(&variables, &event, bytes)
    }

    fn page(&self) -> String {
        std::fs::read_to_string(self.home.path().join("size.html")).unwrap()
    }
}

/// The whole life of a branch in one place.
fn a_branch_and_its_pull_request(flags: &[&str]) {
    let mut project = Project::new(flags);
    let (said, report) = project.push(1, 0, 10_000);
    assert!(said.contains("nothing to compare with: no earlier build is known"), "{said}");
    assert!(report.contains("There is nothing to compare with yet."), "{report}");

    let (said, report) = project.push(2, 1, 13_000);
    assert!(said.contains("000000000 on main → "), "{said}");
    assert!(report.contains("63.0 kB unpacked (+3.0 kB, +5.0 %)"), "{report}");
    assert!(report.contains("last 2 builds"), "{report}");

    // The pull request begins at the first commit, whatever came to the branch since.
    let (_, report) = project.pull(3, 1, 11_000);
    assert!(report.contains("61.0 kB unpacked (+1.0 kB, +1.7 %)"), "{report}");
    assert!(report.contains("Compared with `000000000 on main`"), "{report}");
    assert!(report.contains("last 3 builds"), "those of main, and itself: {report}");
    assert!(project.page().contains("aria-label=\"Unpacked size of 3 builds, now 61.0 kB\""));

    // Of another commit there is no weight: the newest of the branch, which is not this pull
    // request's though its branch is called so too.
    let (said, report) = project.pull(5, 4, 20_000);
    assert!(said.contains("000000000, the nearest build of main → "), "{said}");
    assert!(report.contains("70.0 kB unpacked (+7.0 kB, +11.1 %)"), "{report}");

    // A commit that is built again is compared with the one before it.
    let (_, report) = project.push(2, 1, 13_000);
    assert!(report.contains("(+3.0 kB, +5.0 %)"), "{report}");
    assert!(report.contains("last 3 builds"), "{report}");
}

#[test]
fn a_folder_has_the_weights_of_a_branch() {
    a_branch_and_its_pull_request(&[
        "--cache-to=type=local,dest=kept",
        "--cache-from=type=local,src=kept",
    ]);
}

#[test]
fn a_registry_s_cache_has_the_weights_of_a_branch() {
    let Some(registry) = DockerRegistry::plain() else { return };
    let cache = format!("type=registry,ref={}/cache", registry.host);
    a_branch_and_its_pull_request(&[
        &format!("--cache-to={cache}"),
        &format!("--cache-from={cache}"),
    ]);
}

/// An image whose layers are those of the one that it is compared with weighs the same: on a new
/// machine no layer is fetched to say so, though its labels are others.
#[test]
fn what_has_the_same_layers_is_not_read_again() {
    let registry = FakeRegistry::start(Options { lists_referrers: true, ..Options::default() });
    let host = registry.host();
    let base = Home::new("FROM scratch\nCOPY base /base\n");
    base.write("context/base", [7; 50_000]);
    base.built(&["--push", "-t", &format!("{host}/base:1")]);
    let manifest: Value = serde_json::from_slice(&registry.manifest("base", "1").unwrap()).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    let fetched = || {
        let is_of_base = |path: &str| path.ends_with(&format!("/blobs/{layer}"));
        registry.log().into_iter().filter(|l| l.method == "GET" && is_of_base(&l.path)).count()
    };

    let name = format!("{host}/app:main");
    let flags = ["--sbom=true", "--push", "--tag", &name];
    let mut project = Project::new(&[&NO_CACHE[..], &flags].concat());
    let dockerfile = format!("FROM {host}/base:1\nUSER 7\n");
    project.home.write("context/Dockerfile", &dockerfile);
    project.push(1, 0, 1);
    assert_eq!(fetched(), 1);
    project.flags.push("--label=revision=2".to_owned());
    let (said, report) = project.push(2, 1, 1);
    assert_eq!(fetched(), 1, "{said}");
    assert!(report.contains("50.0 kB unpacked (±0 B)"), "{report}");
    assert!(report.contains("last 2 builds"), "{report}");

    // With another layer above, the one below has to be looked into again.
    project.home.write("context/Dockerfile", format!("{dockerfile}COPY app /app\n"));
    let (_, report) = project.push(3, 2, 1_000);
    assert_eq!(fetched(), 2);
    assert!(report.contains("51.0 kB unpacked (+1.0 kB, +2.0 %)"), "{report}");
}

const NO_CACHE: [&str; 2] = ["--cache-to=", "--cache-from="];

/// Without any cache: the weight stands beside the image that was pushed before.
fn pushed_and_compared(host: &str) {
    let main = format!("--tag={host}/app:main");
    let mut project = Project::new(&[&NO_CACHE[..], &[&main, "--push"]].concat());
    let (said, _) = project.push(1, 0, 10_000);
    assert!(said.contains("nothing to compare with"), "{said}");
    let (said, report) = project.push(2, 1, 13_000);
    let expected = format!("{host}/app:main of 000000000 → ");
    assert!(said.contains(&expected), "the image that the tag had before: {said}");
    assert!(report.contains("63.0 kB unpacked (+3.0 kB, +5.0 %)"), "{report}");
    let (_, report) = project.push(3, 2, 12_000);
    assert!(report.contains("last 3 builds"), "{report}");

    // The pull request has another tag, and pushes nothing.
    project.flags = vec!["--cache-to=".to_owned(), format!("--tag={host}/app:pr-7")];
    let (said, report) = project.pull(4, 3, 20_000);
    let expected = format!("{host}/app:main of 000000000 → ");
    assert!(said.contains(&expected), "{said}");
    assert!(report.contains("last 4 builds"), "{report}");
}

#[test]
fn the_weight_is_in_a_registry_s_list_of_referrers() {
    let registry = FakeRegistry::start(Options { lists_referrers: true, ..Options::default() });
    pushed_and_compared(&registry.host());
    let tagged = registry.log().into_iter().filter(|l| l.method == "PUT").map(|l| l.path);
    assert!(
        !tagged.into_iter().any(|path| path.contains("/manifests/sha256-")),
        "no tag is needed"
    );
}

#[test]
fn the_weight_is_under_a_tag_where_the_registry_has_no_list() {
    let Some(registry) = DockerRegistry::plain() else { return };
    pushed_and_compared(&registry.host);
}

/// The artifacts that a registry without a list has about the image under `app:main`.
fn artifacts(registry: &FakeRegistry) -> (Digest, Vec<Value>) {
    let image = Digest::of(&registry.manifest("app", "main").unwrap());
    let index = registry.manifest("app", &image.to_string().replace(':', "-"));
    let index: Value = index.map_or(Value::Null, |index| serde_json::from_slice(&index).unwrap());
    (image, index["manifests"].as_array().cloned().unwrap_or_default())
}

#[test]
fn the_artifact_says_what_it_is_and_of_which_commit() {
    let registry = FakeRegistry::start(Options::default());
    let tag = format!("--tag={}/app:main", registry.host());
    let mut project = Project::new(
        &[&NO_CACHE[..], &[&tag, "--output=type=registry,rewrite-timestamp=true"]].concat(),
    );
    // So that both are the same image.
    project.home.set("SOURCE_DATE_EPOCH", "1700000000");
    for number in [1, 2] {
        project.push(number, 0, 10_000);
    }
    let (image, listed) = artifacts(&registry);
    let [listed] = &listed[..] else { panic!("the second build pushed nothing new: {listed:?}") };
    assert_eq!(listed["artifactType"], "application/vnd.plimsoll.weight.v1");
    assert_eq!(listed["annotations"]["org.opencontainers.image.revision"], commit(1));
    let manifest = registry.manifest("app", listed["digest"].as_str().unwrap()).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["subject"]["digest"], image.to_string());
    assert_eq!(manifest["artifactType"], listed["artifactType"]);
    let types: Vec<&Value> =
        manifest["layers"].as_array().unwrap().iter().map(|layer| &layer["mediaType"]).collect();
    let expected =
        ["application/vnd.plimsoll.weight.v1+zstd", "application/vnd.plimsoll.logbook.v1+zstd"];
    assert_eq!(types, expected);
}

#[test]
fn an_image_without_a_weight_beside_it_is_read_itself() {
    let registry = FakeRegistry::start(Options::default());
    let tag = format!("--tag={}/app:main", registry.host());
    let mut project = Project::new(&[&tag, "--push"]);
    project.home.write("context/app", vec![1; 10_000]);
    project.home.built(&[&tag, "--push"]);
    assert!(artifacts(&registry).1.is_empty(), "nobody has asked for it");
    project.flags.extend(NO_CACHE.map(str::to_owned));
    let (said, report) = project.push(2, 1, 13_000);
    assert!(said.contains(&format!("{}/app:main → ", registry.host())), "{said}");
    assert!(report.contains("63.0 kB unpacked (+3.0 kB, +5.0 %)"), "{report}");
}

/// It is one thing to compare with the tag that is pushed, and another with what is under it then.
#[test]
fn the_named_image_is_the_one_before_this_build() {
    let registry = FakeRegistry::start(Options::default());
    let name = format!("{}/app:main", registry.host());
    let (tag, baseline) = (format!("--tag={name}"), format!("--size-baseline={name}"));
    let home = Home::new(DOCKERFILE);
    home.write("context/data", vec![7; 50_000]);
    let built = |bytes: usize, flags: &[&str]| {
        home.write("context/app", vec![1; bytes]);
        home.built(&[&["--size-report=size.md"], flags].concat());
        std::fs::read_to_string(home.path().join("size.md")).unwrap()
    };
    let pushed = [tag.as_str(), "--push", &baseline];
    let report = built(10_000, &pushed);
    assert!(report.contains("There is nothing to compare with yet."), "{report}");
    let report = built(13_000, &pushed);
    assert!(report.contains("63.0 kB unpacked (+3.0 kB, +5.0 %)"), "{report}");
    assert!(artifacts(&registry).1.is_empty(), "only `auto` keeps a weight");

    let layout = ["--output=type=oci,dest=image.tar", "--size-baseline=oci:image.tar"];
    built(10_000, &layout);
    let report = built(12_000, &layout);
    assert!(report.contains("62.0 kB unpacked (+2.0 kB, +3.3 %)"), "{report}");
}

#[test]
fn what_is_forged_beside_an_image_is_not_believed() {
    let registry = FakeRegistry::start(Options::default());
    let tag = format!("--tag={}/app:main", registry.host());
    let mut project = Project::new(&[&NO_CACHE[..], &[&tag, "--push"]].concat());
    project.push(1, 0, 10_000);
    let (first, old) = artifacts(&registry);
    project.push(2, 1, 12_000);
    let (second, _) = artifacts(&registry);
    assert_ne!(first, second);
    // The first image's weight, listed as the second one's.
    let index = json!({ "schemaVersion": 2, "manifests": old }).to_string();
    let under = second.to_string().replace(':', "-");
    registry.add_manifest("app", &under, "application/vnd.oci.image.index.v1+json", index);
    let (said, report) = project.push(3, 2, 13_000);
    assert!(said.contains(&format!("{}/app:main → ", registry.host())), "{said}");
    assert!(report.contains("63.0 kB unpacked (+1.0 kB, +1.6 %)"), "{report}");
}

#[test]
fn what_is_no_list_under_the_tag_is_not_written_over() {
    let registry = FakeRegistry::start(Options::default());
    let tag = format!("--tag={}/app:main", registry.host());
    let output = "--output=type=registry,rewrite-timestamp=true";
    let mut project = Project::new(&[&NO_CACHE[..], &[&tag, output]].concat());
    project.home.set("SOURCE_DATE_EPOCH", "1700000000");
    project.push(1, 0, 10_000);
    let under = artifacts(&registry).0.to_string().replace(':', "-");
    registry.add_manifest("app", &under, "text/plain", "something else");
    let (said, _) = project.push(2, 1, 10_000);
    assert!(said.contains("the weight is not kept beside"), "{said}");
    assert_eq!(registry.manifest("app", &under).unwrap(), "something else");
}

#[test]
fn a_registry_that_takes_no_artifact_costs_a_notice() {
    let registry = FakeRegistry::start(Options::default());
    let tag = format!("--tag={}/app:main", registry.host());
    let mut project = Project::new(&[&NO_CACHE[..], &[&tag, "--push"]].concat());
    let kind = FaultKind::Code(405, "UNSUPPORTED");
    registry.fault(Fault { method: "PUT", path: "/manifests/sha256-", skip: 0, times: 9, kind });
    let (said, _) = project.push(1, 0, 10_000);
    let notice = format!("the weight is not kept beside {}/app:main", registry.host());
    assert!(said.contains(&notice), "{said}");
}

#[test]
fn a_registry_that_is_out_of_order_costs_a_notice() {
    let registry = FakeRegistry::start(Options::default());
    let kind = FaultKind::Code(418, "TEAPOT");
    registry.fault(Fault { method: "GET", path: "/manifests/", skip: 0, times: 9, kind });
    let tag = format!("--tag={}/app:main", registry.host());
    let mut project = Project::new(&[&NO_CACHE[..], &[&tag, "--push"]].concat());
    let (said, report) = project.push(1, 0, 10_000);
    assert!(said.contains("/app:main is not compared with: "), "{said}");
    assert!(report.contains("There is nothing to compare with yet."), "{report}");
}

#[test]
fn a_damaged_weight_in_a_cache_is_a_miss() {
    let mut project =
        Project::new(&["--cache-to=type=local,dest=kept", "--cache-from=type=local,src=kept"]);
    project.push(1, 0, 10_000);
    for entry in std::fs::read_dir(project.home.path().join("kept")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("w-") {
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        }
    }
    let (said, report) = project.push(2, 1, 13_000);
    assert!(said.contains("the weight file is damaged"), "{said}");
    assert!(report.contains("There is nothing to compare with yet."), "{report}");
    assert!(report.contains("last 2 builds"), "the logbook is whole: {report}");
}

/// Two jobs of one branch that begin at once: each has its weight, and the chart one of them.
#[test]
fn jobs_that_run_at_once_lose_no_weight() {
    let flags = ["--cache-to=type=local,dest=kept", "--cache-from=type=local,src=kept"];
    let mut project = Project::new(&flags);
    project.push(1, 0, 10_000);
    let before = project.home.path().join("before");
    copy(&project.home.path().join("kept"), &before);
    project.push(2, 1, 11_000);
    // The third began when the second was not there yet.
    let aside = project.home.path().join("aside");
    std::fs::rename(project.home.path().join("kept"), &aside).unwrap();
    copy(&before, &project.home.path().join("kept"));
    project.push(3, 1, 12_000);
    copy(&aside, &project.home.path().join("kept"));
    for (base, change) in [(2, "+9.0 kB"), (3, "+8.0 kB")] {
        let (_, report) = project.pull(4, base, 20_000);
        assert!(report.contains(change), "{report}");
        assert!(report.contains("last 3 builds"), "{report}");
    }
}

/// With the times, by which a folder's newest entry is known.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    let mut copying = std::process::Command::new("cp");
    let copied = copying.arg("--archive").arg(from.join(".")).arg(to);
    assert!(copied.status().unwrap().success());
}

/// Elsewhere git says which commit is built.
#[test]
fn a_work_tree_says_what_it_is_compared_with() {
    let home = Home::new(DOCKERFILE);
    let git = |words: &[&str]| {
        let name = ["-c", "user.name=a", "-c", "user.email=a@b"];
        let mut command = std::process::Command::new("git");
        command.args(name.iter().chain(words)).current_dir(home.path().join("context"));
        let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let flags = [
        "--cache-to=type=local,dest=kept",
        "--cache-from=type=local,src=kept",
        "--size-baseline=auto",
    ];
    home.write("context/data", "");
    git(&["init", "--quiet", "--initial-branch=main"]);
    let built = |bytes: usize, message: &str| {
        home.write("context/app", vec![1; bytes]);
        if !message.is_empty() {
            git(&["add", "."]);
            git(&["commit", "--quiet", "--message", message]);
        }
        home.built(&flags)
    };
    assert!(built(1000, "one").contains("nothing to compare with"));
    let first = git(&["rev-parse", "HEAD"])[..9].to_owned();
    let said = built(3000, "two");
    assert!(said.contains(&format!("{first} on main → ")), "{said}");
    // A change that is in no commit is compared, and kept for nobody.
    let second = git(&["rev-parse", "HEAD"])[..9].to_owned();
    let said = built(4000, "");
    assert!(said.contains(&format!("{second} on main → ")), "{said}");
    let weights = || {
        let names = std::fs::read_dir(home.path().join("kept")).unwrap();
        names
            .filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().starts_with("w-"))
            .count()
    };
    assert_eq!(weights(), 2);
}

/// Unpacked for the RUN, and not read again for what its files say.
#[test]
fn a_base_is_fetched_once_however_much_is_asked_of_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let registry = FakeRegistry::start(Options::default());
    let base = format!("{}/base:1", registry.host());
    let home = Home::new("FROM busybox\n");
    home.built(&[&program::with_busybox(), &format!("--tag={base}"), "--push"]);
    std::fs::remove_dir_all(home.path().join(".cache")).unwrap();
    home.write("context/Dockerfile", format!("FROM {base}\nRUN rm /bin/vi\n"));
    home.built(&["--output-weight=weight"]);
    assert_eq!(registry.count("GET", "/blobs/"), 2, "the configuration and the layer");
}

/// What is known while an image is built is what is found when its layers are read.
#[test]
fn an_image_weighs_the_same_built_and_read() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let home = Home::new(
        "FROM busybox\n\
         COPY --chmod=755 script package.json /app/node_modules/it/\n\
         RUN cp -r /app /made && ln /made/node_modules/it/script /made/again && rm /bin/vi\n",
    );
    home.write("context/script", "#!/usr/bin/python3\n");
    home.write("context/package.json", r#"{"name":"it","version":"1.0.0"}"#);
    let busybox = program::with_busybox();
    home.built(&[&busybox, "--output=type=oci,dest=image,tar=false", "--output-weight=weight"]);
    let weigh = |image: &str| -> Value {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(["weigh", "--format=json", image]).current_dir(home.path());
        let output = command.args(["--file", "context/Dockerfile"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (built, read) = (weigh("weight:weight"), weigh("oci:image"));
    let files = |weight: &Value| -> Vec<Value> {
        let row = |file: &Value| {
            json!([file["path"], file["layer"], file["bytes"], file["fate"], file["package"]])
        };
        weight["files"].as_array().unwrap().iter().map(row).collect()
    };
    assert_eq!(files(&built), files(&read));
    let findings = |weight: &Value| -> Vec<Value> {
        let row = |finding: &Value| json!([finding["kind"], finding["paths"], finding["detail"]]);
        weight["findings"].as_array().unwrap().iter().map(row).collect()
    };
    assert_eq!(findings(&built), findings(&read));
    let broken = findings(&built).iter().filter(|f| f[0] == "missing-interpreter").count();
    assert_eq!(broken, 1, "that of no package: {:?}", findings(&built));
    let packages = |weight: &Value| weight["packages"].as_array().unwrap().len();
    assert_eq!((packages(&built), packages(&read)), (2, 2));
}
