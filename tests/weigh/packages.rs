//! Packages of every kind, each with known files.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::images::{self, Layer, file, program, symlink};
use super::{bytes_of, json_of};

/// `[kind, name, version, unpacked bytes, files]` of every package.
fn packages(weight: &Value) -> Vec<Value> {
    let row =
        |p: &Value| json!([p["kind"], p["name"], p["version"], p["size"]["unpacked"], p["files"]]);
    weight["packages"].as_array().unwrap().iter().map(row).collect()
}

#[test]
fn packages_own_what_is_left_of_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let status = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36\n\n\
                  Package: gcc-12\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.2\n\n\
                  Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n";
    let record =
        "pkg/__init__.py,,\npkg/shared.so,,\n../../../bin/pkg,,\npkg-2.0.dist-info/RECORD,,\n";
    let base = vec![
        symlink("lib", "usr/lib"),
        file("usr/lib/libc.so.6", &bytes_of(1000, 1)),
        file("usr/bin/gcc-12", &bytes_of(2000, 2)),
        file("usr/share/doc/libc6", &bytes_of(30, 3)),
        file("var/lib/dpkg/status", status.as_bytes()),
        // Written with the name of the link, which is where the file was before `/usr` was merged.
        file(
            "var/lib/dpkg/info/libc6:amd64.list",
            b"/.\n/lib\n/lib/libc.so.6\n/usr/share/doc/libc6\n",
        ),
        file("var/lib/dpkg/info/gcc-12.list", b"/.\n/usr/bin/gcc-12\n"),
    ];
    let site = "usr/lib/python3/site-packages";
    let above = vec![
        file(&format!("{site}/pkg/__init__.py"), &bytes_of(40, 4)),
        file(&format!("{site}/pkg/shared.so"), &bytes_of(50, 5)),
        file("usr/bin/pkg", &bytes_of(60, 6)),
        file(&format!("{site}/pkg-2.0.dist-info/RECORD"), record.as_bytes()),
        file("app/node_modules/a/package.json", br#"{"name":"a","version":"1.0.0"}"#),
        file("app/node_modules/a/index.js", &bytes_of(70, 7)),
        file(
            "app/node_modules/a/node_modules/b/package.json",
            br#"{"name":"b","version":"3.1.0"}"#,
        ),
        file("app/node_modules/a/node_modules/b/index.js", &bytes_of(80, 8)),
        file("usr/share/doc/libc6", b"shorter"),
    ];
    images::write(&folder.path().join("image"), vec![Layer::new("", base), Layer::new("", above)]);
    let weight = json_of(folder.path(), &["weigh", "oci:image"]);
    assert_eq!(
        packages(&weight),
        [
            json!(["dpkg", "gcc-12", "12.2", 2000, 1]),
            json!(["dpkg", "libc6", "2.36", 1000 + 7, 2]),
            json!(["python", "pkg", "2.0", 40 + 50 + 60 + record.len(), 4]),
            json!(["npm", "a", "1.0.0", 70 + 30, 2]),
            json!(["npm", "b", "3.1.0", 80 + 30, 2]),
        ]
    );
    let sum = |list: &str| -> u64 {
        weight[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["size"]["unpacked"].as_u64().unwrap())
            .sum()
    };
    let all = weight["size"]["unpacked"].as_u64().unwrap();
    let (loose, buried) = (&weight["unpackaged"]["unpacked"], &weight["buried"]["unpacked"]);
    assert_eq!(sum("packages") + loose.as_u64().unwrap() + buried.as_u64().unwrap(), all);
    let tools = super::finding(&weight, "build-tools");
    assert_eq!((&tools["detail"], &tools["size"]["unpacked"]), (&json!("gcc-12"), &json!(2000)));
}

#[test]
fn alpine_and_images_without_a_package_manager() {
    let folder = tempfile::tempdir().unwrap();
    let apk =
        "P:musl\nV:1.2.5-r0\nF:lib\nR:ld-musl-x86_64.so.1\n\nP:busybox\nV:1.36\nF:bin\nR:busybox\n";
    let distroless = "var/lib/dpkg/status.d";
    let members = vec![
        file("lib/apk/db/installed", apk.as_bytes()),
        program("lib/ld-musl-x86_64.so.1", &bytes_of(600, 1)),
        program("bin/busybox", &bytes_of(800, 2)),
        file(&format!("{distroless}/base"), b"Package: base-files\nVersion: 12\n"),
        file(
            &format!("{distroless}/base.md5sums"),
            b"d41d8cd98f00b204e9800998ecf8427e  etc/debian_version\n",
        ),
        file("etc/debian_version", b"12.1\n"),
    ];
    images::write(&folder.path().join("image"), vec![Layer::new("", members)]);
    let weight = json_of(folder.path(), &["weigh", "oci:image"]);
    assert_eq!(
        packages(&weight),
        [
            json!(["dpkg", "base-files", "12", 5, 1]),
            json!(["apk", "busybox", "1.36", 800, 1]),
            json!(["apk", "musl", "1.2.5-r0", 600, 1]),
        ]
    );
}

