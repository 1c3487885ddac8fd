//! `plimsoll weigh` and `plimsoll diff`, on images that are made here with known weights.

#[path = "support/registry/mod.rs"]
mod fake;
#[path = "weigh/images.rs"]
mod images;
#[path = "weigh/lower_links.rs"]
mod lower_links;
#[path = "weigh/many.rs"]
mod many;
#[path = "weigh/packages.rs"]
mod packages;
#[path = "weigh/peers.rs"]
mod peers;
#[path = "weigh/tools.rs"]
mod tools;

use std::path::Path;
use std::process::{Command, Output};

use images::{Compression, Layer, Member, directory, file, hard_link, program, symlink};
use serde_json::{Value, json};

fn plimsoll(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .output()
        .unwrap()
}

/// Standard output of a run that succeeds.
fn text(folder: &Path, words: &[&str]) -> String {
    let output = plimsoll(folder, words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn json_of(folder: &Path, words: &[&str]) -> Value {
    serde_json::from_str(&text(folder, &[words, &["--format", "json"]].concat())).unwrap()
}

/// `[path, layer, bytes, fate]` of every file.
fn files(weight: &Value) -> Vec<Value> {
    let row = |file: &Value| json!([file["path"], file["layer"], file["bytes"], file["fate"]]);
    weight["files"].as_array().unwrap().iter().map(row).collect()
}

fn finding<'w>(weight: &'w Value, kind: &str) -> &'w Value {
    let findings = weight["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {findings:#?}"))
}

