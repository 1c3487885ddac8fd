//! `ADD https://….git` (L-146, L-148).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::web::WebServer;
use super::{Place, run};

/// Repositories and the server that has them.
struct Forge {
    server: WebServer,
    folder: tempfile::TempDir,
}

impl Forge {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = WebServer::start();
        server.serve_repositories(folder.path(), None);
        Self { server, folder }
    }

    /// A new repository with these files, committed once.
    fn repository(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        run(&path, &["git", "init", "--quiet", "--initial-branch=main"]);
        self.commit(&path, files);
        path
    }

    /// Commits files; returns the commit.
    fn commit(&self, path: &Path, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            let file = path.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            if text.starts_with("#!") {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
            }
        }
        run(path, &["git", "add", "--all"]);
        let who = ["-c", "user.name=a", "-c", "user.email=a@b"];
        let commit = ["commit", "--quiet", "--allow-empty", "--message=m"];
        run(path, &[&["git"][..], &who, &commit].concat());
        git(path, &["rev-parse", "HEAD"])
    }

    fn url(&self, name: &str) -> String {
        self.server.url(&format!("/git/{name}"))
    }
}

fn git(path: &Path, arguments: &[&str]) -> String {
    let output = run(path, &[&["git"], arguments].concat());
    String::from_utf8(output).unwrap().trim().to_owned()
}

#[test]
fn a_repository_is_its_files() {
    let (place, forge) = (Place::new(), Forge::new());
    forge.repository("r.git", &[("sub/f", "f"), ("run", "#!"), ("g", "g")]);
    let url = forge.url("r.git");
    let built = place
        .build(&format!("FROM scratch\nADD {url} /r\nADD --chown=3:4 {url}#main:sub /s\n"), &[])
        .well();
    assert_eq!(built.paths(), "r r/g r/run r/sub r/sub/f s s/f");
    let modes = ["r/g", "r/run", "r/sub"].map(|path| built.file(path).mode);
    assert_eq!(modes, [0o644, 0o755, 0o755], "as git knows them, whatever the umask");
    assert_eq!((built.file("r/g").owner, built.file("s/f").owner), ((0, 0), (3, 4)));
}

#[test]
fn branches_tags_and_commits_are_found() {
    let (place, forge) = (Place::new(), Forge::new());
    let path = forge.repository("r.git", &[("f", "one")]);
    let first = git(&path, &["rev-parse", "HEAD"]);
    let tagger = ["-c", "user.name=a", "-c", "user.email=a@b"];
    git(&path, &[&tagger[..], &["tag", "--annotate", "--message=m", "v1"]].concat());
    git(&path, &["tag", "light"]);
    git(&path, &["branch", "feature/x"]);
    let second = forge.commit(&path, &[("f", "two")]);
    forge.commit(&path, &[("f", "three")]);
    git(&path, &["branch", "v1"]);
    let (url, tag) = (forge.url("r.git"), git(&path, &["rev-parse", "refs/tags/v1"]));
    for (rest, expected) in [
        (String::new(), "three"),
        ("#main".to_owned(), "three"),
        ("#light".to_owned(), "one"),
        ("#feature/x".to_owned(), "one"),
        ("#refs/heads/feature/x".to_owned(), "one"),
        ("#v1".to_owned(), "three"),
        ("?tag=v1".to_owned(), "one"),
        ("#refs/tags/v1".to_owned(), "one"),
        (format!("#{second}"), "two"),
        (format!("?ref=refs/tags/v1&checksum={}", &first[..12]), "one"),
        (format!("?tag=v1&checksum={}", &tag[..12]), "one"),
        (format!("?checksum={second}&fetch-by-commit=1"), "two"),
    ] {
        let built = place.build(&format!("FROM scratch\nADD {url}{rest} /\n"), &[]).well();
        assert_eq!(built.text("f"), expected, "{rest}");
    }
}

