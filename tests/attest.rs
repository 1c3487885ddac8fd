//! Attestations: what is said of an image stands beside it, says no secret, and is the same in every
//! build.
//!
//! What pushes needs docker-registry; skopeo reads; what runs a RUN needs root and a static busybox.
//! Where one is missing the test says so and passes.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

#[path = "support/docker_registry.rs"]
mod docker_registry;
#[path = "attest/packages.rs"]
mod packages;
#[path = "support/program.rs"]
mod program;

use docker_registry::DockerRegistry;
use plimsoll::digest::Digest;
use program::{Home, stderr, with_busybox};

/// Of a secret; it must be nowhere.
const CANARY: &str = "canary-7d1f";

const COPIES: &str = "\
FROM scratch AS app
ARG WHO=nobody
ARG TARGETARCH
COPY $TARGETARCH.txt /program
COPY shared.txt /
LABEL who=$WHO
";

const RUNS: &str = "\
FROM busybox AS app
ARG WHO
RUN --mount=type=secret,id=token echo $WHO > /who && test -s /run/secrets/token
";

fn copies() -> Home {
    let home = Home::new(COPIES);
    home.write("context/amd64.txt", "for amd64");
    home.write("context/arm64.txt", "for arm64");
    home.write("context/shared.txt", "for all");
    home
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A blob of a layout, or of a registry's folder.
fn blob(layout: &Path, descriptor: &Value) -> Value {
    let digest = descriptor["digest"].as_str().unwrap();
    json_of(&layout.join("blobs/sha256").join(&digest["sha256:".len()..]))
}

/// What a registry has of this name, as a layout; `None` without skopeo.
fn pulled(home: &Home, image: &str) -> Option<std::path::PathBuf> {
    let folder = home.path().join("pulled");
    let _ = std::fs::remove_dir_all(&folder);
    let layout = format!("oci:{}", folder.display());
    let image = format!("docker://{image}");
    let copy = ["copy", "--all", "--preserve-digests", "--src-tls-verify=false", &image, &layout];
    let Ok(output) = Command::new("skopeo").args(copy).output() else {
        eprintln!("SKIPPED: skopeo is not installed (apt-get install skopeo)");
        return None;
    };
    assert!(output.status.success(), "{}", stderr(&output));
    Some(folder)
}

/// The manifests of an image's index: those of images, and the statements about each.
fn read(layout: &Path) -> (Vec<Value>, Vec<Vec<Value>>) {
    let top = json_of(&layout.join("index.json"));
    let index = blob(layout, &top["manifests"][0]);
    let manifests = index["manifests"].as_array().unwrap();
    let is_attached = |manifest: &&Value| manifest["platform"]["os"] == "unknown";
    let images: Vec<Value> = manifests.iter().filter(|m| !is_attached(m)).cloned().collect();
    let mut statements = Vec::new();
    for (attached, image) in manifests.iter().filter(is_attached).zip(&images) {
        assert_eq!(
            attached["annotations"],
            json!({
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": image["digest"],
            })
        );
        let manifest = blob(layout, attached);
        let config = blob(layout, &manifest["config"]);
        assert_eq!(
            (&config["os"], &config["architecture"]),
            (&json!("unknown"), &json!("unknown"))
        );
        let layers = manifest["layers"].as_array().unwrap();
        let digests: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        assert_eq!(config["rootfs"]["diff_ids"], json!(digests));
        let of_layer = |layer: &Value| {
            assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
            let statement = blob(layout, layer);
            let kind = &layer["annotations"]["in-toto.io/predicate-type"];
            assert_eq!(&statement["predicateType"], kind);
            assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
            let hex = image["digest"].as_str().unwrap().replace("sha256:", "");
            for subject in statement["subject"].as_array().unwrap() {
                assert_eq!(subject["digest"]["sha256"], hex.as_str());
            }
            statement
        };
        statements.push(layers.iter().map(of_layer).collect());
    }
    (images, statements)
}

/// All files below, as one.
fn all_bytes(folder: &Path, bytes: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all_bytes(&path, bytes),
            false => bytes.extend(std::fs::read(&path).unwrap()),
        }
    }
}

