//! What goes over the wire, and when.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::docker_registry::DockerRegistry;
use super::program::{Home, busybox, with_busybox};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs another program, which has to be there: all that is used here comes with docker-registry's
/// row in scripts/test.
fn run(program: &str, words: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {said}");
    output.stdout
}

fn skopeo_copy(from: &str, to: &str) {
    run("skopeo", &["copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", from, to]);
}

/// The digest that the registry has for a name, and its manifest.
fn inspect(name: &str) -> (String, Value) {
    let name = format!("docker://{name}");
    let raw = run("skopeo", &["inspect", "--raw", "--tls-verify=false", &name]);
    let digest = run("skopeo", &["inspect", "--format={{.Digest}}", "--tls-verify=false", &name]);
    let digest = String::from_utf8(digest).unwrap().trim().to_owned();
    (digest, serde_json::from_slice(&raw).unwrap())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The digest of the one layer of the busybox base.
fn base_layer() -> String {
    let blob = |digest: &str| busybox().join("blobs").join(digest.replace(':', "/"));
    let index = json(&busybox().join("index.json"));
    let manifest = json(&blob(index["manifests"][0]["digest"].as_str().unwrap()));
    manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_is_pushed_once_and_read_by_others() {
    let Some(registry) = DockerRegistry::plain() else { return };
    let base = with_busybox();
    for (compression, media_type) in [
        ("gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
    ] {
        let home = Home::new(
            "FROM busybox\nWORKDIR /app\nCOPY --chmod=640 greeting .\nRUN cat greeting > made\n\
             CMD [\"cat\", \"made\"]\n",
        );
        home.write("context/greeting", "ahoy\n");
        let name = |tag: &str| format!("{}/{compression}/app:{tag}", registry.host);
        let (one, latest) = (name("1"), name("latest"));
        let output = format!("--output=type=registry,compression={compression}");
        let flags = [&base, "-t", &one, "-t", &latest, &output, "--metadata-file", "metadata.json"];
        home.built(&flags.map(AsRef::as_ref));

        let (digest, manifest) = inspect(&one);
        assert_eq!(json(&home.path().join("metadata.json"))["containerimage.digest"], digest);
        assert_eq!(inspect(&latest).0, digest);
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 4);
        for layer in &layers[1..] {
            assert_eq!(layer["mediaType"], media_type);
        }
        // The base's layer is the base's own, whatever its compression.
        assert_eq!(layers[0]["digest"], base_layer());
        assert_eq!(registry.count("PUT", "/blobs/uploads/"), 5, "four layers, one configuration");

        registry.forget_requests();
        let said = home.built(&flags.map(AsRef::as_ref));
        assert!(said.contains("(0 B sent, "), "{said}");
        for method in ["POST", "PATCH", "PUT"] {
            assert_eq!(registry.count(method, "/"), 0, "{method}: both names lead to it");
        }
        assert_eq!(inspect(&one).0, digest);
        registry.forget_requests();

        let copied = format!("oci:{}:x", home.path().join("copied").display());
        skopeo_copy(&format!("docker://{one}"), &copied);
        if compression == "zstd" {
            // umoci of Debian does not know it; skopeo packs it anew.
            let again = format!("dir:{}", home.path().join("again").display());
            run("skopeo", &["copy", "-q", "--dest-compress-format=gzip", &copied, &again]);
            continue;
        }
        let image = home.path().join("copied:x").display().to_string();
        let bundle = home.path().join("bundle").display().to_string();
        run("umoci", &["unpack", "--image", &image, &bundle]);
        let root = home.path().join("bundle/rootfs");
        assert_eq!(std::fs::read(root.join("app/made")).unwrap(), b"ahoy\n");
        let mode = std::fs::metadata(root.join("app/greeting")).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o640);
        let spec = json(&home.path().join("bundle/config.json"));
        assert_eq!(spec["process"]["args"], serde_json::json!(["cat", "made"]));
    }
}

#[test]
fn layers_leave_while_the_next_step_runs() {
    let Some(registry) = DockerRegistry::plain() else { return };
    let gate = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new(&format!(
        "FROM busybox\nCOPY cargo /cargo\nRUN wget -q -O /answer http://{}/\n",
        gate.local_addr().unwrap()
    ));
    home.write("context/cargo", vec![7; 3_000_000]);
    let name = format!("{}/app:1", registry.host);
    let build = home.start(&[&with_busybox(), "-t", &name, "--push"]);
    // The RUN goes on only when the registry has the layers below it.
    let (mut asking, _) = gate.accept().unwrap();
    let begun = Instant::now();
    while registry.count("PUT", "/blobs/uploads/") < 2 && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    let arrived = registry.count("PUT", "/blobs/uploads/");
    let _ = asking.read(&mut [0; 1024]).unwrap();
    asking.write_all(b"HTTP/1.0 200 OK\r\n\r\nhere").unwrap();
    drop(asking);
    let output = build.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(arrived, 2, "the base and the first layer");
    assert_eq!(registry.count("PUT", "/blobs/uploads/"), 4);
    assert_eq!(inspect(&name).1["layers"].as_array().unwrap().len(), 3);
}

#[test]
fn several_registries_get_one_image() {
    let (Some(one), Some(other)) = (DockerRegistry::plain(), DockerRegistry::plain()) else {
        return;
    };
    let home = Home::new("FROM scratch\nCOPY cargo /\n");
    home.write("context/cargo", "cargo");
    let names = [
        format!("{}/app:1", one.host),
        format!("{}/team/app:1", one.host),
        format!("{}/app:2", other.host),
    ];
    home.built(&["-t", &names[0], "-t", &names[1], "-t", &names[2], "--push"]);
    let digests = names.each_ref().map(|name| inspect(name).0);
    assert!(digests[0] == digests[1] && digests[0] == digests[2], "{digests:?}");
    // A layer and a configuration, sent to each registry once.
    assert_eq!(one.count("PUT", "/blobs/uploads/"), 2);
    assert_eq!(one.count("POST", "mount="), 2);
    assert_eq!(other.count("PUT", "/blobs/uploads/"), 2);
}

/// Puts the busybox base into `repository`.
fn fill(registry: &DockerRegistry, repository: &str) {
    let to = format!("docker://{}/{repository}:latest", registry.host);
    skopeo_copy(&format!("oci:{}:latest", busybox().display()), &to);
    registry.forget_requests();
}

#[test]
fn a_base_of_the_same_registry_is_mounted() {
    let Some(registry) = DockerRegistry::plain() else { return };
    fill(&registry, "library/busybox");
    let home = Home::new(&format!(
        "FROM {}/library/busybox AS base\nFROM base\nCOPY cargo /\n",
        registry.host
    ));
    home.write("context/cargo", "cargo");
    let name = format!("{}/app:1", registry.host);
    home.built(&["-t", &name, "--push"]);
    let layer = base_layer();
    assert_eq!(registry.count("POST", "mount="), 1);
    assert_eq!(registry.count("PUT", "/blobs/uploads/"), 2, "the new layer, the configuration");
    let read =
        registry.requests().into_iter().any(|r| r.method == "GET" && r.path.contains(&layer));
    // Who copies into a base has to see its files, and looks through its layer once.
    assert!(read);
    assert!(!home.stores(&layer["sha256:".len()..]), "no file of it");
    assert_eq!(inspect(&name).1["layers"][0]["digest"], layer);

    registry.forget_requests();
    home.write("context/Dockerfile", format!("FROM {}/library/busybox\n", registry.host));
    let renamed = format!("{}/renamed:1", registry.host);
    home.built(&["-t", &renamed, "--push", "--label", "a=b"]);
    assert_eq!(registry.count("POST", "mount="), 1);
    let transferred = registry
        .requests()
        .into_iter()
        .any(|r| r.method != "HEAD" && r.path.contains(&layer) && !r.path.contains("mount="));
    assert!(!transferred, "{:?}", registry.requests());
}

#[test]
fn a_base_of_a_mirror_passes_through_without_a_file() {
    let (Some(mirror), Some(target)) = (DockerRegistry::plain(), DockerRegistry::plain()) else {
        return;
    };
    fill(&mirror, "library/busybox");
    let home = Home::new("FROM busybox\nENV A=b\n");
    let name = format!("{}/app:1", target.host);
    let mirrors = format!("--registry-mirror=docker.io=http://{}", mirror.host);
    home.built(&[&mirrors, "-t", &name, "--push"]);
    let layer = base_layer();
    assert_eq!(mirror.count("GET", &layer), 1);
    assert_eq!(target.count("PUT", "/blobs/uploads/"), 2);
    assert!(!home.stores(&layer["sha256:".len()..]), "no file of it");
    assert_eq!(inspect(&name).1["layers"][0]["digest"], layer);

    mirror.forget_requests();
    home.built(&[&mirrors, "-t", &name, "--push", "--label", "a=b"]);
    assert_eq!(mirror.count("GET", &layer), 0, "the target has it");

    let other = format!("{}/other:1", target.host);
    let (push, file) = (format!("type=registry,name={other}"), "type=oci,dest=app.tar");
    let mirrors = format!("--registry-mirror=docker.io={}", mirror.host);
    home.built(&[&mirrors, "-o", &push, "-o", file]);
    assert_eq!(mirror.count("GET", &layer), 1, "one transfer for both outputs");
    assert_eq!(inspect(&other).1["layers"][0]["digest"], layer);
}

#[test]
fn docker_s_media_types_are_read_and_written() {
    let Some(registry) = DockerRegistry::plain() else { return };
    let base = format!("{}/base:1", registry.host);
    let layout = format!("oci:{}:latest", busybox().display());
    let to = format!("docker://{base}");
    let words = ["copy", "-q", "--format=v2s2", "--dest-tls-verify=false", &layout, &to];
    run("skopeo", &words);
    let docker = |what: &str| format!("application/vnd.docker.{what}");
    let (manifest, layer) =
        (docker("distribution.manifest.v2+json"), docker("image.rootfs.diff.tar.gzip"));
    assert_eq!(inspect(&base).1["mediaType"], manifest);

    let home = Home::new(&format!("FROM {base}\nCOPY cargo /\n"));
    home.write("context/cargo", "cargo");
    let name = |tag: &str| format!("{}/app:{tag}", registry.host);
    let output = |tag: &str, more: &str| format!("type=registry,name={}{more}", name(tag));
    // Two outputs of one build.
    home.built(&["-o", &output("oci", ""), "-o", &output("docker", ",oci-mediatypes=false")]);
    for (tag, manifest, layer) in [
        ("docker", manifest.as_str(), layer.as_str()),
        (
            "oci",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.layer.v1.tar+gzip",
        ),
    ] {
        let (_, found) = inspect(&name(tag));
        assert_eq!(found["mediaType"], manifest);
        let layers = found["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2);
        assert_eq!(layers[0]["digest"], inspect(&base).1["layers"][0]["digest"]);
        for found in layers {
            assert_eq!(found["mediaType"], layer);
        }
    }
}
