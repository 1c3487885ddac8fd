//! Several platforms in one build: one index of all of them, wherever it goes.
//!
//! What runs a RUN needs root and a static busybox; what pushes needs docker-registry; skopeo reads.
//! Where one is missing the test says so and passes.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[path = "support/docker_registry.rs"]
mod docker_registry;
#[path = "support/program.rs"]
mod program;

use docker_registry::DockerRegistry;
use program::{Home, stderr, with_busybox};

const TWO: &str = "--platform=linux/amd64,linux/arm64";

/// One stage builds for all, on this machine.
const CROSS: &str = "\
FROM --platform=$BUILDPLATFORM busybox AS builder
RUN echo shared > /shared
ARG TARGETARCH
RUN echo program for $TARGETARCH > /program
FROM scratch
COPY --from=builder /shared /program /
";

/// Needs nothing of this machine.
const COPIES: &str = "\
FROM scratch
ARG TARGETARCH
COPY $TARGETARCH.txt /program
COPY shared.txt /
";

fn copies() -> Home {
    let home = Home::new(COPIES);
    home.write("context/amd64.txt", "for amd64");
    home.write("context/arm64.txt", "for arm64, which is longer");
    home.write("context/arm.txt", "for arm");
    home.write("context/shared.txt", "for all");
    home
}

fn can_run() -> bool {
    let can = rustix::process::getuid().is_root() && Path::new("/bin/busybox").exists();
    if !can {
        eprintln!("SKIPPED: needs root and busybox (Debian package busybox-static)");
    }
    can
}

/// What `skopeo` says; `None` where it is not installed.
fn skopeo(arguments: &[&str]) -> Option<Vec<u8>> {
    let Ok(output) = Command::new("skopeo").args(arguments).output() else {
        eprintln!("SKIPPED: skopeo is not installed (apt-get install skopeo)");
        return None;
    };
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    Some(output.stdout)
}

fn inspect(image: &str, more: &[&str]) -> Option<Value> {
    let arguments = [&["inspect", "--tls-verify=false"], more, &[image]].concat();
    Some(serde_json::from_slice(&skopeo(&arguments)?).unwrap())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Path, descriptor: &Value) -> Value {
    let digest = descriptor["digest"].as_str().unwrap();
    json(&layout.join("blobs/sha256").join(&digest["sha256:".len()..]))
}

/// `linux/arm64`, of each manifest.
fn platforms(index: &Value) -> Vec<String> {
    let of = |manifest: &Value| {
        let platform = &manifest["platform"];
        let text = |key: &str| platform[key].as_str().map(str::to_owned);
        let parts = [text("os"), text("architecture"), text("variant")];
        parts.into_iter().flatten().collect::<Vec<_>>().join("/")
    };
    index["manifests"].as_array().unwrap().iter().map(of).collect()
}

/// How a step of a plain log has ended: `DONE`, `CACHED` …
fn ended(log: &str, title: &str) -> String {
    let step = log.lines().find_map(|line| Some(line.split_once(' ')?).filter(|l| l.1 == title));
    let (number, _) = step.unwrap_or_else(|| panic!("no {title}: {log}"));
    let mut words = log.lines().map(|line| line.split(' '));
    let end = words.find_map(|mut words| {
        let of_it = words.next() == Some(number);
        words.next().filter(|word| of_it && ["DONE", "CACHED", "ERROR"].contains(word))
    });
    end.unwrap_or("nothing").to_owned()
}

