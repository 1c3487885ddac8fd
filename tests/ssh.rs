//! `--ssh` with the files of private keys, and the RUN that reaches an agent with them (L-111).
//!
//! Needs root, a static busybox and OpenSSH's client; without them every test says so and passes.

#[path = "support/openssh.rs"]
mod openssh;
#[path = "support/program.rs"]
mod program;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use openssh::Key;
use program::{Home, stderr, with_busybox};
use rustix::process::{Pid, Signal};

/// Three keys beside a context that has `ssh-add`.
fn keys_and_client(dockerfile: &str) -> Option<(Home, [Key; 3])> {
    if !rustix::process::getuid().is_root() || !Path::new("/bin/busybox").exists() {
        eprintln!("SKIPPED: needs root and busybox (Debian package busybox-static)");
        return None;
    }
    let mut home = Home::new(dockerfile);
    let key = |name: &str| Key::new(home.path().join(name));
    let keys = [key("one")?, key("two")?, key("three")?];
    openssh::client(&home.path().join("context/client"));
    // Where the agents are, and nothing of another test.
    let temporary = home.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    home.set("TMPDIR", temporary.to_str().unwrap());
    Some((home, keys))
}

/// The processes of agents that a build has started.
fn agents(home: &Home) -> String {
    let pattern = format!("^ssh-agent .*{}/", home.path().join("tmp").display());
    let found = Command::new("pgrep").args(["--full", &pattern]).output().unwrap();
    String::from_utf8(found.stdout).unwrap()
}

/// What was started for a build is gone, with its socket.
#[track_caller]
fn no_agent_is_left(home: &Home) {
    assert_eq!(agents(home), "");
    let left: Vec<_> = std::fs::read_dir(home.path().join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_step_reaches_the_keys_of_its_id_and_no_others() {
    let Some((home, [one, two, three])) = keys_and_client(
        "FROM busybox\n\
         COPY client /\n\
         RUN echo \"[$SSH_AUTH_SOCK]\" > /without && ! ssh-add -l\n\
         RUN --mount=type=ssh ssh-add -l > /default\n\
         RUN --mount=type=ssh,id=git,required ssh-add -l > /git\n\
         RUN --mount=type=ssh,id=git,target=/agent ssh-add -l > /named && test -S /agent\n\
         USER app\n\
         RUN --mount=type=ssh,uid=1000 ssh-add -l > /tmp/user\n\
         RUN --mount=type=ssh ! ssh-add -l\n",
    ) else {
        return;
    };
    let path = |key: &Key| key.file.display().to_string();
    let (busybox, default) = (with_busybox(), format!("--ssh=default={}", path(&one)));
    let git = format!("--ssh=git={},{}", path(&two), path(&three));
    let log = home.built(&[&busybox, &default, &git, "-o", "type=local,dest=out"]);

    let out = home.path().join("out");
    let read = |file: &str| std::fs::read_to_string(out.join(file)).unwrap();
    assert_eq!(read("without"), "[]\n");
    for (file, expected) in [
        ("default", &[&one][..]),
        ("git", &[&two, &three]),
        ("named", &[&two, &three]),
        ("tmp/user", &[&one]),
    ] {
        let listed = read(file);
        let found: Vec<_> = listed.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
        let expected: Vec<_> = expected.iter().map(|key| key.fingerprint.as_str()).collect();
        assert_eq!(found, expected, "{file}");
    }
    // Where the sockets were mounted nothing is left.
    assert!(!out.join("agent").exists());
    assert!(!out.join("run/buildkit").exists());
    for secret in [&one, &two, &three].into_iter().flat_map(Key::secret) {
        assert!(!log.contains(&secret), "{log}");
    }
    no_agent_is_left(&home);
}

#[test]
fn only_a_step_that_runs_needs_an_agent() {
    let Some((mut home, [one, ..])) = keys_and_client(
        "FROM busybox\n\
         COPY client /\n\
         RUN --mount=type=ssh,required ssh-add -l\n",
    ) else {
        return;
    };
    let (busybox, key) = (with_busybox(), format!("--ssh=default={}", one.file.display()));
    let failed = |home: &Home, flags: &[&str], expected: &str| {
        let output = home.build(&[&[busybox.as_str()], flags].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && said.contains("   3 | >>> RUN"), "{said}");
        no_agent_is_left(home);
    };
    failed(&home, &[], "no SSH key \"default\" forwarded from the client");
    assert!(home.built(&[&busybox, &key]).contains(&one.fingerprint));
    // The same again, on a machine without OpenSSH.
    home.set("PATH", "/var/empty");
    home.built(&[&busybox, &key]);
    failed(&home, &["--no-cache", &key], "there is no ssh-agent on this machine");
}

#[test]
fn no_agent_outlives_a_build_that_fails_or_is_canceled() {
    let Some((home, [one, ..])) = keys_and_client(
        "FROM busybox\n\
         COPY client /\n\
         RUN --mount=type=ssh ssh-add -l && false\n",
    ) else {
        return;
    };
    let (busybox, key) = (with_busybox(), format!("--ssh=default={}", one.file.display()));
    let output = home.build(&[&busybox, &key]);
    let said = stderr(&output);
    assert!(!output.status.success() && said.contains(&one.fingerprint), "{said}");
    no_agent_is_left(&home);

    let mut build = sleeping(&home, &[&busybox, &key], &one);
    signal(&build, Signal::INT);
    assert!(!build.wait().unwrap().success());
    no_agent_is_left(&home);
}

/// A build whose step has seen this key and goes on.
fn sleeping(home: &Home, flags: &[&str], key: &Key) -> Child {
    let sleep = "FROM busybox\nCOPY client /\nRUN --mount=type=ssh ssh-add -l && sleep 600\n";
    home.write("context/Dockerfile", sleep);
    let mut build = home.start(flags);
    let mut lines = BufReader::new(build.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.contains(&key.fingerprint)), "the step did not run");
    std::thread::spawn(move || lines.for_each(drop));
    assert_eq!(agents(home).lines().count(), 1);
    build
}

fn signal(build: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_child(build), signal).unwrap();
}

/// As a runner does that loses patience. OpenSSH's agent looks after its parent every ten seconds.
#[test]
fn an_agent_ends_with_a_build_that_is_killed() {
    let Some((home, [one, ..])) = keys_and_client("") else { return };
    let (busybox, key) = (with_busybox(), format!("--ssh=default={}", one.file.display()));
    let mut build = sleeping(&home, &[&busybox, &key], &one);
    signal(&build, Signal::KILL);
    build.wait().unwrap();
    let since = Instant::now();
    while !agents(&home).is_empty() {
        assert!(since.elapsed() < Duration::from_secs(30), "{}", agents(&home));
        std::thread::sleep(Duration::from_millis(100));
    }
}
