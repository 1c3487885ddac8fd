//! The kinds of contexts, main and named, and their ignore files (L-020, L-082, L-083, L-190).

use std::fs;
use std::path::Path;

use super::web::{Page, WebServer};
use super::{Place, run, tar_of};

/// A folder with a Dockerfile that copies everything, an ignore file and two files.
fn project(place: &Place) -> std::path::PathBuf {
    let folder = place.path().join("project");
    fs::create_dir_all(folder.join("sub")).unwrap();
    for (name, text) in [
        ("Dockerfile", "FROM scratch\nCOPY . /\n"),
        (".dockerignore", "b\n"),
        ("b", "b"),
        ("sub/a", "a"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    folder
}

#[test]
fn a_tar_on_standard_input_in_every_encoding() {
    let place = Place::new();
    let project = project(&place);
    let plain = place.path().join("context.tar");
    fs::write(&plain, tar_of(&project)).unwrap();
    let plain = plain.to_str().unwrap();
    for command in [&["cat"][..], &["gzip", "-c"], &["bzip2", "-c"], &["xz", "-c"], &["zstd", "-c"]]
    {
        let tar = run(place.path(), &[command, &[plain]].concat());
        let built = place.run(&["-"], &tar).well();
        // As with BuildKit, the ignore file of such a context is a file like any other.
        assert_eq!(built.paths(), ".dockerignore Dockerfile b sub sub/a", "{command:?}");
        let cached = place.run(&["-"], &tar).well();
        assert!(!cached.has_run("COPY"), "{command:?}");
    }
}

#[test]
fn another_dockerfile_of_a_tar() {
    let place = Place::new();
    let project = project(&place);
    fs::write(project.join("sub/other"), "FROM scratch\nCOPY sub/a /other\n").unwrap();
    let tar = tar_of(&project);
    assert_eq!(place.run(&["-f", "sub/other", "-"], &tar).well().paths(), "other");
    let outside = place.path().join("outside");
    fs::write(&outside, "FROM scratch\nCOPY b /outside\n").unwrap();
    let built = place.run(&["-f", outside.to_str().unwrap(), "-"], &tar).well();
    assert_eq!(built.paths(), "outside", "an absolute path is one of this machine");
    place.run(&["-f", "none", "-"], &tar).failed(2, "open none: no such file or directory", None);
}

#[test]
fn a_dockerfile_on_standard_input() {
    let place = Place::new();
    let project = project(&place);
    let text = b"FROM scratch\nCOPY sub/a /a\n";
    let built = place.run(&["-f", "-", project.to_str().unwrap()], text).well();
    assert_eq!(built.paths(), "a");
    let alone = place.run(&["-"], b"FROM scratch\nCOPY <<x /\ny\nx\n").well();
    assert_eq!(alone.text("x"), "y\n");
    place.run(&["-"], b"FROM scratch\nCOPY a /\n").failed(1, "\"/a\": not found", Some(2));
}

#[test]
fn a_repository_is_a_context() {
    let place = Place::new();
    let project = project(&place);
    run(&project, &["git", "init", "--quiet", "--initial-branch=main"]);
    run(&project, &["git", "add", "--all"]);
    let commit = "git -c user.name=a -c user.email=a@b commit --quiet --message=m \
                  --date=@1000000000";
    run(&project, &["sh", "-c", &format!("GIT_COMMITTER_DATE=@1000000000 {commit}")]);
    let server = WebServer::start();
    server.serve_repositories(place.path(), None);
    fs::rename(&project, place.path().join("project.git")).unwrap();
    let url = server.url("/git/project.git");
    let paths = |words: &[&str], stdin: &[u8]| place.run(words, stdin).well().paths();
    let all = ".dockerignore Dockerfile b sub sub/a";
    assert_eq!(paths(&[&url], b""), all);
    assert_eq!(paths(&[&format!("{url}#main")], b""), all);
    assert_eq!(paths(&[&format!("{url}?branch=main")], b""), all);
    let everything = b"FROM scratch\nCOPY . /\n";
    assert_eq!(paths(&["-f", "-", &format!("{url}#main:sub")], everything), "a");
    assert_eq!(paths(&["-f", "-", &format!("{url}?subdir=sub&ref=main")], everything), "a");
    // Times are in no key (K-01).
    let old = place.run(&["--no-cache", &format!("{url}?mtime=commit")], b"").well();
    assert_eq!(old.file("b").mtime, 1_000_000_000);

    place.run(&[&format!("{url}#none")], b"").failed(1, "does not contain ref none", None);
    let sub = format!("{url}#main:sub");
    place.run(&[&sub], b"").failed(2, "open Dockerfile: no such file or directory", None);

    let named = format!("source={url}#main:sub");
    let dockerfile = "FROM scratch\nCOPY --from=source / /x\n";
    let built = place.build(dockerfile, &["--build-context", &named]).well();
    assert_eq!(built.paths(), "x x/a");
    assert!(!place.build(dockerfile, &["--build-context", &named]).well().has_run("COPY"));
}

/// SOURCE_DATE_EPOCH as a name (L-056).
#[test]
fn an_image_is_as_old_as_a_context_or_a_stage() {
    let place = Place::new();
    let project = project(&place);
    run(&project, &["git", "init", "--quiet", "--initial-branch=main"]);
    run(&project, &["git", "add", "--all"]);
    let commit = "git -c user.name=a -c user.email=a@b commit --quiet --message=m";
    run(&project, &["sh", "-c", &format!("GIT_COMMITTER_DATE=@1000000000 {commit}")]);
    let server = WebServer::start();
    server.serve_repositories(place.path(), None);
    let date = Some("Sun, 09 Sep 2001 01:46:41 GMT");
    server.put("/dated", Page { last_modified: date, ..Page::of("x") });
    fs::rename(&project, place.path().join("project.git")).unwrap();
    let (git, dated) = (server.url("/git/project.git"), server.url("/dated"));
    let epoch = |name: &str| format!("--build-arg=SOURCE_DATE_EPOCH={name}");
    let text = "FROM scratch\nARG SOURCE_DATE_EPOCH\nCOPY <<x /x\n$SOURCE_DATE_EPOCH\nx\n";
    let old = place.run(&["-f", "-", &epoch("context"), &git], text.as_bytes()).well();
    assert_eq!(old.text("x"), "1000000000\n");
    let here = place.build(text, &[&epoch("context")]).well();
    assert_eq!(here.text("x"), "\n", "a folder has no time");
    for (source, expected) in [(&git, "1000000000\n"), (&dated, "1000000001\n")] {
        let context = format!("--build-context=source={source}");
        assert_eq!(place.build(text, &[&context, &epoch("source")]).well().text("x"), expected);
        let stage = format!("FROM scratch AS Source\nARG U={source}\nADD $U /\n{text}");
        assert_eq!(place.build(&stage, &[&epoch("source")]).well().text("x"), expected);
        let default = format!("ARG SOURCE_DATE_EPOCH=source\n{stage}");
        assert_eq!(place.build(&default, &[]).well().text("x"), expected);
    }
    let error = "invalid SOURCE_DATE_EPOCH: nobody";
    place.build(text, &[&epoch("nobody")]).failed(1, error, None);
    let busy = format!("FROM scratch AS source\nADD {dated} /\nENV A=b\n{text}");
    let error = "SOURCE_DATE_EPOCH stage must have nothing but ARG and one ADD";
    place.build(&busy, &[&epoch("source")]).failed(1, error, Some(1));
}

#[test]
fn a_url_is_a_tar_or_a_dockerfile() {
    let place = Place::new();
    let server = WebServer::start();
    server.put("/context.tar", Page { etag: Some("\"1\""), ..Page::of(tar_of(&project(&place))) });
    server.put("/Dockerfile", Page::of("FROM scratch\nCOPY . /\n"));
    let (tar, dockerfile) = (server.url("/context.tar"), server.url("/Dockerfile"));
    let all = ".dockerignore Dockerfile b sub sub/a";
    assert_eq!(place.run(&[&tar], b"").well().paths(), all);
    assert_eq!(place.run(&[&tar], b"").well().paths(), all);
    assert_eq!(server.take_statuses("/context.tar"), [200, 304]);
    // BuildKit calls the one file of such a context so.
    assert_eq!(place.run(&[&dockerfile], b"").well().paths(), "context");
    let refused = place.run(&["-f", "Dockerfile", &dockerfile], b"");
    refused.failed(2, "--file: the context is a Dockerfile itself", None);
    let none = server.url("/none");
    place.run(&[&none], b"").failed(1, "invalid response status 404", None);
    // As a named context it is a file, whatever is in it.
    let named = format!("source={tar}");
    let text = "FROM scratch\nCOPY --from=source /context /x\n";
    let built = place.build(text, &["--build-context", &named]).well();
    assert_eq!((built.paths().as_str(), built.file("x").mode), ("x", 0o600));
}

#[test]
fn every_folder_has_its_own_ignore_file() {
    let place = Place::new();
    for (name, ignored) in [("context", "a\n"), ("one", "b\n"), ("two", "")] {
        let folder = place.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(".dockerignore"), format!(".dockerignore\nDockerfile\n{ignored}"))
            .unwrap();
        for file in ["a", "b"] {
            fs::write(folder.join(file), file).unwrap();
        }
    }
    let dockerfile = "FROM one AS base\nFROM scratch\nCOPY . /main\nCOPY --from=one / /one\n\
                      COPY --from=two / /two\nCOPY --from=base / /base\n";
    let flags = ["--build-context", "one=one", "--build-context", "two=two"];
    let paths = || place.build(dockerfile, &flags).well().paths();
    let others = "one one/a two two/a two/b";
    assert_eq!(paths(), format!("base base/a main main/b {others}"));
    // That of the Dockerfile goes before that of the main context, and is for no other.
    place.write("Dockerfile.dockerignore", "*\n!a\n");
    assert_eq!(paths(), format!("base base/a main main/a {others}"));
    fs::write(place.path().join("one/.dockerignore"), "!\n").unwrap();
    let broken = place.build(dockerfile, &flags);
    broken.failed(1, "one/.dockerignore: line 1: illegal exclusion pattern: \"!\"", None);
}

#[test]
fn images_and_layouts_are_contexts() {
    let place = Place::new();
    place.write("a", "a");
    let layout = place.path().join("layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    place.build("FROM scratch\nCOPY a /layout\n", &["-o", &output, "-t", "x:v1"]).well();
    assert!(Path::new(&layout).join("index.json").exists());
    let named = format!("source=oci-layout://{}", layout.display());
    let text = "FROM source\nCOPY --from=source /layout /again\n";
    let built = place.build(text, &["--build-context", &named]).well();
    assert_eq!(built.paths(), "again layout");
}
