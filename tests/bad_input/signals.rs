//! Ctrl-C and SIGTERM.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, ChildStderr};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Bench, Ended, names};

const BOTH: [(Signal, i32); 2] = [(Signal::INT, 130), (Signal::TERM, 143)];

/// A process, told from a later one of the same number by its start.
type Process = (u32, String);

/// The parent of a process, and when it started.
fn stat(pid: u32) -> Option<(u32, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: state, parent, and the start as the 20th.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields[1].parse().ok()?, fields[19].to_owned()))
}

/// All processes that `root` is an ancestor of.
fn descendants(root: u32) -> Vec<Process> {
    let pids = names(Path::new("/proc")).into_iter().filter_map(|name| name.parse::<u32>().ok());
    let all: Vec<(u32, (u32, String))> = pids.filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (pid, (_, start)) in all.iter().filter(|(_, (of, _))| *of == parent) {
            parents.push(*pid);
            found.push((*pid, start.clone()));
        }
    }
    found
}

fn is_alive((pid, start): &Process) -> bool {
    stat(*pid).is_some_and(|(_, found)| found == *start)
}

/// Reads the log of `child` until `word` is in it; what was read, and the rest of the log.
#[track_caller]
fn log_until(child: &mut Child, word: &str) -> (Vec<u8>, ChildStderr) {
    let mut log = child.stderr.take().unwrap();
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains(word) {
        let mut piece = [0; 4096];
        let length = log.read(&mut piece).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&piece[..length]);
    }
    (text, log)
}

/// Waits for what will surely be, if all is well.
#[track_caller]
fn wait_until(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} took too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}

#[track_caller]
fn canceled(ended: &Ended, code: i32) {
    assert_eq!(ended.code, Some(code), "{}", ended.stderr);
    assert_eq!(ended.message(), "ERROR: canceled\n", "{}", ended.stderr);
}

#[test]
fn in_the_middle_of_a_run() {
    let Some(bench) = Bench::with_root() else { return };
    // In the background, in a session of its own, deaf to SIGTERM: none may stay.
    let dockerfile = "FROM scratch\nCOPY root/ /\n\
        RUN --mount=type=cache,target=/cache sh -c 'trap \"\" TERM; sleep 600' & \
        sleep 600 & echo run''ning; sleep 600\n";
    for (signal, code) in BOTH {
        let mut child = bench.start(dockerfile, &["-o", "type=oci,dest=image.tar"]);
        let (mut text, mut log) = log_until(&mut child, " running\n");
        let processes = descendants(child.id());
        // Keeper, shell, and what it has started.
        assert!(processes.len() >= 4, "{processes:?}");
        send(&child, signal);
        log.read_to_end(&mut text).unwrap();
        let mut output = child.wait_with_output().unwrap();
        output.stderr = text;
        let ended = Ended::of(output);
        canceled(&ended, code);
        assert!(ended.stderr.contains("\n#3 CANCELED\n"), "{}", ended.stderr);
        let alive: Vec<_> = processes.iter().filter(|process| is_alive(process)).collect();
        assert!(alive.is_empty(), "{alive:?}");
        assert!(!bench.path("image.tar").exists());
        bench.is_clean();
    }
    // The cache mount's lock is free, and what was finished is known.
    let dockerfile = dockerfile.replace("600", "0");
    let ended = bench.build(&dockerfile, &["-o", "type=oci,dest=image.tar"]);
    ended.well();
    assert!(ended.stderr.contains("\n#2 CACHED\n"), "{}", ended.stderr);
}

/// A context whose image takes a while to write, however fast the disk is.
fn large(bench: &Bench) -> &'static str {
    let file = File::create(bench.context().join("zeros")).unwrap();
    file.set_len(128 << 20).unwrap();
    "FROM scratch\nCOPY zeros /\n"
}

#[test]
fn in_the_middle_of_an_output() {
    let bench = Bench::new();
    let dockerfile = large(&bench);
    bench.build(dockerfile, &[]).well();
    fs::create_dir(bench.path("out")).unwrap();
    for (signal, code) in BOTH {
        for output in ["type=tar,dest=out/files.tar", "type=local,dest=out/files"] {
            let child = bench.start(dockerfile, &["-o", output]);
            let file_is_there = || {
                let inside = names(&bench.path("out/files"));
                inside == ["zeros"] || names(&bench.path("out")).iter().any(|n| n.starts_with('.'))
            };
            wait_until("the output", file_is_there);
            send(&child, signal);
            canceled(&Ended::of(child.wait_with_output().unwrap()), code);
            bench.is_clean();
            if output.starts_with("type=local") {
                fs::remove_dir_all(bench.path("out/files")).unwrap();
            }
            assert_eq!(names(&bench.path("out")), [""; 0], "{output}");
        }
    }
    bench.build(dockerfile, &["-o", "type=oci,dest=out/image.tar"]).well();
    assert_eq!(names(&bench.path("out")), ["image.tar"]);
}

#[test]
fn while_nobody_takes_the_output() {
    let bench = Bench::new();
    let dockerfile = large(&bench);
    for (signal, code) in BOTH {
        let mut child = bench.start(dockerfile, &["-o", "type=tar,dest=-"]);
        // It has begun, and waits as soon as the pipe is full.
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 512]).unwrap();
        send(&child, signal);
        canceled(&Ended::of(child.wait_with_output().unwrap()), code);
        bench.is_clean();
    }
}

#[test]
fn in_the_middle_of_a_layer() {
    let bench = Bench::new();
    let dockerfile = large(&bench);
    for (signal, code) in BOTH {
        let child = bench.start(dockerfile, &["-o", "type=oci,tar=false,dest=image"]);
        let work = bench.path("store/tmp");
        wait_until("the layer", || {
            let folders = names(&work).into_iter();
            folders.flat_map(|name| names(&work.join(name))).any(|name| name.starts_with("blob-"))
        });
        send(&child, signal);
        canceled(&Ended::of(child.wait_with_output().unwrap()), code);
        assert!(!bench.path("image").exists());
        assert_eq!(names(&bench.path("store/blobs/sha256")), [""; 0]);
        bench.is_clean();
    }
    bench.build(dockerfile, &["-o", "type=oci,tar=false,dest=image"]).well();
}

#[test]
fn while_a_registry_is_silent() {
    // It takes a connection and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bench = Bench::new();
    let dockerfile = format!("FROM {}/a:1\n", listener.local_addr().unwrap());
    for (signal, code) in BOTH {
        let child = bench.start(&dockerfile, &[]);
        let _connection = listener.accept().unwrap();
        send(&child, signal);
        canceled(&Ended::of(child.wait_with_output().unwrap()), code);
        bench.is_clean();
    }
}

#[test]
fn what_a_killed_build_left_is_swept_by_the_next() {
    let Some(bench) = Bench::with_root() else { return };
    let dockerfile = "FROM scratch\nCOPY root/ /\nRUN echo run''ning; sleep 600\n";
    let mut child = bench.start(dockerfile, &[]);
    let (_, _log) = log_until(&mut child, " running\n");
    let processes = descendants(child.id());
    assert!(processes.len() >= 2, "{processes:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the end of the step", || !processes.iter().any(is_alive));
    assert_eq!(names(&bench.path("store/tmp")).len(), 1);
    bench.build("FROM scratch\nCOPY root/ /\nRUN true\n", &[]).well();
    bench.is_clean();
}
