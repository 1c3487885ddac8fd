//! The same input gives the same bytes, whoever builds it, where, and with how many threads.
//!
//! Needs root and a static busybox for what has a RUN; without them it says so and leaves that out.

use std::fs::{self, File, FileTimes};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use plimsoll::digest::Digest;

/// Of the commit that is built, so to say.
const EPOCH: i64 = 1_500_000_000;

const WITHOUT_RUN: &str = r#"FROM scratch AS files
WORKDIR /made/for this
COPY --chown=7:8 . .
ADD archive.tar /unpacked/
COPY <<end /here/it/is
a line
end
FROM scratch
COPY --from=files /made /made
COPY --from=files /unpacked /here /
LABEL b=2 a=1
ENV B=2 A=1
"#;

const WITH_RUN: &str = r#"FROM scratch AS base
COPY root/ /
FROM base AS one
RUN for i in 9 3 7 1; do mkdir -p /out/$i; echo $i > /out/$i/file; done
FROM base AS two
RUN umask; echo two > /two; chmod 640 /two; ln /two /again; ln -s two /link; rm /bin/sleep
FROM base
WORKDIR /work
COPY tree tree
RUN rm -r tree/b && mkdir tree/b && echo new > tree/b/new && echo more >> tree/a/0
COPY --from=one /out /out
COPY --from=two / /
"#;

/// A machine like another, in all that must not be seen.
struct Machine {
    folder: tempfile::TempDir,
    /// Files of the context are made the other way round.
    backwards: bool,
    umask: &'static str,
    variables: &'static [(&'static str, &'static str)],
    /// Processors, as taskset(1) has them.
    processors: Option<&'static str>,
    /// Number of the user and group.
    user: Option<u32>,
}

fn machine() -> Machine {
    Machine {
        folder: tempfile::tempdir().unwrap(),
        backwards: false,
        umask: "022",
        variables: &[("HOME", "/root"), ("USER", "root"), ("TZ", "UTC"), ("LANG", "C")],
        processors: None,
        user: None,
    }
}

fn machine_elsewhere() -> Machine {
    let variables = &[
        ("HOME", "/nonexistent"),
        ("USER", "somebody"),
        ("LOGNAME", "somebody"),
        ("TZ", "Pacific/Kiritimati"),
        ("LANG", "tr_TR.UTF-8"),
        ("LC_ALL", "tr_TR.UTF-8"),
        ("HOSTNAME", "elsewhere"),
    ];
    Machine { umask: "000", variables, ..machine() }
}

fn machines() -> Vec<Machine> {
    vec![
        machine(),
        Machine { backwards: true, umask: "077", ..machine() },
        machine_elsewhere(),
        Machine { processors: Some("0"), ..machine() },
    ]
}

impl Machine {
    fn context(&self) -> PathBuf {
        self.folder.path().join("context")
    }

    /// Makes the context; the tree of it is large enough for many blocks of compression.
    fn fill(&self, busybox: Option<&Path>) {
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        for directory in ["a", "b", "b/c", "z"] {
            for number in 0..12_u32 {
                let line = format!("{directory} {number} ");
                let content = line.repeat(1 + number as usize * 3000).into_bytes();
                files.push((format!("tree/{directory}/{number}"), content));
            }
        }
        files.push(("archive.tar".to_owned(), archive()));
        if self.backwards {
            files.reverse();
        }
        for (name, content) in files {
            let path = self.context().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
        }
        // Older than the commit: this time stays.
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let file = File::options().write(true).open(self.context().join("tree/a/1")).unwrap();
        file.set_times(FileTimes::new().set_modified(old)).unwrap();
        symlink("a/1", self.context().join("tree/link")).unwrap();
        if let Some(busybox) = busybox {
            let bin = self.context().join("root/bin");
            fs::create_dir_all(&bin).unwrap();
            fs::copy(busybox, bin.join("busybox")).unwrap();
            for name in ["chmod", "echo", "ln", "mkdir", "rm", "sh", "sleep"] {
                symlink("busybox", bin.join(name)).unwrap();
            }
        }
        set_modes(&self.context());
        if let Some(user) = self.user {
            chown(self.folder.path(), Some(user), Some(user)).unwrap();
        }
    }

