//! Memory does not grow with the size of a layer: from COPY through RUN to every kind of output.
//!
//! Needs Linux' /proc, and root and a static busybox for the RUN; without them the RUN is left out,
//! loudly.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// The most that the program itself had in memory, in bytes. The kernel's figure is read as long as
/// there is one: a process that has ended has none.
fn peak(mut child: Child) -> u64 {
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let status = fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let size = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(size.unwrap_or(0) * 1024);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return peak;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn build(folder: &Path, run: bool, bytes: u64) -> u64 {
    let big = File::create(folder.join("context/big")).unwrap();
    big.set_len(bytes).unwrap();
    let run = if run { "RUN cat /big > /copy\n" } else { "" };
    let dockerfile = format!(
        "FROM scratch AS made\nCOPY . /\n{run}\
         FROM scratch\nCOPY --from=made / /again/\nADD big /added\n"
    );
    fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    let outputs = [
        "type=oci,dest=image.tar,rewrite-timestamp=true",
        "type=oci,dest=image,tar=false,compression=zstd",
        "type=tar,dest=files.tar",
        "type=local,dest=files",
    ];
    let child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["build", "-f", "Dockerfile", "--store", "store", "--quiet"])
        .args(outputs.iter().flat_map(|output| ["-o", *output]))
        .arg("context")
        .env("SOURCE_DATE_EPOCH", "1")
        .current_dir(folder)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    peak(child)
}

#[test]
fn a_layer_of_16_times_the_size_takes_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("context/bin");
    fs::create_dir_all(&bin).unwrap();
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let busybox = busybox.into_iter().find(|path| path.exists());
    let run = busybox.is_some() && rustix::process::geteuid().is_root();
    if let (Some(busybox), true) = (busybox, run) {
        fs::copy(busybox, bin.join("busybox")).unwrap();
        symlink("busybox", bin.join("sh")).unwrap();
        symlink("busybox", bin.join("cat")).unwrap();
    } else {
        eprintln!("SKIPPED: a RUN needs root and a static busybox (package busybox-static)");
    }
    // The smaller one fills every buffer already.
    let small = build(folder.path(), run, 8 * MIB);
    let large = build(folder.path(), run, 128 * MIB);
    assert!(small > MIB, "{small} bytes are too few to be true");
    assert!(large < small + 24 * MIB, "{small} bytes for 8 MiB, {large} bytes for 128 MiB");
}