fn kinds(weight: &Value) -> Vec<&str> {
    let findings = weight["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

fn bytes_of(length: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Whiteouts, an opaque directory, hard links across layers, zstd beside gzip, and odd names.
fn intricate() -> Vec<Layer> {
    vec![
        Layer::new(
            "ADD file:1 in /",
            vec![
                directory("keep"),
                file("keep/a", &bytes_of(1000, 1)),
                file("linked/one", &bytes_of(300, 2)),
                hard_link("linked/two", "linked/one"),
                hard_link("linked/three", "linked/one"),
                file("gone", &bytes_of(50, 3)),
                file("tree/x", &bytes_of(60, 4)),
                file("tree/deep/y", &bytes_of(70, 5)),
                file("opaque/old", &bytes_of(80, 6)),
                symlink("link", "keep/a"),
            ],
        ),
        Layer::new(
            "RUN /bin/sh -c rearrange # buildkit",
            vec![
                file("keep/a", &bytes_of(1500, 7)),
                file("linked/one", &bytes_of(10, 8)),
                file(".wh.gone", b""),
                file(".wh.tree", b""),
                file("opaque/.wh..wh..opq", b""),
                file("opaque/new", &bytes_of(90, 9)),
            ],
        )
        .compressed(Compression::Zstd),
        Layer::new(
            "COPY odd /odd # buildkit",
            vec![
                file("odd/a|b`c\u{202e}d<e>", &bytes_of(5, 10)),
                Member { path: b"odd/caf\xe9\n\x1b[31m".to_vec(), ..file("", &bytes_of(6, 11)) },
                file("odd/back\\slash", &bytes_of(7, 12)),
            ],
        )
        .compressed(Compression::None),
    ]
}

#[test]
fn every_byte_has_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let image = images::write(&folder.path().join("image"), intricate());
    let weight = json_of(folder.path(), &["weigh", "oci:image"]);
    let kept = json!({ "fate": "kept" });
    let replaced = json!({ "by": 1, "fate": "replaced" });
    let removed = json!({ "by": 1, "fate": "removed" });
    assert_eq!(
        files(&weight),
        [
            json!(["gone", 0, 50, removed]),
            json!(["keep/a", 0, 1000, replaced]),
            json!(["keep/a", 1, 1500, kept]),
            json!(["linked/one", 0, 0, replaced]),
            json!(["linked/one", 1, 10, kept]),
            json!(["linked/three", 0, 300, kept]),
            json!(["linked/two", 0, 0, kept]),
            json!(["odd/a|b`c\u{202e}d<e>", 2, 5, kept]),
            json!(["odd/back\\\\slash", 2, 7, kept]),
            json!(["odd/caf\\xe9\n\u{1b}[31m", 2, 6, kept]),
            json!(["opaque/new", 1, 90, kept]),
            json!(["opaque/old", 0, 80, removed]),
            json!(["tree/deep/y", 0, 70, removed]),
            json!(["tree/x", 0, 60, removed]),
        ]
    );
    let layers: Vec<Value> =
        (0..3).map(|layer| weight["layers"][layer]["unpacked"].clone()).collect();
    assert_eq!(layers, [json!(1560), json!(1600), json!(18)]);
    assert_eq!(weight["size"]["unpacked"], 1560 + 1600 + 18);
    assert_eq!(weight["buried"]["unpacked"], 50 + 1000 + 80 + 70 + 60);
    let blobs: u64 = image.blobs.iter().sum();
    assert_eq!(weight["size"]["compressed"], blobs);
    for (index, blob) in image.blobs.iter().enumerate() {
        assert_eq!(weight["layers"][index]["blob"]["bytes"], *blob);
        let files = weight["files"].as_array().unwrap().iter();
        let files = files.filter(|file| file["layer"] == index);
        let estimates: u64 = files.map(|file| file["compressed"].as_u64().unwrap()).sum();
        assert!(estimates <= *blob, "layer {index}: {estimates} of {blob}");
    }
    assert_eq!(weight["layers"][1]["step"]["instruction"], "RUN rearrange");
    assert_eq!(kinds(&weight), ["overwritten", "removed"]);
    assert_eq!(finding(&weight, "removed")["size"]["unpacked"], 260);

    let shown = text(folder.path(), &["weigh", "oci:image"]);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
}

#[test]
fn estimates_follow_the_stream_and_not_the_average() {
    let folder = tempfile::tempdir().unwrap();
    let (noise, zeros) = (bytes_of(2_000_000, 1), vec![0; 2_000_000]);
    let members = vec![file("noise", &noise), file("zeros", &zeros)];
    let image = images::write(&folder.path().join("image"), vec![Layer::new("", members)]);
    let weight = json_of(folder.path(), &["weigh", "oci:image"]);
    let estimate = |index: usize| weight["files"][index]["compressed"].as_u64().unwrap();
    let blob = image.blobs[0];
    assert!(estimate(0) > blob * 9 / 10, "{} of {blob}", estimate(0));
    assert!(estimate(1) < blob / 10, "{} of {blob}", estimate(1));
}

/// Whoever decompresses is far ahead of whoever looks at the files.
#[test]
fn estimates_belong_to_their_files_however_far_the_stream_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let noise = |seed| bytes_of(100_000, seed);
    let members = (0..20).flat_map(|n| {
        [file(&format!("noise-{n:02}"), &noise(n)), file(&format!("zeros-{n:02}"), &[0; 400_000])]
    });
    images::write(&folder.path().join("image"), vec![Layer::new("", members.collect())]);
    let weight = json_of(folder.path(), &["weigh", "oci:image"]);
    for file in weight["files"].as_array().unwrap() {
        let compressed = file["compressed"].as_u64().unwrap();
        let is_noise = file["path"].as_str().unwrap().starts_with("noise");
        let expected = if is_noise { 50_000..150_000 } else { 0..50_000 };
        assert!(expected.contains(&compressed), "{file}");
    }
}

#[test]
fn an_archive_of_docker_save_is_read_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("image.tar");
    images::write_docker_archive(&plain, intricate());
    images::write(&folder.path().join("image"), intricate());
    let saved = json_of(folder.path(), &["weigh", "docker-archive:image.tar"]);
    let laid = json_of(folder.path(), &["weigh", "oci:image"]);
    assert_eq!(files(&saved), files(&laid));
    // What a registry would make of it is not known, and nobody guesses.
    assert_eq!(saved["size"], json!({ "unpacked": 3178, "compressed": null }));

    let packed = std::fs::File::create(folder.path().join("image.tar.gz")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    std::io::copy(&mut std::fs::File::open(&plain).unwrap(), &mut encoder).unwrap();
    encoder.finish().unwrap();
    let unpacked = json_of(folder.path(), &["weigh", "docker-archive:image.tar.gz"]);
    assert_eq!(files(&unpacked), files(&laid));

    let mut tar = Command::new("tar");
    tar.args(["-cf", "layout.tar", "-C", "image", "."]).current_dir(folder.path());
    assert!(tar.status().unwrap().success());
    let packed = json_of(folder.path(), &["weigh", "oci:layout.tar"]);
    for part in ["layers", "files", "findings", "efficiency"] {
        assert_eq!(packed[part], laid[part], "{part}");
    }

    for (words, expected) in [
        (["weigh", "docker-archive:none.tar"], "can't be read"),
        (["weigh", "oci:none"], "can't read none/oci-layout"),
        (["weigh", "weight:image.tar"], "damaged or of another version"),
        (["weigh", "docker-archive:image/index.json"], "can't be read"),
    ] {
        let output = plimsoll(folder.path(), &words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
        assert!(error.contains(expected), "{words:?}: {error}");
    }
}

#[test]
fn a_layer_that_is_not_what_its_digest_says_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let image = images::write(&folder.path().join("image"), intricate());
    let mut bytes = std::fs::read(&image.files[1]).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&image.files[1], bytes).unwrap();
    let output = plimsoll(folder.path(), &["weigh", "oci:image"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("layer 2 of oci:image"), "{error}");
}

#[test]
fn a_registry_is_asked_for_each_layer_once() {
    let folder = tempfile::tempdir().unwrap();
    let image = images::write(&folder.path().join("image"), intricate());
    let registry = fake::FakeRegistry::start(fake::Options::default());
    for path in image.files.iter().chain([&image.config]) {
        registry.add_blob("app", std::fs::read(path).unwrap());
    }
    let manifest = std::fs::read(&image.manifest).unwrap();
    registry.add_manifest("app", "1", plimsoll::image::media_type::OCI_MANIFEST, manifest);
    let name = format!("{}/app:1", registry.host());
    let insecure = format!("--insecure-registry={}", registry.host());
    let pulled = json_of(folder.path(), &["weigh", &insecure, &name]);
    let laid = json_of(folder.path(), &["weigh", "oci:image"]);
    for part in ["layers", "files", "findings", "efficiency"] {
        assert_eq!(pulled[part], laid[part], "{part}");
    }
    assert_eq!(registry.count("GET", "/blobs/"), 4);
}

#[test]
fn a_difference_needs_no_more_than_two_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut layers = intricate();
    images::write(&path.join("old"), layers.clone());
    layers[2].members.push(file("odd/new", &bytes_of(500, 20)));
    layers[2].members.remove(0);
    layers.push(Layer::new("RUN /bin/sh -c more", vec![file("more", &bytes_of(2000, 21))]));
    let new = images::write(&path.join("new"), layers);
    for name in ["old", "new"] {
        let (image, weight) = (format!("oci:{name}"), format!("{name}.weight"));
        text(path, &["weigh", &image, "--output-weight", &weight]);
    }
    let images = json_of(path, &["diff", "oci:old", "oci:new"]);
    let weights = json_of(path, &["diff", "weight:old.weight", "weight:new.weight"]);
    assert_eq!(images, weights);
    let changes = |list: &str, name: &str| -> Vec<Value> {
        let list = images[list].as_array().unwrap();
        list.iter().map(|change| json!([change[name], change["change"]])).collect()
    };
    assert_eq!(
        changes("files", "path"),
        [
            json!(["more", "added"]),
            json!(["odd/a|b`c\u{202e}d<e>", "removed"]),
            json!(["odd/new", "added"])
        ]
    );
    let layers: Vec<Value> =
        images["layers"].as_array().unwrap().iter().map(|layer| layer["change"].clone()).collect();
    assert_eq!(layers, ["same", "same", "grown", "added"]);
    assert_eq!(images["growth"]["unpacked"], 2000 + 500 - 5);
    assert_eq!(images["new"]["own"], new.blobs[2] + new.blobs[3]);
    let directories = changes("directories", "path");
    assert_eq!(directories, [json!(["", "grown"]), json!(["odd", "grown"])]);

    assert_eq!(
        text(path, &["diff", "oci:old", "weight:old.weight"]).lines().nth(1),
        Some("No difference.")
    );
    let shown = text(path, &["diff", "weight:old.weight", "oci:new"]);
    assert!(shown.contains("Unpacked    3.2 kB → 5.7 kB (+2.5 kB)"), "{shown}");
    let row = shown.lines().find(|line| line.starts_with("/more")).unwrap();
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words, ["/more", "+2.0", "kB", "added", "layer", "4"]);
}