    /// Builds into `image`, a layout, and gives the bytes of every kind of output.
    fn build(&self, dockerfile: &str) -> Vec<(&'static str, Digest)> {
        fs::write(self.folder.path().join("Dockerfile"), dockerfile).unwrap();
        let mut command = match self.processors {
            Some(processors) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", processors, "sh"]);
                command
            }
            None => Command::new("sh"),
        };
        let outputs = [
            ("gzip.tar", "type=oci,rewrite-timestamp=true,dest=gzip.tar"),
            ("docker.tar", "type=docker,rewrite-timestamp=true,dest=docker.tar"),
            ("zstd.tar", "type=oci,compression=zstd,rewrite-timestamp=true,dest=zstd.tar"),
            ("files.tar", "type=tar,dest=files.tar"),
            ("", "type=oci,tar=false,rewrite-timestamp=true,dest=image"),
        ];
        command
            .args(["-c", &format!("umask {}; exec \"$@\"", self.umask), "sh"])
            .arg(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["build", "-f", "Dockerfile", "--store", "store"])
            .args(["-t", "name:1", "-t", "other:2"])
            .args(outputs.iter().flat_map(|(_, output)| ["-o", *output]))
            .arg("context")
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SOURCE_DATE_EPOCH", EPOCH.to_string())
            .envs(self.variables.iter().copied());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let digest = |(name, _): &(&'static str, &str)| {
            (!name.is_empty())
                .then(|| (*name, Digest::of(&fs::read(self.folder.path().join(name)).unwrap())))
        };
        outputs.iter().filter_map(digest).collect()
    }
}

/// Modes are input: they are given here, whatever the umask.
fn set_modes(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            set_modes(&path);
        }
        if !metadata.is_symlink() {
            let executable = metadata.is_dir() || path.ends_with("busybox");
            let mode = if executable { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

/// A tar whose entries are not sorted, with owners and times of its own.
fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["z", "d/x", "a"] {
        let mut header = tar::Header::new_ustar();
        header.set_size(4);
        header.set_mode(0o600);
        header.set_uid(3);
        header.set_username("somebody").unwrap();
        header.set_mtime(1_600_000_000);
        tar.append_data(&mut header, name, &b"text"[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

/// The uncompressed layers of the image in a layout.
fn layers(layout: &Path) -> Vec<Vec<u8>> {
    let json = |path: PathBuf| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let blob = |digest: &serde_json::Value| {
        let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
        layout.join("blobs/sha256").join(hex)
    };
    let index = json(layout.join("index.json"));
    let manifest = json(blob(&index["manifests"][0]["digest"]));
    let layers = manifest["layers"].as_array().unwrap();
    let read = |layer: &serde_json::Value| {
        let file = File::open(blob(&layer["digest"])).unwrap();
        let mut bytes = Vec::new();
        flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).unwrap();
        bytes
    };
    layers.iter().map(read).collect()
}

/// Sorted, without names of users, and nothing younger than the commit.
fn check_layers(layout: &Path) {
    let mut entries = 0;
    for layer in layers(layout) {
        let mut archive = tar::Archive::new(layer.as_slice());
        let mut last = String::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
            assert!(last < path, "{last} before {path}");
            let header = entry.header();
            assert_eq!(header.username_bytes(), Some(&b""[..]), "{path}");
            assert_eq!(header.groupname_bytes(), Some(&b""[..]), "{path}");
            assert!(header.mtime().unwrap() <= EPOCH as u64, "{path}");
            last = path;
            entries += 1;
        }
    }
    assert!(entries > 50, "{entries} entries are not the image that was meant");
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn without_a_run() {
    let mut machines = machines();
    if is_root() {
        machines.push(Machine { user: Some(65534), ..machine_elsewhere() });
    } else {
        eprintln!("SKIPPED: to build as another user needs root");
    }
    same_everywhere(&machines, None, WITHOUT_RUN);
}

#[test]
fn with_a_run() {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    match busybox.into_iter().find(|path| path.exists()) {
        Some(busybox) if is_root() => same_everywhere(&machines(), Some(busybox), WITH_RUN),
        _ => eprintln!("SKIPPED: needs root and a static busybox (Debian package busybox-static)"),
    }
}

fn same_everywhere(machines: &[Machine], busybox: Option<&Path>, dockerfile: &str) {
    let mut first = None;
    for machine in machines {
        machine.fill(busybox);
        let found = machine.build(dockerfile);
        check_layers(&machine.folder.path().join("image"));
        assert_eq!(machine.build(dockerfile), found, "from the store");
        let expected = first.get_or_insert_with(|| found.clone());
        let Machine { backwards, umask, variables, processors, user, .. } = machine;
        assert_eq!(
            &found, expected,
            "backwards {backwards}, umask {umask}, {variables:?}, {processors:?}, user {user:?}"
        );
    }
}