#[test]
fn a_registry_gets_an_index_and_of_what_did_not_change_nothing() {
    let Some(registry) = DockerRegistry::plain().filter(|_| can_run()) else { return };
    let home = Home::new(CROSS);
    let busybox = with_busybox();
    let name = format!("{}/app/x:1", registry.host);
    let flags = [
        &*busybox,
        TWO,
        "--push",
        "-t",
        &name,
        "--metadata-file=meta.json",
        "--iidfile=id",
        "--build-arg=SOURCE_DATE_EPOCH=1600000000",
    ];
    let log = home.built(&flags);
    // What the target does not show in is made once.
    let host = plimsoll::platform::Platform::host();
    let of = |target: &str, step: &str| match host.architecture == target {
        true => format!("[{host} builder {step}"),
        false => format!("[{host}->{target} builder {step}"),
    };
    let shared = "2/3] RUN echo shared > /shared";
    assert_eq!(ended(&log, &of("amd64", shared)), "DONE");
    assert_eq!(ended(&log, &of("arm64", shared)), "CACHED");
    for target in ["amd64", "arm64"] {
        let own = format!("3/3] RUN echo program for {target} > /program");
        assert_eq!(ended(&log, &of(target, &own)), "DONE");
    }
    assert!(log.contains("[linux/arm64 stage-1 1/1] COPY --from=builder"), "{log}");
    for part in ["\nlinux/amd64\n", "\nlinux/arm64\n", "\nIndex        sha256:"] {
        assert!(log.contains(part), "{part:?}: {log}");
    }

    let image = format!("docker://{name}");
    let metadata = json(&home.path().join("meta.json"));
    let digest = metadata["containerimage.digest"].as_str().unwrap().to_owned();
    let kind = "application/vnd.oci.image.index.v1+json";
    assert_eq!(metadata["containerimage.descriptor"]["mediaType"], kind);
    assert!(metadata.get("containerimage.config.digest").is_none(), "{metadata}");
    assert_eq!(std::fs::read_to_string(home.path().join("id")).unwrap(), digest);
    if let Some(index) = inspect(&image, &["--raw"]) {
        assert_eq!(index["mediaType"], kind);
        assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64"]);
        for architecture in ["amd64", "arm64"] {
            let one = inspect(&image, &["--override-arch", architecture]).unwrap();
            assert_eq!(one["Architecture"], architecture);
            assert_eq!(one["Layers"].as_array().unwrap().len(), 1);
        }
    }
    let folder = home.path().join("pulled");
    let layout = format!("oci:{}", folder.display());
    if skopeo(&["copy", "--all", "--src-tls-verify=false", &image, &layout]).is_some() {
        let index = json(&folder.join("index.json"));
        assert_eq!(index["manifests"][0]["digest"], digest.as_str());
    }
    // Ours reads it, too.
    let weighed = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["weigh", "--platform=linux/arm64", &name])
        .env("HOME", home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&weighed.stdout).into_owned();
    assert!(said.contains("(linux/arm64)") && weighed.status.success(), "{said}");

    registry.forget_requests();
    let log = home.built(&flags);
    let cached: Vec<&str> = log.lines().filter(|line| line.starts_with("Cached")).collect();
    assert!(cached.iter().all(|line| *line == "Cached       3 of 3 steps"), "{log}");
    let sent: Vec<String> = registry
        .requests()
        .into_iter()
        .filter(|request| !matches!(request.method.as_str(), "GET" | "HEAD"))
        .map(|request| format!("{} {}", request.method, request.path))
        .collect();
    assert_eq!(sent, [""; 0], "the tag leads to it");
    assert_eq!(registry.count("GET", "/manifests/"), 0, "{:?}", registry.requests());
}

#[test]
fn an_index_without_a_tag_is_found_by_its_digest() {
    let Some(registry) = DockerRegistry::plain() else { return };
    let home = copies();
    let output = format!("type=image,name={}/app/x,push-by-digest=true,push=true", registry.host);
    home.built(&[TWO, "-o", &output, "--metadata-file=meta.json"]);
    let digest = json(&home.path().join("meta.json"))["containerimage.digest"].clone();
    let tags = registry.directory.path().join("data/docker/registry/v2/repositories/app/x");
    assert!(!tags.join("_manifests/tags").exists());
    let image = format!("docker://{}/app/x@{}", registry.host, digest.as_str().unwrap());
    let Some(index) = inspect(&image, &["--raw"]) else { return };
    assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64"]);
}

