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