#[test]
fn a_repository_is_cloned_only_when_it_has_changed() {
    let (place, forge) = (Place::new(), Forge::new());
    let path = forge.repository("r.git", &[("f", "one")]);
    let url = forge.url("r.git");
    let dockerfile = format!("FROM scratch\nADD {url} /\n");
    let build = || place.build(&dockerfile, &[]).well();
    let clones = || {
        let log = forge.server.take_log();
        log.iter().filter(|logged| logged.path.ends_with("/git-upload-pack")).count()
    };
    assert!(build().has_run("[1/1] ADD"));
    let first = clones();
    assert!(!build().has_run("[1/1] ADD"));
    assert!(clones() < first, "only the reference is looked up");
    git(&path, &["branch", "other"]);
    let same = place.build(&format!("FROM scratch\nADD {url}#other /\n"), &[]).well();
    assert!(!same.has_run("[1/1] ADD"), "the same commit by another name");
    forge.commit(&path, &[("f", "two")]);
    let changed = build();
    assert!(changed.has_run("[1/1] ADD"));
    assert_eq!(changed.text("f"), "two");
}

#[test]
fn the_git_folder_is_kept_on_request() {
    let (place, forge) = (Place::new(), Forge::new());
    let path = forge.repository("r.git", &[("f", "one"), ("sub/g", "g")]);
    let commit = git(&path, &["rev-parse", "HEAD"]);
    git(&path, &["tag", "v1"]);
    let url = forge.url("r.git");
    let built = place
        .build(
            &format!(
                "FROM scratch\nADD --keep-git-dir {url} /r\nADD {url}?keep-git-dir=1#v1 /q\n\
                 ADD --keep-git-dir=true {url}#:sub /s\n"
            ),
            &[],
        )
        .well();
    for root in ["r", "q"] {
        assert_eq!(built.text(&format!("{root}/.git/HEAD")).trim(), commit);
        let config = built.text(&format!("{root}/.git/config"));
        assert!(config.contains(&format!("url = {url}")), "{config}");
    }
    assert_eq!(built.text("r/.git/refs/heads/main").trim(), commit);
    assert_eq!(built.text("q/.git/refs/tags/v1").trim(), commit);
    let paths = built.paths();
    assert!(!paths.contains("hooks") && !paths.contains("FETCH_HEAD"), "{paths}");
    assert!(!paths.contains("s/.git"), "a folder of a repository is none");
}

#[test]
fn submodules_come_along_unless_they_lead_into_this_machine() {
    let (place, forge) = (Place::new(), Forge::new());
    let sub = forge.repository("sub.git", &[("s", "s")]);
    let path = forge.repository("r.git", &[("f", "f")]);
    let allow = ["-c", "protocol.file.allow=always"];
    let add = |url: &str, name: &str| {
        git(&path, &[&allow[..], &["submodule", "--quiet", "add", url, name]].concat());
        forge.commit(&path, &[]);
    };
    // Relative to the repository, wherever that is.
    git(&path, &["remote", "add", "origin", &forge.url("r.git")]);
    add("../sub.git", "m");
    let url = forge.url("r.git");
    let build = |rest: &str| place.build(&format!("FROM scratch\nADD {url}{rest} /\n"), &[]);
    assert_eq!(build("").well().paths(), ".gitmodules f m m/s");
    assert_eq!(build("?submodules=false").well().paths(), ".gitmodules f m");
    assert_eq!(build("#:m").well().paths(), "s");
    let kept = place.build(&format!("FROM scratch\nADD --keep-git-dir {url} /\n"), &[]).well();
    assert_eq!(kept.text("m/.git").trim(), "gitdir: ../.git/modules/m");

    add(sub.to_str().unwrap(), "local");
    build("").failed(1, "transport 'file' not allowed", Some(2));
}

