//! Control groups for steps, below one that the user names: what it is limited to holds for them.
//!
//! A step's group is made in every hierarchy of the machine, one in version 2 and several in version
//! 1, and the step's processes are born in it. Nothing is limited in a step's own group.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::error::reason;

/// Of the groups of steps: the process that made it and a number follow.
const PREFIX: &str = "plimsoll-";
/// What a version 1 `cpuset` has to say before it takes a process.
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// A group that steps get theirs below.
#[derive(Debug)]
pub struct CgroupParent {
    /// In each hierarchy.
    directories: Vec<PathBuf>,
    /// Those that were not there before, the outer ones first.
    made: Vec<PathBuf>,
    last: AtomicUsize,
}

/// The group of one step; removed when this is dropped, which is when the step has ended.
#[derive(Debug)]
pub struct Cgroup {
    directories: Vec<PathBuf>,
    /// Why the step is not in one of them.
    refused: Mutex<Option<String>>,
}

impl CgroupParent {
    /// Finds the group `path` in every hierarchy, or makes it there.
    ///
    /// # Errors
    /// Why that can't be in one of them; nothing is left then.
    pub fn open(path: &str) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::below(&hierarchies(&mounts), path)
    }

    fn below(roots: &[PathBuf], path: &str) -> Result<Self, String> {
        let relative = relative(path)?;
        if roots.is_empty() {
            return Err("no control groups are mounted".to_owned());
        }
        let mut parent =
            Self { directories: Vec::new(), made: Vec::new(), last: AtomicUsize::new(0) };
        for root in roots {
            let mut directory = root.clone();
            for component in relative.components() {
                directory.push(component);
                if make(&directory)? {
                    parent.made.push(directory.clone());
                }
            }
            remove_stale(&directory);
            parent.directories.push(directory);
        }
        Ok(parent)
    }

    /// A group for one step.
    ///
    /// # Errors
    /// Why it can't be made; nothing is left then.
    pub fn step(&self) -> Result<Cgroup, String> {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let mut group = Cgroup { directories: Vec::new(), refused: Mutex::default() };
        for parent in &self.directories {
            let directory = parent.join(&name);
            make(&directory)?;
            group.directories.push(directory);
        }
        Ok(group)
    }
}

impl Drop for CgroupParent {
    fn drop(&mut self) {
        // Whatever else is in one stays, and so does that one.
        for directory in self.made.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}

impl Cgroup {
    /// Puts a process into the group, which its children are born into.
    pub(super) fn enter(&self, pid: u32) {
        for directory in &self.directories {
            let file = directory.join("cgroup.procs");
            if let Err(error) = fs::write(&file, pid.to_string()) {
                let why = format!("can't write {}: {}", file.display(), reason(&error));
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused.get_or_insert(why);
            }
        }
    }

    /// Why the step was not in it, or not in every hierarchy.
    pub fn refused(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            remove(directory);
        }
    }
}

/// Where the hierarchies are, by `/proc/self/mountinfo`. One that is mounted twice is one.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let mut found: Vec<(&str, PathBuf)> = Vec::new();
    for line in mounts.lines() {
        let Some((place, kind)) = line.split_once(" - ") else { continue };
        let mut place = place.split(' ');
        let (Some(device), Some(path)) = (place.nth(2), place.nth(1)) else { continue };
        let kind = kind.split(' ').next();
        let is_known = found.iter().any(|(known, _)| *known == device);
        if matches!(kind, Some("cgroup" | "cgroup2")) && !is_known {
            found.push((device, PathBuf::from(path)));
        }
    }
    found.into_iter().map(|(_, path)| path).collect()
}

