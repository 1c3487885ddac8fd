//! Real tools whose caches are kept: each has what it needs on the second runner, where nothing else
//! has it. Their programs are this machine's, copied into a base image; what they download comes from
//! a server of the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use plimsoll::digest::Sha256Sum;
use serde_json::json;
use sha2::{Digest as _, Sha512};

use super::actions_cache::FakeActionsCache;
use super::loopback::{Loopback, Reply};
use super::runner::{Built, Machine, Project};
use super::{Job, service};

/// Copies each argument below the first, with the libraries that its programs are linked to.
const COPY: &str = r#"
root=$1; shift
add() {
    [ -e "$root/$1" ] || [ -L "$root/$1" ] && return
    mkdir -p "$root/${1%/*}"
    cp -alT "$1" "$root/$1" 2>/dev/null || cp -aT "$1" "$root/$1"
}
for path; do
    real=$(readlink -f "$path")
    add "$real"
    while [ -L "$path" ]; do
        add "$path"
        path=$(cd "${path%/*}" && realpath -s "$(readlink "$path")")
    done
    find "$real" -type f \( -perm -100 -o -name '*.so*' \) -exec ldd {} + 2>/dev/null || true
done | grep -o '/[^ :]*\.so[^ :]*' | sort -u | while read -r library; do
    [ -e "$root/$library" ] || cp -L --parents "$library" "$root"
done
"#;

/// A project with some of this machine's programs in its base. `None`, loudly, where one is missing.
fn project(dockerfile: &str, paths: &[PathBuf]) -> Option<Project> {
    let project = Project::new(dockerfile)?;
    if let Some(missing) = paths.iter().find(|path| !path.exists()) {
        eprintln!("SKIPPED: {} is not on this machine", missing.display());
        return None;
    }
    let copy = Command::new("sh")
        .args(["-euc", COPY, "sh"])
        .arg(project.path("root"))
        .args(paths)
        .status();
    assert!(copy.unwrap().success());
    for directory in ["tmp", "var/lib/dpkg", "etc/apt"] {
        std::fs::create_dir_all(project.path("root").join(directory)).unwrap();
    }
    project.base_as("tools", "ENV PATH=/usr/bin:/bin HOME=/root", "uncompressed");
    Some(project)
}

/// Where a program is; a path that does not exist if it is nowhere.
fn program(name: &str) -> PathBuf {
    ["/usr/bin", "/usr/local/bin", "/bin"]
        .map(|directory| Path::new(directory).join(name))
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from(name))
}

/// What a program prints, without the line feed.
fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| String::new(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}

/// Runners that come with the base image unpacked, which takes long, and with nothing else.
struct Runners<'a> {
    job: Job<'a>,
    machine: Machine<'a>,
}

impl<'a> Runners<'a> {
    fn new(project: &'a Project, service: &FakeActionsCache) -> Self {
        Self { job: Job::on_main(project, service), machine: project.machine() }
    }

    /// Builds on the next one, with RUNNER set to its number.
    fn build(&self, number: u32, more: &[&str]) -> Built {
        for folder in ["mounts", "records", "history"] {
            let _ = std::fs::remove_dir_all(self.machine.store().join(folder));
        }
        let argument = format!("RUNNER={number}");
        let flags = [&["--build-arg", &argument], more].concat();
        let built = self.job.build_on(&self.machine, &flags);
        assert_eq!(built.notices, [""; 0]);
        let mounts = built.result["cache_mounts"].as_array().unwrap();
        assert!(!mounts.is_empty());
        for mount in mounts {
            assert_eq!(
                mount["restored"]["place"].as_str(),
                (number > 1).then_some("gha"),
                "{mount}"
            );
        }
        built
    }
}

