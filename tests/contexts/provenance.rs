//! What a provenance says of contexts that came from elsewhere: where from, and which.

use std::fs;

use plimsoll::digest::Digest;
use serde_json::{Value, json};

use super::web::{Page, WebServer};
use super::{Built, Place, run, tar_of};

/// What stands beside the files of the image.
fn definition(built: &Built) -> Value {
    let statement: Value = serde_json::from_str(&built.text("provenance.json")).unwrap();
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    statement["predicate"]["buildDefinition"].clone()
}

#[test]
fn a_repository_and_its_commit_are_named() {
    let place = Place::new();
    let repository = place.path().join("repositories/boat.git");
    fs::create_dir_all(repository.join("app")).unwrap();
    fs::write(repository.join("app/Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
    fs::write(repository.join("app/f"), "f").unwrap();
    run(&repository, &["git", "init", "--quiet", "--initial-branch=main"]);
    run(&repository, &["git", "add", "--all"]);
    let who = ["-c", "user.name=a", "-c", "user.email=a@b"];
    let commit = [&["git"][..], &who, &["commit", "--quiet", "--message=m"]].concat();
    run(&repository, &commit);
    let head = String::from_utf8(run(&repository, &["git", "rev-parse", "HEAD"])).unwrap();
    let head = head.trim();
    run(&repository, &[&["git"][..], &who, &["tag", "--annotate", "--message=m", "v1"]].concat());
    let server = WebServer::start();
    // Of ada:hunter2.
    server.serve_repositories(&place.path().join("repositories"), Some("basic YWRhOmh1bnRlcjI="));
    let shown = server.url("/git/boat.git");
    let url = shown.replace("http://", "http://ada:hunter2@");

    let max = "--provenance=mode=max";
    let file = Some("app/Dockerfile");
    for (context, file, uri, material) in [
        // Which commit it was is told whether the name is a branch's, a tag's or its own.
        (format!("{url}#main:app"), None, format!("{shown}#main:app"), format!("{shown}#main")),
        (format!("{url}#v1:app"), None, format!("{shown}#v1:app"), format!("{shown}#v1")),
        (format!("{url}#{head}"), file, format!("{shown}#{head}"), format!("{shown}#{head}")),
        (format!("{url}#:app"), None, format!("{shown}#:app"), shown.clone()),
        (url.clone(), file, shown.clone(), shown.clone()),
    ] {
        let file_flag = file.map(|file| format!("--file={file}"));
        let words: Vec<&str> =
            [max].into_iter().chain(file_flag.as_deref()).chain([&*context]).collect();
        let built = place.run(&words, b"").well();
        let definition = definition(&built);
        assert_eq!(
            definition["externalParameters"]["configSource"],
            json!({
                "uri": uri,
                "digest": { "sha1": head },
                "path": file.unwrap_or("Dockerfile"),
            }),
            "{context}"
        );
        assert_eq!(
            definition["resolvedDependencies"],
            json!([{ "uri": material, "digest": { "sha1": head } }]),
            "{context}"
        );
        let request = &definition["externalParameters"]["request"];
        assert!(request.get("locals").is_none(), "nothing is this machine's: {request}");
        assert!(!built.text("provenance.json").contains("hunter2"));
    }

    // A context beside that of this machine.
    let named = format!("--build-context=boat={url}#main:app");
    let built = place.build("FROM scratch\nCOPY --from=boat f /\n", &[max, &named]).well();
    let definition = definition(&built);
    let request = &definition["externalParameters"]["request"];
    assert_eq!(request["locals"], json!([{ "name": "dockerfile" }]));
    assert_eq!(request["args"]["context:boat"], format!("{shown}#main:app"));
    assert_eq!(
        definition["resolvedDependencies"],
        json!([{ "uri": format!("{shown}#main"), "digest": { "sha1": head } }])
    );
    assert!(!built.text("provenance.json").contains("hunter2"));
}

#[test]
fn a_download_and_its_sum_are_named() {
    let place = Place::new();
    let project = place.path().join("project");
    fs::create_dir(&project).unwrap();
    let server = WebServer::start();
    let (tar, file) = (server.url("/project.tar?token=hunter2"), server.url("/file"));
    server.put("/file", Page::of("a file"));
    fs::write(project.join("Dockerfile"), format!("FROM scratch\nCOPY f /\nADD {file} /\n"))
        .unwrap();
    fs::write(project.join("f"), "f").unwrap();
    let bytes = tar_of(&project);
    server.put("/project.tar", Page::of(bytes.clone()));

    let built = place.run(&["--provenance=mode=max", &tar], b"").well();
    let definition = definition(&built);
    let sum = |bytes: &[u8]| json!({ "sha256": Digest::of(bytes).hex() });
    let source = &definition["externalParameters"]["configSource"];
    assert_eq!(source["path"], "Dockerfile");
    assert_eq!(source["digest"], sum(&bytes));
    let uri = source["uri"].as_str().unwrap();
    assert_eq!(uri, server.url("/project.tar"), "a query may have a secret");
    assert_eq!(
        definition["resolvedDependencies"],
        json!([
            { "uri": file, "digest": sum(b"a file") },
            { "uri": uri, "digest": sum(&bytes) },
        ])
    );
}