#[test]
fn the_rules_of_dive_end_with_code_3() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    images::write(&path.join("image"), intricate());
    let weigh = |rules: &str| {
        std::fs::write(path.join(".dive-ci"), format!("rules:\n{rules}")).unwrap();
        let output = plimsoll(path, &["weigh", "oci:image", "--ci-config", ".dive-ci"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), error, !output.stdout.is_empty())
    };
    let disabled = "  lowestEfficiency: disabled\n  highestUserWastedPercent: disabled\n";
    assert_eq!(weigh(disabled), (Some(0), String::new(), true));
    let (code, error, reported) = weigh(&format!("{disabled}  highestWastedBytes: 1kB\n"));
    assert_eq!((code, reported), (Some(3), true));
    assert!(error.starts_with("ERROR: oci:image breaks highestWastedBytes: "), "{error}");
    let (code, error, _) = weigh("  lowestEfficiency: 0.99\n  highestUserWastedPercent: 1.0\n");
    assert_eq!(code, Some(3));
    assert!(error.contains("lowestEfficiency: 0."), "{error}");
    let (code, error, reported) = weigh("  lowestEfficiency: high\n");
    assert_eq!((code, reported), (Some(2), false));
    assert!(error.contains("can't understand \"high\""), "{error}");
}

/// Waste of every kind, each of known bytes, in an image that this program built.
#[test]
fn waste_is_told_with_its_line_and_its_patch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let context = path.join("context");
    let put = |name: &str, bytes: &[u8]| {
        let file = context.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    };
    put("app/main", &bytes_of(4000, 1));
    put("app/.git/objects/aa", &bytes_of(300, 2));
    put("app/__pycache__/x.pyc", &bytes_of(200, 3));
    put("app/copy", &bytes_of(4000, 1));
    put("lists/index", &bytes_of(700, 4));
    let dockerfile = "FROM scratch AS files\nCOPY lists /var/lib/apt/lists/\nFROM scratch\n\
                      COPY app /app\nCOPY --from=files / /\nCOPY --chmod=700 app/main /app/\n";
    std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let output = "type=oci,dest=out,tar=false";
    let build =
        ["build", "-q", "--store", "store", "-o", output, "--output-weight", "built", "context"];
    text(path, &build);

    let weight = json_of(path, &["weigh", "oci:out", "--file", "context/Dockerfile"]);
    let lines: Vec<Value> =
        (0..3).map(|layer| weight["layers"][layer]["step"]["lines"].clone()).collect();
    assert_eq!(lines, [json!([4, 4]), json!([5, 5]), json!([6, 6])]);
    let source = |layer: usize| weight["layers"][layer]["step"]["source"].clone();
    assert_eq!(source(0), json!({ "kind": "context" }));
    assert_eq!(source(1), json!({ "kind": "copied-from", "name": "files" }));
    for (kind, bytes, layer, by) in [
        ("recopied", 4000, 0, json!(2)),
        ("git", 300, 0, json!(null)),
        ("bytecode", 200, 0, json!(null)),
        ("package-cache", 700, 1, json!(null)),
        ("duplicate", 4000, 2, json!(null)),
    ] {
        let found = finding(&weight, kind);
        assert_eq!(found["size"]["unpacked"], bytes, "{kind}");
        assert_eq!((&found["layer"], &found["by"]), (&json!(layer), &by), "{kind}");
        assert!(found["advice"]["text"].is_string(), "{kind}");
        assert_eq!(found["advice"]["saves"]["unpacked"], bytes, "{kind}");
    }
    assert_eq!(weight["waste"]["unpacked"], 4000 + 300 + 200 + 700 + 4000);

    // The build knew all that without reading the image again, and so did a cached build.
    let built = json_of(path, &["weigh", "weight:built"]);
    for part in ["size", "efficiency", "packages", "sources"] {
        assert_eq!(built[part], weight[part], "{part}");
    }
    assert_eq!(built["waste"]["unpacked"], weight["waste"]["unpacked"]);
    let difference = json_of(path, &["diff", "weight:built", "oci:out"]);
    for list in ["files", "packages", "directories", "new_findings"] {
        assert_eq!(difference[list], json!([]), "{list}");
    }
    assert_eq!(files(&built), files(&weight));
    let steps = |weight: &Value| -> Vec<Value> {
        let layers = weight["layers"].as_array().unwrap();
        layers
            .iter()
            .map(|layer| json!([layer["diff_id"], layer["step"]["lines"], layer["step"]["source"]]))
            .collect()
    };
    assert_eq!(steps(&built), steps(&weight));
    let first = std::fs::read(path.join("built")).unwrap();
    text(path, &build);
    assert_eq!(std::fs::read(path.join("built")).unwrap(), first);
}

