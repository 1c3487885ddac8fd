//! Hard links to files that only lower layers have: weighed, read, written, and as umoci unpacks them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::images::{self, Layer, Member, file, hard_link, program, symlink};
use super::*;

/// Of a plain file, as tar programs write it.
fn link(path: &str, target: &str) -> Member {
    Member { mode: 0o644, ..hard_link(path, target) }
}

/// The layers above link to what is kept, what they remove, a link of the layer between, and through
/// a symbolic link.
fn linked(shell: &[u8]) -> Vec<Layer> {
    vec![
        Layer::new(
            "COPY lower / # buildkit",
            vec![
                program("bin/busybox", shell),
                file("data/original", &bytes_of(500, 1)),
                file("data/gone", &bytes_of(300, 2)),
                link("data/twin", "data/gone"),
                file("usr/lib/library", &bytes_of(70, 3)),
                symlink("lib", "usr/lib"),
            ],
        ),
        Layer::new(
            "RUN link # buildkit",
            vec![
                Member { mode: 0o755, ..hard_link("bin/sh", "bin/busybox") },
                link("data/other", "/data/original"),
                link("data/same", "data/other"),
                link("saved", "data/gone"),
                link("library", "lib/library"),
                file("data/.wh.gone", b""),
                file("data/.wh.twin", b""),
            ],
        ),
        Layer::new(
            "RUN link again # buildkit",
            vec![link("again", "data/other"), file("library", &bytes_of(20, 4))],
        ),
    ]
}

fn busybox() -> Option<Vec<u8>> {
    let found = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs::read(path).ok());
    if found.is_none() {
        eprintln!("SKIPPED: needs a static busybox (apt-get install busybox-static)");
    }
    found
}

#[test]
fn a_lower_link_weighs_nothing_and_has_the_content_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    images::write(&folder.path().join("image"), linked(b"shell"));
    let weight = json_of(folder.path(), &["weigh", "oci:image"]);
    let kept = json!({ "fate": "kept" });
    let removed = json!({ "by": 1, "fate": "removed" });
    assert_eq!(
        files(&weight),
        [
            json!(["again", 2, 0, kept]),
            json!(["bin/busybox", 0, 5, kept]),
            json!(["bin/sh", 1, 0, kept]),
            json!(["data/gone", 0, 300, removed]),
            json!(["data/original", 0, 500, kept]),
            json!(["data/other", 1, 0, kept]),
            json!(["data/same", 1, 0, kept]),
            json!(["data/twin", 0, 0, removed]),
            json!(["library", 1, 0, { "by": 2, "fate": "replaced" }]),
            json!(["library", 2, 20, kept]),
            json!(["saved", 1, 0, kept]),
            json!(["usr/lib/library", 0, 70, kept]),
        ]
    );
    let layers = weight["layers"].as_array().unwrap();
    let unpacked: Vec<&Value> = layers.iter().map(|layer| &layer["unpacked"]).collect();
    assert_eq!(unpacked, [875, 0, 20]);
    let content = |row: usize| &weight["files"][row]["content"];
    for (link, target) in [(0, 4), (2, 1), (5, 4), (6, 4), (8, 11), (10, 3)] {
        assert!(!content(link).is_null());
        assert_eq!(content(link), content(target));
    }
}

#[test]
fn a_lower_link_to_nothing_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for target in ["data/none", "data"] {
        let lower = vec![file("data/a", b"a")];
        let layers = vec![Layer::new("", lower), Layer::new("", vec![link("x", target)])];
        images::write(&folder.path().join("image"), layers);
        fs::create_dir_all(folder.path().join("context")).unwrap();
        let dockerfile = "FROM base AS base\nFROM scratch\nCOPY --from=base /data/a /\n";
        fs::write(folder.path().join("context/Dockerfile"), dockerfile).unwrap();
        let base = "--build-context=base=oci-layout://image";
        for words in [&["weigh", "oci:image"][..], &["build", base, "context"]] {
            let output = plimsoll(folder.path(), words);
            let error = String::from_utf8_lossy(&output.stderr);
            let expected = format!("/x is a hard link to /{target}, which neither its layer");
            assert!(!output.status.success() && error.contains(&expected), "{error}");
        }
    }
}