/// The path below a hierarchy's root. `a-b.slice:…` is the folder that systemd gives the slice.
fn relative(path: &str) -> Result<PathBuf, String> {
    if let Some((slice, _)) = path.split_once(':').filter(|(slice, _)| slice.ends_with(".slice")) {
        let mut folder = PathBuf::new();
        let name = slice.trim_end_matches(".slice");
        let dashes = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
        dashes.for_each(|end| folder.push(format!("{}.slice", &name[..end])));
        return Ok(folder);
    }
    let mut relative = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => relative.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(format!("{path} leads out of it"));
            }
        }
    }
    Ok(relative)
}

/// Makes a group that can take processes; whether it was not there before.
fn make(directory: &Path) -> Result<bool, String> {
    let made = match fs::create_dir(directory) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => {
            return Err(format!("can't make {}: {}", directory.display(), reason(&error)));
        }
    };
    let Some(above) = directory.parent() else { return Ok(made) };
    for name in CPUSET {
        let (own, given) = (directory.join(name), above.join(name));
        let (Ok(value), Ok(given)) = (fs::read_to_string(&own), fs::read_to_string(given)) else {
            continue;
        };
        if value.trim().is_empty() {
            // Version 2 takes what is above by itself, and a process that can't enter says so.
            let _ = fs::write(own, given.trim());
        }
    }
    Ok(made)
}

/// Removes a group, and those that the step made below it. Its processes have been told to end.
fn remove(directory: &Path) {
    for _ in 0..200 {
        let below = fs::read_dir(directory).into_iter().flatten().flatten();
        let folders = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.for_each(|entry| remove(&entry.path()));
        match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(10));
            }
            _ => return,
        }
    }
}

/// Removes the groups that a process left there when it was killed.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
        let is_dead = of.is_some_and(|(pid, _)| !Path::new("/proc").join(pid).exists());
        if is_dead {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hierarchy_is_found_once() {
        let mounts = "21 1 0:1 / / rw - ext4 /dev/a rw\n\
                      30 21 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                      31 21 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      32 21 0:26 / /elsewhere rw - cgroup cgroup rw,memory\n";
        assert_eq!(
            hierarchies(mounts),
            ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"].map(PathBuf::from)
        );
    }

    #[test]
    fn a_parent_is_below_the_root() {
        for (path, expected) in [
            ("/ci/builds", Some("ci/builds")),
            ("ci//builds/.", Some("ci/builds")),
            ("/", Some("")),
            ("machine.slice", Some("machine.slice")),
            ("a-b-c.slice:x:", Some("a.slice/a-b.slice/a-b-c.slice")),
            ("a/../..", None),
        ] {
            assert_eq!(relative(path).ok(), expected.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn what_was_made_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let roots = [root.path().join("memory"), root.path().join("cpuset")];
        roots.iter().for_each(|root| fs::create_dir(root).unwrap());
        for (folder, cpus) in [("cpuset", "0-1\n"), ("cpuset/there", "")] {
            let folder = root.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("cpuset.cpus"), cpus).unwrap();
        }
        let stale = roots[0].join("there/ours/plimsoll-4194999-1");
        fs::create_dir_all(&stale).unwrap();

        let parent = CgroupParent::below(&roots, "/there/ours").unwrap();
        assert!(!stale.exists());
        let copied = fs::read_to_string(roots[1].join("there/cpuset.cpus")).unwrap();
        assert_eq!(copied, "0-1");
        let step = parent.step().unwrap();
        let other = parent.step().unwrap();
        assert_eq!(step.directories.len(), 2);
        assert!(step.directories.iter().all(|directory| directory.is_dir()));
        let directories = step.directories.clone();
        drop(step);
        assert!(directories.iter().all(|directory| !directory.exists()));
        assert!(other.directories.iter().all(|directory| directory.is_dir()));
        drop((other, parent));
        assert!(roots[0].join("there/ours").is_dir(), "it was there before");
        assert!(roots[1].join("there").is_dir() && !roots[1].join("there/ours").exists());

        let error = CgroupParent::below(&[root.path().join("none")], "a").unwrap_err();
        assert!(error.starts_with("can't make "), "{error}");
    }
}