#[test]
fn credentials_reach_the_server_and_nothing_else() {
    let (mut place, forge) = (Place::new(), Forge::new());
    forge.repository("r.git", &[("f", "f")]);
    // base64 of x-access-token:hunter2
    let header = "basic eC1hY2Nlc3MtdG9rZW46aHVudGVyMg==";
    forge.server.serve_repositories(forge.folder.path(), Some(header));
    // A git that tells what it is called with.
    let bin = place.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let real = String::from_utf8(run(place.path(), &["sh", "-c", "command -v git"])).unwrap();
    let log = place.path().join("arguments");
    let script =
        format!("#!/bin/sh\necho \"$@\" >> {}\nexec {} \"$@\"\n", log.display(), real.trim());
    fs::write(bin.join("git"), script).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    place.variables.push(("PATH".to_owned(), path));

    let dockerfile = format!("FROM scratch\nADD {} /\n", forge.url("r.git"));
    let refused = place.build(&dockerfile, &[]);
    refused.failed(1, "could not read Username", Some(2));
    assert!(refused.log().contains("hint: Give a token with --secret id=GIT_AUTH_TOKEN"));

    fs::write(place.path().join("token"), "hunter2").unwrap();
    let by_host = format!("id=GIT_AUTH_TOKEN.127.0.0.1:{},src=token", forge.server.port());
    for secret in ["id=GIT_AUTH_TOKEN,src=token", &by_host] {
        let built = place.build(&dockerfile, &["--no-cache", "--secret", secret]).well();
        assert_eq!(built.text("f"), "f");
    }
    let in_url = dockerfile.replace("http://", "http://x-access-token:hunter2@");
    let built = place.build(&in_url, &["--no-cache"]);
    // What is a secret to the server is written in the Dockerfile here; the shown URL hides it.
    let titles = |line: &&str| line.contains("[internal]");
    assert!(!built.log().lines().filter(titles).any(|line| line.contains("hunter2")));
    assert_eq!(built.well().text("f"), "f");
    let arguments = fs::read_to_string(log).unwrap();
    assert!(arguments.contains("ls-remote"), "{arguments}");
    assert!(!arguments.contains("hunter2") && !arguments.contains("eC1hY2"), "{arguments}");
}

#[test]
fn the_user_s_configuration_and_the_repository_s_hooks_count_for_nothing() {
    let (place, forge) = (Place::new(), Forge::new());
    forge.repository("r.git", &[("f", "f"), (".gitattributes", "* filter=evil\n")]);
    let witness = place.path().join("witness");
    let config = format!(
        "[core]\n\thooksPath = {0}\n[filter \"evil\"]\n\tsmudge = touch {1}\n",
        place.path().join("hooks").display(),
        witness.display()
    );
    fs::write(place.path().join(".gitconfig"), config).unwrap();
    fs::create_dir(place.path().join("hooks")).unwrap();
    let hook = place.path().join("hooks/post-checkout");
    fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", witness.display())).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    place.build(&format!("FROM scratch\nADD {} /\n", forge.url("r.git")), &[]).well();
    assert!(!witness.exists());
}

#[test]
fn what_can_not_be_fetched_is_told_with_its_line() {
    let (mut place, forge) = (Place::new(), Forge::new());
    let path = forge.repository("r.git", &[("f", "f")]);
    std::os::unix::fs::symlink("/etc", path.join("link")).unwrap();
    let head = forge.commit(&path, &[]);
    let (url, none) = (forge.url("r.git"), forge.url("none.git"));
    let absent = "0123456789".repeat(4);
    for (add, message) in [
        (
            format!("{url}#nope"),
            format!("failed to load {url}: repository does not contain ref nope"),
        ),
        (none.clone(), format!("failed to load {none}: ")),
        (format!("{url}#{absent}"), format!("failed to load {url}: ")),
        (
            format!("--checksum=abcdef {url}"),
            format!("failed to load {url}: expected checksum to match abcdef, got {head}"),
        ),
        (
            format!("--checksum=abcdef {url}#{head}"),
            format!("failed to load {url}: expected checksum to match abcdef, got {head}"),
        ),
        (format!("--checksum=sha256:0 {url}"), "invalid checksum sha256:0 for Git URL".to_owned()),
        (format!("{url}#:none"), format!("failed to load {url}: invalid subdir none: ")),
        (
            format!("{url}#:link"),
            format!("failed to load {url}: invalid subdir link: not a directory"),
        ),
        (format!("{url}#--upload-pack=x"), "invalid git ref \"--upload-pack=x\"".to_owned()),
        (
            format!("--keep-git-dir {url}?keep-git-dir=0"),
            "inconsistent keep-git-dir configuration".to_owned(),
        ),
    ] {
        let built = place.build(&format!("FROM scratch\n\nADD {add} /\n"), &[]);
        built.failed(1, &message, Some(3));
    }
    let copied = place.build(&format!("FROM scratch\nCOPY {url} /\n"), &[]);
    copied.failed(1, "source can't be a git ref for COPY", Some(2));

    place.variables.push(("PATH".to_owned(), "/var/empty".to_owned()));
    let built = place.build(&format!("FROM scratch\nADD {url} /\n"), &[]);
    built.failed(1, &format!("failed to load {url}: there is no git program"), Some(2));
    assert!(built.log().contains("hint: Install git."));
}
