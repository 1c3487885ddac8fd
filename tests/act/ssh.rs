//! Private keys that a workflow has as secrets, for RUNs that need them.

use std::fs;

use super::openssh::{self, Key};
use super::{World, succeeded};

const DOCKERFILE: &str = r#"FROM scratch AS builder
COPY client /
RUN --mount=type=ssh ["/usr/bin/ssh-add", "-l"]
RUN --mount=type=ssh,id=deploy,required ["/usr/bin/ssh-add", "-l"]

FROM scratch
COPY --from=builder /usr/bin/ssh-add /ssh-add
"#;

/// As guides have it: a step writes the secret into a file that only its user can read.
const STEPS: [&str; 9] = [
    "- env:",
    "    ONE: ${{ secrets.ONE }}",
    "    TWO: ${{ secrets.TWO }}",
    "  run: |",
    "    umask 077",
    "    mkdir -p ~/.ssh",
    r#"    echo "$ONE" > "$RUNNER_TEMP/one""#,
    r#"    echo "$TWO" > ~/.ssh/two"#,
    r#"    echo "temporary=$TMPDIR""#,
];

#[test]
fn a_run_has_the_keys_of_files_that_a_step_has_written() {
    let inputs = [
        "images: <registry>/acme/boat",
        "push: false",
        "ssh: |",
        "  default=${{ runner.temp }}/one",
        "  deploy=~/.ssh/two",
    ];
    let Some(mut world) = World::with(&STEPS, &inputs) else { return };
    let keys = world.runner.path("keys");
    fs::create_dir(&keys).unwrap();
    let (Some(one), Some(two)) = (Key::new(keys.join("one")), Key::new(keys.join("two"))) else {
        return;
    };
    for (name, key) in [("ONE", &one), ("TWO", &two)] {
        world.runner.secret(name, fs::read_to_string(&key.file).unwrap().trim_end());
    }
    // Where the agents are.
    let temporary = world.runner.path("temporary");
    fs::create_dir(&temporary).unwrap();
    world.runner.set("TMPDIR", temporary.to_str().unwrap());
    openssh::client(&world.runner.path("repository/client"));
    world.runner.write("Dockerfile", DOCKERFILE);
    world.runner.commit();

    let ended = world.runner.push();
    succeeded(&ended);
    // The first step has the one key, and the second the other.
    let listed: Vec<&str> =
        ended.log.split(' ').filter(|word| word.starts_with("SHA256:")).collect();
    assert_eq!(listed, [&*one.fingerprint, &*two.fingerprint], "{}", ended.log);
    for line in [&one, &two].into_iter().flat_map(Key::secret) {
        assert!(!ended.log.contains(&line), "{}", ended.log);
    }
    assert_eq!(ended.said("temporary"), temporary.to_str().unwrap());
    let left: Vec<_> =
        fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}