/// What a RUN writes is not summed while it is built, but it is before it is weighed.
#[test]
fn what_a_run_copies_or_changes_is_known_by_its_content() {
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].map(std::fs::read).into_iter().find_map(Result::ok);
    let (Some(busybox), true) = (busybox, rustix::process::geteuid().is_root()) else {
        eprintln!("skipped: a RUN needs root, and this one a static busybox");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("context")).unwrap();
    std::fs::write(path.join("context/busybox"), &busybox).unwrap();
    std::fs::write(path.join("context/app"), bytes_of(3000, 1)).unwrap();
    let dockerfile = "FROM scratch\nCOPY --chmod=755 busybox /bin/sh\nCOPY app /srv/app\n\
                      RUN chown 7:7 /srv/app\nRUN cp /srv/app /srv/copy\n";
    std::fs::write(path.join("context/Dockerfile"), dockerfile).unwrap();
    let build = ["build", "-q", "--store", "store", "--output-weight", "built", "context"];
    text(path, &build);
    let weight = json_of(path, &["weigh", "weight:built"]);
    let recopied = finding(&weight, "recopied");
    assert_eq!((&recopied["layer"], &recopied["by"]), (&json!(1), &json!(2)));
    assert_eq!(recopied["size"]["unpacked"], 3000);
    let patch = &recopied["advice"]["patch"];
    assert_eq!(patch["new"], json!(["COPY --chown=7:7 app /srv/app"]));
    assert_eq!(finding(&weight, "duplicate")["paths"], json!(["srv/copy"]));
    // A second build reads nothing again and says the same.
    let first = std::fs::read(path.join("built")).unwrap();
    text(path, &build);
    assert_eq!(std::fs::read(path.join("built")).unwrap(), first);
}

