//! Size limits, through the program: `.plimsoll.yml`, flags, exit codes, and every form of report.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A context whose image is one file of `bytes`, and a folder for what the test writes.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder };
        fs::create_dir(place.path().join("context")).unwrap();
        fs::write(place.path().join("context/Dockerfile"), "FROM scratch\nCOPY data /\n").unwrap();
        place.data(bytes);
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Bytes that no compression makes smaller by much.
    fn data(&self, bytes: usize) {
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        });
        let noise: Vec<u8> = noise.take(bytes).collect();
        fs::write(self.path().join("context/data"), noise).unwrap();
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(words)
            .current_dir(self.path())
            .env_remove("GITHUB_ACTIONS")
            .output()
            .unwrap()
    }

    fn build(&self, flags: &[&str]) -> Output {
        let words = ["build", "--store=store", "--progress=plain", "--tag=boat", "context"];
        self.run(&[&words, flags].concat())
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_build_above_its_limits_ends_with_3_and_leaves_the_image() {
    let place = Place::new(200_000);
    let out = "--output=type=oci,dest=image,tar=false";
    let built = place.build(&[out, "--size-budget=1MB"]);
    assert_eq!(code(&built), 0, "{}", stderr(&built));
    assert!(stderr(&built).contains("Within its limit."), "{}", stderr(&built));

    let built = place.build(&[out, "--size-budget=100kB"]);
    assert_eq!(code(&built), 3, "{}", stderr(&built));
    let text = stderr(&built);
    assert!(text.contains("Above its limits:\n  Compressed size: 200."), "{text}");
    assert!(text.contains("the limit is 100.0 kB"), "{text}");
    assert!(place.path().join("image/index.json").exists());

    let built = place.build(&["--size-budget=100kB", "--size-gate=warn"]);
    assert_eq!(code(&built), 0);
    assert!(stderr(&built).contains("which only warn"), "{}", stderr(&built));
    let built = place.build(&["--size-budget=100kB", "--size-waiver=agreed in #7"]);
    assert_eq!(code(&built), 0);
    assert!(stderr(&built).contains("accepted: agreed in #7"), "{}", stderr(&built));
    let built = place.build(&["--size-budget=100kB", "--size-waiver="]);
    assert_eq!(code(&built), 3, "no reason is given");
}

#[test]
fn the_settings_of_the_folder_hold_without_a_flag() {
    let place = Place::new(200_000);
    let settings =
        "budget:\n  unpacked: 1MB\nimages:\n  docker.io/library/boat:\n    unpacked: 1kB\n";
    fs::write(place.path().join(".plimsoll.yml"), settings).unwrap();
    let built = place.build(&[]);
    assert_eq!(code(&built), 3, "{}", stderr(&built));
    assert!(stderr(&built).contains("Unpacked size: 200.0 kB, the limit is 1.0 kB"));
    assert_eq!(code(&place.build(&["--size-gate=off"])), 0);

    fs::write(place.path().join(".plimsoll.yml"), "budget: {unpakced: 1MB}\n").unwrap();
    let built = place.build(&[]);
    assert_eq!(code(&built), 2);
    assert!(stderr(&built).contains("unpakced"), "{}", stderr(&built));
}

#[test]
fn growth_is_held_against_a_baseline() {
    let place = Place::new(200_000);
    let baseline = "--size-baseline=weight:old.weight";
    let growth = "--size-budget=+10%";
    let first = place.build(&[baseline, growth, "--output-weight=new.weight"]);
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    assert!(stderr(&first).contains("nothing to compare with"), "{}", stderr(&first));

    fs::rename(place.path().join("new.weight"), place.path().join("old.weight")).unwrap();
    place.data(300_000);
    let grown = place.build(&[baseline, growth, "--output-weight=new.weight"]);
    assert_eq!(code(&grown), 3, "{}", stderr(&grown));
    assert!(stderr(&grown).contains("Growth of the compressed size: "), "{}", stderr(&grown));

    let diff = |format: &str| {
        let format = format!("--format={format}");
        place.run(&["diff", "weight:old.weight", "weight:new.weight", growth, &format])
    };
    let markdown = diff("markdown");
    assert_eq!(code(&markdown), 3);
    let text = stdout(&markdown);
    assert!(text.starts_with("### Image size: `docker.io/library/boat:latest`\n"), "{text}");
    assert!(text.contains("❌ **Above its limits**"), "{text}");
    assert!(text.contains("- +100.0 kB line 2: `COPY data /`"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&stdout(&diff("json"))).unwrap();
    assert_eq!(json["verdict"]["status"], "fail");
    assert_eq!(json["verdict"]["breaches"][0]["subject"], "growth");
}

#[test]
fn an_image_is_weighed_against_its_limits() {
    let place = Place::new(200_000);
    assert_eq!(code(&place.build(&["--output-weight=new.weight", "--size-gate=off"])), 0);
    let weighed = place.run(&["weigh", "weight:new.weight", "--size-budget=1kB"]);
    assert_eq!(code(&weighed), 3);
    assert!(stdout(&weighed).contains("Above its limits:"), "{}", stdout(&weighed));
    assert!(stderr(&weighed).contains("above 1 of its limits"), "{}", stderr(&weighed));
    let weighed = place.run(&["weigh", "weight:new.weight", "--size-budget=heavy"]);
    assert_eq!(code(&weighed), 2);
    let weighed = place.run(&["weigh", "weight:new.weight", "--format=markdown"]);
    assert_eq!(code(&weighed), 0);
    assert!(stdout(&weighed).contains("There is nothing to compare with yet."));
}

#[test]
fn the_schema_has_the_keys_that_the_program_reads() {
    use plimsoll::weight::budget::Settings;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/plimsoll.schema.json");
    let schema: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let keys = |object: &serde_json::Value| -> Vec<String> {
        let mut keys: Vec<_> = object["properties"].as_object().unwrap().keys().cloned().collect();
        keys.sort_unstable();
        keys
    };
    // The program names the keys that it knows when it meets another.
    let known = |text: &str| -> Vec<String> {
        let error = Settings::parse(text).unwrap_err().to_string();
        let list = error.split("expected one of").nth(1).expect(&error);
        let list = list.lines().next().unwrap();
        let words = list.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let mut words: Vec<String> =
            words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    assert_eq!(keys(&schema), known("other: 1\n"));
    assert_eq!(keys(&schema["$defs"]["budget"]), known("budget: {other: 1}\n"));
    let pattern = schema["$defs"]["share"]["pattern"].as_str().unwrap();
    let pattern = fancy_regex::Regex::new(pattern).unwrap();
    for share in ["0%", "95%", "99.95 %", "100%", "100.0%", "100.5%", "101%", "150%", "95"] {
        let parsed = Settings::parse(&format!("budget: {{efficiency: \"{share}\"}}\n"));
        assert_eq!(pattern.is_match(share).unwrap(), parsed.is_ok(), "{share}");
    }
}
