//! Memory does not grow with a layer, neither one of ours nor a base's that passes through.

use std::fs::File;
use std::process::Child;
use std::time::Duration;

use super::docker_registry::DockerRegistry;
use super::program::Home;

const SMALL: u64 = 3_000_000;
const LARGE: u64 = 300_000_000;

/// The most memory that a process had, in kB, read again and again until it ended well.
fn peak(mut child: Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(now.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn memory_stays_flat_however_large_a_layer_is() {
    let (Some(one), Some(other)) = (DockerRegistry::plain(), DockerRegistry::plain()) else {
        return;
    };
    let push = |size: u64| {
        let home = Home::new("FROM scratch\nCOPY cargo /\n");
        home.write("context/cargo", "");
        File::options()
            .write(true)
            .open(home.path().join("context/cargo"))
            .unwrap()
            .set_len(size)
            .unwrap();
        let name = format!("{}/cargo:{size}", one.host);
        let output = "--output=type=registry,compression=uncompressed";
        let pushed = peak(home.start(&["-t", &name, output]));

        let home = Home::new(&format!("FROM {name}\nENV A=b\n"));
        let name = format!("{}/cargo:{size}", other.host);
        (pushed, peak(home.start(&["-t", &name, "--push"])))
    };
    let (small, small_through) = push(SMALL);
    let (large, large_through) = push(LARGE);
    eprintln!(
        "peak memory in kB: pushed {small} and {large}, through {small_through} and {large_through}"
    );
    // A hundred times as much to send, and not twice as much memory.
    assert!(large < 2 * small, "{small} kB, then {large} kB");
    assert!(large_through < 2 * small_through, "{small_through} kB, then {large_through} kB");
    assert!(one.requests().len() > 4 && other.count("PATCH", "cargo") > 1, "sent in pieces");
}