/// A header as `rpm` keeps it: strings of type 6 and 8, numbers of type 4.
fn rpm_header(name: &str, release: &str, files: &[&str]) -> Vec<u8> {
    let strings = |texts: &[&str]| -> Vec<u8> {
        texts.iter().flat_map(|t| [t.as_bytes(), b"\0"].concat()).collect()
    };
    let numbers: Vec<u8> = files.iter().flat_map(|_| 0_u32.to_be_bytes()).collect();
    let tags: [(u32, u32, usize, Vec<u8>); 6] = [
        (1000, 6, 1, strings(&[name])),
        (1001, 6, 1, strings(&["1.0"])),
        (1002, 6, 1, strings(&[release])),
        (1116, 4, files.len(), numbers),
        (1117, 8, files.len(), strings(files)),
        (1118, 8, 1, strings(&["/usr/bin/"])),
    ];
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, kind, count, bytes) in tags {
        for value in [tag, kind, data.len() as u32, count as u32] {
            index.extend(value.to_be_bytes());
        }
        data.extend(bytes);
    }
    [6_u32.to_be_bytes().to_vec(), (data.len() as u32).to_be_bytes().to_vec(), index, data].concat()
}

/// SQLite writes the database: long headers go through overflow pages, many through inner pages.
#[test]
fn an_rpm_database_that_sqlite_wrote_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("rpmdb.sqlite");
    let many: Vec<String> = (0..2000).map(|n| format!("a-file-with-a-long-name-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(["bash"]).collect();
    let mut headers = vec![rpm_header("bash", "1", &many)];
    headers.extend(
        (0..300).map(|n| rpm_header(&format!("p{n}"), &"r".repeat(n), &[&format!("p{n}")])),
    );
    if !write_sqlite(&database, &headers) {
        eprintln!("skipped: there is no python3 with sqlite3 to write a database");
        return;
    }
    let members = vec![
        file("var/lib/rpm/rpmdb.sqlite", &std::fs::read(&database).unwrap()),
        file("usr/bin/bash", &bytes_of(100, 1)),
        file("usr/bin/p7", &bytes_of(200, 2)),
        file("usr/bin/p299", &bytes_of(300, 3)),
    ];
    images::write(&folder.path().join("image"), vec![Layer::new("", members)]);
    let weight = json_of(folder.path(), &["weigh", "oci:image"]);
    let found = packages(&weight);
    assert_eq!(found.len(), 301);
    for expected in [
        json!(["rpm", "bash", "1.0-1", 100, 1]),
        json!(["rpm", "p7", format!("1.0-{}", "r".repeat(7)), 200, 1]),
        json!(["rpm", "p299", format!("1.0-{}", "r".repeat(299)), 300, 1]),
        json!(["rpm", "p5", "1.0-rrrrr", 0, 0]),
    ] {
        assert!(found.contains(&expected), "{expected}");
    }
}

/// rpm's own database: slots that lead to blobs (SUSE).
fn ndb(headers: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[..4].copy_from_slice(b"RpmP");
    bytes[12] = 1;
    for (index, header) in headers.iter().enumerate() {
        let number = index as u32 + 1;
        let block = (bytes.len() / 16) as u32;
        let at = 16 * (2 + index);
        bytes[at..at + 4].copy_from_slice(b"Slot");
        bytes[at + 4..at + 8].copy_from_slice(&number.to_le_bytes());
        bytes[at + 8..at + 12].copy_from_slice(&block.to_le_bytes());
        bytes.extend(b"BlbS");
        for value in [number, 1, header.len() as u32] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(header);
        bytes.resize(bytes.len().next_multiple_of(16), 0);
    }
    bytes
}

/// A hash table of Berkeley DB, each header in overflow pages of its own (before RHEL 9).
fn berkeley(headers: &[Vec<u8>]) -> Vec<u8> {
    const SIZE: usize = 4096;
    let page = |kind: u8| {
        let mut page = vec![0; SIZE];
        page[25] = kind;
        page
    };
    let mut meta = page(8);
    meta[12..16].copy_from_slice(&0x0006_1561_u32.to_le_bytes());
    meta[20..24].copy_from_slice(&(SIZE as u32).to_le_bytes());
    let mut hash = page(13);
    hash[20..22].copy_from_slice(&(2 * headers.len() as u16).to_le_bytes());
    let mut pages = Vec::new();
    for (index, header) in headers.iter().enumerate() {
        let item = SIZE - 12 * (index + 1);
        let place = 26 + 2 * (2 * index + 1);
        hash[place..place + 2].copy_from_slice(&(item as u16).to_le_bytes());
        hash[item] = 3;
        hash[item + 4..item + 8].copy_from_slice(&(2 + pages.len() as u32).to_le_bytes());
        hash[item + 8..item + 12].copy_from_slice(&(header.len() as u32).to_le_bytes());
        for piece in header.chunks(SIZE - 26) {
            let mut overflow = page(7);
            let next = 3 + pages.len() as u32;
            overflow[16..20].copy_from_slice(&next.to_le_bytes());
            overflow[26..26 + piece.len()].copy_from_slice(piece);
            pages.push(overflow);
        }
    }
    [meta, hash].into_iter().chain(pages).flatten().collect()
}

#[test]
fn older_rpm_databases_are_read() {
    let many: Vec<String> = (0..500).map(|n| format!("a-file-with-a-long-name-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(["bash"]).collect();
    let headers = [rpm_header("bash", "1", &many), rpm_header("zip", "2", &["zip"])];
    for (path, database) in [
        ("usr/lib/sysimage/rpm/Packages.db", ndb(&headers)),
        ("var/lib/rpm/Packages", berkeley(&headers)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let members = vec![
            file(path, &database),
            file("usr/bin/bash", &bytes_of(100, 1)),
            file("usr/bin/zip", &bytes_of(200, 2)),
        ];
        images::write(&folder.path().join("image"), vec![Layer::new("", members)]);
        let weight = json_of(folder.path(), &["weigh", "oci:image"]);
        let expected =
            [json!(["rpm", "bash", "1.0-1", 100, 1]), json!(["rpm", "zip", "1.0-2", 200, 1])];
        assert_eq!(packages(&weight), expected, "{path}");
    }
}

/// `[path, name, version, components]` of the packages of a kind.
fn made_of(weight: &Value, kind: &str) -> Vec<Value> {
    let packages = weight["packages"].as_array().unwrap().iter();
    let packages = packages.filter(|package| package["kind"] == kind);
    packages.map(|p| json!([p["path"], p["name"], p["version"], p["components"]])).collect()
}

/// Programs of Go say what they are made of; so do those of Rust that `cargo auditable` builds, which
/// puts a section into them as `objcopy` does here.
#[test]
fn programs_say_what_they_are_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let audited = folder.path().join("audited");
    let script = "import json, sys, zlib\n\
        audit = {'packages': [{'name': 'serde', 'version': '1.0.5', 'source': 'crates.io'},\n\
        {'name': 'app', 'version': '0.2.0', 'source': 'local', 'root': True}]}\n\
        open(sys.argv[1], 'wb').write(zlib.compress(json.dumps(audit).encode()))\n";
    let audit = folder.path().join("audit");
    let wrote = Command::new("python3").args(["-c", script]).arg(&audit).status();
    let section = format!(".dep-v0={}", audit.display());
    let added = Command::new("objcopy")
        .args(["--add-section", &section, "/bin/true"])
        .arg(&audited)
        .status();
    let (Ok(wrote), Ok(added), Ok(go)) = (wrote, added, std::fs::read("/usr/bin/umoci")) else {
        eprintln!(
            "SKIPPED: needs python3, objcopy and umoci (Debian packages python3, gcc, umoci)"
        );
        return;
    };
    assert!(wrote.success() && added.success());
    let members =
        vec![program("bin/app", &std::fs::read(&audited).unwrap()), program("bin/umoci", &go)];
    images::write(&folder.path().join("image"), vec![Layer::new("", members)]);
    let weight = json_of(folder.path(), &["weigh", "oci:image"]);
    let serde = json!([{ "name": "serde", "version": "1.0.5" }]);
    assert_eq!(made_of(&weight, "rust"), [json!(["bin/app", "app", "0.2.0", serde])]);
    let found = made_of(&weight, "go");
    let [umoci] = &found[..] else { panic!("{found:?}") };
    assert_eq!(umoci[0], "bin/umoci");
    assert!(umoci[1].as_str().unwrap().contains("umoci"), "{umoci}");
    let names: Vec<&str> =
        umoci[3].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"go"), "{names:?}");
}

#[test]
fn archives_of_java_say_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let script = "import sys, zipfile\n\
        pom = lambda g, a, v: f'groupId={g}\\nartifactId={a}\\nversion={v}\\n'\n\
        with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as jar:\n\
        \u{20}jar.writestr('META-INF/maven/org.ex/app/pom.properties', pom('org.ex', 'app', '3.1'))\n\
        \u{20}jar.writestr('META-INF/maven/org.b/b/pom.properties', pom('org.b', 'b', '2'))\n\
        \u{20}jar.writestr('org/ex/App.class', 'x' * 1000)\n";
    let jar = folder.path().join("app-3.1.jar");
    let wrote = Command::new("python3").args(["-c", script]).arg(&jar).status();
    let Ok(wrote) = wrote else {
        eprintln!("SKIPPED: there is no python3 to write an archive");
        return;
    };
    assert!(wrote.success());
    let members = vec![file("opt/app/app-3.1.jar", &std::fs::read(&jar).unwrap())];
    images::write(&folder.path().join("image"), vec![Layer::new("", members)]);
    let weight = json_of(folder.path(), &["weigh", "oci:image"]);
    let other = json!([{ "name": "org.b:b", "version": "2" }]);
    let expected = json!(["opt/app/app-3.1.jar", "org.ex:app", "3.1", other]);
    assert_eq!(made_of(&weight, "java"), [expected]);
}

