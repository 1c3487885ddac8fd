//! Upper directories of a real overlay: what a command did there, as a layer.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use super::*;
use crate::layer::{LayerError, UnpackOptions, open_inside, scan_layer, scan_upper, unpack};
use crate::tree::Tree;

/// Without what a layer does not promise: times of directories, and links to lower layers.
fn comparable(mut tree: Tree) -> Tree {
    let root = TreePath::from(&b""[..]);
    let paths: Vec<_> = tree.iter().map(|(path, _)| path.clone()).chain([root]).collect();
    for path in paths {
        let entry = tree.get_mut(&path).unwrap();
        entry.layer = 0;
        match &mut entry.kind {
            Kind::Directory => entry.mtime = 0,
            Kind::File(file) => file.link = None,
            _ => {}
        }
    }
    tree
}

/// The tree at `directory`, by way of GNU tar.
fn tree_of(directory: &Path) -> Tree {
    let tar = Command::new("tar")
        .args(["--format=posix", "--xattrs", "--xattrs-include=*", "--sort=name", "-C"])
        .arg(directory)
        .args(["-cf", "-", "."])
        .output()
        .unwrap();
    assert!(tar.status.success());
    let mut tree = Tree::new();
    tree.apply(&scan_layer(&tar.stdout[..]).unwrap(), 0);
    tree
}

struct Overlay {
    directory: tempfile::TempDir,
}

impl Overlay {
    /// Runs `script` in the merged directory of an overlay; `None`, and why, where there is none.
    fn run(before: &str, script: &str) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let overlay = Self { directory };
        for name in ["lower", "upper", "work", "merged", "again"] {
            fs::create_dir(overlay.at(name)).unwrap();
        }
        sh(&overlay.at("lower"), before);
        overlay.mount("lowerdir=lower,upperdir=upper,workdir=work").then_some(())?;
        sh(&overlay.at("merged"), script);
        Some(overlay)
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn mount(&self, options: &str) -> bool {
        let mounted = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", options, "merged"])
            .current_dir(self.directory.path())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("SKIPPED: this machine does not mount an overlay");
        }
        mounted
    }

    fn umount(&self) {
        let status = Command::new("umount").arg(self.at("merged")).status().unwrap();
        assert!(status.success());
    }

    fn scan(&self, parent: &Tree) -> Result<Changes, LayerError> {
        let lower = self.at("lower");
        let mut open = |path: &TreePath| -> io::Result<Box<dyn Read + Send>> {
            Ok(Box::new(open_inside(&lower, path)?))
        };
        scan_upper(&self.at("upper"), parent, &HashSet::new(), &mut open)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // Still there only if the test has failed.
        let _ = Command::new("umount").arg("-q").arg(self.at("merged")).output();
    }
}

fn sh(directory: &Path, script: &str) {
    let script = format!("set -eu; {script}");
    let status = Command::new("sh").args(["-c", &script]).current_dir(directory).status().unwrap();
    assert!(status.success(), "{script}");
}

const BEFORE: &str = "
mkdir -p etc/apt usr/bin opaque/sub opaque/kept empty deep/er; echo root > etc/passwd
echo conf > etc/apt/conf; echo tool > usr/bin/tool; ln -s tool usr/bin/alias; echo 1 > opaque/1
echo 2 > opaque/sub/2; echo 3 > opaque/kept/3; echo x > replaced; echo touched > touched
echo same > same; echo linked > linked; ln linked other; mkfifo fifo; echo deep > deep/er/file
touch -d @1000 etc/passwd usr/bin/tool touched same replaced linked";

const SCRIPT: &str = "
echo more >> etc/passwd; rm -r etc/apt; echo new > usr/bin/new; chmod 4755 usr/bin/new
rm -r opaque; mkdir opaque; echo 4 > opaque/4; mkdir opaque/kept; echo 5 > opaque/kept/5
rm replaced; mkdir replaced; echo in > replaced/in; touch -d @2000 touched; chmod 644 same
rm usr/bin/alias; ln -s /bin/sh usr/bin/alias; ln same same-again; chown 5:6 fifo; ln linked third
chmod 700 empty; rm -r deep; echo flat > deep; touch -h -d @5 usr/bin/alias
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")' || true
mkdir volatile; rmdir volatile; echo gone > gone; rm gone";

