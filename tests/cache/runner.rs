//! A project, and the machines that build it: each is born with an empty store and dies after the
//! build. What outlives them is the folder of the project.

#![allow(dead_code, reason = "no test uses all of it")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use serde_json::Value;

/// All times of an image; older than every file that a test makes.
const EPOCH: &str = "1600000000";

/// Two stages, each with a step that is worth an entry, and a layer too large for a record. It has
/// the same bytes whenever it runs.
pub const SLOW_STAGES: &str = "\
FROM base AS builder
WORKDIR /src
COPY deps.txt .
RUN sleep 2; dd if=/bin/busybox bs=1000 count=900 > /random; cp deps.txt /installed
COPY main.txt .
RUN sleep 2; cat /installed main.txt > /program

FROM base
COPY note.txt /
COPY --from=builder /program /bin/
CMD [\"/bin/program\"]
";

/// How its steps begin.
pub const DEPENDENCIES: &str = "RUN sleep 2; dd";
pub const COMPILE: &str = "RUN sleep 2; cat";

/// Checks that there are as many titles as beginnings, each with its own.
pub fn begin(titles: &[String], beginnings: &[&str]) {
    assert_eq!(titles.len(), beginnings.len(), "{titles:?}");
    for (title, beginning) in titles.iter().zip(beginnings) {
        assert!(title.starts_with(beginning), "{titles:?}");
    }
}

/// Files and their bytes.
type Inputs = Vec<(PathBuf, Vec<u8>)>;

pub struct Project {
    directory: tempfile::TempDir,
    images: Mutex<BTreeMap<Inputs, String>>,
}

impl Project {
    /// With `base` as a named context that has a shell. `None`, loudly, where RUN can't be tried.
    pub fn new(dockerfile: &str) -> Option<Self> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| {
            // A dynamic one names its loader near the beginning.
            fs::read(path)
                .is_ok_and(|bytes| !bytes[..4096].windows(8).any(|part| part == b"ld-linux"))
        });
        let (Some(busybox), true) = (busybox, rustix::process::getuid().is_root()) else {
            eprintln!("SKIPPED: needs root and a static busybox (Debian package busybox-static)");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let project = Self { directory, images: Mutex::default() };
        let root = project.path("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        for name in
            ["sh", "cat", "cp", "mkdir", "sleep", "rm", "touch", "date", "echo", "dd", "head"]
        {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        project.base("one", "");
        fs::create_dir(project.path("context")).unwrap();
        project.write("Dockerfile", dockerfile);
        Some(project)
    }

    /// One of [`SLOW_STAGES`].
    pub fn slow_stages() -> Option<Self> {
        let project = Self::new(SLOW_STAGES)?;
        project.write("deps.txt", "a library\n");
        project.write("main.txt", "a program\n");
        project.write("note.txt", "a note\n");
        Some(project)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file of the context.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.path("context").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Makes the base image anew, with more instructions in its own Dockerfile.
    pub fn base(&self, label: &str, more: &str) {
        self.base_as(label, more, "gzip");
    }

    /// The same, in another compression.
    pub fn base_as(&self, label: &str, more: &str, compression: &str) {
        fs::write(
            self.path("base.Dockerfile"),
            format!("FROM scratch\nCOPY . /\nENV PATH=/bin\nLABEL made={label}\n{more}\n"),
        )
        .unwrap();
        let _ = fs::remove_dir_all(self.path("base"));
        let output = plimsoll()
            .arg("build")
            .arg("-f")
            .arg(self.path("base.Dockerfile"))
            .args(["--build-arg", &format!("SOURCE_DATE_EPOCH={EPOCH}"), "-q"])
            .arg("-o")
            .arg(format!("{},compression={compression}", image_output(&self.path("base"))))
            .arg("--store")
            .arg(self.path("base.store"))
            .arg(self.path("root"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A new machine with nothing on it.
    pub fn machine(&self) -> Machine<'_> {
        Machine { project: self, store: tempfile::tempdir().unwrap(), epoch: EPOCH.to_owned() }
    }

    /// What a machine builds that neither has nor asks for anything.
    pub fn without_cache(&self) -> Built {
        self.machine().build(&[])
    }

    /// The image of [`Project::without_cache`], which is built once for all that it is built from.
    pub fn image_without_cache(&self) -> String {
        let base = fs::read(self.path("base/index.json")).unwrap();
        let mut inputs = vec![("base".into(), base)];
        let mut folders = vec![self.path("context")];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                match path.is_dir() {
                    true => folders.push(path),
                    false => inputs.push((path.clone(), fs::read(&path).unwrap())),
                }
            }
        }
        inputs.sort();
        // Under the lock: two that want the same wait for one build.
        let mut images = self.images.lock().unwrap();
        images.entry(inputs).or_insert_with(|| self.without_cache().image().to_owned()).clone()
    }
}

pub struct Machine<'p> {
    project: &'p Project,
    store: tempfile::TempDir,
    pub epoch: String,
}

impl Machine<'_> {
    pub fn store(&self) -> &Path {
        self.store.path()
    }

    /// The command of a build with these flags.
    pub fn command(&self, flags: &[&str]) -> Command {
        let project = self.project;
        let mut command = plimsoll();
        command
            .arg("build")
            .args(["--progress", "json"])
            .arg("--store")
            .arg(self.store.path())
            .arg(format!("--build-context=base=oci-layout://{}", project.path("base").display()));
        if !self.epoch.is_empty() {
            command.args(["--build-arg", &format!("SOURCE_DATE_EPOCH={}", self.epoch)]);
        }
        if !flags.iter().any(|flag| flag.starts_with("-o") || *flag == "--push") {
            command.arg("-o").arg(image_output(&self.store.path().join("image")));
        }
        command.args(flags).arg(project.path("context")).stdin(Stdio::null());
        command
    }

    /// Builds, which must not fail.
    pub fn build(&self, flags: &[&str]) -> Built {
        let output = self.command(flags).output().unwrap();
        let built = Built::of(&output.stderr);
        assert!(output.status.success(), "{}", built.log);
        built
    }
}

/// What a build said.
#[derive(Debug)]
pub struct Built {
    pub log: String,
    pub result: Value,
    pub notices: Vec<String>,
}

impl Built {
    pub fn of(stderr: &[u8]) -> Self {
        let log = String::from_utf8_lossy(stderr).into_owned();
        let events: Vec<Value> =
            log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let notices = events.iter().filter(|event| event["event"] == "notice");
        let notices = notices.map(|event| event["text"].as_str().unwrap().to_owned()).collect();
        let result = events.iter().find(|event| event["event"] == "result");
        let result = result.map(|event| event["result"].clone()).unwrap_or_default();
        Self { log, result, notices }
    }

    /// The steps that ran, by their instruction, and why.
    pub fn ran(&self) -> Vec<(String, String)> {
        let stages = self.result["stages"].as_array().expect("a result").iter();
        let steps = stages.flat_map(|stage| stage["steps"].as_array().unwrap());
        steps
            .filter(|step| step["outcome"] == "ran")
            .map(|step| {
                let title = step["title"].as_str().unwrap();
                let instruction = title.split_once("] ").map_or(title, |(_, rest)| rest);
                (instruction.to_owned(), step["why"].as_str().unwrap().to_owned())
            })
            .collect()
    }

    /// The first words of the steps that ran.
    pub fn ran_titles(&self) -> Vec<String> {
        self.ran().into_iter().map(|(title, _)| title).collect()
    }

    pub fn image(&self) -> &str {
        self.result["image"]["descriptor"]["digest"].as_str().expect("an image")
    }
}

pub fn plimsoll() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.env_clear().env("HOME", "/nonexistent");
    command
}

fn image_output(directory: &Path) -> String {
    format!("type=oci,tar=false,rewrite-timestamp=true,dest={}", directory.display())
}
