//! Images that other programs have made. What the layers hold is counted by Python's `tarfile` too.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::json_of;

/// Images of one Dockerfile, as `recorded/record` has them of BuildKit and Buildah.
fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weigh/recorded").join(name)
}

/// `[compressed, unpacked]` of the layers of an OCI layout, in a folder or a tar. A path that an
/// archive has twice counts as the last.
fn counted(layout: &Path) -> Value {
    const COUNT: &str = r#"
import gzip, io, json, os, subprocess, sys, tarfile, tempfile
place = sys.argv[1]
if os.path.isfile(place):
    folder = tempfile.TemporaryDirectory()
    tarfile.open(place).extractall(folder.name)
    place = folder.name
def blob(descriptor):
    return os.path.join(place, "blobs", *descriptor["digest"].split(":"))
index = json.load(open(os.path.join(place, "index.json")))
manifest = json.load(open(blob(index["manifests"][0])))
sizes = []
for layer in manifest["layers"]:
    path = blob(layer)
    if layer["mediaType"].endswith("zstd"):
        tar = subprocess.run(["zstd", "-dqc", path], check=True, stdout=subprocess.PIPE).stdout
    else:
        tar = gzip.open(path).read()
    # umoci leaves out the end.
    tar = io.BytesIO(tar + bytes(-len(tar) % 512 + 1024))
    files = {m.name: m.size if m.isreg() else 0 for m in tarfile.open(fileobj=tar)}
    sizes.append([os.path.getsize(blob(layer)), sum(files.values())])
print(json.dumps(sizes))
"#;
    let output = Command::new("python3").args(["-c", COUNT]).arg(layout).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn layers(weight: &Value) -> Value {
    let row = |layer: &Value| json!([layer["blob"]["bytes"], layer["unpacked"]]);
    weight["layers"].as_array().unwrap().iter().map(row).collect()
}

/// `[path, bytes]` of what a container sees.
fn kept(weight: &Value) -> Vec<Value> {
    let files = weight["files"].as_array().unwrap().iter();
    let kept = files.filter(|file| file["fate"] == json!({ "fate": "kept" }));
    kept.map(|file| json!([file["path"], file["bytes"]])).collect()
}

/// Every byte of the layers is some file's, and every file is kept or buried.
fn assert_sums(weight: &Value) {
    let files = weight["files"].as_array().unwrap();
    let of = |layer: usize| -> u64 {
        let own = files.iter().filter(|file| file["layer"] == layer);
        own.map(|file| file["bytes"].as_u64().unwrap()).sum()
    };
    let layers = weight["layers"].as_array().unwrap();
    for (index, layer) in layers.iter().enumerate() {
        assert_eq!(layer["unpacked"], of(index), "layer {index}");
    }
    let kept: u64 = kept(weight).iter().map(|row| row[1].as_u64().unwrap()).sum();
    let buried = weight["buried"]["unpacked"].as_u64().unwrap();
    assert_eq!(weight["size"]["unpacked"], kept + buried);
}

/// What the tool of the recorded images weighs; the compiler decides.
fn tool(weight: &Value) -> u64 {
    let kept = kept(weight);
    kept.iter().find(|row| row[0] == "bin/tool").unwrap()[1].as_u64().unwrap()
}

fn expected(tool: u64) -> Vec<Value> {
    vec![
        json!(["bin/tool", tool]),
        json!(["json dest/a b", 1000]),
        // Two names of one file until one is written to: overlayfs copies it then.
        json!(["tree/again", 300]),
        json!(["tree/folder/new", 4]),
        json!(["tree/kept", 304]),
        json!(["tree/log", 4]),
        json!(["tree/odd |`<b>\\xe9", 60]),
        json!(["tree/two", 400]),
    ]
}

#[test]
fn images_of_buildkit_and_buildah_weigh_what_their_layers_hold() {
    for (name, lines) in [
        ("buildkit.tar", [6, 7, 8, 9, 10, 11, 12, 13, 14, 15].as_slice()),
        ("buildah.tar", &[6, 7, 8, 10, 11, 12, 13, 14, 15]),
    ] {
        let layout = recorded(name);
        let reference = format!("oci:{}", layout.display());
        let dockerfile = recorded("Dockerfile");
        let words = ["weigh", &reference, "--file", dockerfile.to_str().unwrap()];
        let weight = json_of(Path::new("/"), &words);
        assert_eq!(layers(&weight), counted(&layout), "{name}");
        assert_sums(&weight);
        // Buildah leaves empty files where it has mounted its own.
        let own = |row: &Value| row[0].as_str().is_some_and(|path| !path.starts_with("etc/"));
        let kept: Vec<Value> = kept(&weight).into_iter().filter(own).collect();
        assert_eq!(kept, expected(tool(&weight)), "{name}");
        let found: Vec<&Value> =
            weight["layers"].as_array().unwrap().iter().map(|l| &l["step"]["lines"][0]).collect();
        assert_eq!(found, lines, "{name}");
    }
}

/// What skopeo makes of an image is the same image in another form.
#[test]
fn copies_by_skopeo_weigh_the_same() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        eprintln!("SKIPPED: skopeo is not installed (apt-get install skopeo)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = recorded("buildkit.tar");
    let original = json_of(folder.path(), &["weigh", &format!("oci:{}", source.display())]);
    let copy = |flags: &[&str], name: &str| {
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--quiet"]).args(flags);
        skopeo.arg(format!("oci-archive:{}", source.display())).arg(name);
        let output = skopeo.current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let name = name.strip_suffix(":app:1").unwrap_or(name);
        json_of(folder.path(), &["weigh", name])
    };
    let zstd = ["--dest-compress-format", "zstd"];
    let as_zstd = copy(&zstd, "oci:zstd");
    assert_eq!(layers(&as_zstd), counted(&folder.path().join("zstd")));
    assert_ne!(layers(&as_zstd), layers(&original), "it is compressed anew");
    let saved = copy(&[], "docker-archive:saved.tar:app:1");
    assert_eq!(saved["size"]["compressed"], Value::Null, "its layers are plain tars");
    for copy in [as_zstd, saved] {
        assert_sums(&copy);
        assert_eq!(kept(&copy), kept(&original));
        assert_eq!(copy["size"]["unpacked"], original["size"]["unpacked"]);
        assert_eq!(copy["buried"]["unpacked"], original["buried"]["unpacked"]);
    }
}

/// umoci changes an image as files, and writes the whiteouts for that.
#[test]
fn layers_of_umoci_weigh_what_they_hold() {
    if Command::new("umoci").arg("--version").output().is_err() {
        eprintln!("SKIPPED: umoci is not installed (apt-get install umoci)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: usize| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, vec![b'x'; bytes]).unwrap();
    };
    let umoci = |words: &[&str]| {
        let output = Command::new("umoci").args(words).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{words:?} {}", String::from_utf8_lossy(&output.stderr));
    };
    let rootless: &[&str] =
        if rustix::process::geteuid().is_root() { &[] } else { &["--rootless"] };
    umoci(&["init", "--layout", "image"]);
    umoci(&["new", "--image", "image:a"]);
    write("first/kept", 100);
    write("first/gone", 200);
    write("first/folder/old", 300);
    write("second/new", 40);
    umoci(&[&["insert", "--image", "image:a"], rootless, &["first", "/data"]].concat());
    umoci(
        &[&["insert", "--image", "image:a", "--opaque"], rootless, &["second", "/data/folder"]]
            .concat(),
    );
    umoci(&["insert", "--image", "image:a", "--whiteout", "/data/gone"]);
    umoci(&[&["unpack", "--image", "image:a"], rootless, &["bundle"]].concat());
    write("bundle/rootfs/data/kept", 110);
    write("bundle/rootfs/data/more", 7);
    std::fs::remove_dir_all(folder.path().join("bundle/rootfs/data/folder")).unwrap();
    umoci(&["repack", "--image", "image:a", "bundle"]);
    let weight = json_of(folder.path(), &["weigh", "oci:image:a"]);
    assert_eq!(layers(&weight), counted(&folder.path().join("image")));
    assert_sums(&weight);
    assert_eq!(kept(&weight), [json!(["data/kept", 110]), json!(["data/more", 7])]);
    assert_eq!(weight["buried"]["unpacked"], 100 + 200 + 300 + 40);
}