/// Files over HTTP, and which were asked for, with `If-Modified-Since` where that was said.
struct Server {
    loopback: Loopback,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(files: impl Fn(&str, &str) -> Option<Bytes> + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let loopback = Loopback::start(Duration::ZERO, |address| {
            let host = format!("http://{address}");
            move |request| {
                let since = request.header("if-modified-since");
                log.lock().unwrap().push(format!("{} {since}", request.path).trim().to_owned());
                match files(&request.path, &host) {
                    Some(_) if since == LAST_MODIFIED => Reply::new(304, ""),
                    Some(bytes) => {
                        let kind = if request.path.ends_with('/') {
                            "text/html"
                        } else {
                            "application/json"
                        };
                        Reply::new(200, bytes)
                            .header("content-type", kind)
                            .header("last-modified", LAST_MODIFIED)
                            .header("cache-control", "max-age=1000000")
                    }
                    None => Reply::new(404, ""),
                }
            }
        });
        Self { loopback, asked }
    }

    fn host(&self) -> String {
        format!("http://{}", self.loopback.address)
    }

    fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

const LAST_MODIFIED: &str = "Wed, 21 Oct 2020 07:28:00 GMT";

/// A gzipped tar of one folder with these files.
fn archive(folder: &str, files: &[(&str, &str)]) -> Bytes {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(folder).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let tar = Command::new("tar").arg("-czC").arg(directory.path()).arg(folder).output().unwrap();
    tar.stdout.into()
}

/// A zip of these files.
fn zip(files: &[(&str, &str)]) -> Bytes {
    let directory = tempfile::tempdir().unwrap();
    let script = "import sys,zipfile\nwith zipfile.ZipFile(sys.argv[1],'w') as z:\n  \
                  for n,t in zip(sys.argv[2::2],sys.argv[3::2]): z.writestr(n,t)";
    let path = directory.path().join("zip");
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(&path);
    for (name, text) in files {
        python.args([name, text]);
    }
    assert!(python.status().unwrap().success());
    std::fs::read(path).unwrap().into()
}

#[test]
fn go_compiles_and_downloads_nothing_twice() {
    let root = PathBuf::from(printed("go", &["env", "GOROOT"]));
    let text = format!(
        "\
FROM base
ENV GOROOT={} CGO_ENABLED=0 GOFLAGS=-mod=mod GOSUMDB=off GOTOOLCHAIN=local
WORKDIR /src
COPY . .
ARG RUNNER
ARG GOPROXY
RUN --mount=type=cache,target=/root/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    $GOROOT/bin/go build -x -o /app . 2> /log || {{ cat /log; exit 1; }}; \
    echo compiled $(busybox grep -c '/compile -o' /log); /app
",
        root.display()
    );
    let source = root.join("src").canonicalize().unwrap_or_else(|_| PathBuf::from("go"));
    let Some(project) = project(&text, &[root, source]) else { return };
    let proxy = project.path("context/proxy/example.com/lib/@v");
    std::fs::create_dir_all(&proxy).unwrap();
    let module = "module example.com/lib\n";
    let code = "package lib\n\nfunc Answer() int { return 42 }\n";
    for (name, bytes) in [
        ("list", Bytes::from("v1.0.0\n")),
        ("v1.0.0.info", Bytes::from(r#"{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z"}"#)),
        ("v1.0.0.mod", Bytes::from(module)),
        (
            "v1.0.0.zip",
            zip(&[
                ("example.com/lib@v1.0.0/go.mod", module),
                ("example.com/lib@v1.0.0/lib.go", code),
            ]),
        ),
    ] {
        std::fs::write(proxy.join(name), bytes).unwrap();
    }
    project.write("go.mod", "module app\n\nrequire example.com/lib v1.0.0\n");
    let main =
        "package main\n\nimport \"example.com/lib\"\n\nfunc main() { println(lib.Answer()) }\n";
    project.write("main.go", main);
    let service = service();
    let runners = Runners::new(&project, &service);
    let compiled = |built: &Built| -> u32 {
        let (_, rest) = built.log.split_once("\"compiled ").expect("a number");
        rest[..rest.find('"').unwrap()].parse().unwrap()
    };
    let first = compiled(&runners.build(1, &["--build-arg=GOPROXY=file:///src/proxy"]));
    assert!(first >= 2, "the program and its library: {first}");
    let off = ["--build-arg=GOPROXY=off"];
    assert_eq!(compiled(&runners.build(2, &off)), 0);
    project.write("main.go", &main.replace("lib.Answer()", "lib.Answer(), 1"));
    assert_eq!(compiled(&runners.build(3, &off)), 1, "what changed, and nothing else");
}

#[test]
fn cargo_finds_its_registry_and_its_target_fresh() {
    let root = PathBuf::from(printed("rustc", &["--print", "sysroot"]));
    let libraries = std::fs::read_dir(root.join("lib")).map_or(Vec::new(), |entries| {
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|e| e == "so")).collect()
    });
    let target = format!("lib/rustlib/{}-unknown-linux-gnu/lib", std::env::consts::ARCH);
    let text = format!(
        "\
FROM base
ENV PATH={}/bin:/bin CARGO_HOME=/cargo
WORKDIR /src
COPY . .
ARG RUNNER
ARG OFFLINE
RUN --mount=type=cache,target=/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --lib --verbose $OFFLINE
",
        root.display()
    );
    let programs = [root.join("bin/cargo"), root.join("bin/rustc"), root.join(target)];
    let Some(project) = project(&text, &[&programs[..], &libraries].concat()) else { return };
    let manifest = "[package]\nname = \"tiny\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";
    let krate = archive(
        "tiny-1.0.0",
        &[("Cargo.toml", manifest), ("src/lib.rs", "pub fn answer() -> u32 { 42 }\n")],
    );
    let sum = Sha256Sum::of(&krate).hex();
    let server = Server::start(move |path, host| match path {
        "/config.json" => Some(json!({ "dl": format!("{host}/dl") }).to_string().into()),
        "/ti/ny/tiny" => {
            let line = json!({ "name": "tiny", "vers": "1.0.0", "deps": [], "cksum": sum, "features": {}, "yanked": false });
            Some(line.to_string().into())
        }
        "/dl/tiny/1.0.0/download" => Some(krate.clone()),
        _ => None,
    });
    let index = format!("[registries.test]\nindex = \"sparse+{}/\"\n", server.host());
    project.write(".cargo/config.toml", &index);
    project.write("near/Cargo.toml", &manifest.replace("tiny", "near"));
    project.write("near/src/lib.rs", "pub fn one() -> u32 { 1 }\n");
    let manifest = manifest.replace("tiny", "app");
    let dependencies = "[dependencies]\ntiny = { version = \"1\", registry = \"test\" }\nnear = { path = \"near\" }\n";
    project.write("Cargo.toml", &format!("{manifest}\n{dependencies}"));
    let main = "pub fn all() -> u32 { tiny::answer() + near::one() }\n";
    project.write("src/lib.rs", main);
    let service = service();
    let runners = Runners::new(&project, &service);
    let first = runners.build(1, &[]);
    let says = |built: &Built, word: &str, name: &str| {
        built.log.lines().any(|line| line.contains(&format!("{word} {name} v1.0.0")))
    };
    for name in ["tiny", "near", "app"] {
        assert!(says(&first, "Compiling", name), "{name}: {}", first.log);
    }
    drop(server);
    let offline = ["--build-arg=OFFLINE=--offline"];
    let second = runners.build(2, &offline);
    for name in ["tiny", "near", "app"] {
        assert!(says(&second, "Fresh", name), "{name}: {}", second.log);
    }
    project.write("src/lib.rs", &main.replace("+ near", "* near"));
    // Cargo goes by times, and a layer's are whole seconds: on a quick machine no second has passed.
    let later = SystemTime::now() + Duration::from_secs(2);
    File::open(project.path("context/src/lib.rs")).unwrap().set_modified(later).unwrap();
    let third = runners.build(3, &offline);
    assert!(says(&third, "Fresh", "tiny") && says(&third, "Fresh", "near"), "{}", third.log);
    assert!(!says(&third, "Fresh", "app"), "{}", third.log);
}

#[test]
fn npm_installs_from_its_cache() {
    let npm = program("npm").canonicalize().unwrap_or_default();
    let package = npm.parent().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
    let mut paths = vec![package, program("env"), program("node"), program("npm")];
    // Where Debian's npm has what it uses.
    paths.extend([PathBuf::from("/usr/share/nodejs")].into_iter().filter(|path| path.exists()));
    let text = "\
FROM base
WORKDIR /src
COPY package.json .
ARG RUNNER
ARG OFFLINE
RUN --mount=type=cache,target=/root/.npm npm install --no-audit --no-fund --registry=REGISTRY $OFFLINE \
    && node -e 'console.log(require(\"tiny\"))'
";
    let tarball = archive(
        "package",
        &[
            ("package.json", r#"{"name":"tiny","version":"1.0.0"}"#),
            ("index.js", "module.exports = 'the tiny one'\n"),
        ],
    );
    let integrity = format!("sha512-{}", STANDARD.encode(Sha512::digest(&tarball)));
    let server = Server::start(move |path, host| match path {
        "/tiny" => {
            let dist = json!({ "tarball": format!("{host}/tiny.tgz"), "integrity": integrity });
            let version = json!({ "name": "tiny", "version": "1.0.0", "dist": dist });
            let package = json!({ "name": "tiny", "dist-tags": { "latest": "1.0.0" }, "versions": { "1.0.0": version } });
            Some(package.to_string().into())
        }
        "/tiny.tgz" => Some(tarball.clone()),
        _ => None,
    });
    let Some(project) = project(&text.replace("REGISTRY", &server.host()), &paths) else { return };
    project
        .write("package.json", r#"{"name":"app","version":"1.0.0","dependencies":{"tiny":"1"}}"#);
    let service = service();
    let runners = Runners::new(&project, &service);
    assert!(runners.build(1, &[]).log.contains("\"the tiny one\""));
    drop(server);
    assert!(runners.build(2, &["--build-arg=OFFLINE=--offline"]).log.contains("\"the tiny one\""));
}

#[test]
fn pip_downloads_a_wheel_once() {
    let python = Path::new("/usr/bin/python3");
    let version = python.canonicalize().unwrap_or_default();
    let library = Path::new("/usr/lib").join(version.file_name().unwrap_or_default());
    let packages = Path::new("/usr/lib/python3/dist-packages");
    if !packages.join("pip").exists() {
        eprintln!("SKIPPED: no pip (Debian package python3-pip)");
        return;
    }
    let mut paths = vec![python.to_owned(), library, packages.to_owned()];
    let wheels = PathBuf::from("/usr/share/python-wheels");
    paths.extend(Some(wheels).filter(|path| path.exists()));
    let text = "\
FROM base
ARG RUNNER
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m pip install --disable-pip-version-check --trusted-host=127.0.0.1 --index-url=INDEX/simple/ --target=/installed tiny \
    && PYTHONPATH=/installed python3 -c 'import tiny'
";
    let wheel = zip(&[
        ("tiny.py", "print('the tiny one')\n"),
        ("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"),
        (
            "tiny-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        (
            "tiny-1.0.dist-info/RECORD",
            "tiny.py,,\ntiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info/WHEEL,,\ntiny-1.0.dist-info/RECORD,,\n",
        ),
    ]);
    let server = Server::start(move |path, _| match path {
        "/simple/tiny/" => Some(r#"<a href="/tiny-1.0-py3-none-any.whl">tiny</a>"#.into()),
        "/tiny-1.0-py3-none-any.whl" => Some(wheel.clone()),
        _ => None,
    });
    let Some(project) = project(&text.replace("INDEX", &server.host()), &paths) else { return };
    let service = service();
    let runners = Runners::new(&project, &service);
    for (number, downloads) in [(1, 1), (2, 0)] {
        assert!(runners.build(number, &[]).log.contains("\"the tiny one\""));
        let asked = server.take_asked();
        let wheels = asked.iter().filter(|path| path.starts_with("/tiny-1.0")).count();
        assert_eq!(wheels, downloads, "runner {number}: {asked:?}");
    }
}

#[test]
fn apt_has_its_lists_and_its_packages() {
    let debian = tempfile::tempdir().unwrap();
    let control = "Package: tiny\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: tiny\n";
    std::fs::create_dir_all(debian.path().join("tiny/DEBIAN")).unwrap();
    std::fs::write(debian.path().join("tiny/DEBIAN/control"), control).unwrap();
    let file = debian.path().join("tiny.deb");
    let made = Command::new("dpkg-deb")
        .args(["-b", "--root-owner-group"])
        .arg(debian.path().join("tiny"))
        .arg(&file)
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no dpkg-deb");
        return;
    }
    let package = Bytes::from(std::fs::read(file).unwrap());
    let (size, sum) = (package.len(), Sha256Sum::of(&package).hex());
    let packages = format!("{control}Filename: ./tiny.deb\nSize: {size}\nSHA256: {sum}\n\n");
    let server = Server::start(move |path, _| match path {
        "/./Packages" | "/Packages" => Some(packages.clone().into()),
        "/./tiny.deb" | "/tiny.deb" => Some(package.clone()),
        _ => None,
    });
    let paths = [
        program("apt-get"),
        program("dpkg"),
        PathBuf::from("/usr/lib/apt"),
        PathBuf::from("/usr/share/dpkg"),
    ];
    let text = "\
FROM base
RUN mkdir -p /etc/apt/apt.conf.d /etc/apt/preferences.d /var/lib/dpkg /var/log/apt; touch /var/lib/dpkg/status; \
    echo 'deb [trusted=yes allow-insecure=yes] SERVER ./' > /etc/apt/sources.list; \
    echo 'APT::Sandbox::User \"root\"; Acquire::Languages \"none\";' > /etc/apt/apt.conf.d/00
ARG RUNNER
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install -y --download-only tiny
";
    let Some(project) = project(&text.replace("SERVER", &server.host()), &paths) else { return };
    let service = service();
    let runners = Runners::new(&project, &service);
    let count = |asked: &[String], name: &str| asked.iter().filter(|a| a.contains(name)).count();
    runners.build(1, &[]);
    let asked = server.take_asked();
    assert_eq!(count(&asked, "tiny.deb"), 1, "{asked:?}");
    runners.build(2, &[]);
    let asked = server.take_asked();
    assert_eq!(count(&asked, "tiny.deb"), 0, "{asked:?}");
    assert_eq!(
        count(&asked, &format!("Packages {LAST_MODIFIED}")),
        1,
        "the list's time: {asked:?}"
    );
}

#[test]
fn ccache_hits() {
    let part = |name: &str| PathBuf::from(printed("gcc", &[&format!("-print-prog-name={name}")]));
    let assembler =
        Some(part("as")).filter(|path| path.is_absolute()).unwrap_or_else(|| program("as"));
    let header = PathBuf::from("/usr/include/stdc-predef.h");
    let paths = [program("ccache"), program("gcc"), part("cc1"), assembler, header];
    let text = "\
FROM base
ENV CCACHE_DIR=/ccache CCACHE_COMPILERCHECK=content
WORKDIR /src
COPY program.c .
ARG RUNNER
RUN --mount=type=cache,target=/ccache ccache --zero-stats > /dev/null; ccache gcc -c program.c; \
    echo hits $(ccache --print-stats | busybox grep direct_cache_hit)
";
    let Some(project) = project(text, &paths) else { return };
    project.write("program.c", "int answer(void) { return 42; }\n");
    let service = service();
    let runners = Runners::new(&project, &service);
    for (number, hits) in [(1, 0), (2, 1)] {
        let built = runners.build(number, &[]);
        assert!(built.log.contains(&format!("\"hits direct_cache_hit {hits}\"")), "{}", built.log);
    }
}