/// What every image of Debian has: some 9,000 files. The kept weight of it is small.
#[test]
fn the_weight_of_debian_is_a_small_file() {
    let select = ["-W", "-f", "${Package} ${Priority}\n"];
    let Ok(listed) = Command::new("dpkg-query").args(select).output() else {
        eprintln!("SKIPPED: this is no Debian, whose own files are weighed here");
        return;
    };
    let listed = String::from_utf8(listed.stdout).unwrap();
    let basic = listed.lines().filter_map(|line| line.split_once(' '));
    let basic = basic.filter(|(_, priority)| ["required", "important"].contains(priority));
    let names: Vec<&str> = basic.map(|(name, _)| name).collect();
    let lists = Command::new("dpkg-query").arg("-L").args(&names).output().unwrap();
    let mut paths: Vec<String> = String::from_utf8_lossy(&lists.stdout)
        .lines()
        .chain(["/var/lib/dpkg/status"])
        // `/lib` is a link to `/usr/lib`, which some packages don't know yet.
        .filter_map(|path| std::fs::canonicalize(path).ok())
        .filter(|path| path.is_file())
        .filter_map(|path| Some(path.to_str()?.trim_start_matches('/').to_owned()))
        .collect();
    paths.sort_unstable();
    paths.dedup();
    let folder = tempfile::tempdir().unwrap();
    let tar = folder.path().join("layer.tar");
    std::fs::write(folder.path().join("list"), paths.join("\n")).unwrap();
    let packed = Command::new("tar")
        .args(["--create", "--directory", "/", "--no-recursion", "--file"])
        .arg(&tar)
        .arg("--files-from")
        .arg(folder.path().join("list"))
        .status();
    assert!(packed.unwrap().success());
    images::write_tar(&folder.path().join("image"), &tar);
    let words = ["weigh", "oci:image", "--output-weight", "weight", "--format", "json"];
    let weight: Value = serde_json::from_str(&super::text(folder.path(), &words)).unwrap();
    let files = weight["files"].as_array().unwrap().len();
    assert!(files == paths.len() && files > 3_000, "{files} files of {} packages", names.len());
    let size = std::fs::metadata(folder.path().join("weight")).unwrap().len();
    assert!(size < 200_000, "{size} bytes for {files} files");
    // As many as the image of Debian has, if each takes as much.
    assert!(size * 9_000 / (files as u64) < 200_000, "{size} bytes for {files} files");
}

fn write_sqlite(path: &Path, headers: &[Vec<u8>]) -> bool {
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        db.execute('CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)')\n\
        db.execute('CREATE TABLE Name (key TEXT NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)')\n\
        for line in sys.stdin: db.execute('INSERT INTO Packages (blob) VALUES (?)', (bytes.fromhex(line),))\n\
        db.commit()\n";
    let hex =
        |header: &Vec<u8>| -> String { header.iter().map(|byte| format!("{byte:02x}")).collect() };
    let lines: Vec<String> = headers.iter().map(hex).collect();
    let input = path.with_extension("hex");
    std::fs::write(&input, lines.join("\n")).unwrap();
    Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .stdin(std::fs::File::open(input).unwrap())
        .status()
        .is_ok_and(|status| status.success())
}