#[test]
fn the_changes_of_a_command_lead_from_the_parent_to_what_it_saw() {
    let Some(overlay) = Overlay::run(BEFORE, SCRIPT) else { return };
    let parent = tree_of(&overlay.at("lower"));
    let changes = overlay.scan(&parent).unwrap();
    let expected = comparable(tree_of(&overlay.at("merged")));
    overlay.umount();
    let names: Vec<_> =
        changes.changes.iter().map(|(path, _)| String::from_utf8_lossy(path)).collect();
    let changed = [
        "deep",
        "empty",
        "etc/apt",
        "etc/passwd",
        "fifo",
        "linked",
        "opaque/1",
        "opaque/4",
        "opaque/kept/3",
        "opaque/kept/5",
        "opaque/sub",
        "replaced",
        "replaced/in",
        "same",
        "same-again",
        "third",
        "touched",
        "usr/bin/alias",
        "usr/bin/new",
    ];
    assert_eq!(names, changed);

    let upper = overlay.at("upper");
    let mut open = |index: usize| -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(open_inside(&upper, &changes.changes[index].0)?))
    };
    let mut tar = Vec::new();
    let options = WriteOptions::default();
    let written = write_layer(&changes, &mut open, &options, &mut tar).unwrap();
    let mut result = parent.clone();
    result.apply(&written, 1);
    assert_eq!(comparable(result), expected);
    // And unpacked on top of the lower directory they mean the same to overlayfs.
    let found = unpack(&tar[..], &overlay.at("again"), &UnpackOptions::default()).unwrap();
    assert_eq!(found, written);
    assert!(overlay.mount("lowerdir=again:lower"));
    let again = comparable(tree_of(&overlay.at("merged")));
    overlay.umount();
    assert_eq!(again, expected);
}

#[test]
fn what_was_only_copied_up_is_no_change() {
    let script = "chmod 644 same touched etc/passwd; chmod 755 etc usr/bin; touch etc/x; rm etc/x
        chown 0:0 usr/bin/alias; touch -c -d @1000 replaced";
    let Some(overlay) = Overlay::run(BEFORE, script) else { return };
    let parent = tree_of(&overlay.at("lower"));
    assert!(fs::read_dir(overlay.at("upper")).unwrap().count() >= 4, "something was copied up");
    assert_eq!(overlay.scan(&parent).unwrap(), Changes::default());
    // Without sums the parent's files are read.
    let mut unknown = parent.clone();
    for (path, _) in &parent {
        if let Kind::File(file) = &mut unknown.get_mut(path).unwrap().kind {
            file.digest = None;
        }
    }
    assert_eq!(overlay.scan(&unknown).unwrap(), Changes::default());
    overlay.umount();
}

#[test]
fn stubs_of_mounts_are_left_out_until_something_is_in_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    for stub in ["cache", "cache/go", "used", "used/mount"] {
        fs::create_dir(at(stub)).unwrap();
    }
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(at("used/file"), b"x").unwrap();
    fs::write(at("hosts"), b"").unwrap();
    fs::write(at("cache-not"), b"").unwrap();
    let stubs = ["cache", "cache/go", "used", "used/mount", "hosts"]
        .map(|stub| fs::metadata(at(stub)).map(|stub| (stub.dev(), stub.ino())).unwrap());
    let mut open = |_: &TreePath| -> io::Result<Box<dyn Read + Send>> { unreachable!() };
    let found =
        scan_upper(directory.path(), &Tree::new(), &HashSet::from(stubs), &mut open).unwrap();
    let names: Vec<_> = found.changes.iter().map(|(path, _)| &**path).collect();
    assert_eq!(names, [&b"cache-not"[..], b"used", b"used/file"]);
}

#[test]
fn features_that_hide_content_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("d");
    fs::create_dir(&below).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    if let Err(error) = rustix::fs::setxattr(&below, "user.overlay.redirect", b"/x", flags) {
        eprintln!("SKIPPED: no user attributes here: {error}");
        return;
    }
    let mut open = |_: &TreePath| -> io::Result<Box<dyn Read + Send>> { unreachable!() };
    let found = scan_upper(directory.path(), &Tree::new(), &HashSet::new(), &mut open).unwrap_err();
    assert!(matches!(found, LayerError::OverlayFeature { .. }), "{found}");
}