/// The same RUN by another builder, whose history is all there is.
#[test]
fn a_patch_needs_only_the_dockerfile_and_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let run = "RUN apt-get update && apt-get install -y curl";
    let layers = vec![
        Layer::new("/bin/sh -c #(nop) ADD file:1 in / ", vec![file("base", &bytes_of(10, 1))]),
        Layer::new(
            "RUN /bin/sh -c apt-get update && apt-get install -y curl # buildkit",
            vec![
                file("var/lib/apt/lists/x", &bytes_of(900, 2)),
                file("usr/bin/curl", &bytes_of(20, 3)),
            ],
        ),
    ];
    images::write(&path.join("image"), layers);
    std::fs::write(path.join("Dockerfile"), format!("FROM debian\n{run}\n")).unwrap();
    let weight = json_of(path, &["weigh", "oci:image", "-f", "Dockerfile"]);
    assert_eq!(weight["layers"][0]["step"]["source"], json!({ "kind": "base", "name": "debian" }));
    let advice = &finding(&weight, "package-cache")["advice"];
    let expected = json!({
        "line": 2,
        "old": [run],
        "new": [format!("{run} \\"), "    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*"],
    });
    assert_eq!(advice["patch"], expected);
    let shown = text(path, &["weigh", "oci:image", "-f", "Dockerfile"]);
    assert!(shown.contains("   900 B  cache of apt") || !shown.contains("cache of apt"), "{shown}");
}

#[test]
fn a_program_without_its_loader_is_named_with_what_it_lacks() {
    let Some((shell, libraries)) = images::dynamic_program() else {
        eprintln!("skipped: /bin/sh is no dynamically linked program here");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let content = std::fs::read(&shell).unwrap();
    let alone = vec![
        Layer::new("", vec![program("bin/tool", &content)]),
        Layer::new(
            "",
            vec![
                program("run.sh", b"#!/bin/bash\n"),
                program("ok.sh", b"#!/bin/tool\n"),
                program("usr/share/doc/example.sh", b"#!/usr/bin/zsh\n"),
                program("env.sh", b"#!/usr/bin/env python3\n"),
                file("text", b"#!/bin/bash\n"),
            ],
        ),
    ];
    images::write(&path.join("alone"), alone.clone());
    let weight = json_of(path, &["weigh", "oci:alone"]);
    let found = finding(&weight, "missing-library");
    assert_eq!(found["paths"], json!(["bin/tool"]));
    for (library, _) in &libraries {
        let name = library.file_name().unwrap().to_str().unwrap();
        assert!(found["detail"].as_str().unwrap().contains(name), "{name}: {found}");
    }
    let scripts: Vec<(&Value, &Value)> = weight["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["kind"] == "missing-interpreter")
        .map(|finding| (&finding["detail"], &finding["paths"]))
        .collect();
    let expected =
        [(json!("/bin/bash"), json!(["run.sh"])), (json!("/usr/bin/env"), json!(["env.sh"]))];
    assert_eq!(scripts, expected.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>());
    assert!(text(path, &["weigh", "oci:alone"]).contains("BROKEN  no "));

    let mut complete = alone;
    complete.pop();
    let member = |(path, content): &(std::path::PathBuf, Vec<u8>)| {
        program(path.to_str().unwrap().trim_start_matches('/'), content)
    };
    complete.push(Layer::new("", libraries.iter().map(member).collect()));
    images::write(&path.join("complete"), complete);
    let weight = json_of(path, &["weigh", "oci:complete"]);
    assert!(!kinds(&weight).contains(&"missing-library"), "{:#}", weight["findings"]);
}