#[test]
fn a_registry_has_the_provenance_and_gets_it_once() {
    let Some(registry) = DockerRegistry::plain() else { return };
    let home = copies();
    let name = format!("{}/app/x:1", registry.host);
    let flags = [
        "--platform=linux/amd64",
        "--push",
        "-t",
        &name,
        "--provenance=mode=max,builder-id=https://example.com/me",
        "--build-arg=WHO=argued",
        "--label=said=labeled",
        "--build-arg=SOURCE_DATE_EPOCH=1600000000",
        "--metadata-file=meta.json",
        "--iidfile=id",
    ];
    let log = home.built(&flags);
    let metadata = json_of(&home.path().join("meta.json"));
    let digest = metadata["containerimage.digest"].as_str().unwrap().to_owned();
    assert!(log.contains(&format!("\nIndex        {digest}\n")), "{log}");
    let kind = "application/vnd.oci.image.index.v1+json";
    assert_eq!(metadata["containerimage.descriptor"]["mediaType"], kind);
    // What the metadata has shows in logs, and is the least.
    let least = metadata["buildx.build.provenance"].to_string();
    assert!(least.contains("resolvedDependencies") && !least.contains("argued"), "{least}");

    let Some(layout) = pulled(&home, &name) else { return };
    let (images, statements) = read(&layout);
    assert_eq!((images.len(), statements.len(), statements[0].len()), (1, 1, 1));
    assert_eq!(images[0]["platform"], json!({"architecture": "amd64", "os": "linux"}));
    let statement = &statements[0][0];
    let subject = statement["subject"][0]["name"].as_str().unwrap();
    let place = registry.host.replace(':', "%3A");
    assert_eq!(subject, format!("pkg:docker/{place}/app/x@1?platform=linux%2Famd64"));
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let definition = &statement["predicate"]["buildDefinition"];
    let parameters = &definition["externalParameters"];
    assert_eq!(parameters["configSource"]["path"], "Dockerfile");
    assert_eq!(parameters["request"]["args"]["build-arg:WHO"], "argued");
    assert_eq!(parameters["request"]["args"]["label:said"], "labeled");
    let steps = definition["internalParameters"]["buildConfig"]["stages"][0]["steps"].clone();
    assert_eq!(steps[2]["lines"], json!([4, 4]), "{steps}");
    let run = &statement["predicate"]["runDetails"];
    assert_eq!(run["builder"]["id"], "https://example.com/me");

    registry.forget_requests();
    home.built(&flags);
    let metadata = json_of(&home.path().join("meta.json"));
    assert_eq!(metadata["containerimage.digest"], digest.as_str());
    let changing = |method: &str| method != "GET" && method != "HEAD";
    let sent = registry.requests().into_iter().filter(|request| changing(&request.method));
    assert_eq!(sent.map(|request| request.path).collect::<Vec<_>>(), [""; 0]);

    // Another machine makes the same of the same.
    home.built(&[&flags[..], &["--store=other", "--no-cache"]].concat());
    let again = json_of(&home.path().join("meta.json"));
    assert_eq!(again["containerimage.digest"], digest.as_str());
}

