//! Compilers and headers.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{Key, Ledger};
use crate::weight::file::File;
use crate::weight::finding::FindingKind;
use crate::weight::package::{Package, PackageKind};

/// Whole names of packages.
const NAMES: [&str; 33] = [
    "autoconf",
    "automake",
    "binutils",
    "bison",
    "build-base",
    "build-essential",
    "cargo",
    "clang",
    "cmake",
    "cpp",
    "dpkg-dev",
    "fakeroot",
    "flex",
    "g++",
    "gcc",
    "gcc-c++",
    "gfortran",
    "go",
    "golang",
    "kernel-headers",
    "libstdc++-devel",
    "libtool",
    "linux-headers",
    "m4",
    "make",
    "meson",
    "ninja",
    "ninja-build",
    "patch",
    "pkg-config",
    "pkgconf",
    "rust",
    "rustc",
];
/// Starts of names, before a version or a target.
const STARTS: [&str; 12] = [
    "binutils-",
    "clang-",
    "cpp-",
    "g++-",
    "gcc-",
    "gfortran-",
    "golang-1",
    "golang-go",
    "golang-src",
    "libbinutils",
    "linux-libc-dev",
    "llvm-",
];
/// How packages of headers and static libraries end.
const ENDS: [&str; 2] = ["-dev", "-devel"];

/// One finding for each layer, which names the packages.
pub(super) fn find(files: &[File], packages: &[Package], ledger: &mut Ledger) {
    let is_tool: Vec<bool> = packages.iter().map(is_tool).collect();
    let mut by_layer: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        if file.package.is_some_and(|package| is_tool[package as usize]) && ledger.left(index) > 0 {
            by_layer.entry(file.layer).or_default().push(index);
        }
    }
    for indices in by_layer.into_values() {
        let of = |index: &usize| files[*index].package.map(|package| package as usize);
        let names: BTreeSet<&str> =
            indices.iter().filter_map(of).map(|package| &*packages[package].name).collect();
        let detail = names.into_iter().collect::<Vec<_>>().join(", ");
        for index in indices {
            ledger.add(Key::new(FindingKind::BuildTools).of(&detail), index, files[index].bytes);
        }
    }
}

fn is_tool(package: &Package) -> bool {
    let name = package.name.as_str();
    let is_system = matches!(package.kind, PackageKind::Dpkg | PackageKind::Apk | PackageKind::Rpm);
    // `gcc-12-base` is what the runtime libraries of GCC depend on.
    is_system
        && (!name.ends_with("-base") || name == "build-base")
        && (NAMES.contains(&name)
            || STARTS.iter().any(|start| name.starts_with(start))
            || ENDS.iter().any(|end| name.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weight::size::Size;

    #[test]
    fn what_builds_is_told_from_what_runs() {
        let package = |kind, name: &str| Package {
            kind,
            name: name.to_owned(),
            version: String::new(),
            path: b""[..].into(),
            size: Size::ZERO,
            files: 0,
            layer: 0,
            components: Vec::new(),
            details: Default::default(),
        };
        for (name, expected) in [
            ("gcc", true),
            ("gcc-12", true),
            ("gcc-12-base", false),
            ("build-base", true),
            ("libc6-dev", true),
            ("kernel-headers", true),
            ("golang-1.22-go", true),
            ("golang-github-containers-common", false),
            ("libgcc-s1", false),
            ("libstdc++6", false),
            ("bash", false),
        ] {
            assert_eq!(is_tool(&package(PackageKind::Dpkg, name)), expected, "{name}");
        }
        assert!(!is_tool(&package(PackageKind::Npm, "make")));
    }
}
