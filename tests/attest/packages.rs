//! Lists of packages: what is in the image is in the list, as the reference tools of SPDX read it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::docker_registry::DockerRegistry;
use super::program::{Home, stderr, with_busybox};
use super::{json_of, pulled, read};

const DEBIAN: &str = "\
FROM scratch AS system
COPY os-release /etc/
COPY status /var/lib/dpkg/
COPY info /var/lib/dpkg/info/
FROM system
COPY node_modules /app/node_modules
";
const EPOCH: &str = "--build-arg=SOURCE_DATE_EPOCH=1600000000";
const AMD64: &str = "--platform=linux/amd64";

fn debian() -> Home {
    let home = Home::new(DEBIAN);
    home.write("context/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n");
    let status = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\n\
                  Source: glibc\nVersion: 2.36-9+deb12u8\n\nPackage: gone\n\
                  Status: deinstall ok config-files\nVersion: 1\n";
    home.write("context/status", status);
    home.write("context/info/libc6.list", "/etc\n/etc/os-release\n");
    let package = r#"{ "name": "@acme/boat", "version": "2.0.0", "license": "MIT or Apache-2.0" }"#;
    home.write("context/node_modules/@acme/boat/package.json", package);
    home
}

/// The names, versions and package URLs of the packages, without those of the image and the system.
fn packages(predicate: &Value) -> Vec<[&str; 3]> {
    let packages = predicate["packages"].as_array().unwrap().iter();
    let inside = packages.filter(|package| package["primaryPackagePurpose"].is_null());
    inside
        .map(|package| {
            let url = &package["externalRefs"][0]["referenceLocator"];
            [&package["name"], &package["versionInfo"], url]
                .map(|value| value.as_str().unwrap_or_default())
        })
        .collect()
}

const PACKAGES: [[&str; 3]; 2] = [
    [
        "libc6",
        "2.36-9+deb12u8",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u8?arch=amd64&distro=debian-12&upstream=glibc",
    ],
    ["@acme/boat", "2.0.0", "pkg:npm/%40acme/boat@2.0.0"],
];

/// Where the reference tools are; `None`, and the reason on the log, where they are missing.
fn validator() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/spdx/venv/bin");
    let program = folder.join("pyspdxtools");
    if !program.exists() {
        eprintln!("SKIPPED: the tools of SPDX are not installed (scripts/test does that)");
        return None;
    }
    Some(program)
}

#[test]
fn a_registry_has_the_packages_beside_the_image_and_gets_them_once() {
    let Some(registry) = DockerRegistry::plain() else { return };
    let home = debian();
    let name = format!("{}/app/x:1", registry.host);
    let cache = format!("type=registry,ref={}/cache", registry.host);
    let (to, from) = (format!("--cache-to={cache}"), format!("--cache-from={cache}"));
    let metadata = "--metadata-file=meta.json";
    let common = [AMD64, EPOCH, "--push", "-t", &name, metadata, "--sbom=true", &to, &from];
    let both = [&common[..], &["--provenance=mode=min"]].concat();
    home.built(&both);
    let digest = || json_of(&home.path().join("meta.json"))["containerimage.digest"].clone();
    let first = digest();

    let Some(layout) = pulled(&home, &name) else { return };
    let (images, statements) = read(&layout);
    assert_eq!((images.len(), statements.len(), statements[0].len()), (1, 1, 2));
    let statement = &statements[0][1];
    assert_eq!(statement["predicateType"], "https://spdx.dev/Document");
    let document = &statement["predicate"];
    assert_eq!(packages(document), PACKAGES);
    assert_eq!((&document["name"], &document["spdxVersion"]), (&json!(name), &json!("SPDX-2.3")));
    assert_eq!(document["creationInfo"]["created"], "2020-09-13T12:26:40Z");

    // Another machine, which has the cache, makes the same of the same, and sends nothing.
    registry.forget_requests();
    home.built(&[&both[..], &["--store=other"]].concat());
    assert_eq!(digest(), first);
    let changing = |method: &str| method != "GET" && method != "HEAD";
    let sent = registry.requests().into_iter().filter(|request| changing(&request.method));
    assert_eq!(sent.map(|request| request.path).collect::<Vec<_>>(), [""; 0]);

    // Without the other attestation, and with an image that is made again.
    home.built(&common);
    assert_ne!(digest(), first);
    let alone = digest();
    home.built(&[&common[..], &["--no-cache"]].concat());
    assert_eq!(digest(), alone);
}