#[test]
fn a_platform_that_fails_leaves_no_tag() {
    let Some(registry) = DockerRegistry::plain().filter(|_| can_run()) else { return };
    let text = "\
FROM --platform=$BUILDPLATFORM busybox AS builder
ARG TARGETARCH
RUN test $TARGETARCH = amd64 && echo > /program
FROM scratch
COPY --from=builder /program /
";
    let home = Home::new(text);
    let name = format!("{}/app/x:1", registry.host);
    let output = home.build(&[&with_busybox(), TWO, "--push", "-t", &name]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(
        said.contains("solve: linux/arm64: process") && said.contains("exit code: 1"),
        "{said}"
    );
    assert_eq!(registry.count("PUT", "/manifests/"), 0);
}

#[test]
fn a_layout_nests_the_index() {
    let home = copies();
    let flags = [
        "--platform=linux/amd64",
        "--platform=linux/arm64,linux/arm/v7",
        "-t",
        "app:1",
        "--annotation=a=of all",
        "--annotation=manifest[linux/arm64]:a=of one",
        "--annotation=index:b=of the index",
        "--annotation=index-descriptor,manifest-descriptor[linux/amd64]:c=of a descriptor",
        "-o",
        "type=oci,dest=folder,tar=false",
        "-o",
        "type=oci,dest=image.tar",
        "-o",
        "type=oci,dest=list.tar,oci-mediatypes=false",
    ];
    home.built(&flags);
    let folder = home.path().join("folder");
    let top = json(&folder.join("index.json"));
    let described = &top["manifests"][0];
    assert_eq!(top["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(described["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(described["annotations"]["org.opencontainers.image.ref.name"], "1");
    assert_eq!(described["annotations"]["c"], "of a descriptor");
    let index = blob(&folder, described);
    assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64", "linux/arm/v7"]);
    assert_eq!(index["annotations"]["b"], "of the index");
    assert_eq!(index["manifests"][0]["annotations"]["c"], "of a descriptor");
    assert!(index["manifests"][1].get("annotations").is_none());
    let of = |at: usize| blob(&folder, &index["manifests"][at])["annotations"]["a"].clone();
    assert_eq!([of(0), of(1), of(2)], ["of all", "of one", "of all"]);

    let tar = format!("oci-archive:{}", home.path().join("image.tar").display());
    let Some(raw) = inspect(&tar, &["--raw"]) else { return };
    assert_eq!(raw, index);
    let list = format!("oci-archive:{}", home.path().join("list.tar").display());
    let raw = inspect(&list, &["--raw"]).unwrap();
    assert_eq!(raw["mediaType"], "application/vnd.docker.distribution.manifest.list.v2+json");
    assert_eq!(
        raw["manifests"][0]["mediaType"],
        "application/vnd.docker.distribution.manifest.v2+json"
    );
    let arm = format!("oci:{}", folder.display());
    let one = inspect(&arm, &["--override-arch", "arm64"]).unwrap();
    assert_eq!(one["Architecture"], "arm64");
    umoci(&home, &arm);
}

/// Unpacks one of them. It takes none out of an index by itself.
fn umoci(home: &Home, layout: &str) {
    let one = home.path().join("one");
    let copied = format!("oci:{}:1", one.display());
    skopeo(&["copy", "--override-arch", "arm64", layout, &copied]);
    let bundle = home.path().join("bundle");
    let unpacked = Command::new("umoci")
        .args(["unpack", "--rootless", "--image", &format!("{}:1", one.display())])
        .arg(&bundle)
        .output();
    let Ok(unpacked) = unpacked else {
        eprintln!("SKIPPED: umoci is not installed (apt-get install umoci)");
        return;
    };
    assert!(unpacked.status.success(), "{}", stderr(&unpacked));
    let program = std::fs::read_to_string(bundle.join("rootfs/program")).unwrap();
    assert_eq!(program, "for arm64, which is longer");
}

#[test]
fn files_of_each_platform_have_a_folder() {
    let home = copies();
    let three = "--platform=linux/amd64,linux/arm64,linux/arm/v7";
    home.built(&[three, "-o", "type=local,dest=out", "-o", "type=tar,dest=out.tar"]);
    let read = |path: &str| std::fs::read_to_string(home.path().join(path)).unwrap();
    assert_eq!(read("out/linux_amd64/program"), "for amd64");
    assert_eq!(read("out/linux_arm64/program"), "for arm64, which is longer");
    assert_eq!(read("out/linux_arm_v7/shared.txt"), "for all");
    let mut names: Vec<String> =
        tar::Archive::new(std::fs::File::open(home.path().join("out.tar")).unwrap())
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
    names.sort();
    let expected = ["linux_amd64", "linux_arm64", "linux_arm_v7"].map(|folder| {
        [format!("{folder}/"), format!("{folder}/program"), format!("{folder}/shared.txt")]
    });
    assert_eq!(names, expected.concat());

    // One may have a folder, too, and several may share one where no name is there twice.
    home.built(&["--platform=linux/arm64", "-o", "type=local,dest=one,platform-split=true"]);
    assert_eq!(read("one/linux_arm64/shared.txt"), "for all");
    let output = home.build(&[TWO, "-o", "type=local,dest=both,platform-split=false"]);
    let said = stderr(&output);
    assert!(said.contains("/program is a file of linux/amd64 and of linux/arm64"), "{said}");
    home.write("context/Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH.txt /\n");
    home.built(&[TWO, "-o", "type=local,dest=both,platform-split=false"]);
    assert_eq!(read("both/amd64.txt"), "for amd64");
    assert_eq!(read("both/arm64.txt"), "for arm64, which is longer");
}

#[test]
fn bases_are_chosen_by_platform() {
    let home = copies();
    home.built(&[TWO, "-t", "base:1", "-o", "type=oci,dest=base,tar=false"]);
    home.write("context/Dockerfile", "FROM base\nCOPY shared.txt /more\n");
    home.built(&[TWO, "--build-context=base=oci-layout://base:1", "-o", "type=local,dest=out"]);
    let read = |path: &str| std::fs::read_to_string(home.path().join(path)).unwrap();
    assert_eq!(read("out/linux_amd64/program"), "for amd64");
    assert_eq!(read("out/linux_arm64/program"), "for arm64, which is longer");
}

#[test]
fn each_platform_is_weighed_and_held_against_its_limits() {
    let home = copies();
    home.write(
        "limits.yml",
        "platforms:\n  linux/arm64:\n    unpacked: 10B\n  linux/amd64:\n    unpacked: 1MB\n",
    );
    let flags = [
        TWO,
        "-t",
        "app:1",
        "--output-weight=app.weight",
        "--size-report=size.md",
        "--size-report=size.svg",
        "--settings=limits.yml",
    ];
    let output = home.build(&flags);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("linux/arm64: the image is above 1 of its limits"), "{said}");
    for file in ["app.linux_amd64.weight", "app.linux_arm64.weight", "size.linux_arm64.svg"] {
        assert!(home.path().join(file).exists(), "{file}");
    }
    assert!(!home.path().join("app.weight").exists());
    let report = std::fs::read_to_string(home.path().join("size.md")).unwrap();
    let heads: Vec<&str> = report.lines().filter(|line| line.starts_with("### ")).collect();
    assert_eq!(
        heads,
        [
            "### Image size: `docker.io/library/app:1` for `linux/amd64`",
            "### Image size: `docker.io/library/app:1` for `linux/arm64`"
        ]
    );
}

#[test]
fn each_platform_is_compared_with_its_own() {
    let home = copies();
    home.built(&[TWO, "-t", "app:1", "-o", "type=oci,dest=before,tar=false"]);
    home.write("context/arm64.txt", "for arm64, which has grown!!");
    home.built(&[TWO, "--size-baseline=oci:before", "--size-report=size.md"]);
    let report = std::fs::read_to_string(home.path().join("size.md")).unwrap();
    let (amd64, arm64) = report.split_once("for `linux/arm64`").unwrap();
    assert!(amd64.contains("The same files as `oci:before`"), "{report}");
    assert!(arm64.contains("35 B unpacked (+2 B"), "{report}");
}

#[test]
fn a_cache_mount_is_saved_with_what_all_platforms_wrote() {
    if !can_run() {
        return;
    }
    let text = "\
FROM --platform=$BUILDPLATFORM busybox AS builder
ARG TARGETARCH
RUN --mount=type=cache,target=/c echo >> /c/$TARGETARCH && ls /c > /list
FROM scratch
COPY --from=builder /list /
";
    let home = Home::new(text);
    let busybox = with_busybox();
    let caches = ["--cache-from=type=local,src=cache", "--cache-to=type=local,dest=cache"];
    home.built(&[&*busybox, TWO, caches[0], caches[1], "-o", "type=local,dest=out"]);
    let flags = ["--store=other", "--no-cache", caches[0], "-o", "type=local,dest=again"];
    let log = home.built(&[&[&*busybox, "--platform=linux/amd64"], &flags[..]].concat());
    assert!(log.contains("restore cache mount /c"), "{log}");
    let list = std::fs::read_to_string(home.path().join("again/list")).unwrap();
    assert_eq!(list, "amd64\narm64\n");
}

/// Each waits for the other, so that one after another would fail. What comes before the target shows is
/// run once, and first.
#[test]
fn platforms_are_built_at_the_same_time_behind_what_they_have_in_common() {
    if !can_run() {
        return;
    }
    let text = "\
FROM --platform=$BUILDPLATFORM busybox AS sources
RUN --mount=type=cache,target=/c mkdir /c/common
FROM --platform=$BUILDPLATFORM busybox AS builder
COPY --from=sources /bin/busybox /sources
RUN --mount=type=cache,target=/c mkdir /c/below && echo shared
ARG TARGETARCH
RUN --mount=type=cache,target=/c mkdir /c/$TARGETARCH && for i in $(seq 300); do \
    test -d /c/amd64 && test -d /c/arm64 && exit 0; sleep 0.1; done; exit 1
FROM scratch
COPY --from=builder /sources /
";
    let home = Home::new(text);
    let busybox = with_busybox();
    let log = home.built(&[&*busybox, TWO, "-o", "type=local,dest=out"]);
    let steps = || log.lines().filter(|line| line.starts_with('#'));
    let ran = |text: &str| steps().filter(|line| line.contains(&format!(" {text}"))).count();
    assert_eq!(ran("shared"), 3, "what it prints, and the step of each platform: {log}");
    assert_eq!(ran("sources 2/2] RUN"), 1, "{log}");
    let table: Vec<&str> = log.lines().filter(|line| line.starts_with("sources  ")).collect();
    assert!(table[0].contains(" 1 ran ") && table[1].contains(" cached "), "{log}");
    let again = home.built(&[&*busybox, TWO, "-o", "type=local,dest=out"]);
    assert!(!again.contains(" shared"), "{again}");

    // Nothing is common where all has to be done anew.
    let alone =
        "FROM busybox\nRUN --mount=type=cache,target=/d mktemp -d /d/XXXXXX && ls /d | wc -l\n";
    home.write("context/Dockerfile", alone.replace("FROM", "FROM --platform=$BUILDPLATFORM"));
    home.built(&[&*busybox, TWO, "--no-cache", "-o", "type=local,dest=new"]);
    let log = home.built(&[&*busybox, "--no-cache", "-o", "type=local,dest=new"]);
    assert!(log.contains(" 3\n"), "two before, and this one: {log}");
}

#[test]
fn a_run_that_this_machine_can_not_do_is_told_before_anything_is_fetched() {
    if !can_run() {
        return;
    }
    let foreign = match plimsoll::platform::Platform::host().architecture.as_str() {
        "s390x" => "linux/riscv64",
        _ => "linux/s390x",
    };
    let home = Home::new("FROM scratch\nCOPY Dockerfile /\nRUN [\"/Dockerfile\"]\n");
    let native = plimsoll::platform::Platform::host();
    let output = home.build(&[&format!("--platform={native},{foreign}")]);
    let said = stderr(&output);
    if !said.contains("exec format error") || !said.contains("does not run programs of") {
        eprintln!("SKIPPED: this machine emulates {foreign}");
        return;
    }
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in
        ["Dockerfile:3", foreign, "docker/setup-qemu-action", "FROM --platform=$BUILDPLATFORM"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("COPY Dockerfile /\n#"), "{said}");
}