#[test]
fn no_attestation_has_a_secret_and_bases_are_materials() {
    if !rustix::process::getuid().is_root() || !Path::new("/bin/busybox").exists() {
        eprintln!("SKIPPED: needs root and busybox (Debian package busybox-static)");
        return;
    }
    let mut home = Home::new(RUNS);
    home.set("TOKEN", CANARY);
    home.set("http_proxy", "");
    let epoch = "--build-arg=SOURCE_DATE_EPOCH=1600000000";
    let build = |flags: &[&str]| {
        let busybox = with_busybox();
        let common = [&*busybox, epoch, "--build-arg=WHO=argued", "--secret=id=token,env=TOKEN"];
        home.built(&[&common[..], flags].concat());
    };
    build(&["--provenance=true", "-t", "app:1", "-o", "type=oci,dest=out,tar=false"]);
    let out = home.path().join("out");
    let (_, statements) = read(&out);
    let statement = &statements[0][0];
    let definition = &statement["predicate"]["buildDefinition"];
    let request = &definition["externalParameters"]["request"];
    // The id is told, and the proxy and the place of the base are this machine's.
    assert_eq!(request["secrets"], json!([{ "id": "token" }]));
    assert_eq!(request["args"]["context:busybox"], "oci-layout:busybox");
    let base = &definition["resolvedDependencies"][0];
    assert!(
        base["uri"].as_str().unwrap().starts_with("pkg:oci/busybox@latest?platform="),
        "{base}"
    );
    assert_eq!(base["digest"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(definition["internalParameters"]["sourceDateEpoch"], 1_600_000_000);
    let mut bytes = Vec::new();
    all_bytes(&out, &mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(!text.contains(CANARY));
    assert!(!statement.to_string().contains(home.path().to_str().unwrap()), "{statement}");

    // The least has no values, and a run from the start says the same.
    build(&[
        "--attest=type=provenance,mode=min",
        "-o",
        "type=oci,dest=one,tar=false,rewrite-timestamp=true",
    ]);
    build(&[
        "--provenance=mode=min",
        "--no-cache",
        "-o",
        "type=oci,dest=two,tar=false,rewrite-timestamp=true",
    ]);
    let (one, two) = (home.path().join("one"), home.path().join("two"));
    let least = read(&one).1[0][0].to_string();
    assert!(!least.contains("argued") && !least.contains("\"token\""), "{least}");
    let digest =
        |layout: &Path| json_of(&layout.join("index.json"))["manifests"][0]["digest"].clone();
    assert_eq!(digest(&one), digest(&two));
}

#[test]
fn each_platform_has_its_own() {
    let home = copies();
    let two = "--platform=linux/amd64,linux/arm64";
    let output = "type=oci,dest=image.tar";
    home.built(&[
        two,
        "-t",
        "app:1",
        "--provenance=mode=min",
        "-o",
        output,
        "-o",
        "type=oci,dest=folder,tar=false",
    ]);
    let (images, statements) = read(&home.path().join("folder"));
    assert_eq!((images.len(), statements.len()), (2, 2));
    for (image, statements) in images.iter().zip(&statements) {
        let architecture = image["platform"]["architecture"].as_str().unwrap();
        let subject = statements[0]["subject"][0]["name"].as_str().unwrap();
        assert_eq!(subject, format!("pkg:docker/app@1?platform=linux%2F{architecture}"));
        let request =
            &statements[0]["predicate"]["buildDefinition"]["externalParameters"]["request"];
        assert_eq!(request["args"]["platform"], format!("linux/{architecture}"));
    }
    let archive = format!("oci-archive:{}", home.path().join("image.tar").display());
    let inspected =
        Command::new("skopeo").args(["inspect", "--override-arch=arm64", &archive]).output();
    let Ok(inspected) = inspected else {
        eprintln!("SKIPPED: skopeo is not installed (apt-get install skopeo)");
        return;
    };
    assert!(inspected.status.success(), "{}", stderr(&inspected));
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["Architecture"], "arm64");
}

#[test]
fn files_have_theirs_beside_them_and_docker_has_none() {
    let home = copies();
    let one = "--platform=linux/amd64";
    home.built(&[
        one,
        "--provenance=true",
        "-o",
        "type=local,dest=out",
        "-o",
        "type=tar,dest=out.tar",
        "-o",
        "type=docker,dest=docker.tar",
    ]);
    let statement = json_of(&home.path().join("out/provenance.json"));
    let sum = |text: &str| Digest::of(text.as_bytes()).hex();
    assert_eq!(
        statement["subject"],
        json!([
            { "name": "program", "digest": { "sha256": sum("for amd64") } },
            { "name": "shared.txt", "digest": { "sha256": sum("for all") } },
        ])
    );
    let names = |file: &str| {
        let file = std::fs::File::open(home.path().join(file)).unwrap();
        let mut archive = tar::Archive::new(file);
        let entries = archive.entries().unwrap();
        let names = entries.map(|entry| entry.unwrap().path().unwrap().display().to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names("out.tar"), ["program", "shared.txt", "provenance.json"]);
    let docker = names("docker.tar");
    assert!(docker.contains(&"manifest.json".to_owned()), "{docker:?}");
    assert!(!docker.iter().any(|name| name.contains("provenance")), "{docker:?}");

    // Several platforms, each in its folder or all in one; what is for registries alone is no file.
    let two = "--platform=linux/amd64,linux/arm64";
    home.built(&[two, "--provenance=mode=min", "-o", "type=local,dest=both"]);
    assert!(home.path().join("both/linux_arm64/provenance.json").exists());
    home.write("context/Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH.txt /\n");
    home.built(&[two, "--provenance=true", "-o", "type=local,dest=flat,platform-split=false"]);
    assert!(home.path().join("flat/provenance.linux_arm64.json").exists());
    let inline = "--provenance=mode=min,inline-only=true";
    home.built(&[one, inline, "-o", "type=local,dest=plain"]);
    assert!(!home.path().join("plain/provenance.json").exists());
}

#[test]
fn who_asks_for_none_gets_a_plain_manifest() {
    let home = copies();
    home.built(&["--platform=linux/amd64", "-t", "app:1", "-o", "type=oci,dest=out,tar=false"]);
    let top = json_of(&home.path().join("out/index.json"));
    let kind = "application/vnd.oci.image.manifest.v1+json";
    assert_eq!(top["manifests"][0]["mediaType"], kind);
    let old = ["--provenance=true", "-o", "type=oci,dest=x.tar,oci-mediatypes=false"];
    let output = home.build(&old);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("no place for attestations"), "{}", stderr(&output));
}