#[test]
fn the_reference_tools_take_the_document_for_valid() {
    let Some(validator) = validator() else { return };
    let home = debian();
    let local = [AMD64, EPOCH, "--attest=type=sbom", "-o", "type=local,dest=out"];
    let said = home.built(&local);
    assert!(!said.contains("generator"), "{said}");
    let statement = json_of(&home.path().join("out/sbom.spdx.json"));
    let subjects = statement["subject"].as_array().unwrap();
    assert!(subjects.iter().any(|file| file["name"] == "var/lib/dpkg/status"), "{subjects:?}");
    let mut document = statement["predicate"].clone();
    assert_eq!(packages(&document), PACKAGES);
    let npm = document["packages"].as_array().unwrap().last().unwrap();
    assert_eq!(npm["licenseDeclared"], "MIT OR Apache-2.0");

    let check = |document: &Value| {
        home.write("document.spdx.json", document.to_string());
        let file = home.path().join("document.spdx.json");
        let output = Command::new(&validator).arg("--infile").arg(file).output().unwrap();
        (output.status.success(), stderr(&output))
    };
    let (is_valid, said) = check(&document);
    assert!(is_valid, "{said}");
    // It would tell.
    document["packages"][0]["SPDXID"] = "SPDXRef-Other".into();
    assert!(!check(&document).0);
}

#[test]
fn each_platform_has_its_own_and_a_generator_does_not_run() {
    let home = debian();
    let two = "--platform=linux/amd64,linux/arm64";
    let sbom = "--sbom=generator=docker.io/acme/scanner:1,DEPTH=2";
    let said = home.built(&[two, EPOCH, sbom, "-o", "type=oci,dest=out,tar=false"]);
    let notice = "the generator docker.io/acme/scanner:1 does not run";
    assert!(said.contains(notice), "{said}");
    let (images, statements) = read(&home.path().join("out"));
    assert_eq!((images.len(), statements.len()), (2, 2));
    for of_image in &statements {
        assert_eq!(packages(&of_image[0]["predicate"]), PACKAGES);
    }
    // Whose layers differ are other documents; these are of the same.
    let namespace = |index: usize| statements[index][0]["predicate"]["documentNamespace"].clone();
    assert_eq!(namespace(0), namespace(1));
}

#[test]
fn what_a_run_installs_is_listed() {
    if !rustix::process::getuid().is_root() || !Path::new("/bin/busybox").exists() {
        eprintln!("SKIPPED: needs root and busybox (Debian package busybox-static)");
        return;
    }
    let home = Home::new(
        "FROM busybox\nRUN mkdir -p /lib/apk/db && printf 'ID=alpine\\nVERSION_ID=3.20.1\\n' > \
         /etc/os-release && printf 'P:musl\\nV:1.2.5-r0\\nA:x86_64\\nL:MIT\\n\\n' > \
         /lib/apk/db/installed\n",
    );
    let busybox = with_busybox();
    let output = "type=oci,dest=out,tar=false";
    let said = home.built(&[&busybox, "--sbom=true", "--size-report=size.md", "-o", output]);
    let (images, statements) = read(&home.path().join("out"));
    let url = "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1";
    assert_eq!(packages(&statements[0][0]["predicate"]), [["musl", "1.2.5-r0", url]]);
    assert!(said.contains(images[0]["digest"].as_str().unwrap()), "{said}");

    // An image that is weighed has the same ones.
    let weigh = ["weigh", "oci:out", "--output-weight=weight"];
    let output = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(weigh)
        .current_dir(home.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let weight = plimsoll::weight::decode(&std::fs::read(home.path().join("weight")).unwrap());
    let weight = weight.unwrap();
    assert_eq!(weight.packages.iter().map(|p| &*p.name).collect::<Vec<_>>(), ["musl"]);
    assert_eq!(weight.distribution.unwrap().id, "alpine");
}