/// `[path, mode, content]` of the files below a folder.
fn tree(root: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() {
                let mode = metadata.permissions().mode() & 0o7777;
                found.push((name, mode, fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_image_with_lower_links_is_unpacked_as_umoci_does() {
    if Command::new("umoci").arg("--version").output().is_err() {
        eprintln!("SKIPPED: umoci is not installed (apt-get install umoci)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    images::write(&folder.path().join("image"), linked(b"shell"));
    let index = folder.path().join("image/index.json");
    let mut named: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    named["manifests"][0]["annotations"] = json!({ "org.opencontainers.image.ref.name": "a" });
    fs::write(&index, named.to_string()).unwrap();
    let mut umoci = Command::new("umoci");
    umoci.args(["unpack", "--image", "image:a"]);
    if !rustix::process::geteuid().is_root() {
        umoci.arg("--rootless");
    }
    let output = umoci.arg("bundle").current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    fs::create_dir(folder.path().join("context")).unwrap();
    // The copy reads every file through its own path; without it the layers are merged as they are.
    for (dockerfile, dest) in
        [("FROM base\n", "flat"), ("FROM base AS a\nFROM scratch\nCOPY --from=a / /\n", "copied")]
    {
        fs::write(folder.path().join("context/Dockerfile"), dockerfile).unwrap();
        let output = format!("--output=type=local,dest={dest}");
        let base = "--build-context=base=oci-layout://image:a";
        text(folder.path(), &["build", base, &output, "context"]);
        let theirs = tree(&folder.path().join("bundle/rootfs"));
        assert_eq!(tree(&folder.path().join(dest)), theirs, "{dest}");
        assert_eq!(theirs.len(), 9);
    }
}

#[test]
fn a_run_reads_and_writes_a_lower_link() {
    let Some(shell) = busybox() else { return };
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let base = images::write(&folder.path().join("image"), linked(&shell));
    fs::create_dir(folder.path().join("context")).unwrap();
    let dockerfile = "FROM base AS ran\n\
        RUN /bin/busybox cmp /data/original /again && /bin/busybox stat -c '%a %u %F' /saved > /seen \
        && echo more >> /data/other && /bin/busybox rm /data/same && test ! -e /data/gone\n\
        RUN /bin/busybox wc -c < /data/other > /size && test ! -e /data/same\n\
        FROM scratch\n\
        COPY --from=ran /seen /size /data/original /data/other /saved /library /\n";
    fs::write(folder.path().join("context/Dockerfile"), dockerfile).unwrap();
    let at = "--build-context=base=oci-layout://image";
    for _ in 0..2 {
        text(folder.path(), &["build", at, "--output=type=local,dest=out", "context"]);
        let read = |path: &str| fs::read(folder.path().join("out").join(path)).unwrap();
        assert_eq!((read("seen"), read("size")), (b"644 0 regular file\n".into(), b"505\n".into()));
        assert_eq!(read("original"), bytes_of(500, 1));
        assert_eq!(read("other"), [&bytes_of(500, 1)[..], b"more\n"].concat());
        assert_eq!((read("saved"), read("library")), (bytes_of(300, 2), bytes_of(20, 4)));
    }
    // The layers of the base are passed on as they are; the RUNs changed no more than they wrote.
    let output = "--output=type=oci,tar=false,dest=made";
    text(folder.path(), &["build", at, "--target=ran", output, "context"]);
    let weight = json_of(folder.path(), &["weigh", "oci:made"]);
    let digests: Vec<&Value> =
        weight["layers"].as_array().unwrap().iter().map(|layer| &layer["blob"]["digest"]).collect();
    for (digest, blob) in digests.iter().zip(&base.files) {
        let name = blob.file_name().unwrap().to_str().unwrap();
        assert_eq!(**digest, format!("sha256:{name}"));
    }
    let files = files(&weight);
    let of_runs: Vec<&Value> =
        files.iter().filter(|file| file[1].as_u64() > Some(2)).map(|file| &file[0]).collect();
    assert_eq!(of_runs, ["data/other", "seen", "size"]);
}
