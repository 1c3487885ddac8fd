//! A disk that is full.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::bench::{Bench, names};

/// A file system in memory at a folder, until it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None`, loudly, where nothing can be mounted.
    fn mount(at: PathBuf, megabytes: u32) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let options = std::ffi::CString::new(format!("size={megabytes}m,mode=755")).unwrap();
        match mount("tmpfs", &at, "tmpfs", MountFlags::empty(), Some(options.as_c_str())) {
            Ok(()) => Some(Self(at)),
            Err(error) => {
                eprintln!("SKIPPED: no small disk can be mounted here: {error}");
                None
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// Bytes that no compression makes smaller.
fn write_noise(path: &Path, megabytes: u64) {
    let noise = File::open("/dev/urandom").unwrap();
    io::copy(&mut io::Read::take(noise, megabytes << 20), &mut File::create(path).unwrap())
        .unwrap();
}

const FULL: &str = "No space left on device";

#[test]
fn a_store_without_room() {
    let Some(bench) = Bench::with_root() else { return };
    let Some(_disk) = Disk::mount(bench.path("store"), 16) else { return };
    write_noise(&bench.context().join("noise"), 24);
    let hint = "hint: Look where there is no room with `df -h`; `plimsoll cache prune` makes some in store.\n";
    let copies = "FROM scratch\nCOPY noise /\n";
    let ended = bench.build(copies, &["-o", "type=oci,dest=image.tar"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let message = ended.message();
    assert!(message.contains("can't write ") && message.contains("/store/"), "{message}");
    assert!(message.contains(FULL), "{message}");
    assert!(ended.stderr.ends_with(hint), "{}", ended.stderr);
    assert_eq!(names(&bench.path("store/blobs/sha256")), [""; 0]);
    assert!(!bench.path("image.tar").exists());
    bench.is_clean();

    // The same for what has to be unpacked for a RUN.
    let runs = "FROM scratch\nCOPY noise root/ /\nRUN true\n";
    let ended = bench.build(runs, &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.message().to_lowercase().contains("no space left on "), "{}", ended.stderr);
    bench.is_clean();

    // A command that fills the disk fails itself, and says so.
    let fills = "FROM scratch\nCOPY root/ /\nRUN dd if=/dev/urandom of=/big bs=1M count=24\n";
    let ended = bench.build(fills, &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("dd: error writing '/big': No space left on device"));
    assert!(ended.message().starts_with("Dockerfile:3\n"), "{}", ended.message());
    bench.is_clean();

    bench
        .build("FROM scratch\nCOPY root/ /\nRUN true\n", &["-o", "type=oci,dest=image.tar"])
        .well();
    assert!(bench.path("image.tar").exists());
}

#[test]
fn an_output_without_room() {
    let bench = Bench::new();
    let Some(disk) = Disk::mount(bench.path("full"), 4) else { return };
    write_noise(&bench.context().join("noise"), 8);
    let dockerfile = "FROM scratch\nCOPY noise /\n";
    for output in [
        "type=oci,dest=full/image.tar",
        "type=oci,tar=false,dest=full/image",
        "type=oci,tar=false,dest=full",
        "type=docker,dest=full/image.tar",
        "type=tar,dest=full/files.tar",
        "type=local,dest=full/files",
    ] {
        let ended = bench.build(dockerfile, &["-o", output]);
        assert_eq!(ended.code, Some(1), "{output}: {}", ended.stderr);
        let message = ended.message();
        let full = message.to_lowercase().contains("no space left on ");
        assert!(message.starts_with("ERROR: ") && full, "{output}: {message}");
        assert!(message.contains(output.rsplit('=').next().unwrap()), "{output}: {message}");
        assert!(message.contains("\nhint: "), "{output}: {message}");
        bench.is_clean();
        if output == "type=local,dest=full/files" {
            // What is written in place stays as far as it got.
            fs::remove_dir_all(disk.0.join("files")).unwrap();
        }
        assert_eq!(names(&disk.0), [""; 0], "{output}");
    }
    write_noise(&bench.context().join("noise"), 1);
    for output in ["type=oci,dest=full/image.tar", "type=oci,tar=false,dest=full/image"] {
        bench.build(dockerfile, &["-o", output]).well();
    }
    assert_eq!(names(&disk.0), ["image", "image.tar"]);
}

#[test]
fn files_about_the_result_without_room() {
    let bench = Bench::new();
    let Some(disk) = Disk::mount(bench.path("full"), 1) else { return };
    write_noise(&disk.0.join("filler"), 1);
    for flag in ["--iidfile", "--metadata-file"] {
        let ended = bench.build("FROM scratch\nENV A=b\n", &[flag, "full/file"]);
        assert_eq!(ended.code, Some(1), "{flag}: {}", ended.stderr);
        let message = ended.message();
        let start =
            format!("ERROR: failed to build: failed to solve: {flag}: can't write full/file");
        assert!(message.starts_with(&start) && message.contains(FULL), "{message}");
        assert_eq!(names(&disk.0), ["filler"], "{flag}");
    }
}
